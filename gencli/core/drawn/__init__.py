"""Example photographs and style pictures, drawn by code: nothing to download, the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from PIL import Image

from gencli.core.drawn.contents import CONTENTS
from gencli.core.drawn.paintings import PREFIX, painting
from gencli.core.drawn.styles import STYLES
from gencli.core.errors import UsageError

PICTURES = {**CONTENTS, **STYLES}


def names() -> tuple[str, ...]:
    """All pictures that `draw` knows, contents first."""
    return tuple(PICTURES)


def knows(name: str) -> bool:
    """Whether there is a picture of that name."""
    return name in PICTURES or re.fullmatch(rf"{PREFIX}[1-9]\d{{0,8}}", name) is not None


def describe(name: str) -> str:
    """One line on what the picture shows."""
    return (_drawer(name).__doc__ or "").strip().splitlines()[0].rstrip(".")


def draw(name: str, size: int = 512) -> Image.Image:
    """Draw the picture of that name: RGB, its longest side exactly `size` pixels."""
    drawer = _drawer(name)
    if size < 1:
        raise UsageError(f"cannot draw {name} at {size} pixels", "ask for a size of at least 1")
    return drawer(size)


def _drawer(name: str) -> Callable[[int], Image.Image]:
    number = name.removeprefix(PREFIX)
    if name != number and re.fullmatch(r"[1-9]\d{0,8}", number):
        return partial(painting, int(number))
    if name not in PICTURES:
        there = ", ".join(f"@{one}" for one in names())
        raise UsageError(f"there is no example picture @{name}", f"there are {there}, and @{PREFIX}1 and so on")
    return PICTURES[name]


__all__ = ["CONTENTS", "PICTURES", "STYLES", "describe", "draw", "knows", "names"]
