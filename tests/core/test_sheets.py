"""Contact sheets: every picture whole, its label below it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gencli.core.sheets import GAP, LINE, sheet


@pytest.mark.parametrize(("count", "columns", "shape"), [(4, None, (2, 2)), (5, None, (2, 3)), (3, 1, (3, 1))])
def test_pictures_in_rows_with_room_for_a_line_below(count: int, columns: int | None, shape: tuple[int, int]) -> None:
    pictures = [Image.new("RGB", (60, 40), (50 * number, 0, 0)) for number in range(count)]
    made = sheet(pictures, ["one"] * count, columns)
    rows, across = shape
    assert made.size == (across * (60 + GAP) + GAP, rows * (40 + LINE + GAP) + GAP)
    pixels = np.asarray(made)
    for number in range(count):
        left, top = GAP + number % across * (60 + GAP), GAP + number // across * (40 + LINE + GAP)
        assert (pixels[top : top + 40, left : left + 60] == (50 * number, 0, 0)).all()
        assert pixels[top + 40 : top + 40 + LINE, left : left + 60].min() < 100


def test_long_labels_are_broken_at_spaces() -> None:
    picture = Image.new("RGB", (80, 40))
    one, three = (sheet([picture], [label]) for label in ("short", "some words that need more room"))
    assert three.width == one.width
    assert (three.height - one.height) % LINE == 0 and three.height - one.height >= 2 * LINE


def test_transparent_pictures_lie_on_paper() -> None:
    assert np.asarray(sheet([Image.new("RGBA", (20, 20), (9, 9, 9, 0))], [""]))[GAP : GAP + 20].min() == 255
