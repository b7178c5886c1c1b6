"""Pictures as tensors: loading from everywhere, resizing, grids, and mutated files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import gencli
from gencli.core import images
from gencli.core.errors import GencliError, UsageError

ENV = {**os.environ, "PYTHONPATH": str(Path(gencli.__file__).parents[1])}


def photo(width: int = 12, height: int = 8) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) * 5], 2).astype(np.uint8))


def test_a_path_becomes_a_tensor(tmp_path: Path) -> None:
    photo().save(tmp_path / "my photo.png")
    picture = images.load(tmp_path / "my photo.png")
    assert picture.name == "my photo"
    assert picture.alpha is None
    assert picture.rgb.shape == (1, 3, 8, 12)
    assert picture.rgb.dtype == torch.float32
    assert picture.rgb.is_contiguous()
    assert torch.equal(picture.rgb[0, :, 3, 5] * 255, torch.tensor(photo().getpixel((5, 3))).float())
    assert images.load(str(tmp_path / "my photo.png")).rgb.equal(picture.rgb)


def test_alpha_is_kept_apart_and_put_back() -> None:
    image = Image.new("RGBA", (5, 4), (10, 20, 30, 40))
    picture = images.load(image)
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, 4, 5)
    assert images.to_pillow(picture.rgb, picture.alpha).getpixel((0, 0)) == (10, 20, 30, 40)
    assert images.to_pillow(picture.rgb).getpixel((0, 0)) == (10, 20, 30)


@given(st.integers(0, 2**32 - 1))
def test_to_pillow_and_back_is_exact(seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, 4, 4), np.uint8)
    image = Image.fromarray(pixels)
    picture = images.load(image)
    again = images.to_pillow(picture.rgb, picture.alpha)
    assert again.tobytes() == image.tobytes()


def test_to_pillow_clamps_rounds_and_refuses_other_shapes() -> None:
    values = torch.tensor([-0.5, 1.5, float("nan"), 0.5, 0.4999 / 255, 0.5001 / 255]).view(1, 1, 1, 6)
    image = images.to_pillow(values.expand(1, 3, 1, 6))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 255, 0, 128, 0, 1]
    assert images.to_pillow(values[0].expand(3, 1, 6)).size == (6, 1)
    for shape in ((2, 3, 4, 4), (1, 4, 4, 4), (4, 4)):
        with pytest.raises(ValueError, match="expected a picture"):
            images.to_pillow(torch.zeros(shape))


@pytest.mark.parametrize(("size", "expected"), [(6, (4, 6)), (24, (16, 24)), (1, (1, 1)), (12, (8, 12))])
def test_size_is_the_longest_side(size: int, expected: tuple[int, int]) -> None:
    assert images.load(photo(), size=size).rgb.shape[-2:] == expected


def test_a_small_size_of_a_large_jpeg(tmp_path: Path) -> None:
    """Decoded at a fraction, it looks as if it had been decoded whole."""
    photo(800, 600).save(tmp_path / "large.jpg", quality=95)
    photo(800, 600).save(tmp_path / "large.png")
    jpeg, png = (images.load(tmp_path / name, size=100).rgb for name in ("large.jpg", "large.png"))
    assert jpeg.shape == png.shape == (1, 3, 75, 100)
    assert (jpeg - png).abs().mean() < 0.01


def test_what_will_be_shrunk_later_is_loaded_smaller_and_looks_the_same() -> None:
    image = photo(900, 601)
    whole, near = images.load(image), images.load(image, enough=60)
    assert near.rgb.shape[-2:] == (80, 120) and near.extent == whole.extent == (601, 900)
    small = images.fit(*near.extent, 60)
    assert small == (40, 60)
    difference = (images.resize(near.rgb, small) - images.resize(whole.rgb, small)).abs()
    assert difference.mean() < 1 / 255 and difference.max() < 0.05
    assert torch.equal(images.load(image, enough=300).rgb, whole.rgb)  # three times as large is not much
    assert images.load(image, enough=300).extent == (601, 900)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40))
def test_pictures_loaded_smaller_are_large_enough_and_no_line(height: int, width: int, enough: int) -> None:
    picture = images.load(Image.new("RGB", (width, height)), enough=enough)
    assert picture.extent == (height, width)
    longest, shortest = max(picture.rgb.shape[-2:]), min(picture.rgb.shape[-2:])
    assert longest <= max(height, width) and longest >= min(2 * enough, max(height, width))
    assert shortest >= min(28, height, width)
    assert longest <= 3 * enough or shortest <= 32


def test_hidden_colours_do_not_bleed() -> None:
    """Red under full transparency must not tint the white beside it when the picture is shrunk."""
    image = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 15, 32))
    picture = images.load(image, size=8)
    assert picture.alpha is not None
    visible = picture.alpha.expand(1, 3, 8, 8) > 0.02
    assert picture.rgb[visible].min() > 0.99


def test_hidden_colours_stay_where_a_picture_is_loaded_smaller() -> None:
    """As they do where it is loaded whole, and shrunk later."""
    image = photo(900, 601)
    image.putalpha(Image.radial_gradient("L").resize(image.size).point(lambda level: max(0, 2 * level - 300)))
    whole, near = images.load(image), images.load(image, enough=60)
    assert near.alpha is not None and whole.alpha is not None and near.alpha.min() == 0
    for one, other in ((near.rgb, whole.rgb), (near.alpha, whole.alpha)):
        assert (images.resize(one, (40, 60)) - images.resize(other, (40, 60))).abs().mean() < 1 / 255


@pytest.mark.parametrize("size", [0, -5])
def test_an_impossible_size(size: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        images.load(photo(), size=size)


def test_enlarging_past_the_limit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"12,000 × 8,000 = 96,000,000 pixels .*the limit is 1,000,000"):
        images.load(photo(), size=12_000, max_pixels=1_000_000)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_fit_keeps_the_ratio(height: int, width: int, longest: int) -> None:
    new_height, new_width = images.fit(height, width, longest)
    assert max(new_height, new_width) == longest
    scale = longest / max(height, width)
    assert abs(new_height - height * scale) <= 0.5 or new_height == 1
    assert abs(new_width - width * scale) <= 0.5 or new_width == 1


def test_resize_is_linear_and_antialiased() -> None:
    x = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    small = images.resize(x, (4, 6))
    assert small.shape == (2, 3, 4, 6)
    assert torch.allclose(images.resize(3 * x - 1, (4, 6)), 3 * small - 1, atol=1e-5)
    checks = torch.tensor([0.0, 1.0]).repeat(32)[None, None, None].expand(1, 1, 64, 64)
    assert (images.resize(checks, (16, 16)) - 0.5).abs().max() < 0.1  # without antialiasing: stripes
    assert images.resize(x, (16, 24)) is x


def test_grid() -> None:
    pictures = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 3, 2, 3) / 5
    sheet = images.grid(pictures, gap=1)
    assert sheet.shape == (1, 3, 2 * 3 - 1, 3 * 4 - 1)
    assert sheet[0, 0, 0].tolist() == pytest.approx([0, 0, 0, 1, 0.2, 0.2, 0.2, 1, 0.4, 0.4, 0.4])
    assert (sheet[0, :, 3:, 8:] == 1).all()
    assert images.grid(pictures, columns=1, gap=0).shape == (1, 3, 10, 3)
    assert images.grid(pictures, columns=9, gap=2, background=0).shape == (1, 3, 2, 5 * 5 - 2)


def test_standard_input(tmp_path: Path) -> None:
    photo().save(tmp_path / "photo.png")
    program = "from gencli.core import images; p = images.load('-'); print(tuple(p.rgb.shape), p.name)"
    command = [sys.executable, "-c", program]
    with (tmp_path / "photo.png").open("rb") as file:
        done = subprocess.run(command, env=ENV, stdin=file, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 3, 8, 12) stdin\n"


def test_standard_input_without_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(GencliError, match="standard input is empty"):
        images.load("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UsageError, match="expected on standard input"):
        images.load("-")


def test_drawn_examples() -> None:
    picture = images.load("@woodcut", size=30)
    assert picture.name == "woodcut"
    assert picture.rgb.shape == images.load("@woodcut", enough=30).rgb.shape == (1, 3, 20, 30)
    with pytest.raises(UsageError, match="no example picture @waves") as caught:
        images.load("@waves")
    assert caught.value.hint and "@harbour, " in caught.value.hint and "@swirls, " in caught.value.hint


def test_a_pillow_picture_that_cannot_be_decoded() -> None:
    buffer = io.BytesIO()
    photo(64, 64).save(buffer, "PNG")
    image = Image.open(io.BytesIO(buffer.getvalue()[:-60]))
    with pytest.raises(GencliError, match="cannot be decoded"):
        images.load(image)


MUTATOR = """
import io, random, struct, sys, resource
import numpy as np
from PIL import Image
from gencli.core import images
from gencli.core.errors import GencliError

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM", "TGA", "JPEG2000", "PCX", "QOI")
NUMBERS = (0, 1, 2, 255, 256, 4096, 32767, 32768, 50_000, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
random = random.Random(int(sys.argv[1]))
noise = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
files = []
Image.init()
for format in FORMATS:
    for mode in ("RGB", "RGBA", "L", "P", "I;16", "CMYK"):
        buffer = io.BytesIO()
        try:
            image = Image.fromarray(noise)
            (image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)).save(buffer, format)
        except (OSError, ValueError, KeyError):
            continue
        files.append(buffer.getvalue())

