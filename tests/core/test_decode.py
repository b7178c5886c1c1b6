"""Picture files of every kind, and files that are none, made here and decoded."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import gencli
from gencli.core.decode import FORMATS, open_picture, to_srgb
from gencli.core.errors import GencliError

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def saved(image: Image.Image, format: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **settings)
    return buffer.getvalue()


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) * 2], 2).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *extra: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def values(picture: Image.Image) -> list[tuple[int, ...]]:
    return [tuple(pixel) for row in np.asarray(picture).tolist() for pixel in row]


def off(picture: Image.Image, at: tuple[int, int], colour: tuple[int, ...]) -> int:
    """How far a pixel is from a colour, in its worst channel."""
    return int(np.abs(np.asarray(picture)[at[1], at[0]].astype(int) - colour).max())


# What a file holds


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(format: str, orientation: int) -> None:
    """The upright picture has red, green / blue, white corners, whichever way the file holds it."""
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16], upright[:8, 16:], upright[8:, :16], upright[8:, 16:] = RED, GREEN, BLUE, WHITE
    stored = {  # EXIF: which visual sides the stored first row and first column are
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = open_picture(saved(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif))
    assert picture.size == (32, 16)
    for corner, colour in {(4, 4): RED, (28, 4): GREEN, (4, 12): BLUE, (28, 12): WHITE}.items():
        assert off(picture, corner, colour) <= 12
    assert not picture.getexif()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # pytest sets its own filters in place of gencli's
def test_damaged_exif_leaves_the_picture_alone() -> None:
    data = saved(gradient(), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(40)))
    assert open_picture(data).size == (64, 48)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 255, (255, 255, 255)),
        ("L", 77, (77, 77, 77)),
        ("LA", (77, 99), (77, 77, 77, 99)),
        ("La", (50, 128), (99, 99, 99, 128)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (10, 20, 30, 40), (10, 20, 30, 40)),
        ("RGBX", (10, 20, 30, 0), (10, 20, 30)),
        ("RGBa", (50, 100, 25, 128), (99, 199, 49, 128)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("YCbCr", (128, 128, 128), (128, 128, 128)),
        ("HSV", (85, 255, 255), (0, 255, 0)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
        ("I;16", 32896, (128, 128, 128)),
        ("I", 32896, (128, 128, 128)),
        ("F", 0.5, (128, 128, 128)),
    ],
)
def test_every_mode(mode: str, colour: Any, expected: tuple[int, ...]) -> None:
    picture = to_srgb(Image.new(mode, (3, 2), colour))
    assert picture.mode == ("RGBA" if len(expected) == 4 else "RGB")
    assert picture.size == (3, 2)
    assert np.abs(np.subtract(values(picture), expected)).max() <= (mode == "LAB")


def test_palette_with_transparency() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    opaque = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert values(open_picture(saved(image, "PNG"))) == opaque
    for format in ("PNG", "GIF"):
        picture = open_picture(saved(image, format, transparency=1))
        assert [pixel[3] for pixel in values(picture)] == [255, 0, 255]
    picture = open_picture(saved(image, "PNG", transparency=bytes([10, 20, 30])))
    assert values(picture) == [(*colour, alpha) for colour, alpha in zip(opaque, (10, 20, 30), strict=True)]


@pytest.mark.parametrize(
    ("depth", "kind", "row", "transparent", "expected"),
    [
        (1, 0, b"\x80", (1,), [(255, 255, 255, 0), (0, 0, 0, 255)]),
        (2, 0, b"\x60", (2,), [(85, 85, 85, 255), (170, 170, 170, 0)]),
        (4, 0, b"\x7f", (7,), [(119, 119, 119, 0), (255, 255, 255, 255)]),
        (8, 0, b"\x07\x08", (7,), [(7, 7, 7, 0), (8, 8, 8, 255)]),
        (16, 0, b"\x80\x80\xff\xff", (0x8080,), [(128, 128, 128, 0), (255, 255, 255, 255)]),
        (8, 2, b"\1\2\3\4\5\6", (1, 2, 3), [(1, 2, 3, 0), (4, 5, 6, 255)]),
        (16, 2, b"\1\1\2\2\3\3\4\4\5\5\6\6", (257, 514, 771), [(1, 2, 3, 0), (4, 5, 6, 255)]),
    ],
)
def test_the_one_transparent_colour_of_a_png(
    depth: int, kind: int, row: bytes, transparent: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    hidden = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))
    assert values(open_picture(png(2, 1, depth, kind, b"\0" + row, hidden))) == expected


@pytest.mark.parametrize("file", ["png", "tiff", "big-endian tiff", "pgm", "jpeg 2000"])
def test_sixteen_bit_grey_is_scaled_not_clipped(file: str) -> None:
    grey = np.array([[0, 257, 32896, 65535]], np.uint16)
    image = Image.fromarray(grey)
    data = {
        "png": lambda: png(4, 1, 16, 0, b"\0" + grey.astype(">u2").tobytes()),
        "tiff": lambda: saved(image, "TIFF"),
        "big-endian tiff": lambda: saved(Image.frombytes("I;16B", (4, 1), grey.astype(">u2").tobytes()), "TIFF"),
        "pgm": lambda: b"P5 4 1 65535\n" + grey.astype(">u2").tobytes(),
        "jpeg 2000": lambda: saved(image, "JPEG2000"),
    }[file]()
    assert [pixel[0] for pixel in values(open_picture(data))] == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.0, 0.25, 1.0], [0, 64, 255]),
        ([0.0, 0.5, 0.75], [0, 128, 191]),
        ([-3.0, 0.0, 5.0], [0, 96, 255]),
        ([2.0, 3.0, 6.0], [0, 64, 255]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
        ([np.nan, np.inf, -np.inf], [0, 255, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
    ],
)
def test_float_pictures(numbers: list[float], expected: list[int]) -> None:
    picture = open_picture(saved(Image.fromarray(np.array([numbers], np.float32)), "TIFF"))
    assert [pixel[0] for pixel in values(picture)] == expected


def test_wide_integers_are_stretched() -> None:
    picture = to_srgb(Image.fromarray(np.array([[-100_000, 0, 100_000]], np.int32)))
    assert [pixel[0] for pixel in values(picture)] == [0, 128, 255]


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN)]
    for format in ("GIF", "WEBP", "PNG", "TIFF"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        assert off(open_picture(data), (4, 4), RED) <= 3


# Colour profiles


def swapped_profile() -> bytes:
    """An sRGB profile whose red and blue primaries have changed places."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", data, 128)[0]
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * count, 12)}
    for red, blue in ((b"rXYZ", b"bXYZ"), (b"rTRC", b"bTRC")):
        data[tags[red] : tags[red] + 4], data[tags[blue] : tags[blue] + 4] = blue, red
    return bytes(data)


