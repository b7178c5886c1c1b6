"""Picture files decoded to squares of pixels by several processes.

The workers are plain subprocesses that speak over pipes. `multiprocessing` would import the caller's
`__main__` again in each worker, which runs a script without an `if __name__ == "__main__"` guard twice; a
subprocess knows nothing of its caller. Nothing imported here loads torch, so a worker starts at once.
Threads would share Python's lock, which small pictures hold most of the time.

The protocol: a request is a line of JSON, `[form, [[name, length or path], …]]`, followed by the bytes of
those pictures that have a length; its answer is a line of JSON, a list with `null` or what was wrong for
each picture, followed by the pixels of the good ones.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal, NamedTuple

import numpy as np
from PIL import Image

from gencli.core.decode import open_picture
from gencli.core.errors import GencliError

log = logging.getLogger("gencli")

Crop = Literal["center", "left", "right", "stretch"]
_START = """
import sys
sys.path[:] = sys.argv[1:]
from gencli.core.decode_pool import serve
serve(sys.stdin.buffer, sys.stdout.buffer)
"""
CHUNK_PICTURES, CHUNK_BYTES = 64, 8 << 20  # a chunk ends at whichever comes first


@dataclass(frozen=True)
class Form:
    """What every picture of a set is brought to: `size` x `size` pixels of 1 or 3 channels.

    `crop` is the part of the picture kept: the central square ("center"), the central square of its
    left or right half (paired pictures), or all of it, squeezed ("stretch").
    """

    size: int
    channels: int = 3
    crop: Crop = "center"

    @property
    def bytes(self) -> int:
        """Bytes of one picture."""
        return self.channels * self.size * self.size


class Task(NamedTuple):
    """One picture to decode: its row in the result, its name for messages, its file or bytes."""

    row: int
    name: str
    data: Path | bytes


class Outcome(NamedTuple):
    """One decoded picture: its planar uint8 pixels (C, H, W), or what was wrong."""

    row: int
    name: str
    pixels: bytes | None
    fault: str | None


def decode(data: Path | bytes, name: str, form: Form) -> bytes:
    """Decode one picture file to planar uint8 pixels (C, H, W) of the form. Raises GencliError."""
    halves = 2 if form.crop in {"left", "right"} else 1
    picture = open_picture(data, name=name, draft=(2 * halves * form.size, 2 * form.size))
    if halves == 2:  # cut first: antialiasing must not bring in the other half
        half = max(1, picture.width // 2)
        start = 0 if form.crop == "left" else picture.width - half
        picture = picture.crop((start, 0, start + half, picture.height))
    width, height = picture.size
    side = min(width, height)
    x, y = (width - side) / 2, (height - side) / 2
    box = None if form.crop == "stretch" else (x, y, x + side, y + side)
    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture).convert("RGB")
    if form.channels == 1:
        picture = picture.convert("L")
    if picture.size != (form.size, form.size):
        picture = picture.resize((form.size, form.size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    pixels = np.frombuffer(picture.tobytes(), np.uint8).reshape(-1, form.channels)
    planes: bytes = pixels.T.tobytes()
    return planes


def decode_many(tasks: Iterable[Task], form: Form, processes: int) -> Generator[Outcome, None, None]:
    """Decode pictures in `processes` processes (in this one if fewer than 2), in the order given.

    Takes from `tasks` only a few chunks ahead of what it has handed out, so memory stays bounded.
    """
    if processes < 2:
        for chunk in _chunks(tasks):
            yield from _decode_here(chunk, form)
        return
    workers = [_Worker(form) for _ in range(processes)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(chunk: list[Task]) -> list[Outcome]:
        worker = idle.get()
        try:
            return worker.decode(chunk)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(processes)
    try:
        pending: deque[Future[list[Outcome]]] = deque()
        for chunk in _chunks(tasks):
            pending.append(threads.submit(run, chunk))
            if len(pending) > 2 * processes:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:  # also when whoever takes the outcomes stops early: nothing is waited for
        for worker in workers:
            worker.stop()
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += len(task.data) if isinstance(task.data, bytes) else 0
        if len(chunk) == CHUNK_PICTURES or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _decode_here(chunk: list[Task], form: Form) -> list[Outcome]:
    outcomes = []
    for row, name, data in chunk:
        try:
            outcomes.append(Outcome(row, name, decode(data, name, form), None))
        except GencliError as error:
            outcomes.append(Outcome(row, name, None, error.message))
    return outcomes


class _Worker:
    """A decoding process. If it cannot start or dies, its chunks are decoded in this process."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self.stopped = False
        self.process: subprocess.Popen[bytes] | None = None
        path = [entry or str(Path.cwd()) for entry in sys.path]
        try:
            # -I: modules that happen to lie in the current folder are not imported
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-W", "ignore", "-c", _START, *path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libjpeg and libtiff write their warnings there
            )
        except OSError as error:
            log.info("cannot start a decoding process: %s", error)

    def decode(self, chunk: list[Task]) -> list[Outcome]:
        if self.process is not None:
            try:
                return self._ask(self.process, chunk)
            except (OSError, EOFError, ValueError) as error:
                if self.stopped:
                    return []
                log.info("a decoding process died (%s); its pictures are decoded in this one", error)
                self._end()
        return _decode_here(chunk, self.form)

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

    def _ask(self, process: subprocess.Popen[bytes], chunk: list[Task]) -> list[Outcome]:
        assert process.stdin is not None
        assert process.stdout is not None
        heads = [(t.name, len(t.data) if isinstance(t.data, bytes) else str(t.data)) for t in chunk]
        process.stdin.write(json.dumps([asdict(self.form), heads]).encode() + b"\n")
        process.stdin.writelines(task.data for task in chunk if isinstance(task.data, bytes))
        process.stdin.flush()
        faults = json.loads(_line(process.stdout))
        return [
            Outcome(task.row, task.name, None if fault else _exactly(process.stdout, self.form.bytes), fault)
            for task, fault in zip(chunk, faults, strict=True)
        ]


def _line(file: IO[bytes]) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the other side is gone")
    return line


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise EOFError("the other side is gone")
    return data


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Decode chunk after chunk until `requests` ends: what a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends us
    while line := requests.readline():
        form, heads = json.loads(line)
        chunk = [
            Task(row, name, _exactly(requests, where) if isinstance(where, int) else Path(where))
            for row, (name, where) in enumerate(heads)
        ]
        outcomes = _decode_here(chunk, Form(**form))
        answers.write(json.dumps([outcome.fault for outcome in outcomes]).encode() + b"\n")
        answers.writelines(outcome.pixels for outcome in outcomes if outcome.pixels is not None)
        answers.flush()
