"""Files that are never half written."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from gencli.core.files import atomic_write, write_new

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


@pytest.fixture(autouse=True)
def ctrl_c_raises() -> Any:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("when", ["made", "writing"])
def test_ctrl_c_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    path = tmp_path / "kept.txt"
    atomic_write(path, lambda file: file.write(b"old"))
    make = tempfile.mkstemp

    def made(*arguments: Any, **named: Any) -> tuple[int, str]:
        temporary = make(*arguments, **named)
        ctrl_c()
        return temporary

    def write(file: BinaryIO) -> None:
        file.write(b"new")
        ctrl_c()

    if when == "made":
        monkeypatch.setattr(tempfile, "mkstemp", made)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, write if when == "writing" else lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_has_a_free_name_and_has_it_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    places = [tmp_path / f"{number}.txt" for number in range(1, 5)]
    places[0].write_bytes(b"somebody's")
    places[1].symlink_to(tmp_path / "nowhere")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)

    def write(file: BinaryIO) -> None:
        assert not places[2].exists() and not places[3].exists()
        file.write(b"whole")

    assert write_new(places, write) == places[2]
    assert places[0].read_bytes() == b"somebody's" and places[2].read_bytes() == b"whole"
    assert {path.name for path in tmp_path.iterdir()} == {"1.txt", "2.txt", "3.txt"}
