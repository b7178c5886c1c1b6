"""Contact sheets: pictures in rows, with what they are written below them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

GAP = 12  # pixels around pictures
LETTERS = 13  # pixels high
LINE = 17  # from one line to the next
INK, PAPER = "#202020", "white"


def sheet(pictures: Sequence[Image.Image], labels: Sequence[str], columns: int | None = None) -> Image.Image:
    """Pictures of one size, RGB or RGBA, each with its label below it; as square as it may be without `columns`.

    Labels are broken at spaces where they are too long for their picture.
    """
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    font = ImageFont.load_default(LETTERS)
    broken = [_broken(label, width, font) for label in labels]
    below = LINE * max(len(lines) for lines in broken)
    made = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + below + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(made)
    for number, (picture, lines) in enumerate(zip(pictures, broken, strict=True)):
        left = GAP + number % columns * (width + GAP)
        top = GAP + number // columns * (height + below + GAP)
        made.paste(picture, (left, top), picture if picture.mode == "RGBA" else None)
        for line, text in enumerate(lines):
            pen.text((left, top + height + 2 + line * LINE), text, INK, font)
    return made


def _broken(label: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """A label in lines of at most `width` pixels, but for words that are longer."""
    lines: list[str] = []
    for word in label.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
