"""Films to work on: animations, videos and folders, frame by frame, as often as is wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gencli.core import animations, clips
from gencli.core.errors import GencliError, MissingError


def frames(count: int, size: tuple[int, int] = (16, 12)) -> list[Image.Image]:
    """Each in a grey of its own."""
    return [Image.new("RGB", size, (20 * number, 20 * number, 20 * number)) for number in range(count)]


def greys(clip: clips.Clip) -> list[int]:
    return [int(np.asarray(frame.convert("RGB")).mean().round()) for frame in clip.frames()]


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "film.png"])
def test_animations(tmp_path: Path, name: str) -> None:
    animations.plan("film", str(tmp_path / name), suffix="").write(frames(4), {}, fps=5)
    assert clips.is_clip(tmp_path / name)
    clip = clips.open_clip(tmp_path / name)
    assert (clip.count, clip.fps) == (4, pytest.approx(5))
    assert greys(clip) == pytest.approx([0, 20, 40, 60], abs=1) == greys(clip)


def test_a_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    animations.plan("film", str(path), suffix="").write(frames(6, (64, 48)), {}, fps=10)
    clip = clips.open_clip(path)
    assert (clip.count, clip.fps) == (6, pytest.approx(10))
    assert greys(clip) == pytest.approx([0, 20, 40, 60, 80, 100], abs=3)
    path.write_bytes(b"no video")
    with pytest.raises(GencliError, match=r"film\.mp4 cannot be read as a video"):
        clips.open_clip(path)


def test_a_video_without_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(MissingError, match=r"film\.mp4"):
        clips.open_clip(tmp_path / "film.mp4")


def test_a_folder_counts_as_people_do(tmp_path: Path) -> None:
    for number, frame in enumerate(frames(11)):
        frame.save(tmp_path / f"frame-{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    clip = clips.open_clip(tmp_path)
    assert clip.count == 11 and greys(clip) == [20 * number for number in range(11)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(GencliError, match="no pictures in"):
        clips.open_clip(tmp_path / "empty")


def test_what_is_no_film(tmp_path: Path) -> None:
    frames(1)[0].save(tmp_path / "still.gif")
    frames(1)[0].save(tmp_path / "still.jpg")
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    for name in ("still.gif", "still.jpg", "broken.gif", "nothing.gif", "@lake", "-"):
        assert not clips.is_clip(tmp_path / name)


def test_a_frame_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    noise = np.random.default_rng(0)
    made = [Image.fromarray(noise.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(3)]
    animations.plan("film", str(path), suffix="").write(made, {}, fps=5)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(GencliError, match=r"film\.gif"):
        greys(clips.open_clip(path))
