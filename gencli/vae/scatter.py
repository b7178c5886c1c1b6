"""The latent plane as one picture: what is decoded at each of its places, and where held-out pictures lie.

Pictures and dots are laid out here, to the pixel. matplotlib, where it is installed, writes axes and a legend around
them; without it they stand alone, on white.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gencli.core.drawn.paint import Field, blur, ramp, rgb
from gencli.core.errors import UsageError
from gencli.vae.page import COLOURS, Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Pixels = npt.NDArray[np.uint8]

SIDE = 1400  # pixels of the dots' square, and of the decoded pictures together, at least: 12 cm of print
POINTS = 10_000  # drawn at most: more only cover one another
BINS = 160  # in which crowds are counted, to a side
MARGIN = 0.04  # of the square's side, free of dots
OPACITY = 0.8  # so that dots that cover one another show it
SPARSE_TO_DENSE = "#9cc4ea", "#3f90da", "#2c52b0", "#2d1e87"  # for dots without classes

PALETTE = (
    *COLOURS,
    *("#0f3c4b", "#2d1e87", "#e1a5ff", "#69e178", "#5a5ae1", "#782d00", "#4b692d", "#4b4b78", "#b478ff", "#3ca578"),
    *("#0fc3d2", "#5a0069", "#78003c", "#874b5a", "#ff87c3", "#0078a5", "#5a9600", "#4b2d1e", "#e1b4a5", "#f06978"),
    *("#960069", "#965ac3", "#5a2d96", "#ff874b", "#c369c3", "#0096a5", "#5a4b3c", "#d23c87", "#a596e1", "#a5874b"),
)  # those of the page, and 30 as far from them and from each other as they can be, in OKLab, also to the colour-blind
CORNERS: tuple[tuple[tuple[float, float], ...], ...] = (
    (),
    ((0, -1.3), (1.2, 0.8), (-1.2, 0.8)),
    ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    ((0, -1.4), (1.1, 0), (0, 1.4), (-1.1, 0)),
)  # the page's shapes in radii, clockwise: a disc, a triangle, a square, a diamond

DPI = 64  # a power of two: inches of whole pixels are exact
INK, QUIET, LINE = "#1d1c1a", "#6d6963", "#dedad3"  # as on the page
LONGEST = 20  # letters of a class in the legend
COLUMN = 20  # classes below one another

log = logging.getLogger("gencli")


@dataclass(frozen=True)
class Window:
    """A square of the plane: `span` wide and high, from its lower left corner (`left`, `bottom`)."""

    left: float
    bottom: float
    span: float

    def pixels(self, places: Field, side: int) -> Field:
        """Where coordinates (P, 2) are in a picture of `side` pixels: (P, 2), right of and below its corner."""
        right, up = ((places - [self.left, self.bottom]) * (side / self.span)).T
        return np.stack([right, side - up], 1)


@dataclass(frozen=True, eq=False)
class Dots:
    """What is drawn of a plane's points, in the order of drawing."""

    places: Field
    """(N, 2) coordinates, all inside the window."""
    labels: npt.NDArray[np.integer[Any]] | None
    """(N,) classes, if there are any."""
    colours: Field
    """(N, 3) sRGB in [0, 1]."""
    shapes: npt.NDArray[np.intp]
    """(N,) indices into `CORNERS`."""
    window: Window
    outside: int
    """How many points lie so far out that the window leaves them out."""

    @property
    def classes(self) -> list[int]:
        """The classes there are among the dots, rising; none without labels."""
        return [] if self.labels is None else np.unique(self.labels).tolist()

    @property
    def radius(self) -> float:
        """In sides of the window: the more dots, the smaller."""
        return float(np.clip(0.2 / np.sqrt(max(1, len(self.places))), 0.0022, 0.0075))


@dataclass(frozen=True, eq=False)
class Sheet:
    """A picture with room left for what is put into it: boxes are (left, top, width, height) in pixels."""

    pixels: Pixels
    """(H, W, 3)"""
    manifold: tuple[int, int, int, int]
    dots: tuple[int, int, int, int]
    swatches: Sequence[tuple[float, float]] = ()
    """(x, y) of the legend's dots, one a class."""
    swatch: float = 0
    """Their radius in pixels."""

    def put(self, box: tuple[int, int, int, int]) -> Pixels:
        """The pixels of a box, to be written to."""
        left, top, width, height = box
        return self.pixels[top : top + height, left : left + width]


