"""The drawing tools the pictures share: a canvas in unit coordinates, noise, curves, brushes, relief.

Everything is placed in units of the picture's longest side (x to the right, y down), and every
random number comes from a seed that does not know the size, so a picture keeps its composition
at any size. Colours are sRGB in [0, 1], written as "#rrggbb" in the recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Field: TypeAlias = npt.NDArray[np.floating[Any]]
Colour: TypeAlias = "str | Field"
Mask: TypeAlias = npt.NDArray[np.bool_]
Point: TypeAlias = "tuple[float, float] | Field"
Flow: TypeAlias = Callable[[Field, Field], tuple[Field, Field]]  # the direction at each point

BLOCK = 1 << 15  # points of noise worked on at a time: they stay in the processor's cache
DENSE = 1.25  # points of a brush stroke a pixel: enough that it has no holes
SMALLEST = 192  # pixels of the longest side: smaller pictures are drawn at this size and reduced


def rgb(colour: Colour) -> Field:
    """Colour as an array: "#rrggbb" → (3,) float32; arrays pass."""
    if isinstance(colour, str):
        return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)], np.float32)
    return colour


def ramp(t: Field, *colours: Colour) -> Field:
    """Colours along an even gradient: (…) in [0, 1] → (…, 3)."""
    table = np.stack([rgb(c) for c in colours])
    at = np.clip(t, 0, 1) * (len(table) - 1)
    low = np.minimum(at.astype(np.intp), len(table) - 2)
    part = (at - low)[..., None].astype(np.float32)
    return np.asarray(table[low] * (1 - part) + table[low + 1] * part)


def jitter(colours: Field, rng: np.random.Generator, tone: float, hue: float) -> Field:
    """Vary colours (N, 3): all channels together by `tone`, each on its own by `hue`."""
    n = len(colours)
    return np.asarray(colours * (1 + tone * rng.standard_normal((n, 1))) + hue * rng.standard_normal((n, 3)))


def smoothstep(low: float, high: float, t: Field) -> Field:
    """0 below `low`, 1 above `high` (or the other way round), a smooth S between."""
    u = np.clip((t - low) / (high - low), 0, 1)
    return np.asarray(u * u * (3 - 2 * u))


def noise(x: Field, y: Field, seed: int) -> Field:
    """Gradient noise (Perlin 1985) of lattice width 1, about [-1, 1], at points of any one shape."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, 1 << 14).astype(np.float32)
    slopes = np.cos(angle) * 1.5, np.sin(angle) * 1.5
    x, y = np.broadcast_arrays(x, y)
    across, down = x.ravel(), y.ravel()
    result = np.empty(across.shape, np.float32)
    for first in range(0, len(result), BLOCK):
        some = slice(first, first + BLOCK)
        result[some] = _noise(across[some], down[some], *slopes)
    return result.reshape(x.shape)


def _noise(x: Field, y: Field, slope_x: Field, slope_y: Field) -> Field:
    left, top = np.floor(x), np.floor(y)
    u, v = (x - left).astype(np.float32), (y - top).astype(np.float32)
    i, j = left.astype(np.int32), top.astype(np.int32)
    columns, rows = (i & 127, (i + 1) & 127), ((j & 127) << 7, ((j + 1) & 127) << 7)

    def corner(right: int, below: int) -> Field:
        at = rows[below] | columns[right]
        return np.asarray(slope_x.take(at) * (u - right) + slope_y.take(at) * (v - below))

    ease_u, ease_v = (w * w * w * (w * (w * 6 - 15) + 10) for w in (u, v))
    upper, lower = (corner(0, k) * (1 - ease_u) + corner(1, k) * ease_u for k in (0, 1))
    return np.asarray(upper * (1 - ease_v) + lower * ease_v)


def fbm(x: Field, y: Field, seed: int, octaves: int = 5, *, gain: float = 0.5, ridged: bool = False) -> Field:
    """Fractal sum of noise, each octave twice as fine, about [-1, 1]; ridged: sharp crests, [0, 1]."""
    total = np.zeros(np.broadcast(x, y).shape, np.float32)
    weight, reach = 1.0, 0.0
    for octave in range(octaves):
        layer = noise(x * 2.0**octave + 7.3 * octave, y * 2.0**octave - 3.1 * octave, seed + octave)
        total += weight * ((1 - np.abs(layer)) ** 2 if ridged else layer)
        reach += weight
        weight *= gain
    return total / reach


