"""Many results one after another."""

from __future__ import annotations

import threading
import time

import pytest

from gencli.core.errors import GencliError
from gencli.core.pipeline import AHEAD, pipeline


def test_in_order_each_with_its_result_or_its_error() -> None:
    def read(item: int) -> int:
        if item == 2:
            raise GencliError("two is damaged")
        return 10 * item

    def work(given: int) -> int:
        if given == 50:
            raise GencliError("fifty is too many")
        return given + 1

    found = list(pipeline(range(8), read, work, lambda item, made: f"{item}: {made}"))
    assert [item for item, _ in found] == [*range(8)]
    assert [str(made) for _, made in found if isinstance(made, GencliError)] == ["two is damaged", "fifty is too many"]
    assert [made for _, made in found if isinstance(made, str)] == [f"{k}: {10 * k + 1}" for k in (0, 1, 3, 4, 6, 7)]


def test_reading_and_writing_go_on_beside_the_work() -> None:
    here, threads = threading.get_ident(), dict[str, int]()

    def noted(what: str) -> None:
        threads[what] = threading.get_ident()
        time.sleep(0.02)

    began = time.monotonic()
    count = 20
    for _ in pipeline(
        range(count), lambda item: noted("read"), lambda given: noted("work"), lambda i, m: noted("write")
    ):
        pass
    assert threads["work"] == here
    assert len(set(threads.values())) == 3
    assert time.monotonic() - began < 2.5 * 0.02 * count  # one after another it takes three


def test_no_more_is_read_than_is_soon_needed() -> None:
    read: list[int] = []
    results = pipeline(range(100), lambda item: read.append(item), lambda given: None, lambda item, made: None)
    next(results)
    time.sleep(0.05)
    assert len(read) <= 2 * AHEAD + 1
    results.close()  # type: ignore[attr-defined]


def test_what_cannot_be_written_ends_it() -> None:
    def write(item: int, made: int) -> None:
        raise GencliError("the disk is full")

    with pytest.raises(GencliError, match="the disk is full"):
        list(pipeline(range(3), lambda item: item, lambda given: given, write))
