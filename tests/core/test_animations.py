"""Moving pictures: where they go, what is in the files, how long frames are shown, and what is kept in memory."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import os
import stat
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from gencli.core.animations import Film, plan, to_palette
from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.core.video import to_yuv

NOTE = {"Software": "gencli 1.0", "Command": "gencli vae walk größe " + "ö" * 200, "Seed": "7"}
LINES = "\n".join(f"{key}: {value}" for key, value in NOTE.items())
needs_av = pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="PyAV is not installed")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def frame(number: int, mode: str = "RGB", width: int = 40, height: int = 26) -> Image.Image:
    """A smooth picture of more than 256 colours, another for each number."""
    y, x = np.mgrid[:height, :width]
    image = Image.fromarray(np.stack([x * 5, y * 7, 90 + x + y + 8 * number], 2).astype(np.uint8))
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.where((x + 3 * number) % 20 < 10, 20, 255).astype(np.uint8)))
    return image


def frames(count: int = 5, mode: str = "RGB") -> Iterator[Image.Image]:
    return (frame(number, mode) for number in range(count))


def flat(*colours: str, size: tuple[int, int] = (12, 8)) -> list[Image.Image]:
    return [Image.new("RGB", size, colour) for colour in colours]


def film(output: str | None, format: str | None = None) -> Film:
    return plan("faces", output, suffix="walk", format=format)


def read(path: str, mode: str = "RGB") -> tuple[list[Image.Image], list[float]]:
    """The frames of a file, and the milliseconds that each is shown."""
    with Image.open(path) as image:
        shown = [(one.convert(mode), one.info["duration"]) for one in ImageSequence.Iterator(image)]
    return [one for one, _ in shown], [duration for _, duration in shown]


def difference(one: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one, int) - np.asarray(other, int))


# Places


def test_default_names_never_overwrite(here: Path) -> None:
    assert film(None).write(frames(2), {}, fps=10) == ["faces-walk.gif"]
    assert film(None).write(frames(2), {}, fps=10) == ["faces-walk-2.gif"]
    assert film(None, "mp4" if importlib.util.find_spec("av") else "png").target.path is not None
    assert film(None, "webp").write(frames(2), {}, fps=10) == ["faces-walk.webp"]
    assert film("new/").write(frames(2), {}, fps=10) == ["new/faces-walk.gif"]
    assert film("new").write(frames(2), {}, fps=10) == ["new/faces-walk-2.gif"]
    assert (here / "new" / "faces-walk-2.gif").is_file()


@pytest.mark.parametrize(
    ("output", "format"), [("a.GIF", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.apng", "PNG"), ("a", "PNG")]
)
def test_formats_by_extension(output: str, format: str) -> None:
    planned = film(output, "png" if output == "a" else None)
    assert planned.target.format == format
    assert planned.write(frames(2), {}, fps=10) == [output]
    with Image.open(output) as image:
        assert (image.format, getattr(image, "n_frames", 1)) == (format, 2)


@pytest.mark.parametrize("output", ["walk.jpg", "walk", "walk.mkv"])
def test_other_formats_are_answered_with_the_known_ones(output: str) -> None:
    with pytest.raises(UsageError, match="any animation format") as caught:
        film(output)
    assert "gif, webp, png, mp4" in str(caught.value.hint)
    with pytest.raises(UsageError, match="no animation format 'jpg'") as caught:
        film(None, "jpg")
    assert "gif, webp, png, mp4" in str(caught.value.hint)


def test_what_cannot_be_written_is_refused_before_the_work(here: Path) -> None:
    (here / "file").touch()
    (here / "folder.gif").mkdir()
    with pytest.raises(GencliError, match="Not a directory"):
        film("file/walk.gif")
    with pytest.raises(UsageError, match="empty"):
        film("")
    with pytest.raises(UsageError, match="pattern"):
        film("walk-{j}.png")
    with pytest.raises(UsageError, match="any picture format"):
        film("walk-{i}.mp4")
    assert film("folder.gif").target.path == Path("folder.gif/faces-walk.gif")


def test_a_pattern_is_a_still_a_frame(here: Path) -> None:
    planned = film("new/{name}-{i:03}.png")
    assert not (here / "new").exists()
    assert planned.write(frames(3), NOTE, fps=10) == [f"new/faces-00{i}.png" for i in (1, 2, 3)]
    for number in range(3):
        with Image.open(f"new/faces-00{number + 1}.png") as image:
            assert not difference(image, frame(number)).any()
            assert image.info["Seed"] == "7"
    assert film("{i}", "tiff").write(frames(2), {}, fps=10) == ["1", "2"]
    assert film("{name}{{1}}.gif").write(frames(2), {}, fps=10) == ["faces{1}.gif"]  # nothing to number: one file


class Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO())

    def written(self) -> io.BytesIO:
        assert isinstance(self.buffer, io.BytesIO)
        return io.BytesIO(self.buffer.getvalue())


@pytest.mark.parametrize(("format", "expected"), [(None, "GIF"), ("webp", "WEBP"), ("apng", "PNG")])
def test_standard_output(format: str | None, expected: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    assert film("-", format).write(frames(3), NOTE, fps=10) == []
    with Image.open(stream.written()) as image:
        assert (image.format, getattr(image, "n_frames", 1)) == (expected, 3)
    assert list(here.iterdir()) == []


def test_standard_output_gets_nothing_unfinished_and_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    planned = film("-")
    with pytest.raises(RuntimeError):
        planned.write(failing(), {}, fps=10)
    assert stream.written().read() == b""
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        film("-")


@pytest.mark.skipif(os.name != "posix", reason="devices are POSIX files")
def test_a_device_is_not_replaced_by_a_file() -> None:
    assert film(os.devnull, "gif").write(frames(2), {}, fps=10) == [os.devnull]
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


# One step


def failing(good: int = 2) -> Iterator[Image.Image]:
    yield from frames(good)
    raise RuntimeError("no third frame")


@pytest.mark.parametrize("extension", ["gif", "webp", "png", pytest.param("mp4", marks=needs_av)])
def test_a_frame_that_raises_leaves_what_was_there(here: Path, extension: str) -> None:
    (here / f"old.{extension}").write_bytes(b"old")
    with pytest.raises(RuntimeError, match="no third frame"):
        film(f"old.{extension}").write(failing(), {}, fps=10)
    with pytest.raises(RuntimeError, match="no third frame"):
        film(None, extension).write(failing(), {}, fps=10)
    assert [path.name for path in here.iterdir()] == [f"old.{extension}"]
    assert (here / f"old.{extension}").read_bytes() == b"old"


def test_a_full_disk_is_said_and_leaves_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for output in ("walk.gif", None):
        with pytest.raises(GencliError, match="No space left"):
            film(output).write(frames(), {}, fps=10)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("extension", ["gif", "webp", "png", "{i}.png", pytest.param("mp4", marks=needs_av)])
def test_frames_are_not_kept(extension: str) -> None:
    seen: list[weakref.ref[Image.Image]] = []
    most = 0

    def counted() -> Iterator[Image.Image]:
        nonlocal most
        for image in frames(25):
            seen.append(weakref.ref(image))
            most = max(most, sum(one() is not None for one in seen))
            yield image

    film(extension if "{" in extension else f"walk.{extension}").write(counted(), {}, fps=10)
    assert len(seen) == 25 and 1 <= most <= 4


def test_a_frame_may_be_painted_over_for_the_next() -> None:
    def painted() -> Iterator[Image.Image]:
        canvas = Image.new("RGB", (8, 8))
        for colour in ("red", "lime", "blue"):
            canvas.paste(colour, (0, 0, 8, 8))
            yield canvas

    film("walk.gif").write(painted(), {}, fps=10)
    assert [one.getpixel((4, 4)) for one in read("walk.gif")[0]] == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


# What is refused


def test_wrong_frames(here: Path) -> None:
    small, grey = Image.new("RGB", (4, 4)), Image.new("L", (40, 26))
    for output in ("walk.gif", None, "{i}.png"):
        with pytest.raises(GencliError, match="no frames"):
            film(output).write([], {}, fps=10)
    with pytest.raises(GencliError, match="frame 2 is 4 × 4 RGB, but the first one is 40 × 26 RGB"):
        film("walk.gif").write([frame(0), small], {}, fps=10)
    with pytest.raises(GencliError, match="frame 2 is 40 × 26 RGBA"):
        film("walk.gif").write([frame(0), frame(1, "RGBA")], {}, fps=10)
    with pytest.raises(GencliError, match="frame 1 is a picture of mode L"):
        film("walk.gif").write([grey], {}, fps=10)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, 240.5, float("nan"), float("inf")])
def test_wrong_rates(fps: float) -> None:
    with pytest.raises(UsageError, match="frames a second cannot be shown"):
        film("walk.gif").write(frames(), {}, fps=fps)


def test_what_a_format_cannot_hold(here: Path) -> None:
    for output, wide in (("walk.webp", 20_000), ("walk.gif", 70_000), (None, 70_000)):
        with pytest.raises(GencliError, match="cannot be saved as"):
            film(output).write([Image.new("RGB", (wide, 1))], {}, fps=10)
    assert list(here.iterdir()) == []


# Time


def test_gif_rates_that_are_no_whole_delays_mix_them() -> None:
    film("walk.gif").write(frames(24), {}, fps=24)
    durations = read("walk.gif")[1]
    assert len(durations) == 24 and set(durations) == {40, 50} and sum(durations) == 1000


@settings(max_examples=25, deadline=None)
@given(fps=st.floats(0.2, 240), count=st.integers(1, 40), extension=st.sampled_from(["gif", "webp", "png"]))
def test_every_frame_begins_when_it_should(fps: float, count: int, extension: str) -> None:
    tick, most = (10, 50) if extension == "gif" else (1, 1000 / 11)
    colours = [f"#{number:02x}0000" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / f"walk.{extension}")
        film(path).write(flat(*colours), {}, fps=fps)
        if count > 1 or extension != "png":  # a PNG of one frame is a still for Pillow
            durations = read(path)[1]
            assert len(durations) == count
            ends = np.cumsum(durations)
            assert np.abs(ends - np.arange(1, count + 1) * 1000 / min(fps, most)).max() <= tick / 2 + 1e-6
            assert min(durations) >= (20 if extension == "gif" else 11)


@pytest.mark.parametrize(("extension", "most"), [("gif", "50"), ("webp", "90"), ("png", "90")])
def test_faster_than_browsers_is_said(extension: str, most: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="gencli")
    film(f"walk.{extension}").write(frames(2), {}, fps=int(most))
    assert not caplog.text
    film(f"walk.{extension}").write(frames(2), {}, fps=100)
    assert f"more than {most} frames a second" in caplog.text
    assert read(f"walk.{extension}")[1] == ([20, 20] if extension == "gif" else [11, 11])


@pytest.mark.parametrize("extension", ["gif", "webp", "png"])
def test_equal_neighbours_become_one_and_keep_their_time(extension: str) -> None:
    film(f"walk.{extension}").write(flat("red", "red", "red", "blue", "red"), {}, fps=8)
    shown, durations = read(f"walk.{extension}")
    assert [one.getpixel((3, 3)) for one in shown] == [(255, 0, 0), (0, 0, 255), (255, 0, 0)]
    assert sum(durations) == pytest.approx(625, abs=5) and durations[0] == pytest.approx(375, abs=5)


@pytest.mark.parametrize(("extension", "longest"), [("gif", 655_350), ("png", 65_535)])
def test_a_frame_longer_than_its_field_is_repeated(extension: str, longest: int) -> None:
    film(f"walk.{extension}").write(flat("red", "blue"), {}, fps=1 / 1000)
    shown, durations = read(f"walk.{extension}")
    assert sum(durations) == 2_000_000 and max(durations) <= longest
    half = len(shown) // 2
    assert sum(durations[:half]) == 1_000_000
    assert {one.getpixel((0, 0)) for one in shown[:half]} == {(255, 0, 0)}


@pytest.mark.parametrize(("extension", "once"), [("gif", None), ("webp", 1), ("png", 1)])
def test_loops(extension: str, once: int | None) -> None:
    for loop, expected in ((True, 0), (False, once)):
        film(f"walk.{extension}").write(frames(2), {}, fps=10, loop=loop)
        with Image.open(f"walk.{extension}") as image:
            assert image.info.get("loop") == expected


# Pictures


def test_png_is_lossless_and_streams_alpha() -> None:
    for mode in ("RGB", "RGBA"):
        film("walk.png").write(frames(4, mode), {}, fps=10)
        shown, _ = read("walk.png", mode)
        assert [one.tobytes() for one in shown] == [one.tobytes() for one in frames(4, mode)]


def test_webp_is_close_and_keeps_alpha_and_few_colours_exactly() -> None:
    for mode in ("RGB", "RGBA"):
        film("walk.webp").write(frames(4, mode), {}, fps=10)
        shown, _ = read("walk.webp", mode)
        for one, original in zip(shown, frames(4, mode), strict=True):
            seen = np.full((26, 40), True) if mode == "RGB" else np.asarray(original.getchannel("A")) == 255
            assert difference(one.convert("RGB"), original.convert("RGB"))[seen].mean() < 6
            assert one.getchannel(mode[-1]).size == (40, 26)
            if mode == "RGBA":
                assert one.getchannel("A").tobytes() == original.getchannel("A").tobytes()
    few = [one.quantize(200).convert("RGB") for one in frames(3)]
    film("walk.webp").write(few, {}, fps=10)
    assert [one.tobytes() for one in read("walk.webp")[0]] == [one.tobytes() for one in few]


def test_gif_is_exact_where_the_colours_are_few() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
    colours[1] = colours[0] ^ 1  # nearly alike
    image = Image.fromarray(np.repeat(colours.reshape(16, 16, 3), 3, 1))
    film("walk.gif").write([image, image.transpose(Image.Transpose.ROTATE_180)], {}, fps=10)
    assert not difference(read("walk.gif")[0][0], image).any()


def smoothed(values: np.ndarray) -> np.ndarray:
    """Means of 5 × 5 pixels: what the eye sees of a dither."""
    windows = np.lib.stride_tricks.sliding_window_view(values, (5, 5), (0, 1))
    return windows.mean((-1, -2))


def test_gif_gradients_are_dithered_without_bands() -> None:
    y, x = np.mgrid[:96, :96] / 96
    image = Image.fromarray(
        (np.stack([0.5 + 0.5 * np.sin(3 * x), 0.3 + 0.5 * y, 1 - 0.6 * x * y], 2) * 255).astype("u1")
    )
    film("walk.gif").write([image], {}, fps=10)
    (shown,), _ = read("walk.gif")
    error = np.asarray(shown, int) - np.asarray(image, int)
    bands = np.asarray(image.quantize(256).convert("RGB"), int) - np.asarray(image, int)
    assert np.abs(error).mean() < 6
    assert np.abs(smoothed(error)).mean() < 0.7 * np.abs(smoothed(bands)).mean()


def test_flat_colours_stay_flat_in_a_gif() -> None:
    """A cartoon with smooth edges has more than 256 colours, but its areas must not get specks."""
    y, x = np.mgrid[:96, :96]
    picture = np.full((96, 96, 3), (247.0, 240, 210))
    for number, colour in enumerate([(224, 72, 90), (47, 111, 208), (74, 143, 90), (34, 32, 52)]):
        inside = np.clip(40 - 9 * number - np.hypot(x - 48.3 - 3.4 * number, y - 47.6), 0, 1)[..., None]
        picture = picture * (1 - inside) + np.array(colour) * inside
    image = Image.fromarray(picture.round().astype(np.uint8))
    assert image.getcolors(256) is None
    neighbours = [np.roll(np.asarray(image), (down, right), (0, 1)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    flat_area = (np.ptp(np.stack(neighbours), 0) == 0).all(-1)
    film("walk.gif").write([image], {}, fps=10)
    error = difference(read("walk.gif")[0][0], image)
    assert flat_area.mean() > 0.5
    assert error[flat_area].max() <= 3 and error[flat_area].mean() < 0.1
    assert error.mean() < 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), noisy=st.booleans(), part=st.floats(0, 1))
def test_only_what_is_less_than_half_opaque_is_transparent_in_a_gif(seed: int, noisy: bool, part: float) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (24, 24, 4), np.uint8)
    if not noisy:
        pixels[..., :3] //= 120
    pixels[..., 3] = np.where(rng.random((24, 24)) < part, rng.integers(0, 128), rng.integers(128, 256))
    result = to_palette(Image.fromarray(pixels))
    assert (np.asarray(result) == 255).tolist() == (pixels[..., 3] < 128).tolist()
    if not noisy:
        seen = pixels[..., 3] >= 128
        assert (np.asarray(result.convert("RGB"))[seen] == pixels[..., :3][seen]).all()


def test_a_transparent_gif_does_not_shine_through(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="gencli")
    film("walk.gif").write(frames(4, "RGBA"), {}, fps=10)
    assert "no half transparency" in caplog.text
    for one, original in zip(read("walk.gif", "RGBA")[0], frames(4, "RGBA"), strict=True):
        opaque = np.asarray(original.getchannel("A")) >= 128
        assert np.asarray(one.getchannel("A")).tolist() == np.where(opaque, 255, 0).tolist()
        assert difference(one, original)[opaque].mean() < 6


def test_what_pillow_knows_of_a_frame_does_not_get_into_the_file() -> None:
    image = frame(0).quantize(256).convert("RGB")
    image.info = {"comment": b"old", "duration": 70, "transparency": (0, 0, 0), "loop": 3}
    for extension in ("gif", "png", "webp"):
        film(f"walk.{extension}").write([image, frame(1)], {}, fps=10)
        shown, durations = read(f"walk.{extension}", "RGBA")
        assert durations == [100, 100]
        assert shown[0].getchannel("A").getextrema() == (255, 255)
        assert b"old" not in Path(f"walk.{extension}").read_bytes()


def test_the_note_is_in_the_file() -> None:
    for extension in ("gif", "webp", "png"):
        film(f"walk.{extension}").write(frames(2), NOTE, fps=10)
        with Image.open(f"walk.{extension}") as image:
            if extension == "png":
                assert {key: image.info[key] for key in NOTE} == NOTE
            elif extension == "gif":
                assert image.info["comment"].decode() == LINES
            else:
                assert 0x010E in image.getexif()
                assert LINES.encode() in Path("walk.webp").read_bytes()


def test_the_same_frames_give_the_same_bytes() -> None:
    for extension in ("gif", "webp", "png"):
        for name in ("one", "two"):
            film(f"{name}.{extension}").write(frames(3), NOTE, fps=12)
        assert Path(f"one.{extension}").read_bytes() == Path(f"two.{extension}").read_bytes()


# MP4


@pytest.mark.parametrize(
    ("colour", "expected"),  # BT.709, limited range
    [("black", (16, 128, 128)), ("white", (235, 128, 128)), ("red", (63, 102, 240)), ("blue", (32, 240, 118))],
)
def test_yuv_by_value(colour: str, expected: tuple[int, int, int]) -> None:
    yuv = to_yuv(Image.new("RGB", (6, 4), colour))
    assert yuv.shape == (6, 6) and yuv.dtype == np.uint8
    assert [set(plane.ravel().tolist()) for plane in (yuv[:4], yuv[4], yuv[5])] == [{value} for value in expected]


def test_yuv_repeats_the_edge_of_odd_sizes_and_lays_on_white() -> None:
    image = Image.fromarray(np.arange(15, dtype=np.uint8).reshape(3, 5) * 16).convert("RGB")
    yuv = to_yuv(image)
    assert yuv.shape == (6, 6)
    assert (yuv[:4, 5] == yuv[:4, 4]).all() and (yuv[3] == yuv[2]).all()
    assert (to_yuv(Image.new("RGBA", (2, 2), (255, 0, 0, 0)))[:2] == 235).all()


@needs_av
def test_mp4(caplog: pytest.LogCaptureFixture) -> None:
    import av

    assert film("walk.mp4").write(frames(6), NOTE, fps=12.5) == ["walk.mp4"]
    data = Path("walk.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # it starts to play before it is there to its end
    with av.open("walk.mp4") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(25, 2) and container.metadata["comment"] == LINES
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        decoded = list(container.decode(stream))
        times = [one.pts * one.time_base for one in decoded]
        shown = [one.to_ndarray(format="yuv420p") for one in decoded]
    assert times == [Fraction(2 * number, 25) for number in range(6)]
    for one, original in zip(shown, frames(6), strict=True):
        assert np.abs(one.astype(int) - to_yuv(original)).mean() < 2
    film("walk.mp4").write(frames(2, "RGBA"), {}, fps=10)
    assert film(None, "mp4").target.path == Path("faces-walk.mp4")


@needs_av
def test_mp4_colours_come_back() -> None:
    import av

    colours = [(200, 40, 30), (30, 160, 60), (40, 60, 200), (250, 220, 40), (128, 128, 128)]
    film("walk.mp4").write([Image.new("RGB", (33, 17), colour) for colour in colours], {}, fps=10)
    with av.open("walk.mp4") as container:
        shown = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    for one, colour in zip(shown, colours, strict=True):
        assert one.shape == (18, 34, 3)
        assert np.abs(one[8, 16].astype(int) - colour).max() <= 4


def sounding(path: str, codec: str, seconds: int = 2) -> None:
    """A video of grey pictures, ten a second, and a tone of 440 Hz."""
    import av

    with av.open(path, "w") as container:
        pictures, tone = container.add_stream("mpeg4", rate=10), container.add_stream(codec, rate=48_000)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        for _ in range(10 * seconds):
            grey = np.full((32, 32, 3), 128, np.uint8)
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(48_000 * seconds) / 48_000)
        samples = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        samples.rate, samples.pts = 48_000, 0
        container.mux(tone.encode(samples))
        container.mux(pictures.encode(None))
        container.mux(tone.encode(None))


@needs_av
@pytest.mark.parametrize(("name", "codec", "heard"), [("a.mp4", "aac", "aac"), ("a.mov", "pcm_s16le", "aac")])
def test_sound_is_carried_over(name: str, codec: str, heard: str) -> None:
    import av

    from gencli.core.clips import open_clip

    sounding(name, codec)
    clip = open_clip(Path(name))
    assert clip.sound == Path(name)
    assert film("out.mp4").write(clip.frames(), NOTE, fps=clip.fps, sound=clip.sound) == ["out.mp4"]
    with av.open("out.mp4") as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == heard and len(container.streams.video) == 1
        wave = np.concatenate([part.to_ndarray().mean(0) for part in container.decode(stream)])
    assert len(wave) / 48_000 == pytest.approx(2, abs=0.1)
    spectrum = np.abs(np.fft.rfft(wave[4_800:52_800]))  # of one second
    assert abs(int(spectrum.argmax()) - 440) <= 1
    clip = open_clip(Path("out.mp4"))
    assert clip.sound and (clip.count, clip.fps) == (20, 10)


@needs_av
def test_what_has_no_sound_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "gencli")
    sounding("a.mp4", "aac")
    film("out.gif").write(frames(2), {}, fps=10, sound=Path("a.mp4"))
    assert "GIF has no sound: name an .mp4 to keep it" in caplog.text
    film("silent.mp4").write(frames(2), {}, fps=10)
    from gencli.core.clips import open_clip

    assert open_clip(Path("silent.mp4")).sound is None


FAKE = """#!{python}
import json, sys
from pathlib import Path
if sys.argv[-1] == "-encoders":
    print(" V....D libx264   H.264")
    sys.exit()
