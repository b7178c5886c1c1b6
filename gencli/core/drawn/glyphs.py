"""Digits and capital letters written by hand, drawn by code: a labelled picture set without a download.

Each class has a few skeletons, one for each way in which people write it. For every picture the points of a
skeleton are shifted a little, a spline is led through them, and the curve is warped, slanted, turned and fitted
into a box. What is seen is the distance from that curve, in radii of the pen, through a soft threshold. White on
black, proportioned as MNIST (LeCun et al. 1998): a box of 20 in a picture of 28.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gencli.core.errors import UsageError

Numbers: TypeAlias = npt.NDArray[np.floating[Any]]
Index: TypeAlias = npt.NDArray[np.intp]
Labels: TypeAlias = npt.NDArray[np.int64]
Pixels: TypeAlias = npt.NDArray[np.uint8]

DIGITS: tuple[str, ...] = tuple("0123456789")
CLASSES: tuple[str, ...] = (*DIGITS, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ")

SMALLEST = 14  # pixels: below, strokes run together
BOX = 20 / 28  # of the picture: the longest side of an ordinary glyph
SPACING = 0.07  # of the glyph's height: between two points of a curve
AT_ONCE = 50_000  # pixels drawn at a time: they stay in the processor's cache
SHAPE, LABEL = 1, 2  # the series of random numbers of a seed
STROKES = 4  # at most, of one glyph
DRAWS = 148  # random numbers that shape one picture

# One way a line: class, how often among those of its class, and strokes. "|" lifts the pen, "!" makes a point a
# corner. x to the right and y down, in hundredths of the height of a capital letter.
WAYS = """
0 4: 52,0 31,14 24,50 31,86 50,100 69,86 76,50 69,14 48,0
0 2: 64,6 44,2 28,24 24,62 36,96 56,98 72,76 76,38 66,8 50,4
0 3: 52,0 28,14 19,50 28,86 50,100 72,86 81,50 72,14 48,0|30,80 70,20
1 3: 50,0 50,100
1 5: 26,26 42,14 54,0! 54,100
1 3: 28,24 42,14 53,0! 53,99|24,100 82,100
2 4: 12,27 25,6 50,0 75,8 80,30 64,55 38,78 12,98! 88,98
2 3: 12,24 27,4 52,0 76,10 77,34 56,64 26,92 11,92 22,80 46,88 68,99 90,90
2 2: 14,20 38,0 70,6 78,30 60,60 12,99! 36,93 62,98 90,95
3 5: 14,14 36,0 64,3 76,22 62,41 36,47! 66,53 82,73 66,95 38,100 10,87
3 2: 14,2 80,2! 42,42! 70,49 82,71 66,95 36,100 10,88
3 2: 16,10 42,0 70,10 70,32 40,46 70,52 84,76 62,98 34,100 12,90
4 4: 32,0 8,62! 90,62|66,32 62,100
4 3: 68,100 68,0! 8,68! 94,68
4 3: 16,2 13,38 26,54 52,52 78,44|80,0 77,50 72,100
5 4: 78,2 26,2! 20,45! 50,37 78,50 82,72 66,94 38,100 12,88
5 4: 26,3 21,44! 50,37 78,51 80,78 52,100 12,90|25,3 82,1
6 5: 70,2 42,20 22,50 19,78 38,98 63,98 80,78 70,57 46,52 23,70
6 3: 78,12 56,0 32,14 18,50 21,82 44,100 70,94 80,72 64,54 40,56 22,74
7 4: 12,3 86,3! 62,48 44,100
7 3: 12,3 86,3! 62,48 44,100|34,52 80,50
7 2: 13,20 15,3! 40,5 84,2! 58,42 46,100
8 5: 74,14 50,0 27,10 27,32 50,47 76,66 74,90 48,100 23,89 23,67 48,48 73,32 72,11
8 3: 50,0 28,8 25,30 50,46 75,30 72,8 48,0|50,46 22,58 19,86 50,100 81,86 78,58 48,46
9 4: 78,26 64,5 40,0 20,16 21,40 42,53 66,42 78,20! 76,60 70,100
9 4: 78,22 56,0 30,4 19,27 34,50 60,48 77,24 79,56 64,90 30,98
A 5: 4,100 50,0! 96,100|20,66 80,66
A 2: 8,100 14,50 32,8 50,0 68,8 86,50 92,100|14,58 86,58
A 2: 6,100 48,0! 90,100|18,64 88,60
B 5: 18,0 18,100|18,2! 54,1 76,13 74,36 50,48 18,49! 60,51 86,66 84,88 56,99 16,100
B 3: 18,100 20,2! 60,2 76,20 62,42 24,50! 68,53 86,76 66,97 16,100
C 5: 86,18 66,2 40,2 15,20 6,50 15,80 40,98 68,97 90,80
C 2: 82,26 80,6 54,0 24,14 8,48 18,84 46,100 74,94 92,78
D 5: 16,0 16,100|12,1 50,3 80,20 91,50 80,80 48,98 12,100
D 3: 16,100 16,1! 52,4 82,24 90,54 76,84 46,98 14,100
E 3: 84,2 16,2! 16,98! 86,98|16,48 72,48
E 4: 16,0 16,100|16,1 82,1|16,48 70,48|16,99 84,99
E 1: 82,12 54,0 26,10 26,36 56,47! 22,56 14,82 44,100 86,86
F 4: 84,2 18,2! 18,100|18,46 70,46
F 4: 18,0 18,100|16,2 86,2|18,47 72,47
G 4: 86,17 64,2 38,3 14,20 5,50 14,80 38,98 66,96 88,80 88,54! 54,54
G 3: 86,17 64,2 38,3 14,20 5,50 14,80 38,98 66,95 86,74 88,56|58,56 104,56
G 2: 84,17 62,1 34,6 11,30 8,62 26,93 54,98 78,80 88,54! 88,102
H 5: 12,0 12,100|88,0 88,100|12,50 88,50
H 1: 14,0 12,100|86,0 88,100|4,54 28,46 72,54 96,46
I 5: 50,0 50,100|20,1 80,1|20,99 80,99
I 1: 50,0 50,100|24,4 50,0 78,2|22,98 50,100 76,96
J 4: 68,0 68,72 58,94 36,100 14,84
J 4: 66,1 66,72 55,95 33,99 12,82|34,1 98,1
K 4: 16,0 16,100|84,0 18,58|38,42 88,100
K 3: 16,0 16,100|82,0 22,51! 88,100
K 1: 16,0 16,100|84,2 62,32 26,52! 60,70 90,98
L 5: 18,0 18,98! 82,98
L 1: 20,0 18,98! 52,94 86,99
M 4: 6,100 12,0! 50,68! 88,0! 94,100
M 3: 8,100 8,0! 50,60! 92,0! 92,100
M 1: 4,100 14,30 26,2 38,20 50,76! 62,20 74,2 86,30 96,100
N 5: 12,100 12,0! 88,100! 88,0
N 2: 12,0 12,100|12,2 88,98|88,0 88,100
N 1: 10,100 16,22 26,4 42,30 62,80 78,97 86,70 92,0
O 5: 52,0 16,14 1,50 15,86 50,100 85,86 99,50 84,14 46,0
O 2: 70,4 36,2 8,26 4,64 30,96 66,97 94,72 96,32 66,3
P 4: 18,0 18,100|14,2 54,1 80,14 80,40 54,53 18,54
P 3: 18,100 18,1! 58,2 82,24 62,50 18,56
Q 5: 52,0 16,13 1,48 15,83 50,97 85,83 99,48 84,13 46,0|60,66 100,106
Q 2: 52,0 16,13 1,48 15,83 50,97 85,83 99,48 84,13 46,0|48,82 64,76 82,96 104,98
R 4: 18,0 18,100|14,2 54,1 80,13 80,38 54,51 18,53|46,53 90,100
R 4: 18,100 18,1! 58,2 82,24 62,49 22,54! 90,100
S 5: 82,17 62,2 36,2 18,18 25,38 52,50 77,63 80,84 60,98 32,98 12,82
S 3: 78,10 54,0 26,8 22,30 50,48 78,68 74,92 46,100 14,88
T 5: 4,2 96,2|50,2 50,100
T 2: 4,8 28,1 70,5 96,0|52,3 50,100
U 5: 10,0 10,60 23,92 50,100 77,92 90,60 90,0
U 2: 12,0 11,60 24,93 48,98 74,88 88,56 88,0! 88,100
V 5: 6,0 50,100! 94,0
V 2: 6,0 30,54 50,100! 68,48 94,2
W 5: -4,0 23,100! 50,24! 77,100! 104,0
W 2: -2,0 3,60 20,96 39,86 50,36! 61,86 80,96 97,60 102,0
X 5: 8,0 92,100|92,0 8,100
X 2: 4,4 20,6 50,50 80,96 98,94|90,2 50,50 10,98
Y 4: 6,0 50,50|94,0 50,50! 50,100
Y 3: 8,0 52,52|94,0 30,100
Y 2: 10,0 14,34 34,50 62,44 84,20|88,0 84,60 68,94 36,98
Z 4: 12,2 88,2! 12,98! 90,98
Z 3: 12,2 88,2! 12,98! 90,98|30,50 76,50
"""


def draw_digits(count: int, seed: int = 0, size: int = 28, first: int = 0) -> tuple[Pixels, Labels]:
    """As `draw_glyphs`, of the digits only."""
    return draw_glyphs(count, seed, size, first, DIGITS)


def draw_glyphs(
    count: int, seed: int = 0, size: int = 28, first: int = 0, classes: tuple[str, ...] = CLASSES
) -> tuple[Pixels, Labels]:
    """Pictures number `first` … `first + count - 1` of the endless series of a seed, and their classes.

    A picture depends on the seed and its number alone, and shows the same glyph at every size. Classes are equally
    likely. Held-out pictures come from another seed.

    Returns pictures, uint8 (N, 1, size, size), white strokes on black, and indices into `classes`, with which CLASSES
    must begin, int64 (N,).

    Raises UsageError for fewer than one picture, fewer than 14 pixels, or a negative seed or number.
    """
    _check(count, seed, first)
    if size < SMALLEST:
        raise UsageError(f"cannot draw glyphs at {size} pixels", f"ask for a size of at least {SMALLEST}")
    labels, ways = _chosen(count, seed, first, len(classes))
    pixels = np.empty((count, 1, size, size), np.uint8)
    at_once = max(1, AT_ONCE // size**2)
    for start in range(0, count, at_once):
        some = slice(start, min(start + at_once, count))
        luck = _Luck(_uniform(seed, SHAPE, first + some.start, some.stop - some.start, DRAWS))
        curves = _written(ways[some], luck)
        pixels[some, 0] = _inked(curves, ways[some], luck, size)
    return pixels, labels


def _check(count: int, seed: int, first: int) -> None:
    if count < 1:
        raise UsageError(f"cannot draw {count} glyphs", "ask for at least one")
    if seed < 0 or first < 0:
        raise UsageError(f"there is no glyph number {first} of seed {seed}", "count both from 0")


def _chosen(count: int, seed: int, first: int, classes: int) -> tuple[Labels, Index]:
    """Class and way of writing it, an index into the skeletons, of each picture: (N,) and (N,)."""
    uniform = _uniform(seed, LABEL, first, count, 2)
    labels = (uniform[:, 0] * classes).astype(np.int64)
    share = 0.999999 * uniform[:, 1]  # rounding must not lead into the next class
    return labels, np.searchsorted(_skeletons().until, labels + share, side="right")


def _uniform(seed: int, series: int, first: int, count: int, width: int) -> Numbers:
    """Random numbers in [0, 1) of pictures `first` …, (count, width): a window into an endless series, which a
    generator that counts (Philox, Salmon et al. 2011) finds without drawing what is before it."""
    skipped, rest = divmod(int(first) * width, 4)  # a step of the counter gives four numbers
    source = np.random.Philox(np.random.SeedSequence((seed, series))).advance(skipped)
    return np.random.Generator(source).random(rest + count * width)[rest:].reshape(count, width)


class _Luck:
    """Hands out the random numbers of N pictures, (N, DRAWS), in order."""

    def __init__(self, uniform: Numbers) -> None:
        self.uniform, self.used = uniform, 0

    def even(self, low: float, high: float, *shape: int) -> Numbers:
        """All values between the bounds alike: (N, *shape)."""
        count = int(np.prod(shape))
        self.used += count
        return low + (high - low) * self.uniform[:, self.used - count : self.used].reshape(len(self.uniform), *shape)

    def bell(self, scale: float, *shape: int) -> Numbers:
        """Bell-shaped with the given standard deviation, never more than 2.45 times that: (N, *shape)."""
        return np.asarray(scale * np.sqrt(1.5) * (self.even(-1, 1, *shape) + self.even(-1, 1, *shape)))


def _written(ways: Index, luck: _Luck) -> Numbers:
    """Curves of N glyphs written by hand, (N, P, 3): x and y in units of the picture, and pressure, about 1."""
    table = _skeletons()
    many = table.points.shape[1]
    points = np.concatenate([table.points[ways], np.ones((len(ways), many, 1))], -1)  # (N, C, 3)
    wild = luck.even(0.5, 1.5, 1, 1)  # some hands are steadier than others
    points[..., :2] += wild * luck.bell(0.022, many, 2)
    points[..., 2] += luck.bell(0.09, many)
    points[..., :2] += _rows(wild * luck.bell(0.018, STROKES, 2), table.stroke[ways])
    inner = _rows(points, table.inner[ways])
    reach = luck.even(-0.05, 0.07, many, 1)  # strokes end early or late
    points[..., :2] += reach * (points - inner)[..., :2]

    among, weight = table.among[ways], table.weight[ways]
    curve = sum((weight[..., k, None] * _rows(points, among[..., k]) for k in range(4)), np.zeros(()))
    before, after = table.before[ways], table.after[ways]
    softness = luck.even(0, 0.5, 1, 1)  # of corners
    for _ in range(3):
        curve += softness * ((_rows(curve, before) + _rows(curve, after)) / 2 - curve)
    return _placed(_warped(curve, luck), luck)


def _rows(values: Numbers, at: Index) -> Numbers:
    """values[n, at[n, i]] of (N, C, K) and (N, I): (N, I, K)."""
    return np.take_along_axis(values, at[..., None], 1)


def _warped(curve: Numbers, luck: _Luck) -> Numbers:
    """The sheet pulled out of shape by two long waves, then narrowed, slanted and turned."""
    x, y = curve[..., 0] - 0.5, curve[..., 1] - 0.5
    for _ in range(2):
        along_x, along_y, phase = luck.even(-3.5, 3.5, 1), luck.even(-3.5, 3.5, 1), luck.even(0, 2 * np.pi, 1)
        wave = np.sin(along_x * x + along_y * y + phase)
        x, y = x + luck.bell(0.03, 1) * wave, y + luck.bell(0.03, 1) * wave
    x = x * (0.92 + luck.bell(0.1, 1))
    x = x - (0.11 + luck.bell(0.13, 1)) * y
    turn = luck.bell(0.06, 1)
    x, y = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    return np.stack([x, y, curve[..., 2]], -1)


def _placed(curve: Numbers, luck: _Luck) -> Numbers:
    """The curve fitted into the box of the picture, a little larger or smaller, a little off the middle."""
    place = curve[..., :2]
    low, high = place.min(1, keepdims=True), place.max(1, keepdims=True)
    scale = BOX * luck.even(0.86, 1.02, 1, 1) / (high - low).max(-1, keepdims=True)
    place = (place - (low + high) / 2) * scale + 0.5 + luck.bell(0.015, 1, 2)
    return np.concatenate([place, curve[..., 2:]], -1)


def _inked(curves: Numbers, ways: Index, luck: _Luck, size: int) -> Pixels:
    """Draw N curves (N, P, 3), each with a pen of its own: (N, size, size).

    A pen's nib is an ellipse. In coordinates in which it is the unit circle, distances are in its radii.
    """
    radius, flat, turned = size * (0.051 + luck.bell(0.008, 1)), luck.even(0.7, 1, 1), luck.even(0.4, 1.2, 1)
    across, mixed, down = _nib(radius, radius * flat, turned)
    x, y = curves[..., 0] * size, curves[..., 1] * size
    curve = np.stack([across * x + mixed * y, down * y, curves[..., 2]], -1).astype(np.float32)
    grid = np.arange(size) + 0.5
    u = (across * grid)[:, None, :] + (mixed * grid)[:, :, None]
    v = (down * grid)[:, :, None]
    distance = _distance(curve, _rows(curve, _skeletons().after[ways]), u.astype(np.float32), v.astype(np.float32))
    edge = np.hypot(1, size * luck.even(0.02, 0.04, 1))  # pixels from paper to ink: one against stairs, and the ink's
    slope = radius * np.sqrt(flat) / edge
    cover = np.clip(0.5 + (1 - distance) * slope[:, None].astype(np.float32), 0, 1)
    light = luck.even(235, 255, 1)[:, None].astype(np.float32)
    return np.asarray(light * cover * cover * (3 - 2 * cover) + 0.5).astype(np.uint8)


def _nib(long: Numbers, short: Numbers, turned: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """An ellipse's half axes and the long one's angle → a, b, c for which (ax + by)² + (cy)² = 1 is its outline."""
    cos, sin = np.cos(turned), np.sin(turned)
    xx, yy = (cos / long) ** 2 + (sin / short) ** 2, (sin / long) ** 2 + (cos / short) ** 2
    across = np.sqrt(xx)
    mixed = cos * sin * (1 / long**2 - 1 / short**2) / across
    return across, mixed, np.sqrt(yy - mixed**2)


def _distance(start: Numbers, end: Numbers, u: Numbers, v: Numbers) -> Numbers:
    """Distance of points u (N, H, W), v (N, H, 1) from the nearest of P segments.

    `start` and `end`, (N, P, 3), hold u, v and the pressure, by which distances are divided. All the work is done in
    four arrays that stay in the cache.
    """
    nearest: Numbers = np.full(u.shape, np.inf, np.float32)
    right, along, scaled = (np.empty_like(nearest) for _ in range(3))
    step = end[..., :2] - start[..., :2]
    unit = step / np.maximum((step**2).sum(-1, keepdims=True), 1e-12)
    narrow = (2 / (start[..., 2] + end[..., 2])) ** 2
    for k in range(start.shape[1]):
        u0, v0, du, dv, eu, ev = (t[:, k, i, None, None] for t in (start, step, unit) for i in (0, 1))
        right, below = np.subtract(u, u0, out=right), v - v0
        np.multiply(right, eu, out=along)
        along += below * ev
        np.clip(along, 0, 1, out=along)
        right -= np.multiply(along, du, out=scaled)
        np.subtract(below, np.multiply(along, dv, out=along), out=along)
        right *= right
        along *= along
        right += along
        right *= narrow[:, k, None, None]
        np.minimum(nearest, right, out=nearest)
    return np.sqrt(nearest)


@dataclass(frozen=True)
class _Skeletons:
    """The V ways of writing as tables, padded to C control points and P points of the curve."""

    until: Numbers  # (V,) class, plus the share of it up to and with this way
    points: Numbers  # (V, C, 2) control points in units of a letter's height
    stroke: Index  # (V, C) number of the stroke each is on
    inner: Index  # (V, C) the neighbour of a stroke's first and last point; of others themselves
    among: Index  # (V, P, 4) the control points each point of the curve lies among
    weight: Numbers  # (V, P, 4) and their weights
    before: Index  # (V, P) the point before it on the same stroke, or itself
    after: Index  # (V, P) the point after it, or itself


@cache
def _skeletons() -> _Skeletons:
    """The tables of all WAYS."""
    ways = [line.split(maxsplit=2) for line in WAYS.strip().splitlines()]
    labels = np.array([CLASSES.index(name) for name, _, _ in ways])
    shares = np.array([float(share.rstrip(":")) for _, share, _ in ways])
    shares /= np.bincount(labels, shares)[labels]
    parts = zip(*(_tables(path) for _, _, path in ways), strict=True)
    return _Skeletons(np.cumsum(shares).round(9), *(_stacked(tables) for tables in parts))


def _stacked(tables: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Tables of different length as one, the last rows of short ones repeated."""
    longest = max(map(len, tables))
    return np.stack([table[np.minimum(np.arange(longest), len(table) - 1)] for table in tables])