def picture(plane: Plane, title: str, note: str = "", *, manifold: bool = True) -> Image.Image:
    """The points of a plane as dots in the colours of their classes, or of their density where there are no classes;
    left of them, if `manifold`, the decoded pictures at the same height. RGB, at least `SIDE` pixels high.

    Small pictures are enlarged by a whole factor, and so stay sharp. Title, note, axes and legend are
    there if matplotlib is. The same plane gives the same pixels.

    Raises UsageError for a plane without points.
    """
    found = dots(plane)
    cells = enlarged(plane.pictures) if manifold else np.zeros((SIDE, 0, 3), np.uint8)
    try:
        sheet = _framed(plane, found, (title, note), cells.shape[:2])
    except ImportError:
        log.info("matplotlib is not installed: the picture has no axes (pip install 'gencli[plot]')")
        sheet = _plain(cells.shape[:2])
    sheet.put(sheet.manifold)[...] = cells
    into = sheet.put(sheet.dots)
    side = len(into)
    stamp(into, found.window.pixels(found.places, side), found.colours, found.shapes, found.radius * side, OPACITY)
    if sheet.swatches:
        colours, shapes = _look(np.array(found.classes))
        stamp(sheet.pixels, np.array(sheet.swatches), colours, shapes, sheet.swatch, 1)
        into[...] = _lettered(into, plane, found)
    return Image.fromarray(sheet.pixels)


# ------------------------------------------------------------------ the manifold


