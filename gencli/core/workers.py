"""Work shared among processes, in the order it was given.

The workers are plain subprocesses that speak over pipes. `multiprocessing` would import the caller's
`__main__` again in each worker, which runs a script without an `if __name__ == "__main__"` guard twice; a
subprocess knows nothing of its caller. A worker that imports no torch starts at once. Threads would share
Python's lock, which work of many small pieces holds most of the time.

The protocol: a message is a line of JSON, `[head, length]`, followed by so many bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

log = logging.getLogger("gencli")

_START = """
import sys
sys.path[:] = sys.argv[1:]
from gencli.core.workers import serve
serve(sys.stdin.buffer, sys.stdout.buffer)
"""
MOST = 16  # processes: whoever hands the work out can hardly feed more


class Message(NamedTuple):
    """A request or its answer: anything JSON takes, and bytes."""

    head: Any
    body: bytes = b""


Handler = Callable[[Message], Message]


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    make: Callable[[Any], Handler], setup: Any, requests: Iterable[Message], processes: int
) -> Generator[Message, None, None]:
    """The answers of the handler `make(setup)` to the requests, in their order.

    `make` is a function of a module, `setup` anything JSON takes: each of the `processes` makes a handler of
    its own (fewer than 2: this process does all). A request that a process dies of, for whatever reason, is
    answered in this one, so a handler's errors are raised here. Takes only a few requests ahead of what it
    has handed out, so memory stays bounded.
    """
    if processes < 2:
        yield from map(make(setup), requests)
        return
    workers = [_Worker(make, setup) for _ in range(processes)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def answer(request: Message) -> Message | None:
        worker = idle.get()
        try:
            return worker.answer(request)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(processes)
    pending: deque[tuple[Message, Future[Message | None]]] = deque()
    here: Handler | None = None
    try:
        for last, request in _with_end(requests):
            if request is not None:
                pending.append((request, threads.submit(answer, request)))
            while pending and (last or len(pending) > 2 * processes):
                asked, future = pending.popleft()
                found = future.result()
                if found is None:
                    here = here or make(setup)
                    found = here(asked)
                yield found
    finally:  # also when whoever takes the answers stops early: nothing is waited for
        for worker in workers:
            worker.stop()
        threads.shutdown(cancel_futures=True)


def _with_end(requests: Iterable[Message]) -> Generator[tuple[bool, Message | None], None, None]:
    """The requests, and then the end."""
    for request in requests:
        yield False, request
    yield True, None


class _Worker:
    """A process that answers requests. One that cannot start or has died answers None."""

    def __init__(self, make: Callable[[Any], Handler], setup: Any) -> None:
        self.stopped = False
        self.process: subprocess.Popen[bytes] | None = None
        path = [entry or str(Path.cwd()) for entry in sys.path]
        try:
            # -I: modules that happen to lie in the current folder are not imported
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-W", "ignore", "-c", _START, *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # C libraries write their warnings there
            )
        except OSError as error:
            log.info("cannot start a process: %s", error)
        self.first: Message | None = Message([make.__module__, make.__qualname__, setup])

    def answer(self, request: Message) -> Message | None:
        if (process := self.process) is None:
            return None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if self.first is not None:
                _send(process.stdin, self.first)
                self.first = None
            _send(process.stdin, request)
            return _receive(process.stdout)
        except (OSError, EOFError, ValueError) as error:
            if not self.stopped:
                log.info("a process died (%s); its work is done in this one", error)
                self._end()
            return None

    def stop(self) -> None:
        """End the process at once; whoever waits for it gets nothing."""
        self.stopped = True
        self._end()

    def _end(self) -> None:
        if process := self.process:
            self.process = None
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # what was still to be written has no reader
                    if pipe:
                        pipe.close()


def _send(file: IO[bytes], message: Message) -> None:
    file.write(json.dumps([message.head, len(message.body)]).encode() + b"\n")
    file.write(message.body)
    file.flush()


def _receive(file: IO[bytes]) -> Message:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the other side is gone")
    head, length = json.loads(line)
    body = file.read(length)
    if len(body) != length:
        raise EOFError("the other side is gone")
    return Message(head, body)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer request after request until they end: what a worker does. The first says who answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends us
    with contextlib.suppress(EOFError):
        module, name, setup = _receive(requests).head
        handle = getattr(importlib.import_module(module), name)(setup)
        while True:
            _send(answers, handle(_receive(requests)))
