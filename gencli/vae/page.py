"""The latent plane as one web page: the pointer moves over the plane, and the decoded picture follows.

Everything is in the page: the pictures as one sheet in a data URL, the points, the style and the script of
`page.html`. It needs no server and asks for nothing, which its content security policy also forbids it.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gencli.core.errors import UsageError

LIMIT = 3_000_000  # bytes of a page
POINTS = 20_000  # shown at most: more only cover one another
TEMPLATE = Path(__file__).with_name("page.html")

BLOCK = 16  # pixels that WebP codes together: pictures that begin at such blocks do not run into their neighbours
LARGEST = 8192  # pixels of a sheet's side that browsers everywhere take
LOSSLESS = 101
ENCODINGS = (
    *((1.0, quality) for quality in (LOSSLESS, 96, 93, 90, 86, 82, 78, 72, 65, 56)),
    *((scale, quality) for scale in (0.75, 0.5, 0.375, 0.25) for quality in (78, 60)),
)  # (scale, WebP quality) from the best down, so that what they take falls

COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)  # told apart by the colour-blind too: Petroff 2021, arXiv:2107.02270
SHAPES = (
    "M1 0A1 1 0 1 1-1 0A1 1 0 1 1 1 0Z",
    "M0-1.3L1.2.8H-1.2Z",
    "M-.9-.9H.9V.9H-.9Z",
    "M0-1.4L1.1 0L0 1.4L-1.1 0Z",
)  # SVG paths of about the same area: a disc, a triangle, a square, a diamond
CLASSES = len(COLOURS) * len(SHAPES)


@dataclass(frozen=True, eq=False)
class Plane:
    """Pictures decoded over a plane of the latent space, and where held-out pictures lie in it.

    `columns` and `rows` may be spaced evenly, by the quantiles of the prior, or in any other way: pictures
    get equal room on the page, and ticks and points go where they belong between them.

    Raises UsageError for shapes that do not fit each other.
    """

    pictures: npt.NDArray[np.uint8]
    """(R, C, H, W, 1) grey or (R, C, H, W, 3) sRGB, row 0 at the top."""
    columns: npt.NDArray[np.floating]
    """(C,) the first latent coordinate of each column, rising."""
    rows: npt.NDArray[np.floating]
    """(R,) the second latent coordinate of each row, falling."""
    axes: tuple[str, str] = ("latent 1", "latent 2")
    """What the two coordinates are called."""
    points: npt.NDArray[np.floating] | None = None
    """(P, 2) held-out pictures encoded. Of more than `POINTS`, the page shows that many, evenly chosen."""
    labels: npt.NDArray[np.integer] | None = None
    """(P,) the class of each point, in [0, len(classes))."""
    classes: tuple[str, ...] = ()
    """The names of at most `CLASSES` classes; none, if points are all of a kind."""

    def __post_init__(self) -> None:
        shape = self.pictures.shape
        if len(shape) != 5 or shape[-1] not in {1, 3} or min(shape) < 1 or self.pictures.dtype != np.uint8:
            raise UsageError(
                f"the pictures are {self.pictures.dtype} of shape {shape}",
                "they must be uint8 of shape (rows, columns, height, width, 1 or 3)",
            )
        _check_stops("columns", self.columns, shape[1], rising=True)
        _check_stops("rows", self.rows, shape[0], rising=False)
        if len(self.classes) > CLASSES:
            raise UsageError(
                f"{len(self.classes)} classes are more than the {CLASSES} that can be told apart",
                "join some of them, or show the points without classes",
            )
        self._check_points()

    def _check_points(self) -> None:
        """Points are pairs of numbers, and each has a class if there are classes."""
        if self.points is None:
            if self.labels is not None:
                raise UsageError("there are labels, but no points", "give both, or neither")
            return
        if self.points.ndim != 2 or self.points.shape[1] != 2 or not np.isfinite(self.points).all():
            raise UsageError(
                f"the points are of shape {self.points.shape}", "they must be finite numbers of shape (points, 2)"
            )
        if (self.labels is None) != (not self.classes):
            raise UsageError("points have classes, but no labels, or the other way round", "give both, or neither")
        if self.labels is not None:
            if self.labels.shape != (len(self.points),) or self.labels.dtype.kind not in "iu":
                raise UsageError(
                    f"the labels are {self.labels.dtype} of shape {self.labels.shape}",
                    f"they must be integers, one for each of the {len(self.points)} points",
                )
            if len(self.labels) and not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
                raise UsageError(
                    f"labels go from {self.labels.min()} to {self.labels.max()}",
                    f"they must be in 0 … {len(self.classes) - 1}, as there are {len(self.classes)} classes",
                )


def _check_stops(name: str, stops: npt.NDArray[np.floating], count: int, rising: bool) -> None:
    """One coordinate for each column or row, at least two, and all in order."""
    if count < 2 or stops.shape != (count,):
        raise UsageError(
            f"there are {count} {name} of pictures, and coordinates of shape {stops.shape}",
            f"a plane has at least two {name}, with one coordinate each",
        )
    steps = np.diff(stops) if rising else -np.diff(stops)
    if not (np.isfinite(stops).all() and (steps > 0).all()):
        raise UsageError(
            f"the coordinates of the {name} are not in order",
            "columns rise from left to right, rows fall from top to bottom",
        )


@dataclass(frozen=True)
class Sheet:
    """All pictures in one: a WebP file, in which each stands in a cell of its own."""

    file: bytes
    size: tuple[int, int]
    """(width, height) of a picture in the sheet, in pixels."""
    cell: tuple[int, int]
    """(width, height) of a cell."""
    offset: tuple[int, int]
    """(x, y) of a picture inside its cell."""


def sheet(pictures: npt.NDArray[np.uint8], budget: int) -> Sheet:
    """Put pictures (R, C, H, W, 1 or 3) into one, as well as a budget of bytes allows.

    Without loss if that fits, else at the best quality that does, else smaller.

    Raises UsageError for more pictures than fit at a quarter of their size.
    """
    first = 0 if pictures.nbytes <= budget else _likely(pictures, budget)
    for scale, quality in ENCODINGS[first:]:
        found = _encode(pictures, scale, quality)
        if found is not None and len(found.file) <= budget:
            return found
    rows, columns = pictures.shape[:2]
    raise UsageError(f"{rows} × {columns} pictures do not fit into one page", "show fewer of them, or smaller ones")


def _likely(pictures: npt.NDArray[np.uint8], budget: int) -> int:
    """The best of the encodings that seems to fit, from what a ninth of the pictures take."""
    some = pictures[::3, ::3]
    allowed = budget * some.size / pictures.size

    def fits(index: int) -> bool:
        found = _encode(some, *ENCODINGS[index])
        return found is not None and len(found.file) <= allowed

    return bisect_left(range(len(ENCODINGS)), True, key=fits)


def _encode(pictures: npt.NDArray[np.uint8], scale: float, quality: int) -> Sheet | None:
    """The sheet at a scale and a quality; None if its sides are too long."""
    lossless = quality == LOSSLESS
    tiles = _scaled(pictures, scale)
    rows, columns, height, width, channels = tiles.shape
    spare_y, spare_x = (0, 0) if lossless else (-height % BLOCK, -width % BLOCK)
    cell = width + spare_x, height + spare_y
    if max(columns * cell[0], rows * cell[1]) > LARGEST:
        return None
    margins = [(0, 0), (0, 0), *((spare // 2, spare - spare // 2) for spare in (spare_y, spare_x)), (0, 0)]
    tiles = np.pad(tiles, margins, mode="edge").swapaxes(1, 2)
    pixels = tiles.reshape(rows * cell[1], columns * cell[0], channels)
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=lossless, quality=20 if lossless else quality, method=3 if lossless else 2)
    return Sheet(file.getvalue(), (width, height), cell, (spare_x // 2, spare_y // 2))


def _scaled(pictures: npt.NDArray[np.uint8], scale: float) -> npt.NDArray[np.uint8]:
    """Pictures (R, C, H, W, K) reduced, each on its own."""
    if scale == 1:
        return pictures
    rows, columns, height, width, channels = pictures.shape
    size = max(1, round(width * scale)), max(1, round(height * scale))
    tiles = pictures.reshape(rows * columns, height, width, channels)
    reduced = [
        np.asarray(Image.fromarray(tile if channels == 3 else tile[..., 0]).resize(size, Image.Resampling.BOX))
        for tile in tiles
    ]
    return np.stack(reduced).reshape(rows, columns, size[1], size[0], channels)


def page(plane: Plane, title: str, note: str = "") -> str:
    """The page that shows a plane: HTML of at most `LIMIT` bytes in UTF-8, complete in itself.

    `title` and `note` are plain text, as are the names of classes and axes: nothing in them is markup.

    Raises UsageError for more pictures than fit into it.
    """
    points, labels = _thinned(plane)
    data = {
        "columns": plane.columns.tolist(),
        "rows": plane.rows.tolist(),
        "axes": plane.axes,
        "points": None if points is None else _rounded(points.ravel()),
        "labels": None if labels is None else labels.tolist(),
        "classes": plane.classes,
        "colours": COLOURS,
        "shapes": SHAPES,
        "ground": _ground(plane.pictures),
    }
    parts = {"title": html.escape(title), "note": html.escape(note), "data": _json(data), "pictures": "", "layout": ""}
    spent = len(_filled(parts).encode()) + 200  # for the layout of the sheet
    pictures = sheet(plane.pictures, max(0, LIMIT - spent) * 3 // 4 - 3)  # base64 takes four bytes for three
    parts["pictures"] = base64.b64encode(pictures.file).decode()
    parts["layout"] = _json({"size": pictures.size, "cell": pictures.cell, "offset": pictures.offset})
    return _filled(parts)


def _ground(pictures: npt.NDArray[np.uint8]) -> str | None:
    """What the points are shown on: "night" with dark pictures, "day" with light ones, else what the reader has."""
    tone = float(pictures.mean()) / 255
    return "night" if tone < 1 / 3 else "day" if tone > 2 / 3 else None


def _filled(parts: dict[str, str]) -> str:
    """The template with its parts, put in at one go: what a part contains is not looked at again."""
    return re.sub(r"\{\{(\w+)\}\}", lambda hole: parts[hole[1]], TEMPLATE.read_text(encoding="utf-8"))


def _thinned(plane: Plane) -> tuple[npt.NDArray[np.floating] | None, npt.NDArray[np.integer] | None]:
    """At most `POINTS` of the points, with their labels."""
    if plane.points is None:
        return None, None
    chosen = slice(None, None, max(1, -(-len(plane.points) // POINTS)))
    return plane.points[chosen], None if plane.labels is None else plane.labels[chosen]


def _rounded(numbers: npt.NDArray[np.floating]) -> Sequence[float]:
    """As many digits as a screen shows, and then some."""
    return [float(f"{number:.5g}") for number in numbers.tolist()]


def _json(value: object) -> str:
    """JSON that is safe between <script> tags."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