def enlarged(pictures: Pixels) -> Pixels:
    """Pictures (R, C, H, W, 1 or 3) side by side, (R·H·k, C·W·k, 3): the smallest whole k that makes `SIDE` pixels."""
    rows, columns, height, width, channels = pictures.shape
    whole = pictures.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    factor = max(1, -(-SIDE // len(whole)))
    return np.broadcast_to(whole.repeat(factor, 0).repeat(factor, 1), (len(whole) * factor, factor * whole.shape[1], 3))


# ------------------------------------------------------------------ the dots


def dots(plane: Plane) -> Dots:
    """What to draw of a plane's points: at most `POINTS`, in random order, so that no class covers the others.

    A second axis without a name, of a latent space that has one, is only there to spread them.

    Raises UsageError for a plane without points.
    """
    if plane.points is None or not len(plane.points):
        raise UsageError("there are no pictures to show the places of", "name pictures with --data")
    luck = np.random.default_rng(0)
    places = plane.points.astype(np.float64)
    if not plane.axes[1]:
        places[:, 1] = luck.uniform(-1, 1, len(places)) * places[:, 0].std()
    window, low, high = _window(places)
    inside = np.flatnonzero(((places >= low) & (places <= high)).all(1))
    chosen = luck.permutation(inside)[:POINTS]
    labels = None if plane.labels is None else plane.labels[chosen]
    if labels is None:
        colours, shapes = _density(places[inside], places[chosen], window), np.zeros(len(chosen), np.intp)
    else:
        colours, shapes = _look(labels)
    return Dots(places[chosen], labels, colours, shapes, window, len(places) - len(inside))


def _look(labels: npt.NDArray[np.integer[Any]]) -> tuple[Field, npt.NDArray[np.intp]]:
    """The colours (N, 3) and shapes (N,) of classes (N,)."""
    return np.stack([rgb(colour) for colour in PALETTE])[labels], labels.astype(np.intp) // len(COLOURS)


def _window(places: Field) -> tuple[Window, Field, Field]:
    """A window around points (P, 2), and the lowest and the highest coordinates shown in it, (2,) each.

    A few points far out would leave no room for the others: nothing is shown that is further from the
    middle 98 % than these are wide.
    """
    first, last = np.quantile(places, (0.01, 0.99), axis=0)
    kept = places[((places >= 2 * first - last) & (places <= 2 * last - first)).all(1)]
    low, high = kept.min(0), kept.max(0)
    span = float((high - low).max()) / (1 - 2 * MARGIN) or 1.0
    left, bottom = ((low + high - span) / 2).tolist()
    return Window(left, bottom, span), low, high


def _density(points: Field, places: Field, window: Window) -> Field:
    """Colours (N, 3) at places (N, 2) by how many of the points (P, 2) lie around."""
    right, down = window.pixels(places, BINS).astype(np.intp).clip(0, BINS - 1).T
    around = _crowd(points, window)[down, right]
    return ramp(np.sqrt(around / around.max()), *SPARSE_TO_DENSE)


def _crowd(points: Field, window: Window) -> Field:
    """How many of the points (P, 2) there are around each place of a window, (BINS, BINS)."""
    right, down = window.pixels(points, BINS).astype(np.intp).clip(0, BINS - 1).T
    counts = np.bincount(down * BINS + right, minlength=BINS * BINS)
    return blur(counts.reshape(BINS, BINS).astype(np.float32), 2.5)


def stamp(
    pixels: Pixels, at: Field, colours: Field, shapes: npt.NDArray[np.intp], radius: float, opacity: float
) -> None:
    """Draw antialiased marks into a picture (H, W, 3), one after another: `at` (N, 2) pixels right and down, of colours
    (N, 3) and shapes (N,), and of about the area of a disc of `radius` pixels. What lies beyond the edges is cut."""
    reach = int(1.5 * radius) + 2
    first = np.floor(at).astype(np.intp) - reach
    offsets = np.arange(2 * reach + 1) + 0.5
    for number in range(len(at)):
        left, top = first[number]
        x, y = left + offsets - at[number, 0], top + offsets - at[number, 1]
        cover = opacity * np.clip(_inside(shapes[number], x / radius, y[:, None] / radius) * radius + 0.5, 0, 1)
        cut = slice(max(0, -top), None), slice(max(0, -left), None)
        under = pixels[max(0, top) : max(0, top + len(y)), max(0, left) : max(0, left + len(x))]
        cover = cover[cut][: under.shape[0], : under.shape[1], None]
        under[...] = under + cover * (255 * colours[number] - under) + 0.5


def _inside(shape: int, x: Field, y: Field) -> Field:
    """How far inside a shape places (W,), (H, 1) are, (H, W), in its radii; negative outside."""
    corners = CORNERS[shape]
    if not corners:
        return np.asarray(1 - np.hypot(x, y))
    sides = []
    for (left, top), (right, bottom) in zip(corners, (*corners[1:], corners[0]), strict=True):
        across, down = right - left, bottom - top
        sides.append((across * (y - top) - down * (x - left)) / np.hypot(across, down))
    return np.asarray(np.minimum.reduce(np.broadcast_arrays(*sides)))


# ------------------------------------------------------------------ what stands around them


def _plain(manifold: tuple[int, int]) -> Sheet:
    """White, with a gap between the decoded pictures of that height and width, if there are any, and the dots."""
    side, width = manifold
    start = width + side // 30 if width else 0
    return Sheet(np.full((side, start + side, 3), 255, np.uint8), (0, 0, width, side), (start, 0, side, side))


def _framed(plane: Plane, found: Dots, words: tuple[str, str], manifold: tuple[int, int]) -> Sheet:
    """Axes, title, note and legend by matplotlib. Raises ImportError where there is none."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    side, width = manifold
    em = side / 56
    figure = Figure(dpi=DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    names = [_short(plane.classes[number]) for number in found.classes]
    columns = -(-len(names) // COLUMN)
    measured = [canvas.get_renderer().get_text_width_height_descent(name, _font(em), False)[0] for name in names]
    column = max(measured, default=0) + 3.5 * em
    top, bottom, axis, edge = (round(part * em) for part in (6, 5, 6, 2))
    pictures = (axis, top, width, side)
    square = (axis + (width + axis + edge if width else 0), top, side, side)
    legend = square[0] + side + 2.5 * em
    size = round(legend + columns * column) if names else square[0] + side + edge, top + side + bottom
    figure.set_size_inches(size[0] / DPI, size[1] / DPI)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / size[0], 1 - y / size[1], text, parse_math=False, **style)

    write(axis, 2.6 * em, words[0], font=_font(1.5 * em), color=INK, va="baseline")
    write(axis, 4.5 * em, words[1], font=_font(em), color=QUIET, va="baseline")
    if found.outside:
        far = f"{found.outside:,} further out"
        write(square[0] + side, top - 0.7 * em, far, font=_font(0.85 * em), color=QUIET, va="baseline", ha="right")
    if width:
        _manifold_axes(_axes(figure, pictures, size, em), plane, em)
    _dot_axes(_axes(figure, square, size, em), plane, found.window, em, framed=width > 0)
    swatches = []
    for place, name in enumerate(names):
        x, y = legend + place // COLUMN * column, top + (place % COLUMN + 0.5) * 1.8 * em
        swatches.append((x, y))
        write(x + 1.1 * em, y, name, font=_font(em), color=INK, va="center_baseline")
    canvas.draw()
    return Sheet(np.asarray(canvas.buffer_rgba())[..., :3].copy(), pictures, square, swatches, 0.42 * em)


def _font(pixels: float) -> Any:
    from matplotlib.font_manager import FontProperties

    return FontProperties(family="DejaVu Sans", size=pixels * 72 / DPI)  # it comes with matplotlib


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1].rstrip() + "…"


def _axes(figure: Figure, box: tuple[int, int, int, int], size: tuple[int, int], em: float) -> Axes:
    """Empty axes around a box of the figure, which is of that size in pixels."""
    left, top, width, height = box
    axes = figure.add_axes((left / size[0], 1 - (top + height) / size[1], width / size[0], height / size[1]))
    axes.set_facecolor("white")
    axes.tick_params(
        length=0.5 * em, width=em / 15, pad=0.4 * em, color=QUIET, labelcolor=QUIET, labelfontfamily="DejaVu Sans"
    )
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=em / 15)
    return axes


def _manifold_axes(axes: Axes, plane: Plane, em: float) -> None:
    """Some of the columns and rows get their coordinates, evenly, and the same to both sides of the middle."""
    for direction, stops in ((axes.xaxis, plane.columns), (axes.yaxis, plane.rows[::-1])):
        count = len(stops)
        some = np.unique(np.linspace(0, count - 1, min(count, 7 if count % 2 else 6)).round().astype(np.intp))
        digits = 2 if np.abs(stops).max() < 10 else 1
        direction.set_ticks(some + 0.5, [f"{stops[k]:.{digits}f}".replace("-", "\N{MINUS SIGN}") for k in some])
    axes.set(xlim=(0, len(plane.columns)), ylim=(0, len(plane.rows)))
    _named(axes, plane.axes, em)


def _dot_axes(axes: Axes, plane: Plane, window: Window, em: float, framed: bool) -> None:
    """Ticks where numbers are round. Decoded pictures beside the dots have their part of the plane framed, if all of
    it is in the window."""
    axes.set(xlim=(window.left, window.left + window.span), ylim=(window.bottom, window.bottom + window.span))
    left, right, bottom, top = plane.columns[0], plane.columns[-1], plane.rows[-1], plane.rows[0]
    view = axes.viewLim
    if framed and view.contains(left, bottom) and view.contains(right, top):
        corners = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        axes.plot(*corners, color=QUIET, linewidth=em / 18, dashes=(4, 6), marker="")
    _named(axes, plane.axes, em)


def _named(axes: Axes, names: tuple[str, str], em: float) -> None:
    axes.set_xlabel(names[0], font=_font(em), color=INK, labelpad=0.6 * em, parse_math=False)
    axes.set_ylabel(names[1], font=_font(em), color=INK, labelpad=0.6 * em, parse_math=False)
    axes.tick_params(labelsize=0.85 * em * 72 / DPI)
    if not names[1]:
        axes.set_yticks([])


def _lettered(pixels: Pixels, plane: Plane, found: Dots) -> Pixels:
    """Dots (S, S, 3) with the name of each class over the place where most of it are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke

    side = len(pixels)
    figure = Figure((side / DPI, side / DPI), dpi=DPI, facecolor="none")
    for number in found.classes:
        crowd = _crowd(found.places[found.labels == number], found.window)
        down, right = np.unravel_index(int(crowd.argmax()), crowd.shape)
        figure.text(
            (right + 0.5) / BINS,
            1 - (down + 0.5) / BINS,
            _short(plane.classes[number]),
            font=_font(side / 40),
            color=INK,
            ha="center",
            va="center",
            parse_math=False,
            path_effects=[withStroke(linewidth=side / 200, foreground="white")],
        )
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    over = np.asarray(canvas.buffer_rgba()).astype(np.float32)
    return np.asarray(pixels + over[..., 3:] / 255 * (over[..., :3] - pixels) + 0.5).astype(np.uint8)
