"""The pictures drawn by code: exact in size, the same every time, composed alike at every size."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image

from gencli.core.drawn import CONTENTS, STYLES, describe, draw, names
from gencli.core.errors import UsageError

every_picture = pytest.mark.parametrize("name", names())
a_painting = pytest.mark.parametrize("name", [f"painting-{number}" for number in (1, 2, 3, 10, 14, 27, 123_456_789)])


@cache
def small(name: str, size: int = 97) -> Image.Image:
    return draw(name, size)


def as_field(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float64) / 255


def test_there_are_enough_and_each_is_listed_once() -> None:
    assert len(CONTENTS) >= 4
    assert len(STYLES) >= 6
    assert names() == (*CONTENTS, *STYLES)
    assert len(set(names())) == len(names())


@every_picture
def test_mode_and_size_are_exact(name: str) -> None:
    image = small(name)
    assert image.mode == "RGB"
    assert max(image.size) == 97
    assert min(image.size) >= 60


@every_picture
def test_the_same_bytes_every_time(name: str) -> None:
    assert draw(name, 97).tobytes() == small(name).tobytes()


@every_picture
def test_rich_in_contrast_and_colour(name: str) -> None:
    pixels = as_field(small(name))
    grey = pixels.mean(-1)
    assert grey.std() > 0.10
    assert np.quantile(grey, 0.99) - np.quantile(grey, 0.01) > 0.45
    assert len(np.unique((pixels.reshape(-1, 3) * 7.99).astype(int), axis=0)) >= 40
    assert np.abs(np.diff(grey, axis=0)).mean() > 0.01  # detail from one pixel to the next


@every_picture
def test_the_composition_does_not_depend_on_the_size(name: str) -> None:
    large, little = small(name, 288), small(name)
    reduced = large.resize(little.size, Image.Resampling.BOX)
    coarse = [as_field(i.resize((32, 32), Image.Resampling.BOX)).ravel() for i in (reduced, little)]
    assert np.corrcoef(*coarse)[0, 1] > 0.97
    assert np.corrcoef(as_field(reduced).ravel(), as_field(little).ravel())[0, 1] > 0.8


def test_no_two_are_alike() -> None:
    thumbnails = [as_field(small(name).resize((32, 32))).ravel() for name in names()]
    for k, one in enumerate(thumbnails):
        for other in thumbnails[k + 1 :]:
            assert np.abs(one - other).mean() > 0.05


@a_painting
def test_paintings_are_the_same_every_time_and_at_every_size(name: str) -> None:
    image = small(name)
    assert image.mode == "RGB" and max(image.size) == 97
    assert draw(name, 97).tobytes() == image.tobytes()
    assert describe(name)
    coarse = [as_field(i.resize((8, 8), Image.Resampling.BOX)).ravel() for i in (small(name, 288), image)]
    assert np.corrcoef(*coarse)[0, 1] > 0.9


def test_paintings_are_of_many_kinds() -> None:
    """No two are alike, none is empty, and their colours fill the cube."""
    pixels = [as_field(small(f"painting-{number}").resize((24, 24))) for number in range(1, 41)]
    for k, one in enumerate(pixels):
        assert one.std((0, 1)).max() > 0.02
        assert all(np.abs(one - other).mean() > 0.04 for other in pixels[k + 1 :])
    means = np.stack([one.mean((0, 1)) for one in pixels])
    assert (means.std(0) > 0.12).all()
    assert (np.ptp(means, axis=0) > 0.4).all()


@every_picture
def test_described_in_one_line(name: str) -> None:
    line = describe(name)
    assert 10 < len(line) < 80
    assert "\n" not in line
    assert not line.endswith(".")


@pytest.mark.parametrize("size", [1, 2, 64])
def test_tiny_sizes(size: int) -> None:
    assert max(draw("cubist", size).size) == size


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].copy()
    draw("glass", 64)
    assert (np.random.get_state()[1] == before).all()


@pytest.mark.parametrize("unknown", ["sunflowerz", "painting-", "painting-0", "painting-01", "painting-1234567890"])
@pytest.mark.parametrize("ask", [draw, describe])
def test_an_unknown_name_lists_the_known_ones(ask, unknown: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(unknown)
    assert unknown in caught.value.message
    assert all(name in (caught.value.hint or "") for name in names())


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="0"):
        draw("lake", 0)
