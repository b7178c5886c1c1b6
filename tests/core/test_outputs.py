"""Where results go: names, patterns, formats and what is written."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import pytest
from PIL import Image

import gencli
from gencli.core.errors import GencliError, UsageError
from gencli.core.outputs import Target, plan, plan_text

NOTE = {"Software": "gencli 1.0", "Command": "gencli dream größe.jpg", "Seed": "7"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photo(mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[:32, :48]
    image = Image.fromarray(np.stack([x * 5, y * 7, x + y], 2).astype(np.uint8))
    if mode == "RGBA":
        image.putalpha(Image.fromarray((x * 5).astype(np.uint8)))
    return image


def paths(names: list[str], output: str | None, suffix: str = "style", format: str | None = None) -> list[str]:
    return [str(target.path) for target in plan(names, output, suffix=suffix, format=format)]


# Names


def test_default_names_never_overwrite(here: Path) -> None:
    assert paths(["photo"], None) == ["photo-style.png"]
    assert paths(["photo"], None, suffix="") == ["photo.png"]
    assert paths(["photo"], None, format="jpg") == ["photo-style.jpg"]
    (here / "photo-style.png").touch()
    (here / "photo-style-2.png").symlink_to("nowhere")
    assert paths(["photo", "cat", "photo"], None) == [
        "photo-style-3.png",
        "cat-style.png",
        "photo-style-4.png",
    ]


def test_folders(here: Path) -> None:
    (here / "there").mkdir()
    (here / "there" / "a-style.png").touch()
    assert paths(["a", "b"], "there") == ["there/a-style-2.png", "there/b-style.png"]
    assert paths(["a"], "new/deep/", format="TIFF") == ["new/deep/a-style.tiff"]
    assert not (here / "new").exists()
    target = plan(["a"], "new/deep/", suffix="")[0]
    assert target.write(photo(), {}) == "new/deep/a.png"
    assert (here / "new" / "deep" / "a.png").is_file()


def test_patterns() -> None:
    assert paths(["a", "b"], "out/face-{i:04}.png") == ["out/face-0001.png", "out/face-0002.png"]
    assert paths(["a", "b"], "{name}{{x}}-{i}.webp") == ["a{x}-1.webp", "b{x}-2.webp"]
    assert paths(["../../etc/x"], "{name}.png") == [".._.._etc_x.png"]
    assert paths(["a", "b"], "{i}", format="png") == ["1", "2"]


@pytest.mark.parametrize(
    "pattern",
    [
        "{}",
        "{0}",
        "{j}",
        "{i.real}",
        "{name[0]}",
        "{i!r}",
        "{i:9999}",
        "{i:{name}}",
        "{name:>9}",
        "{i",
        "i}",
        "{i:x}",
    ],
)
def test_wrong_patterns(pattern: str) -> None:
    with pytest.raises(UsageError, match="pattern"):
        plan(["a"], f"{pattern}.png", suffix="style")


def test_a_pattern_must_tell_results_apart() -> None:
    with pytest.raises(UsageError, match="several results the same name"):
        plan(["a", "a"], "{name}.png", suffix="style")


@pytest.mark.parametrize(
    ("output", "format", "message"),
    [
        ("result.xyz", None, "does not end in the extension"),
        ("result", None, "does not end in the extension"),
        ("result.png", "jpg", "is not the name of a JPEG file"),
        ("result.png", "xyz", "no picture format 'xyz'"),
        ("", None, "output path is empty"),
    ],
)
def test_wrong_outputs(output: str, format: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        plan(["a"], output, suffix="style", format=format)
    assert caught.value.hint


def test_unknown_formats_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        plan(["a"], "result.xyz", suffix="style")
    assert "png, jpg, webp, tiff, bmp, gif" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("output", "format"),
    [("a.PNG", "PNG"), ("a.Jpeg", "JPEG"), ("a.JPG", "JPEG"), ("a.tif", "TIFF"), ("a.b.WebP", "WEBP")],
)
def test_extensions_in_any_case(output: str, format: str) -> None:
    assert plan(["x"], output, suffix="style") == [Target(Path(output), format)]


def test_one_path_is_for_one_result() -> None:
    with pytest.raises(UsageError, match="one file, but there are 2 results"):
        plan(["a", "b"], "out.png", suffix="style")
    with pytest.raises(UsageError, match="standard output takes one picture, not 2"):
        plan(["a", "b"], "-", suffix="style")


# Places


def test_places_that_cannot_be_written(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "file").touch()
    (here / "folder.png").mkdir()
    for output, message in {
        "file/out.png": "Not a directory",
        "x" * 300 + ".png": "name too long",
        "nul\0.png": "null",
        "{name}.png": "is a folder",
    }.items():
        with pytest.raises(GencliError, match=f"(?i)cannot write .*{message}"):
            plan(["folder"], output, suffix="")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(GencliError, match=r"cannot write new/out.png: .* not a folder you may write to"):
        plan(["a"], "new/out.png", suffix="")


def test_a_full_disk_is_noticed_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 20))
    with pytest.raises(GencliError, match="the disk is full"):
        plan(["a"], None, suffix="")


# Writing


@pytest.mark.parametrize("extension", ["png", "tiff", "bmp", "webp", "jpg", "gif"])
def test_round_trips(here: Path, extension: str) -> None:
    target = plan(["a"], f"out.{extension}", suffix="")[0]
    assert target.write(photo(), NOTE) == f"out.{extension}"
    with Image.open(here / f"out.{extension}") as image:
        error = np.abs(np.asarray(image.convert("RGB"), int) - np.asarray(photo(), int))
    assert error.mean() <= {"jpg": 1, "webp": 2, "gif": 6}.get(extension, 0)
    assert [path.name for path in here.iterdir()] == [f"out.{extension}"]


@pytest.mark.parametrize("extension", ["png", "tiff", "webp"])
def test_alpha_round_trips(here: Path, extension: str) -> None:
    plan(["a"], f"out.{extension}", suffix="")[0].write(photo("RGBA"), NOTE)
    with Image.open(here / f"out.{extension}") as image:
        assert image.mode == "RGBA"
        assert image.getchannel("A").tobytes() == photo("RGBA").getchannel("A").tobytes()


@pytest.mark.parametrize("extension", ["jpg", "bmp"])
def test_no_alpha_means_white_and_a_note(here: Path, extension: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="gencli")
    image = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    plan(["a"], f"out.{extension}", suffix="")[0].write(image, {})
    with Image.open(here / f"out.{extension}") as result:
        assert result.getpixel((8, 8)) == (255, 255, 255)
    assert "laid on white" in caplog.text


def test_the_note_is_in_the_file() -> None:
    lines = "Software: gencli 1.0\nCommand: gencli dream größe.jpg\nSeed: 7"
    for extension in ("png", "jpg", "gif", "tiff", "webp"):
        plan(["a"], f"out.{extension}", suffix="")[0].write(photo(), NOTE)
        with Image.open(f"out.{extension}") as image:
            if extension == "png":
                assert {key: image.info[key] for key in NOTE} == NOTE
            elif extension in {"jpg", "gif"}:
                assert image.info["comment"].decode() == lines
            else:
                assert lines.encode() in Path(f"out.{extension}").read_bytes()
                assert 0x010E in image.getexif()


def test_a_long_or_broken_note_does_not_spoil_a_jpeg() -> None:
    plan(["a"], "out.jpg", suffix="")[0].write(photo(), {"Command": "\udcff" + "ö" * 50_000})
    with Image.open("out.jpg") as image:
        comment = image.info["comment"].decode()
        assert image.size == (48, 32)
    assert comment.startswith("Command: ?öö")
    assert 65_000 < len(comment.encode()) <= 65_533


def test_jpeg_is_not_subsampled() -> None:
    """One red pixel column beside blue keeps its colour: 4:4:4."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 2] = 255, 255
    plan(["a"], "out.jpg", suffix="")[0].write(Image.fromarray(pixels), {})
    with Image.open("out.jpg") as image:
        assert np.abs(np.asarray(image, int) - pixels).mean() < 8


