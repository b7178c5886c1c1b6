"""Dreams that move: each frame from the last, gone on with after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.clips import Clip
from gencli.core.errors import UsageError
from gencli.core.images import Picture
from gencli.core.kept import Frames
from gencli.dream import film
from gencli.dream.dreaming import Dreamer
from gencli.dream.options import DreamOptions, Motion

Draw = Callable[..., Tensor]


def unwatched(done: float, total: float | None) -> None:
    pass


@pytest.fixture
def dreamer(tiny: Any) -> Dreamer:
    backbone = tiny(padding="replicate", dtype=torch.float32)
    return Dreamer(DreamOptions(size=48, steps=2, octaves=1, layer={"conv2_2": 1.0}), backbone=backbone)


def kept(path: Path | None, resume: bool = False, seed: int | None = 5, **made_by: Any) -> Frames:
    return Frames.begin(path, made_by, seed, lambda: 7, resume)


def test_a_zoom_goes_on_from_its_frames_as_if_never_interrupted(
    dreamer: Dreamer, picture: Draw, tmp_path: Path
) -> None:
    seen, motion = Picture(picture(36, 48).float(), None, "x"), Motion(frames=4, zoom=1.1, rotate=3, shift=(1.0, -2.0))

    def zoomed(frames: Frames) -> Iterator[Image.Image]:
        return film.zoom(dreamer, seen, motion, frames, unwatched)

    whole = [frame.tobytes() for frame in zoomed(kept(None))]
    assert len(set(whole)) == 4
    interrupted = zoomed(kept(tmp_path / "film.gif"))
    next(interrupted), next(interrupted)
    with pytest.raises(UsageError, match="2 frames of a film that was not finished"):
        kept(tmp_path / "film.gif")
    with pytest.raises(UsageError, match="with other options"):
        kept(tmp_path / "film.gif", resume=True, zoom=2)
    with pytest.raises(UsageError, match="with other options"):
        kept(tmp_path / "film.gif", resume=True, seed=6)
    again = kept(tmp_path / "film.gif", resume=True, seed=None)
    assert (again.count, again.seed) == (2, 5)
    assert [frame.tobytes() for frame in zoomed(again)] == whole
    again.clear()
    assert not (tmp_path / "film.gif").exists()


def test_without_frames_a_seed_is_drawn(tmp_path: Path) -> None:
    assert (kept(tmp_path / "film.gif", seed=None).seed, kept(tmp_path / "film.gif", seed=0).seed) == (7, 0)


def test_a_frame_later_the_picture_is_nearer_turned_and_moved() -> None:
    point = torch.zeros(1, 3, 41, 61)
    point[..., 20, 40] = 1  # ten to the right of the middle

    def brightest(motion: Motion) -> tuple[int, int]:
        moved = film.shown_through(point, motion)[0, 0]
        return divmod(int(moved.argmax()), 61)

    assert brightest(Motion(zoom=1.0)) == (20, 40)
    assert brightest(Motion(zoom=1.5)) == (20, 45)
    assert brightest(Motion(zoom=1.0, rotate=90)) == (30, 30)  # clockwise
    assert brightest(Motion(zoom=1.0, shift=(5.0, -7.0))) == (13, 45)
    with pytest.raises(UsageError, match="--shift"):
        Motion(shift=(1.0,))


def test_over_a_film_each_dream_begins_with_the_last(dreamer: Dreamer, picture: Draw, tmp_path: Path) -> None:
    stills = [images.to_pillow(picture(36, 48).float())] * 3
    clip = Clip(lambda: iter(stills), 3, 12.0)

    def dreamt(blend: float, frames: Frames) -> list[Tensor]:
        made = film.over(dreamer, clip, None, Motion(blend=blend, frame_steps=1), frames, unwatched)
        return [images.load(frame).rgb for frame in made]

    first, *_, last = dreamt(1.0, kept(None))
    alone, *_, forgotten = dreamt(0.0, kept(None))
    photograph = images.load(stills[0]).rgb
    assert torch.equal(first, alone)
    assert float((last - photograph).abs().mean()) > 1.5 * float((forgotten - photograph).abs().mean())

    parts = film.over(dreamer, clip, None, Motion(blend=0.5), kept(tmp_path / "film.gif"), unwatched)
    next(parts)
    whole = [frame.tobytes() for frame in film.over(dreamer, clip, None, Motion(blend=0.5), kept(None), unwatched)]
    again = film.over(dreamer, clip, None, Motion(blend=0.5), kept(tmp_path / "film.gif", resume=True), unwatched)
    assert [frame.tobytes() for frame in again] == whole