def blur(field: Field, radius: float) -> Field:
    """Gaussian blur of (H, W) or (H, W, 3) with a standard deviation of `radius` pixels, edges repeated."""
    if field.ndim == 3:
        return np.stack([blur(field[..., k], radius) for k in range(field.shape[-1])], -1)
    height, width = field.shape
    if radius > 5 and min(height, width) > 4 * radius:  # a wide blur loses nothing on a coarser grid
        coarse = resize(field, width / radius * 2.5, height / radius * 2.5, Image.Resampling.BOX)
        return resize(blur(coarse, 2.5), width, height, Image.Resampling.BICUBIC)
    taps = np.arange(-int(3 * radius) - 1, int(3 * radius) + 2)
    weights = np.exp(-0.5 * (taps / max(radius, 1e-3)) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        wide = np.pad(field, [(-taps[0], taps[-1]) if k == axis else (0, 0) for k in (0, 1)], mode="edge")
        wide = np.moveaxis(wide.astype(np.float32), axis, 0)
        pile = sum(float(w) * wide[k : k + field.shape[axis]] for k, w in enumerate(weights))
        field = np.moveaxis(np.asarray(pile), 0, axis)
    return field


def resize(field: Field, width: float, height: float, how: Image.Resampling) -> Field:
    """A field (H, W) on another grid."""
    image = Image.fromarray(np.ascontiguousarray(field, np.float32))
    return np.asarray(image.resize((max(1, round(width)), max(1, round(height))), how))


def spline(points: Sequence[tuple[float, float]], steps: int = 12, closed: bool = False) -> Field:
    """Smooth curve (Catmull-Rom) through the points: (N, 2)."""
    p = np.asarray(points, np.float64)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[k : len(p) - 3 + k, None] for k in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return np.concatenate([curve.reshape(-1, 2), p[-2:-1]])


class Layer:
    """Shapes drawn flat, one over another, three times finer than the canvas they will cover."""

    FINER = 3

    def __init__(self, canvas: Canvas) -> None:
        self.shape = canvas.shape
        self.unit = canvas.unit * self.FINER
        self.image = Image.new("RGBA", (self.shape[1] * self.FINER, self.shape[0] * self.FINER))
        self.pen = ImageDraw.Draw(self.image)

    def polygon(self, points: Sequence[Any] | Field, colour: Colour, opacity: float = 1.0) -> None:
        """Fill the outline (N, 2)."""
        outline = np.asarray(points, np.float64) * self.unit
        self.pen.polygon([(float(x), float(y)) for x, y in outline], fill=ink(colour, opacity))

    def line(self, points: Sequence[Any] | Field, width: float, colour: Colour, opacity: float = 1.0) -> None:
        """Draw a line of the given width along the points (N, 2)."""
        path = np.asarray(points, np.float64) * self.unit
        self.pen.line(
            [(float(x), float(y)) for x, y in path],
            fill=ink(colour, opacity),
            width=max(1, round(width * self.unit)),
            joint="curve",
        )

    def ellipse(self, at: Point, reach: float | Point, colour: Colour, opacity: float = 1.0) -> None:
        """Fill a circle of radius `reach`, or an upright ellipse with the two half axes."""
        (x, y), (across, down) = at, (reach, reach) if isinstance(reach, (int, float)) else reach
        box = [float(v) * self.unit for v in (x - across, y - down, x + across, y + down)]
        self.pen.ellipse(box, fill=ink(colour, opacity))

    def read(self) -> tuple[Field, Field]:
        """Colour (H, W, 3) and opacity (H, W) at the canvas' own fineness."""
        pixels = np.asarray(self.image.reduce(self.FINER), np.float32) / 255
        return pixels[..., :3], pixels[..., 3]


def ink(colour: Colour, opacity: float) -> tuple[int, int, int, int]:
    """A colour as Pillow wants it."""
    r, g, b = (int(v) for v in np.clip(rgb(colour) * 255 + 0.5, 0, 255))
    return r, g, b, int(255 * opacity + 0.5)


class Canvas:
    """A picture being painted: `pixels` (H, W, 3) and the paint's relief `height` (H, W).

    `aspect` is width to height; the longest side is 1 unit. `finer` draws that many times finer
    than asked and reduces at the end, for pictures made of hard-edged marks.
    """

    def __init__(self, size: int, aspect: tuple[int, int] = (1, 1), finer: float = 1) -> None:
        longest = max(aspect)
        self.width, self.depth = aspect[0] / longest, aspect[1] / longest
        self.final = (max(1, round(size * self.width)), max(1, round(size * self.depth)))
        self.unit = round(max(size, SMALLEST) * finer)
        self.shape = (round(self.unit * self.depth), round(self.unit * self.width))
        self.corner = (0, 0)  # of a part of a larger canvas: its first row and column there
        self.pixels = np.zeros((*self.shape, 3), np.float32)
        self.height = np.zeros(self.shape, np.float32)
        down, across = (np.arange(n, dtype=np.float32) for n in self.shape)
        self.y, self.x = np.meshgrid((down + 0.5) / self.unit, (across + 0.5) / self.unit, indexing="ij")

    def part(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """The piece of the canvas inside a box: a view, so painting on it paints on the whole."""
        piece = copy(self)
        (i, j), (stop_i, stop_j) = (
            [min(max(round(v * self.unit) - o, 0), n) for v, o, n in zip(corner, self.corner, self.shape, strict=True)]
            for corner in ((top, left), (bottom, right))
        )
        box = slice(i, stop_i), slice(j, stop_j)
        piece.corner = self.corner[0] + i, self.corner[1] + j
        piece.pixels, piece.height = self.pixels[box], self.height[box]
        piece.x, piece.y = self.x[box], self.y[box]
        piece.shape = piece.x.shape[0], piece.x.shape[1]
        return piece

    def cover(self, colour: Colour, mask: Field | Mask | float = 1.0) -> None:
        """Lay a colour, (3,) or (H, W, 3), over the picture where the mask is 1."""
        paint, there = rgb(colour), np.asarray(mask, np.float32)
        if there.ndim == 0:
            self.pixels += (paint - self.pixels) * there
            return
        rows, columns = np.flatnonzero(there.max(1) > 0), np.flatnonzero(there.max(0) > 0)
        if len(rows):
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            under = self.pixels[box]
            under += ((paint if paint.ndim == 1 else paint[box]) - under) * there[box][..., None]

    def lay(self, layer: Layer, soft: float = 0.0, opacity: float = 1.0) -> None:
        """Lay a layer of shapes over the picture, blurred by `soft` units."""
        colour, mask = layer.read()
        if soft:
            weight = blur(mask, soft * self.unit)
            colour = blur(colour * mask[..., None], soft * self.unit) / np.maximum(weight, 1e-4)[..., None]
            mask = np.clip(weight, 0, 1)
        self.cover(colour, mask * opacity)

    def at(self, x: Field, y: Field) -> npt.NDArray[np.intp]:
        """The flat index of the pixel at each point, or -1 for points outside."""
        i = np.floor(y * self.unit).astype(np.intp) - self.corner[0]
        j = np.floor(x * self.unit).astype(np.intp) - self.corner[1]
        inside = (i >= 0) & (j >= 0) & (i < self.shape[0]) & (j < self.shape[1])
        return np.where(inside, i * self.shape[1] + j, -1)

    def look(self, x: Field, y: Field, field: Field | None = None) -> Field:
        """The colours (…, 3) at the points, or a field's values there; outside, those at the border."""
        i = np.clip((y * self.unit).astype(np.intp) - self.corner[0], 0, self.shape[0] - 1)
        j = np.clip((x * self.unit).astype(np.intp) - self.corner[1], 0, self.shape[1] - 1)
        return (self.pixels if field is None else field)[i, j]

    def glow(self, at: Point, reach: float, colour: Colour, strength: float) -> None:
        """Add the light of a lamp, fading over `reach` units."""
        x, y = float(at[0]), float(at[1])
        near = self.part(x - 7 * reach, y - 7 * reach, x + 7 * reach, y + 7 * reach)
        square = ((near.x - x) ** 2 + (near.y - y) ** 2) / reach**2
        fade = np.clip(1 / (1 + square) ** 2 - 1 / 2500, 0, 1)
        near.pixels += (1 - np.clip(near.pixels, 0, 1)) * (strength * fade)[..., None] * rgb(colour)

    def bloom(self, reach: float, strength: float, above: float = 0.7) -> None:
        """Let what is brighter than `above` shine over its surroundings, as a lens does."""
        bright = np.maximum(self.pixels - above, 0) / (1 - above)
        self.pixels += strength * blur(bright, reach * self.unit)

    def brush(
        self,
        x: Field,
        y: Field,
        colour: Field,
        flow: Flow,
        *,
        length: Field | float,
        width: Field | float,
        seed: int,
        bristle: float = 0.2,
        ragged: float = 0.25,
        dry: float = 0.0,
        taper: float = 4.0,
    ) -> None:
        """Paint strokes that start at the points (N,) and follow the flow, later over earlier.

        `length` and `width` may differ from stroke to stroke, and so may what `flow` answers.
        `bristle` is how much the hairs differ in tone, `ragged` how unevenly they start and lift,
        `dry` how early they run out of paint, `taper` how blunt the ends are (2 is an ellipse).
        """
        path, normals = trace(x, y, flow, length)
        rng = np.random.default_rng(seed)
        longest, widest = float(np.max(length)), float(np.max(width))
        widths = np.broadcast_to(np.asarray(width, np.float32), x.shape)[:, None, None]
        hairs = max(3, round(widest * 700))
        load = rng.random((len(x), hairs), dtype=np.float32)
        lift = rng.random((2, len(x), hairs), dtype=np.float32) * ragged * 0.5
        along = np.linspace(0, 1, max(3, round(longest * self.unit * DENSE)), dtype=np.float32)[:, None]
        across = np.linspace(-1, 1, max(2, round(widest * self.unit * DENSE)), dtype=np.float32)
        hair = np.minimum(((across + 1) * 0.5 * hairs).astype(np.intp), hairs - 1)
        place = along[:, 0] * (path.shape[1] - 1)
        node = np.minimum(place.astype(np.intp), path.shape[1] - 2)
        part = (place - node)[None, :, None]
        broad = 0.5 * np.sqrt(np.maximum(1 - np.abs(2 * along - 1) ** taper, 0.02)) * across
        ridge = (0.55 + 0.45 * np.abs(across) ** 3 - 0.25 * (np.abs(across) > 0.93)) * (1 - 0.5 * along)
        owner = np.full(self.height.size, -1, np.int32)  # which hair of which stroke a pixel shows
        relief = np.empty(self.height.size, np.float32)
        many = max(1, 200_000 // broad.size)
        for first in range(0, len(x), many):
            some = slice(first, first + many)
            line = path[some, node] * (1 - part) + path[some, node + 1] * part
            side = normals[some, node] * (1 - part) + normals[some, node + 1] * part
            pixel = self.at(*(line[..., k, None] + side[..., k, None] * (widths[some] * broad) for k in range(2)))
            paint = load[some][:, None, hair]
            begin, end = lift[:, some][:, :, None, hair]
            keep = (along >= begin) & (along <= 1 - end) & (paint >= dry * along) & (pixel >= 0)
            pixel = pixel[keep]
            strand = np.arange(len(line), dtype=np.int32)[:, None] * hairs + hair.astype(np.int32)
            owner[pixel] = np.broadcast_to(strand[:, None] + first * hairs, keep.shape)[keep]
            relief[pixel] = ((0.4 + 0.6 * paint) * ridge)[keep]
        shades = colour[:, None] * (1 + bristle * (load - 0.5))[..., None]
        painted = owner.reshape(self.shape) >= 0
        self.pixels[painted] = shades.reshape(-1, 3)[owner[owner >= 0]]
        self.height[painted] = relief[owner >= 0]

    def light(self, strength: float, shine: float = 0.0, soft: float = 0.0008) -> None:
        """Light the relief from the upper left; `shine` adds white glints on the slopes that face it."""
        height = blur(self.height, soft * self.unit)
        down, across = np.gradient(height * (0.0025 * self.unit))
        slope = -(0.7 * across + 0.7 * down)
        self.pixels *= (1 + strength * np.clip(slope, -1, 1))[..., None]
        self.pixels += (shine * np.clip(slope - 0.15, 0, 1))[..., None]

    def grain(self, strength: float, seed: int) -> None:
        """Film or paper grain, mostly in the brightness."""
        speck = np.random.default_rng(seed).standard_normal((*self.shape, 1), dtype=np.float32)
        self.pixels += strength * speck

    def picture(self) -> Image.Image:
        """The finished picture at the size that was asked for."""
        image = Image.fromarray((np.clip(self.pixels, 0, 1) * 255 + 0.5).astype(np.uint8))
        return image if image.size == self.final else image.resize(self.final, Image.Resampling.BOX)


def trace(x: Field, y: Field, flow: Flow, length: Field | float, nodes: int = 10) -> tuple[Field, Field]:
    """Follow the flow from the points (N,) for a length: path and unit normals, each (N, nodes, 2)."""
    path: Field = np.empty((len(x), nodes, 2), np.float32)
    step = length / (nodes - 1)
    across: Field
    down: Field
    across, down = x.astype(np.float32), y.astype(np.float32)
    for k in range(nodes):
        path[:, k, 0], path[:, k, 1] = across, down
        dx, dy = flow(across, down)
        scale = step / np.maximum(np.hypot(dx, dy), 1e-6)
        across, down = across + dx * scale, down + dy * scale
    tangent = np.asarray(np.gradient(path, axis=1))
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-9)
    return path, np.stack([-tangent[..., 1], tangent[..., 0]], -1)


def steady(dx: Field | float, dy: Field | float) -> Flow:
    """A flow in one direction everywhere, or in one for each stroke."""
    return lambda x, y: (np.asarray(dx, np.float32), np.asarray(dy, np.float32))


def hill(x: Field, y: Field, at: tuple[float, float], reach: tuple[float, float]) -> Field:
    """A round bump of height 1, e times lower at its half axes."""
    return np.asarray(np.exp(-(((x - at[0]) / reach[0]) ** 2) - ((y - at[1]) / reach[1]) ** 2))


def scatter(canvas: Canvas, count: int, rng: np.random.Generator, margin: float = 0.05) -> tuple[Field, Field]:
    """About `count` points spread evenly but irregularly over the canvas, in random order."""
    wide, deep = canvas.width + 2 * margin, canvas.depth + 2 * margin
    columns = max(1, round(np.sqrt(count * wide / deep)))
    rows = max(1, round(count / columns))
    j, i = np.meshgrid(np.arange(columns), np.arange(rows))
    spot = np.stack([j, i], -1).reshape(-1, 2) + rng.random((rows * columns, 2))
    spot = rng.permutation(spot) / (columns, rows) * (wide, deep) - margin
    return spot[:, 0], spot[:, 1]


def cells(x: Field, y: Field, seed: int, jitter: float = 0.9) -> tuple[npt.NDArray[np.intp], Field]:
    """Irregular cells 1 wide (Worley 1996): the number of the cell and the distance to its border."""
    spots = 0.5 + jitter * (np.random.default_rng(seed).random((2, 1 << 16), dtype=np.float32) - 0.5)
    left, top = np.floor(x), np.floor(y)
    i, j = left.astype(np.intp), top.astype(np.intp)
    cell = np.zeros(x.shape, np.intp)
    first, second = np.full(x.shape, 9, np.float32), np.full(x.shape, 9, np.float32)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            at = (((j + down) & 255) << 8) | ((i + across) & 255)
            distance = (left + across + spots[0, at] - x) ** 2 + (top + down + spots[1, at] - y) ** 2
            closer = distance < first
            second = np.minimum(second, np.maximum(first, distance))
            cell = np.where(closer, at, cell)
            first = np.minimum(first, distance)
    return cell, (np.sqrt(second) - np.sqrt(first)) / 2