def test_an_explicit_path_is_overwritten_and_new_files_are_readable(here: Path) -> None:
    (here / "out.png").write_bytes(b"old")
    plan(["a"], "out.png", suffix="")[0].write(photo(), {})
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")
    if os.name == "posix":
        mask = os.umask(0)
        os.umask(mask)
        assert stat.S_IMODE((here / "out.png").stat().st_mode) == 0o666 & ~mask


def test_a_link_is_written_through(here: Path) -> None:
    (here / "real.png").write_bytes(b"old")
    (here / "link.png").symlink_to("real.png")
    assert plan(["a"], "link.png", suffix="")[0].write(photo(), {}) == "link.png"
    assert (here / "link.png").is_symlink()
    assert (here / "real.png").read_bytes().startswith(b"\x89PNG")


def test_a_name_taken_meanwhile_is_left_alone(here: Path) -> None:
    targets = plan(["a", "a"], None, suffix="dream")
    (here / "a-dream.png").write_bytes(b"someone else's")
    assert [target.write(photo(), {}) for target in targets] == ["a-dream-2.png", "a-dream-3.png"]
    assert (here / "a-dream.png").read_bytes() == b"someone else's"


def test_two_processes_at_once_do_not_clobber_one_another(here: Path) -> None:
    program = """
from PIL import Image
from gencli.core.outputs import plan
for _ in range(10):
    print(plan(["a"], None, suffix="x")[0].write(Image.new("RGB", (4, 4)), {}))
"""
    env = {**os.environ, "PYTHONPATH": str(Path(gencli.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) for _ in "ab"]
    written = [name for run in runs for name in run.communicate()[0].split()]
    assert len(set(written)) == len(written) == 20
    assert {path.name for path in here.iterdir()} == set(written)
    assert all(path.stat().st_size > 0 for path in here.iterdir())


def test_what_a_format_cannot_hold_leaves_nothing_behind(here: Path) -> None:
    wide = Image.new("RGB", (20_000, 1))
    for target in (plan(["a"], "out.webp", suffix="")[0], plan(["a"], None, suffix="", format="webp")[0]):
        with pytest.raises(GencliError, match="20000 × 1 pixels cannot be saved as WEBP") as caught:
            target.write(wide, {})
        assert "PNG" in str(caught.value.hint)
    with pytest.raises(GencliError, match="70000 × 1 pixels cannot be saved as GIF"):
        plan(["a"], "out.gif", suffix="")[0].write(Image.new("RGB", (70_000, 1)), {})
    assert list(here.iterdir()) == []


def test_a_failed_write_leaves_no_empty_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = plan(["a"], None, suffix="")[0]

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GencliError, match="No space left"):
        target.write(photo(), {})
    assert list(here.iterdir()) == []


