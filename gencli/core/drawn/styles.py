"""The style pictures: each a composition of its own, rich in strokes at every scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gencli.core.drawn.cartoons import cubist, dots
from gencli.core.drawn.crafts import glass, mosaic, woodcut
from gencli.core.drawn.paint import (
    Canvas,
    Field,
    blur,
    fbm,
    jitter,
    noise,
    ramp,
    rgb,
    scatter,
    smoothstep,
    steady,
)


def swirls(size: int) -> Image.Image:
    """A night sky turning in thick strokes over a sleeping village."""
    canvas = Canvas(size, (5, 4), finer=2)
    rng = np.random.default_rng(11)
    eddies = [(0.46, 0.25, 0.125, 1.0), (0.70, 0.40, 0.085, -0.9), (0.30, 0.43, 0.06, -0.8)]
    stars = [(0.86, 0.13, 0.08), (0.05, 0.09, 0.035), (0.27, 0.08, 0.036), (0.62, 0.07, 0.034),
        (0.73, 0.21, 0.026), (0.95, 0.37, 0.03), (0.33, 0.29, 0.024), (0.54, 0.46, 0.026)]  # fmt: skip

    def ground(x: Field) -> Field:
        return np.asarray(0.60 - 0.05 * np.sin(x * 5 + 0.5) - 0.015 * np.sin(x * 13))

    def tree(x: Field, y: Field) -> Field:
        """Above 0 inside the cypress that leans into the picture."""
        lean = 0.13 + 0.025 * np.sin(y * 14) + 0.03 * (0.8 - y)
        spread = 0.085 * smoothstep(0.10, 0.75, y) * (1 + 0.35 * np.sin(y * 30 + x * 40))
        return np.asarray(spread - np.abs(x - lean))

    def flow(x: Field, y: Field) -> tuple[Field, Field]:
        dx, dy = 0.6 + 0 * x, 0.35 * np.sin(x * 9 + y * 4)
        for cx, cy, radius, turn in [*eddies, *((a, b, r, 1.3) for a, b, r in stars)]:
            u, v = (x - cx) / radius, (y - cy) / radius
            pull = 2.2 * turn * np.exp(-0.35 * (u * u + v * v))
            dx, dy = dx - pull * v, dy + pull * u
        land = y > ground(x)
        dx, dy = (
            np.where(land, 1, dx),
            np.where(land, 0.45 * np.cos(x * 13) + 0.75 * np.sin(y * 24 + x * 10), dy),
        )
        wood = tree(x, y) > 0
        return np.where(wood, 0.5 * np.sin(y * 28 + x * 40), dx), np.where(wood, -1, dy)

    def tint(x: Field, y: Field) -> Field:
        tone = 0.42 + 0.28 * fbm(x * 5, y * 7, 3, 3)
        for cx, cy, radius, turn in eddies:
            r = np.hypot(x - cx, y - cy) / radius
            spiral = np.sin(5 * r - np.sign(turn) * np.arctan2(y - cy, x - cx))
            tone = tone + 0.4 * np.exp(-0.25 * r * r) * spiral
        colour = ramp(tone, "#0a1238", "#14287c", "#2450b0", "#5b93d2", "#a9cfdc", "#efe9c4")
        for cx, cy, radius in stars:
            r = np.hypot(x - cx, y - cy) / radius
            halo = ramp(r / 2, "#fffbe0", "#ffe27a", "#f5b81f", "#e9c95a", "#9fc3a8", "#5b93c8")
            colour = colour + (halo - colour) * smoothstep(2.1, 1.3, r)[..., None]
        hill = ramp(
            0.5 + 0.7 * fbm(x * 8, y * 16, 8, 3),
            "#0a1536",
            "#12395e",
            "#24645a",
            "#4f8040",
            "#a89c3c",
            "#3a6a9c",
        )
        colour = np.where((y > ground(x))[..., None], hill, colour)
        bark = ramp(0.45 + 0.7 * noise(x * 60, y * 9, 5), "#0a0f14", "#15301f", "#3c4a1c", "#7a5a22")
        return np.where((tree(x, y) > 0)[..., None], bark, colour)

    canvas.cover("#0d1b4a")
    for count, length, width in ((900, 0.11, 0.022), (3200, 0.065, 0.012), (3800, 0.045, 0.0075)):
        x, y = scatter(canvas, count, rng)
        colour = jitter(tint(x, y), rng, 0.13, 0.03)
        canvas.brush(x, y, colour, flow, length=length, width=width, seed=count, bristle=0.5)
    _village(canvas, rng, ground)
    for cx, cy, radius in stars:
        _star(canvas, rng, cx, cy, radius)
    canvas.light(0.5, shine=0.35)
    return canvas.picture()


def _star(canvas: Canvas, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """Short strokes in rings around a white heart."""
    ring = np.repeat(np.linspace(1.75, 0.0, 11), 26)
    turn = rng.uniform(0, 2 * np.pi, len(ring))
    colour = ramp(ring / 1.9, "#ffffff", "#fff3b8", "#ffd84a", "#f5a81c", "#e8c860", "#8fbcc8")
    colour = jitter(colour, rng, 0.09, 0.03)
    keep = rng.random(len(ring)) < np.minimum(1, 0.35 + 1.1 * ring)
    r, turn = ring[keep] * radius, turn[keep]
    canvas.brush(x + r * np.cos(turn), y + r * np.sin(turn), colour[keep], lambda a, b: (y - b, a - x),
        length=np.minimum(0.034, 1.6 * r + 0.004), width=np.minimum(0.0125, 0.16 * radius + 0.003), seed=3,
        bristle=0.35)  # fmt: skip


def _village(canvas: Canvas, rng: np.random.Generator, ground: Callable[[Field], Field]) -> None:
    """Roofs and lit windows in the valley, painted with a small brush."""
    houses = [(rng.normal(0.62, 0.13), rng.uniform(0.045, 0.165)) for _ in range(34)]
    for k, (x, below) in enumerate(sorted(houses, key=lambda h: h[1])):
        y = float(ground(np.asarray(x))) + below
        side = 0.018 + 0.13 * below
        wall = ramp(rng.random(1), "#16264c", "#33507c", "#7d8a7a", "#b8a878")
        roof = ramp(rng.random(1), "#3a1f22", "#7d3a24", "#c2662c", "#1f3358")
        for colour, top, pitch in ((wall, 0.0, 0.0), (roof, -0.50, 0.55)):
            across = np.linspace(-0.5, 0.5, 7)
            drop = y + side * (top + pitch * np.abs(across) * 1.5)
            canvas.brush(x + across * side * (1.0 + 0.25 * (pitch > 0)), drop,
                jitter(np.repeat(colour, 7, 0), rng, 0.16, 0.02), steady(0, 1),
                length=side * (0.62 - 0.1 * (pitch > 0)), width=side * 0.24, seed=k,
                bristle=0.45)  # fmt: skip
        lamps = x + side * np.array([-0.25, 0.2])[: 1 + k % 2]
        canvas.brush(lamps, np.full(len(lamps), y + side * 0.18), np.tile(rgb("#ffd24a"), (len(lamps), 1)),
            steady(0, 1), length=side * 0.3, width=side * 0.17, seed=k)  # fmt: skip


def ink(size: int) -> Image.Image:
    """Bamboo before misty mountains in running ink."""
    canvas, sheet = Canvas(size, (4, 5)), Canvas(size, (4, 5))
    x, y = canvas.x, canvas.y
    rng = np.random.default_rng(4)
    canvas.cover(ramp(0.5 + 0.5 * fbm(x * 3, y * 3, 2, 4), "#dfd2b4", "#efe6d0", "#f6f0e2"))
    sun = np.hypot(x - 0.55, y - 0.17) + 0.005 * fbm(x * 20, y * 20, 3, 3)
    red = smoothstep(0.082, 0.075, sun) * (0.85 + 0.35 * fbm(x * 9, y * 9, 5, 4))
    canvas.pixels *= 1 - (1 - rgb("#d23c26")) * red[..., None]
    for k, (base, high, wide) in enumerate(
        ((0.38, 0.26, 2.6), (0.50, 0.27, 3.4), (0.64, 0.30, 2.9), (0.80, 0.26, 3.6), (0.98, 0.22, 3.0))
    ):
        peaks = fbm(x * wide + 4.7 * k, 0.25 * y, 60 + 9 * k, 6, gain=0.45, ridged=True) ** 2
        below = y - base + high * peaks + 0.004 * fbm(x * 40, y * 40, 7, 3)
        fade = np.exp(-np.maximum(below, 0) / (0.075 + 0.01 * k))
        cut = smoothstep(0.35, 0.75, fbm(x * 16 + 30 * below, below * 7, 30 + k, 5, ridged=True))
        pool = 0.75 + 0.5 * fbm(x * 6, y * 6, 90 + k, 4)
        rim = np.exp(-(((below - 0.004) / 0.0035) ** 2))
        wash = (0.26 + 0.13 * k) * (fade * pool * (0.55 + 0.9 * cut) + 0.45 * rim) * smoothstep(-0.002, 0.003, below)
        canvas.pixels *= 1 - (1 - rgb("#141c28")) * np.clip(wash, 0, 1)[..., None]
    _stain(canvas, rng)
    sheet.cover("#ffffff")
    for stalk_x, lean, wide, tone in (
        (0.69, -0.03, 0.020, 0.50),
        (0.07, 0.05, 0.030, 0.36),
        (0.20, -0.02, 0.048, 0.06),
    ):
        _bamboo(sheet, rng, stalk_x, lean=lean, wide=wide, tone=tone)
    wet = blur(sheet.pixels, 0.0035 * canvas.unit)
    canvas.pixels *= np.clip(np.minimum(sheet.pixels, 0.35 + 0.65 * wet), 0, 1)
    fibre = fbm(x * 9, y * 120, 21, 3) + fbm(x * 120, y * 9, 24, 3)
    canvas.pixels += (0.035 * fibre)[..., None]
    canvas.grain(0.012, 6)
    return canvas.picture()


def _stain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Splashed drops with darker rims, as wet paper dries."""
    for _ in range(60):
        spot_x, spot_y, radius = (
            rng.uniform(0, 0.8),
            rng.uniform(0.05, 1.0),
            0.002 + 0.009 * rng.random() ** 4,
        )
        near = canvas.part(spot_x - 2 * radius, spot_y - 2 * radius, spot_x + 2 * radius, spot_y + 2 * radius)
        r = np.hypot(near.x - spot_x, near.y - spot_y) / radius
        drop = 0.45 * smoothstep(1.05, 0.9, r) + 0.3 * np.exp(-(((r - 1) / 0.15) ** 2))
        near.pixels *= (1 - drop * rng.uniform(0.3, 1.0))[..., None]