def _tables(path: str) -> list[npt.NDArray[Any]]:
    """One way of writing: `points`, `stroke`, `inner`, `among`, `weight`, `before` and `after` of the tables."""
    tables: list[list[Any]] = [[] for _ in range(7)]
    points, stroke, inner, among, weight, before, after = tables
    for number, text in enumerate(path.split("|")):
        marks = text.split()
        places = np.array([[float(v) / 100 for v in mark.rstrip("!").split(",")] for mark in marks])
        first, last, begin = len(points), len(points) + len(marks) - 1, len(among)
        points += list(places)
        stroke += [number] * len(marks)
        inner += [first + 1, *range(first + 1, last), last - 1]
        sharp = [k in (0, len(marks) - 1) or mark.endswith("!") for k, mark in enumerate(marks)]
        for k in range(len(marks)):
            onward = min(k + 1, len(marks) - 1)
            nodes = k - (not sharp[k]), k, onward, onward + (not sharp[onward])
            steps = int(np.ceil(np.hypot(*(places[onward] - places[k])) / SPACING)) or 1
            among += [[first + node for node in nodes]] * steps
            weight += list(_catmull_rom(np.arange(steps) / steps))
        before += [begin, *range(begin, len(among) - 1)]
        after += [*range(begin + 1, len(among)), len(among) - 1]
    return [np.array(table) for table in tables]


def _catmull_rom(t: Numbers) -> Numbers:
    """Weights of four points in a row for the curve between the middle two, at t from 0 to 1: (N,) → (N, 4)."""
    return np.stack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], -1) / 2
