"""Painted films: what does not change stays as it was painted, and an interrupted one is gone on with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.clips import Clip
from gencli.core.console import Console
from gencli.core.errors import GencliError, UsageError
from gencli.core.filming import Filming
from gencli.core.images import Picture
from gencli.core.kept import Frames
from gencli.core.remaking import Errand, Painting, _state, unchanged

Draw = Callable[..., Tensor]


def restless() -> Callable[[Picture], Image.Image]:
    """Paints the same picture a little otherwise each time."""
    draw = torch.Generator().manual_seed(1)

    def look(picture: Picture) -> Image.Image:
        return images.to_pillow((picture.rgb + 0.2 * torch.rand(picture.rgb.shape, generator=draw) - 0.1).clamp(0, 1))

    return look


def painted(clip: Clip, temporal: float) -> tuple[list[Tensor], float | None]:
    painting = Painting(clip, restless(), temporal, Frames(None, "", 0))
    seen: list[tuple[float, float | None]] = []
    made = [images.load(frame).rgb for frame in painting.frames(lambda done, total: seen.append((done, total)))]
    assert seen == [(number, clip.count) for number in range(1, len(made) + 1)]
    return made, painting.flicker


def film(*frames: Tensor) -> Clip:
    stills = [images.to_pillow(frame.float()) for frame in frames]
    return Clip(lambda: iter(stills), len(stills), 10.0)


def test_where_nothing_moves_nothing_flickers(picture: Draw) -> None:
    still = picture(32, 48)
    made, flicker = painted(film(still, still, still), 1.0)
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2]) and flicker is None
    restless_ones, _ = painted(film(still, still, still), 0.0)
    assert not torch.equal(restless_ones[0], restless_ones[1])
    half, _ = painted(film(still, still), 0.5)
    between = (restless_ones[0] + restless_ones[1]) / 2
    assert float((half[1] - between).abs().max()) < 1.01 / 255


def test_what_changes_is_painted_anew(picture: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)  # which may see something move
    other = picture(32, 48)
    other[..., 24:] = 1 - other[..., 24:]
    clip = film(picture(32, 48), other)
    (_, alone), _ = painted(clip, 0.0)
    (first, steady), _ = painted(clip, 1.0)
    assert torch.equal(steady[..., :20], first[..., :20])
    assert float((steady - alone)[..., 30:].abs().mean()) < 0.01 < float((steady - alone)[..., :20].abs().mean())


def test_flicker_is_relative_to_the_film(picture: Draw) -> None:
    frames = [0.25 + 0.5 * picture(32, 48, seed=seed) for seed in range(3)]
    same = Painting(film(*frames), lambda seen: images.to_pillow(seen.rgb), 0.0, Frames(None, "", 0))
    list(same.frames(lambda done, total: None))
    assert same.flicker == pytest.approx(1, abs=1e-6)
    paler = Painting(film(*frames), lambda seen: images.to_pillow(seen.rgb / 2), 0.0, Frames(None, "", 0))
    list(paler.frames(lambda done, total: None))
    assert paler.flicker == pytest.approx(0.5, abs=0.01)


def test_it_is_gone_on_with_as_if_never_interrupted(picture: Draw, tmp_path: Path) -> None:
    clip = film(*(picture(32, 48) * share for share in (1.0, 0.98, 0.9, 0.88)))

    def frames(kept: Frames, look: Callable[[Picture], Image.Image]) -> Iterator[Image.Image]:
        return Painting(clip, look, 0.8, kept).frames(lambda done, total: None)

    def plain(picture: Picture) -> Image.Image:
        return images.to_pillow(1 - picture.rgb)

    whole = [frame.tobytes() for frame in frames(Frames(None, "", 0), plain)]
    interrupted = frames(Frames.begin(tmp_path / "film.gif", {}, 1, lambda: 1, False), plain)
    next(interrupted), next(interrupted)
    again = Frames.begin(tmp_path / "film.gif", {}, 1, lambda: 1, True)
    assert again.count == 2
    assert [frame.tobytes() for frame in frames(again, plain)] == whole


def test_pictures_of_several_shapes_are_no_film(picture: Draw) -> None:
    for temporal in (0.0, 0.8):
        with pytest.raises(GencliError, match="picture 2 would be 32 × 48 pixels, and those before it are 48 × 32"):
            painted(film(picture(32, 48), picture(48, 32)), temporal)


def test_a_damaged_last_picture_is_made_again(tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    kept = Frames.begin(film, {}, 1, lambda: 1, False)
    for number in range(1, 4):
        kept.keep(number, Image.new("RGB", (8, 8), (number, 0, 0)))
    last = tmp_path / "film.gif.frames" / "000003.png"
    last.write_bytes(last.read_bytes()[:40])
    again = Frames.begin(film, {}, 1, lambda: 1, True)
    assert again.count == 2 and not last.exists()
    assert again.take(2).getpixel((0, 0)) == (2, 0, 0)


def test_another_film_is_not_gone_on_with(tmp_path: Path) -> None:
    film, folder = tmp_path / "a.gif", tmp_path / "frames"
    folder.mkdir()
    states = []
    for text in (b"one", b"other"):
        film.write_bytes(text)
        (folder / "1.png").write_bytes(text)
        states.append((_state(film), _state(folder)))
    assert states[0][0] != states[1][0] and states[0][1] != states[1][1]
    assert (_state(film), _state(folder)) == states[1]
    assert _state(tmp_path / "none") == ["none"]


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four, and a hidden one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png", "b-2.png", "c.png", ".hidden.png"):
        Image.new("RGB", (24, 24)).save(folder / name)
    return folder


def make(errand: Errand, *sources: str, look: Callable[[Picture], Image.Image] | None = None) -> None:
    look = look or (lambda picture: images.to_pillow(1 - picture.rgb))
    errand.pictures(Console(), sources, look, images.load, "other", {})


def interrupted() -> Callable[[Picture], Image.Image]:
    """Makes two pictures, and is interrupted at the third."""
    calls = []

    def look(picture: Picture) -> Image.Image:
        calls.append(picture)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return images.to_pillow(picture.rgb)

    return look


def test_results_among_the_photographs_are_no_photographs(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {f"{name}-other.png" for name in ("a", "b", "b-2", "c")}
    make(Errand("making", "photos/"), "photos")
    assert {path.name for path in photographs.iterdir()} == made | {"a.png", "b.png", "b-2.png", "c.png", ".hidden.png"}
    capsys.readouterr()
    make(Errand("making", "photos/", skip_existing=True), "photos")
    told = capsys.readouterr()
    assert not told.out and "left out as results of an earlier call: 4 pictures" in told.err
    make(Errand("making", "photos/"), "photos")  # numbered, as nothing is overwritten
    make(Errand("making", "photos/"), "photos")
    numbered = {f"{Path(name).stem}-{number}.png" for name in made for number in (2, 3)}
    assert {path.name for path in photographs.glob("*-other*")} == made | numbered
    # named by itself or made elsewhere, one is a picture like any other
    make(Errand("making", "photos/"), "photos/a-other.png")
    assert (photographs / "a-other-other.png").exists()
    make(Errand("making", "out/"), "photos")
    assert len([*Path("out").iterdir()]) == 4 + 12 + 1


def test_an_interruption_says_how_to_go_on(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        make(Errand("making", "out/"), "photos", look=interrupted())
    assert "--skip-existing makes the rest" in capsys.readouterr().err
    make(Errand("making", "out/", skip_existing=True), "photos")
    assert {path.name for path in Path("out").iterdir()} == {f"{name}-other.png" for name in ("a", "b", "b-2", "c")}


def test_an_interrupted_film_is_gone_on_with_as_it_was_begun(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def film(resume: bool, **changes: Any) -> None:
        look = (lambda picture: images.to_pillow(picture.rgb)) if resume else interrupted()
        errand, filming = Errand("making", "film.gif"), Filming(resume=resume)
        given = {"suffix": "other", "record": {}, "made_by": {"model": "x"}, "depends_on": ["mask.png"], **changes}
        errand.film(Console(), "photos", look, filming, **given)

    Image.new("L", (8, 8)).save("mask.png")
    with pytest.raises(KeyboardInterrupt):
        film(False)
    assert "--resume goes on" in capsys.readouterr().err
    with pytest.raises(UsageError, match="made with other options"):
        film(True, made_by={"model": "y"})
    before = Path("mask.png").stat()
    os.utime("mask.png", ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))  # it is another
    with pytest.raises(UsageError, match="made with other options"):
        film(True)
    os.utime("mask.png", ns=(before.st_atime_ns, before.st_mtime_ns))
    film(True)
    with Image.open("film.gif") as made:
        assert getattr(made, "n_frames", 1) >= 1
    assert not Path("film.gif.frames").exists()


def test_unchanged_by_value() -> None:
    grey = torch.full((1, 3, 16, 16), 0.5)
    assert torch.equal(unchanged(grey, grey), torch.ones(1, 1, 16, 16))
    assert unchanged(grey, grey + 0.04)[0, 0, 8, 8] == pytest.approx(0.6065, abs=1e-3)  # exp(-1/2)
    assert float(unchanged(grey, grey + 0.3).max()) < 1e-6