def linear_profile(space: bytes) -> bytes:
    """A profile whose numbers are proportional to light: grey, or RGB with sRGB's primaries."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    count = struct.unpack_from(">I", srgb, 128)[0]
    tags = {}
    for at in range(132, 132 + 12 * count, 12):
        start, size = struct.unpack_from(">II", srgb, at + 4)
        tags[srgb[at : at + 4]] = srgb[start : start + size]
    curve = b"curv" + bytes(8)  # no points: the identity
    keep = [b"desc", b"cprt", b"wtpt", b"chad"] + ([b"rXYZ", b"gXYZ", b"bXYZ"] if space == b"RGB " else [])
    tags = {tag: tags[tag] for tag in keep if tag in tags}
    tags |= dict.fromkeys([b"kTRC"] if space == b"GRAY" else [b"rTRC", b"gTRC", b"bTRC"], curve)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, data in tags.items():
        table += tag + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = bytearray(srgb[:128])
    header[16:20] = space
    header[:4] = struct.pack(">I", 128 + len(table) + len(body))
    return bytes(header) + table + body


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = open_picture(saved(gradient(), "PNG", icc_profile=profile))
    assert values(picture) == values(gradient())
    assert picture.info == {}


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_a_profile_with_swapped_channels(format: str) -> None:
    image = Image.new("RGB", (16, 16), (200, 100, 50))
    settings = {"lossless": True} if format == "WEBP" else {}
    picture = open_picture(saved(image, format, icc_profile=swapped_profile(), **settings))
    assert off(picture, (8, 8), (50, 100, 200)) <= 4


def test_a_profile_keeps_alpha() -> None:
    image = Image.new("RGBA", (4, 4), (200, 100, 50, 77))
    picture = open_picture(saved(image, "PNG", icc_profile=swapped_profile()))
    assert off(picture, (0, 0), (50, 100, 200, 77)) <= 1


@pytest.mark.parametrize(("mode", "space"), [("L", b"GRAY"), ("LA", b"GRAY"), ("RGB", b"RGB "), ("L", b"RGB ")])
def test_linear_profiles(mode: str, space: bytes) -> None:
    """Half the light is 188 in sRGB: 255 · (1.055 · 0.5^(1/2.4) − 0.055)."""
    image = Image.new("L", (4, 4), 128).convert(mode)
    picture = open_picture(saved(image, "PNG", icc_profile=linear_profile(space)))
    assert np.abs(np.subtract(np.asarray(picture)[0, 0, :3], 188)).max() <= 1


@pytest.mark.parametrize("profile", [b"not a profile", swapped_profile()[:200], linear_profile(b"GRAY")])
def test_a_useless_profile_is_ignored_and_said(profile: bytes, caplog: pytest.LogCaptureFixture) -> None:
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    assert open_picture(saved(image, "PNG", icc_profile=profile), name="a.png").getpixel((0, 0)) == (
        200,
        100,
        50,
    )
    assert "a.png: its colour profile was ignored" in caplog.text


def test_cmyk_jpeg() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert off(open_picture(saved(image, "JPEG")), (8, 8), RED) <= 3


# Where it comes from


def test_paths_pipes_and_draft(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(gradient(640, 480), "JPEG"))
    assert open_picture(path).size == open_picture(str(path)).size == (640, 480)
    assert open_picture(path, draft=(150, 100)).size == (160, 120)
    assert open_picture(path, draft=(600, 100)).size == (640, 480)


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX")
def test_a_named_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "picture.png").write_bytes(saved(gradient(), "PNG"))
    with subprocess.Popen(["cp", str(tmp_path / "picture.png"), str(pipe)]):
        assert values(open_picture(pipe)) == values(gradient())


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs an endless device")
def test_an_endless_pipe_is_refused() -> None:
    with pytest.raises(GencliError, match="more than 67,108,864 bytes"):
        open_picture("/dev/zero", max_pixels=1000)


# What is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"Dear reader,\nthis is a letter: no picture at all.\n" * 20, "is not a picture Pillow can read"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "is not a picture Pillow can read",
        ),
        (bytes(5000), "is not a picture Pillow can read"),
        (b"\x89PNG\r\n\x1a\nand then nothing of the kind", "is damaged or cut short"),
        (png(0, 5, 8, 2, b""), "is damaged or cut short"),
    ],
)
def test_what_is_not_a_picture(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "letter.jpg"
    path.write_bytes(content)
    with pytest.raises(GencliError, match=message) as caught:
        open_picture(path)
    assert "letter.jpg" in caught.value.message
    assert caught.value.hint


def test_bad_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, message in {
        str(tmp_path / "absent.png"): "there is no file .*absent.png",
        str(tmp_path): "is a folder",
        "nul\0.png": "cannot read",
        "x" * 5000: "cannot read",
    }.items():
        with pytest.raises(GencliError, match=message):
            open_picture(path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(GencliError, match=r"cannot read secret.png: Permission denied"):
        open_picture("secret.png")


@pytest.mark.parametrize(
    "format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "QOI"]
)
def test_a_file_cut_short_says_so(format: str) -> None:
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {format}")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), format)
    assert open_picture(data).mode == "RGB"
    for part in (0.3, 0.6, 0.9):
        with pytest.raises(GencliError, match="cut short"):
            open_picture(data[: int(part * len(data))])


def bombs() -> dict[str, bytes]:
    small = gradient()
    bmp, gif, jpeg, tga = (bytearray(saved(small, format)) for format in ("BMP", "GIF", "JPEG", "TGA"))
    struct.pack_into("<ii", bmp, 18, 50_000, 50_000)
    struct.pack_into("<HH", gif, 6, 50_000, 50_000)
    struct.pack_into(">HH", jpeg, jpeg.find(b"\xff\xc0") + 5, 50_000, 50_000)
    struct.pack_into("<HH", tga, 12, 50_000, 50_000)
    tags = [(256, 50_000), (257, 50_000), (258, 8), (259, 1), (262, 1), (273, 200), (278, 50_000), (279, 9)]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags)
    inner = png(50_000, 50_000, 8, 2, bytes(100), chunk(b"tEXt", b"a\0b"))
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner), 22) + inner
    return {
        "png": png(50_000, 50_000, 8, 2, bytes(100)),
        "bmp": bytes(bmp),
        "gif": bytes(gif),
        "jpeg": bytes(jpeg),
        "tga": bytes(tga),
        "tiff": b"II*\0\x08\0\0\0" + ifd + bytes(200),
        "ppm": b"P6 50000 50000 255\n" + bytes(100),
        "psd": b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 50_000, 50_000, 8, 3) + bytes(100),
        "qoi": b"qoif" + struct.pack(">IIBB", 50_000, 50_000, 3, 0) + bytes(100),
        "png in ico": icon,
        "png in icns": b"icns" + struct.pack(">I4sI", 16 + len(inner), b"ic07", 8 + len(inner)) + inner,
    }


@pytest.mark.parametrize("kind", bombs())
def test_a_header_that_lies_is_refused_at_once(kind: str) -> None:
    data, start = bombs()[kind], time.perf_counter()
    with pytest.raises(GencliError, match="2,500,000,000 pixels") as caught:
        open_picture(data, name="bomb")
    assert time.perf_counter() - start < 0.5
    assert "--max-pixels 2500000000" in str(caught.value.hint)


def test_the_limit_can_be_raised_and_lowered() -> None:
    data = saved(gradient(64, 48), "PNG")
    assert open_picture(data, max_pixels=64 * 48).size == (64, 48)
    with pytest.raises(GencliError, match="64 × 48 = 3,072 pixels; the limit is 3,071"):
        open_picture(data, max_pixels=64 * 48 - 1)


@pytest.mark.parametrize("format", ["TIFF", "WEBP", "ICO"])
def test_the_limit_can_be_raised_past_pillows_own(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # what Pillow's plugins check by themselves
    data = saved(gradient(48, 48), format)
    with pytest.raises(GencliError, match=r"too large|the limit is 200"):
        open_picture(data, max_pixels=200)
    assert open_picture(data, max_pixels=10_000).size == (48, 48)


def test_a_tile_larger_than_the_picture_is_refused() -> None:
    tags = [
        (256, 16),
        (257, 16),
        (258, 8),
        (259, 8),
        (262, 1),
        (322, 30_000),
        (323, 30_000),
        (324, 200),
        (325, 9),
    ]
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in tags)
    with pytest.raises(GencliError, match="a tile of bomb is 30,000 × 30,000"):
        open_picture(b"II*\0\x08\0\0\0" + ifd + bytes(200), name="bomb")


def test_many_jpeg_2000_tiles_are_refused() -> None:
    data = bytearray(saved(gradient(), "JPEG2000", no_jp2=True))
    struct.pack_into(">II", data, 8, 1020, 1020)
    struct.pack_into(">II", data, 24, 4, 4)
    with pytest.raises(GencliError, match="tiles"):
        open_picture(bytes(data))


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_the_metadata_does_not_fill_the_memory(kind: bytes) -> None:
    packed = zlib.compress(bytes(30_000_000), 9)
    bomb = chunk(kind, (b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0") + packed)
    try:
        picture = open_picture(png(1, 1, 8, 2, bytes(4), bomb))
    except GencliError:
        return
    assert picture.info == {}


def test_what_libraries_print_stays_off_the_terminal() -> None:
    """Damaged TIFFs make libtiff, Pillow's warnings and its logger speak; none is heard."""
    program = """
import io, sys
import numpy as np
from PIL import Image
from gencli.core.decode import open_picture
from gencli.core.errors import GencliError
image = Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64))
for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression=compression)
    whole = bytearray(buffer.getvalue())
    for at in range(0, len(whole), 7):
        data = whole.copy()
        data[at] ^= 0xFF
        try:
            open_picture(bytes(data), max_pixels=10_000)
        except GencliError:
            pass
"""
    env = {**os.environ, "PYTHONPATH": str(Path(gencli.__file__).parents[1])}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""


def test_no_format_runs_another_program() -> None:
    assert not {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"} & set(FORMATS)