Path({record!r}).write_text(json.dumps(sys.argv[1:]))
data = sys.stdin.buffer.read({most})
Path({record!r} + ".raw").write_bytes(data)
if {complaint!r}:
    print({complaint!r}, file=sys.stderr)
    sys.exit(1)
Path(sys.argv[-1]).write_bytes(b"a film of %d bytes" % len(data))
"""


def fake_ffmpeg(folder: Path, monkeypatch: pytest.MonkeyPatch, complaint: str = "", most: int = -1) -> Path:
    """A program `ffmpeg` that writes down what it is given, and no PyAV."""
    monkeypatch.setitem(sys.modules, "av", None)
    folder.mkdir()
    program, record = folder / "ffmpeg", folder / "record"
    program.write_text(FAKE.format(python=sys.executable, record=str(record), complaint=complaint, most=most))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return record


posix = pytest.mark.skipif(os.name != "posix", reason="a script with #! is a program on POSIX only")


@posix
def test_mp4_by_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = fake_ffmpeg(tmp_path / "bin", monkeypatch)
    odd = [frame(number, width=13, height=7) for number in range(3)]
    assert film("walk.mp4").write(odd, {"Command": "a\0b"}, fps=23.976) == ["walk.mp4"]
    raw = record.with_name("record.raw").read_bytes()
    assert raw == b"".join(to_yuv(one).tobytes() for one in odd) and len(raw) == 3 * 14 * 8 * 3 // 2
    assert Path("walk.mp4").read_bytes() == b"a film of %d bytes" % len(raw)
    arguments = json.loads(record.read_text())
    options = dict(itertools.pairwise(arguments))
    assert options["-video_size"] == "14x8" and options["-framerate"] == "2997/125"
    assert options["-c:v"] == "libx264" and 16 <= int(options["-crf"]) <= 18 and options["-movflags"] == "+faststart"
    assert options["-colorspace"] == options["-color_primaries"] == options["-color_trc"] == "bt709"
    assert options["-metadata"] == "comment=Command: a b"


@posix
@pytest.mark.parametrize("most", [-1, 10])  # it ends with an error after all frames, or goes away before
def test_an_ffmpeg_that_fails_says_why(tmp_path: Path, here: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch, "it is too hot", most)
    large = (Image.new("RGB", (640, 480), (number, 0, 0)) for number in range(9))
    with pytest.raises(GencliError, match="640 × 480 pixels cannot be encoded: it is too hot"):
        film("walk.mp4").write(large, {}, fps=10)
    assert list(here.iterdir()) == []


@posix
def test_ffmpeg_is_ended_when_a_frame_raises(tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch)
    started = []
    popen = subprocess.Popen

    class Popen(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    planned = film("walk.mp4")
    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(RuntimeError, match="no third frame"):
        planned.write(failing(), {}, fps=10)
    assert started and all(process.returncode is not None for process in started)
    assert list(here.iterdir()) == []


def test_mp4_without_an_encoder_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    for output, format in (("walk.mp4", None), (None, "mp4")):
        with pytest.raises(MissingError) as caught:
            film(output, format)
        assert 'pip install "gencli[video]"' in str(caught.value.hint)
        assert ".gif or .webp" in str(caught.value.hint)


@posix
def test_an_ffmpeg_without_x264_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path / "bin", monkeypatch)
    (tmp_path / "bin" / "ffmpeg").write_text(f"#!{sys.executable}\nprint('V mpeg4')\n")
    with pytest.raises(MissingError, match="libx264"):
        film("walk.mp4")