class Stream(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO())


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    for format, magic in ((None, b"\x89PNG"), ("jpg", b"\xff\xd8"), ("tiff", b"II*\0")):
        stream = Stream()
        monkeypatch.setattr(sys, "stdout", stream)
        target = plan(["a"], "-", suffix="x", format=format)[0]
        assert target.path is None
        assert target.write(photo(), NOTE) is None
        assert stream.buffer.getvalue().startswith(magic)  # type: ignore[attr-defined]


def test_standard_output_that_cannot_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    target = plan(["a"], "-", suffix="")[0]
    monkeypatch.setattr(stream, "isatty", lambda: True)
    with pytest.raises(UsageError, match="terminal"):
        plan(["a"], "-", suffix="")

    class Buffer(io.BytesIO):
        def __init__(self, error: OSError) -> None:
            super().__init__()
            self.error = error

        def write(self, data: object) -> int:
            raise self.error

    for error, expected in (
        (BrokenPipeError(32, "Broken pipe"), BrokenPipeError),
        (OSError(28, "full"), GencliError),
    ):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Buffer(error)))
        with pytest.raises(expected):
            target.write(photo(), {})


def test_what_is_put_is_whole_or_not_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def back_and_forth(file: IO[bytes]) -> None:
        file.write(b"?bc")
        file.seek(0)
        file.write(b"a")

    def fail(file: IO[bytes]) -> None:
        file.write(b"some")
        raise RuntimeError

    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    targets = [plan(["x"], output, suffix="")[0] for output in ("out.png", None, "-")]
    for target in targets:
        with pytest.raises(RuntimeError):
            target.put(fail)
    assert list(here.iterdir()) == []
    assert [target.put(back_and_forth) for target in targets] == ["out.png", "x.png", None]
    assert Path("out.png").read_bytes() == Path("x.png").read_bytes() == b"abc"
    assert stream.buffer.getvalue() == b"abc"  # type: ignore[attr-defined]


@pytest.mark.skipif(os.name != "posix", reason="devices are POSIX files")
def test_a_device_is_not_replaced_by_a_file() -> None:
    target = plan(["a"], os.devnull, suffix="", format="png")[0]
    assert target.write(photo(), {}) == os.devnull
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_text_is_written_in_one_step_where_it_can_be(here: Path) -> None:
    write = plan_text(Path("new/text.txt"))
    assert not Path("new").exists()  # nothing is made before there is something to write
    write("grün\n")
    assert Path("new/text.txt").read_bytes() == "grün\n".encode()
    with pytest.raises(GencliError, match="it is a folder"):
        plan_text(Path("new"))
    with pytest.raises(GencliError, match="Not a directory"):
        plan_text(Path("new/text.txt/more.txt"))