def _bamboo(canvas: Canvas, rng: np.random.Generator, x: float, *, lean: float, wide: float, tone: float) -> None:
    """One stalk from the ground up, its joints, twigs and leaves."""
    shade = np.array([[1.0, 1.03, 1.08]]) * tone + 0.05
    foot, side = 1.04, -1
    while foot > -0.1:
        tall = 0.13 + 0.05 * np.sin(foot * 5)
        at_x, at_y = np.array([x + lean * (1 - foot)]), np.array([foot])
        canvas.brush(at_x, at_y, shade + 0.08, steady(lean, -1), length=tall - 0.006, width=wide,
            seed=round(40 + 100 * tall), bristle=1.1, ragged=0.06, dry=0.55, taper=14)  # fmt: skip
        canvas.brush(at_x - wide * 0.65, at_y + 0.002, shade * 0.4, steady(1, 0), length=wide * 1.3,
            width=0.007, seed=3, taper=3)  # fmt: skip
        for _ in range(2):
            _twig(canvas, rng, at_x + side * wide * 0.4, at_y, shade=shade, side=side)
        foot, side = foot - tall, -side


def _twig(canvas: Canvas, rng: np.random.Generator, x: Field, y: Field, *, shade: Field, side: int) -> None:
    """A twig that leaves the joint at (x, y) to one side, six leaves hanging from it."""
    reach, aim = rng.uniform(0.10, 0.22), side * rng.uniform(0.5, 1.2)
    canvas.brush(x, y, shade * 0.8, steady(aim, -0.5), length=reach, width=0.004, seed=5, taper=3)
    part = reach * np.array([0.35, 0.6, 0.8, 1.0, 1.0, 1.0]) / np.hypot(aim, 0.5)
    turn, curl = rng.uniform(0.1, 2.6, 6), rng.uniform(-3, 3, 6)
    turn = turn if side > 0 else np.pi - turn
    start = x + part * aim

    def hang(a: Field, b: Field) -> tuple[Field, Field]:
        bent = turn + curl * (a - start)
        return np.cos(bent), np.sin(bent)

    canvas.brush(start, y - 0.5 * part, shade * rng.uniform(0.5, 1.5, (6, 1)), hang,
        length=rng.uniform(0.08, 0.15, 6), width=rng.uniform(0.012, 0.02, 6), seed=round(1e3 * reach),
        bristle=0.6, ragged=0.35, dry=0.25, taper=1.2)  # fmt: skip


STYLES: Mapping[str, Callable[[int], Image.Image]] = {
    f.__name__: f for f in (swirls, glass, woodcut, mosaic, dots, ink, cubist)
}
