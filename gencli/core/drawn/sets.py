"""Picture sets drawn by code, of any number of pictures: `@digits`, `@glyphs`, `@faces`, or `@faces:50000`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gencli.core.drawn.faces import ATTRIBUTES, draw_faces
from gencli.core.drawn.glyphs import CLASSES, DIGITS, draw_digits, draw_glyphs
from gencli.core.errors import UsageError

VERSION = 1  # of the drawing: raise it when the same seed gives other pictures
SEEDS = {"train": 0, "test": 1, "val": 2}  # of each part: no picture is in two
USUAL = 20_000  # pictures to learn from; a tenth as many are held out
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue (ITU-R BT.601)

Pixels = npt.NDArray[np.uint8]
Truth = npt.NDArray[Any]


@dataclass(frozen=True)
class DrawnSet:
    """A set of `count` pictures to learn from. What `draw(count, seed, size, first)` gives with its pictures, uint8
    (N, C, size, size), are labels, int64 (N,), where there are `classes`, else bool (N, attributes)."""

    name: str
    about: str
    size: int  # in pixels, at which it looks best
    channels: int
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    draw: Callable[..., tuple[Pixels, Truth]]
    count: int = USUAL

    def part(self, split: str) -> int:
        """How many pictures a part has."""
        return self.count if split == "train" else max(self.count // 10, 1)

    def pictures(self, split: str, size: int, channels: int, first: int, count: int) -> tuple[Pixels, Truth]:
        """Pictures number `first` … of a part, uint8 (N, channels, size, size), and what is known of them."""
        pixels, truth = self.draw(count, SEEDS[split], size, first)
        if channels > pixels.shape[1]:
            pixels = pixels.repeat(channels, 1)
        elif channels < pixels.shape[1]:
            grey = np.tensordot(LUMINANCE, pixels.astype(np.float32), (0, 1))
            pixels = (grey + 0.5).astype(np.uint8)[:, None]
        return pixels, truth


SETS = {
    "@glyphs": DrawnSet("glyphs", "digits and capital letters by hand", 28, 1, CLASSES, (), draw_glyphs),
    "@digits": DrawnSet("digits", "digits by hand", 28, 1, DIGITS, (), draw_digits),
    "@faces": DrawnSet("faces", "drawn faces with labelled attributes", 64, 3, (), ATTRIBUTES, draw_faces),
}


def find(name: str) -> DrawnSet:
    """The set of a name such as `@faces`, or `@faces:50000` for so many pictures to learn from.

    Raises UsageError when there is none.
    """
    plain, _, count = name.partition(":")
    if plain not in SETS:
        raise UsageError(f"there is no drawn picture set {name}", f"drawn sets: {', '.join(SETS)}")
    if not count:
        return SETS[plain]
    if not re.fullmatch(r"[1-9]\d{0,7}", count):
        raise UsageError(f"{name}: {count!r} is no number of pictures", f"give one behind the colon: {plain}:50000")
    return replace(SETS[plain], count=int(count))
