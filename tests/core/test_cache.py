"""Entries that are made once, found again, made anew when damaged, and forgotten when nobody uses them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from gencli.core import cache
from gencli.core.errors import GencliError


def open_entry(entry: Path) -> str | None:
    file = entry / "text"
    return file.read_text() if file.is_file() else None


class Builder:
    def __init__(self, text: str = "made") -> None:
        self.text, self.calls = text, 0

    def __call__(self, entry: Path) -> None:
        self.calls += 1
        time.sleep(0.05)
        entry.mkdir(exist_ok=True)
        (entry / "text").write_text(self.text)


def test_made_once_and_found_again(tmp_path: Path) -> None:
    build = Builder()
    for _ in range(2):
        assert cache.find(tmp_path / "kind" / "entry", open_entry, build) == "made"
    assert build.calls == 1


def test_a_damaged_entry_is_made_anew(tmp_path: Path) -> None:
    entry, build = tmp_path / "entry", Builder()
    entry.mkdir()
    assert cache.find(entry, open_entry, build) == "made"


def test_many_at_once_make_it_once(tmp_path: Path) -> None:
    build, found = Builder(), list[str]()
    threads = [
        threading.Thread(target=lambda: found.append(cache.find(tmp_path / "entry", open_entry, build)))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["made"] * 6 and build.calls == 1


def test_what_was_not_used_for_a_month_goes_when_another_is_made(tmp_path: Path) -> None:
    old, used, long_ago = tmp_path / "old", tmp_path / "used", time.time() - cache.UNUSED - 60
    for entry in (old, used):
        cache.find(entry, open_entry, Builder())
    for entry in (old, used):
        os.utime(entry, (long_ago, long_ago))
    cache.find(used, open_entry, Builder())  # which says that somebody wants it
    assert old.exists()
    cache.find(tmp_path / "new", open_entry, Builder())
    assert not old.exists() and used.exists()


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "kind").write_text("a file where a folder should be")
    with pytest.raises(GencliError, match="cannot write the cache"):
        cache.find(tmp_path / "kind" / "entry", open_entry, Builder())


def test_an_entry_that_cannot_be_read_back_is_said(tmp_path: Path) -> None:
    with pytest.raises(GencliError, match="just written"):
        cache.find(tmp_path / "entry", open_entry, lambda entry: entry.mkdir())
