"""Example photographs and style pictures, drawn by code: nothing to download, the same bytes every time."""

from __future__ import annotations

from PIL import Image

from gencli.core.drawn.contents import CONTENTS
from gencli.core.drawn.styles import STYLES
from gencli.core.errors import UsageError

PICTURES = {**CONTENTS, **STYLES}


def names() -> tuple[str, ...]:
    """All pictures that `draw` knows, contents first."""
    return tuple(PICTURES)


def describe(name: str) -> str:
    """One line on what the picture shows."""
    _check(name)
    return (PICTURES[name].__doc__ or "").strip().splitlines()[0].rstrip(".")


def draw(name: str, size: int = 512) -> Image.Image:
    """Draw the picture of that name: RGB, its longest side exactly `size` pixels."""
    _check(name)
    if size < 1:
        raise UsageError(f"cannot draw {name} at {size} pixels", "ask for a size of at least 1")
    return PICTURES[name](size)


def _check(name: str) -> None:
    if name not in PICTURES:
        raise UsageError(f"there is no drawn picture called {name!r}", f"there are: {', '.join(names())}")


__all__ = ["CONTENTS", "PICTURES", "STYLES", "describe", "draw", "names"]
