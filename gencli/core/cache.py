"""What was made from data once and can be made again: decoded pictures, cleaned texts and their tokens.

An entry is a folder below `GENCLI_HOME/cache`. One that nobody used for a month is removed when another is made.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gencli.core import files
from gencli.core.errors import GencliError

log = logging.getLogger("gencli")

UNUSED = 30 * 24 * 3600  # seconds

T = TypeVar("T")


def folder(kind: str) -> Path:
    """Where entries of a kind (`pictures`, `text`) are."""
    return files.home() / "cache" / kind


def find(entry: Path, open_entry: Callable[[Path], T | None], build: Callable[[Path], None]) -> T:
    """What is in an entry, which is built first where it is not there or damaged.

    `open_entry` gives None for such a one; `build` is called by one process at a time while the others wait.

    Raises GencliError when the cache cannot be written.
    """
    ready = open_entry(entry)
    if ready is None:
        with writing(entry):
            entry.parent.mkdir(parents=True, exist_ok=True)
            with _alone(entry):
                ready = open_entry(entry)
                if ready is None:
                    _forget_unused(entry)
                    build(entry)
                    ready = open_entry(entry)
    if ready is None:
        raise GencliError(f"the cache {entry} was just written and cannot be read", "is the disk failing?")
    with suppress(OSError):
        os.utime(entry)  # it was used
    return ready


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turns the disk's complaints into GencliError."""
    try:
        yield
    except OSError as error:
        raise GencliError(
            f"cannot write the cache {place}: {error.strerror or error}",
            "free some space, or set GENCLI_HOME to a folder on another disk",
        ) from error


@contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Only one process at a time builds an entry; the others wait and then find it built."""
    from filelock import FileLock, Timeout

    lock = FileLock(entry.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is making %s; waiting for it", entry.name)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _forget_unused(entry: Path) -> None:
    """Remove other entries that were not used for a month."""
    for other in entry.parent.iterdir():
        with suppress(OSError):
            if other != entry and other.is_dir() and time.time() - other.stat().st_mtime > UNUSED:
                log.info("removing %s from the cache: it was not used for a month", other.name)
                shutil.rmtree(other, ignore_errors=True)
