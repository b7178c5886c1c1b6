"""Many results one after another: the next is read and the last is written while one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from gencli.core.errors import GencliError

AHEAD = 3  # items read before they are needed, and results not yet written, at most

Item = TypeVar("Item")
Given = TypeVar("Given")
Made = TypeVar("Made")
Written = TypeVar("Written")


def pipeline(
    items: Iterable[Item],
    read: Callable[[Item], Given],
    work: Callable[[Given], Made],
    write: Callable[[Item, Made], Written],
) -> Iterator[tuple[Item, Written | GencliError]]:
    """Each item with what `write(item, work(read(item)))` gives, in order; or with the error when it cannot be read or
    worked on. `read` and `write` run in threads of their own. What cannot be written raises."""
    coming: deque[tuple[Item, Future[Given]]] = deque()
    leaving: deque[tuple[Item, Future[Written] | GencliError]] = deque()
    rest = iter(items)

    def settled() -> tuple[Item, Written | GencliError]:
        item, outcome = leaving.popleft()
        return item, outcome if isinstance(outcome, GencliError) else outcome.result()

    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        try:
            while True:
                coming.extend((item, reader.submit(read, item)) for item in islice(rest, AHEAD - len(coming)))
                if not coming:
                    break
                item, given = coming.popleft()
                try:
                    leaving.append((item, writer.submit(write, item, work(given.result()))))
                except GencliError as error:
                    leaving.append((item, error))
                while len(leaving) >= AHEAD:
                    yield settled()
            while leaving:
                yield settled()
        finally:
            for _, given in coming:
                given.cancel()