def mutate(data):
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        if len(data) < 8:
            break
        head = min(len(data), random.choice((64, 256, len(data))))
        at, kind = random.randrange(head - 4), random.randrange(6)
        if kind == 0:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del data[random.randrange(len(data)) :]
        elif kind == 2:
            data[at:at] = data[at : at + random.randrange(64)] * random.choice((1, 20))
        elif kind == 3:
            other = random.choice(files)
            data[at:] = other[random.randrange(len(other)) :]
        elif kind == 4:
            number, form = random.choice(NUMBERS), random.choice(("<I", ">I", "<H", ">H"))
            struct.pack_into(form, data, at, number & (0xFFFFFFFF if form[1] == "I" else 0xFFFF))
        else:
            data[at : at + 4] = random.randbytes(4)
    return bytes(data)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 2**20)

images.load(Image.fromarray(noise), size=64)
before, pictures, errors = peak(), 0, 0
for _ in range(int(sys.argv[2])):
    with open(sys.argv[3], "wb") as file:
        file.write(mutate(random.choice(files)))
    try:
        picture = images.load(sys.argv[3], max_pixels=1_000_000)
        assert picture.rgb.shape[1] == 3 and picture.rgb.shape[-1] * picture.rgb.shape[-2] <= 1_000_000
        pictures += 1
    except GencliError as error:
        assert sys.argv[3] in error.message and error.hint
        errors += 1
print(pictures, errors, peak() - before)
"""


@pytest.mark.skipif(os.name != "posix", reason="measures memory the POSIX way")
def test_mutated_files_are_pictures_or_errors(tmp_path: Path) -> None:
    """2,000 damaged files: a picture or a GencliError, nothing printed, memory within bounds."""
    command = [sys.executable, "-c", MUTATOR, "7", "2000", str(tmp_path / "mutated")]
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if "its colour profile was ignored" not in line]
    assert said == []
    pictures, errors, megabytes = map(int, done.stdout.split())
    assert pictures + errors == 2000
    assert pictures > 300
    assert errors > 500
    assert megabytes < 100  # a million pixels are 4 MB, and 12 MB as floats
