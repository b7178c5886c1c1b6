"""The style pictures: each a composition of its own, rich in strokes at every scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gencli.core.drawn.crafts import glass, mosaic, woodcut
from gencli.core.drawn.paint import (
    Canvas,
    Field,
    Layer,
    blur,
    cells,
    fbm,
    jitter,
    noise,
    ramp,
    rgb,
    scatter,
    smoothstep,
    spline,
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
        dx, dy = np.where(land, 1, dx), np.where(land, 0.25 * np.cos(x * 16) + 0.7 * np.sin(y * 26 + x * 9), dy)
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
        hill = ramp(0.5 + 0.7 * fbm(x * 8, y * 16, 8, 3), "#0a1536", "#12395e", "#2c6b5e", "#6d8f3c", "#d0b548")
        colour = np.where((y > ground(x))[..., None], hill, colour)
        bark = ramp(0.45 + 0.7 * noise(x * 60, y * 9, 5), "#0a0f14", "#15301f", "#3c4a1c", "#7a5a22")
        return np.where((tree(x, y) > 0)[..., None], bark, colour)

    canvas.cover("#0d1b4a")
    for count, length, width in ((900, 0.11, 0.022), (3200, 0.065, 0.012), (3800, 0.045, 0.0075)):
        x, y = scatter(canvas, count, rng)
        colour = jitter(tint(x, y), rng, 0.13, 0.03)
        canvas.brush(x, y, colour, flow, length=length, width=width, seed=count, bristle=0.5)
    _village(canvas, rng, ground)
    hearts = np.array(stars)
    canvas.brush(hearts[:, 0] - hearts[:, 2] * 0.3, hearts[:, 1], np.tile(rgb("#fffdf0"), (len(hearts), 1)),
                 lambda x, y: (1 + 0 * x, 0 * y), length=0.025, width=0.022, seed=1, taper=2.0)  # fmt: skip
    canvas.light(0.5, shine=0.35)
    return canvas.picture()


def _village(canvas: Canvas, rng: np.random.Generator, ground: Callable[[Field], Field]) -> None:
    """Roofs and lit windows between the hills, painted with a small brush."""
    for k in range(26):
        x = 0.30 + 0.68 * ((k * 0.618) % 1)
        y = float(ground(np.float64(x))) + 0.05 + 0.10 * k / 26
        side = 0.020 + 0.012 * k / 26
        wall = ramp(rng.random(1), "#1b2c55", "#46618a", "#8b8a6a")
        roof = ramp(rng.random(1), "#5a2a1e", "#a8552a", "#22406e")
        for colour, top, rise in ((wall, 0.0, 0.0), (roof, -side * 0.75, 0.5)):
            across = np.linspace(x, x + side * 0.8, 6)
            drop = np.full(6, y + top) + rise * np.abs(np.linspace(-1, 1, 6)) * side * 0.6
            canvas.brush(across, drop, jitter(np.repeat(colour, 6, 0), rng, 0.15, 0.02),
                         lambda a, b: (0 * a, 1 + 0 * b), length=side, width=side * 0.28,
                         seed=k, bristle=0.4)  # fmt: skip
        lamp = np.array([x + side * 0.25, x + side * 0.6])
        canvas.brush(lamp, np.full(2, y + side * 0.35), np.tile(rgb("#ffd65a"), (2, 1)),
                     lambda a, b: (0 * a, 1 + 0 * b), length=side * 0.35, width=side * 0.16, seed=k)  # fmt: skip


def dots(size: int) -> Image.Image:
    """A river at golden hour in dots of pure colour."""
    canvas = Canvas(size, (3, 2), finer=2)
    rng = np.random.default_rng(21)
    cartoon = _riverside()
    pigments = np.stack([rgb(c) for c in PIGMENTS])
    canvas.cover("#d9c79a")
    for count, across, stray in ((7000, 0.0125, 0.10), (11000, 0.0095, 0.09), (13000, 0.0075, 0.07)):
        x, y = scatter(canvas, count, rng)
        wanted = cartoon.look(x, y) + stray * rng.standard_normal((len(x), 3))
        nearest = ((wanted[:, None] - pigments) ** 2).sum(-1).argmin(1)
        colour = jitter(0.35 * wanted + 0.65 * pigments[nearest], rng, 0.04, 0.015)
        canvas.brush(x - across / 2, y, colour, lambda a, b: (1 + 0 * a, 0.3 * np.sin(a * 9)), length=across * 1.15,
                     width=across, seed=count, taper=2.0, ragged=0.0, bristle=0.12)  # fmt: skip
    canvas.light(0.25, shine=0.15)
    return canvas.picture()


PIGMENTS = ("#f7f0d2 #f9dc6b #f2a93b #ea6f3a #cf3d3a #e79aa0 #b56aa8 #6a4c9c #2f3f8f #3f6fc0 #6fb0dc #b5dbe0 "
            "#1f6f6a #2f8f4f #7fb64a #c6d25a #1b3a3c #6b3f2a #2a2348").split()  # fmt: skip


def _riverside() -> Canvas:
    """The scene under the dots: a wooded bank, sails, and a shady meadow with a parasol."""
    scene = Canvas(512, (3, 2))
    x, y = scene.x, scene.y
    glow = np.exp(-(((x - 0.74) / 0.35) ** 2) - ((y - 0.20) / 0.16) ** 2)
    scene.cover(ramp(y / 0.26, "#5f9bd8", "#a8d0e2", "#f6e2a2", "#f9c06a"))
    scene.cover("#fdeeb0", 0.8 * glow)
    scene.cover("#fbe6c8", 0.7 * smoothstep(0.1, 0.5, fbm(x * 5, y * 14, 3, 4)) * smoothstep(0.24, 0.1, y))
    bank = 0.255 - 0.05 * np.maximum(fbm(x * 9, 0 * x, 4, 4) + 0.35, 0) - 0.05 * smoothstep(0.35, 0.0, x)
    wood = ramp(0.5 + 0.8 * fbm(x * 20, y * 26, 5, 4), "#20324f", "#2d6a58", "#7fa84a", "#e0b750")
    scene.cover(wood, smoothstep(-0.003, 0.003, y - bank))
    depth = (y - 0.275) / 0.39
    ripple = fbm(x * 6, y * 60, 6, 3)
    mirror = np.clip(0.275 - (y - 0.275) * 0.9 + 0.01 * ripple, 0, 1)
    water = scene.look(x + 0.01 * ripple, mirror) * 0.85 + 0.04
    scene.cover(water, smoothstep(0.273, 0.277, y))
    scene.cover("#fff0b4", 0.75 * smoothstep(0.1, 0.4, ripple) * np.exp(-(((x - 0.74) / 0.10) ** 2)) * (y > 0.277))
    layer = Layer(scene)
    for sail_x, sail_y, tall in ((0.50, 0.315, 0.13), (0.87, 0.305, 0.09), (0.62, 0.285, 0.05)):
        hull = spline([(-0.4, 0), (-0.3, 0.09), (0.3, 0.09), (0.45, -0.02)])
        layer.polygon(hull * tall + (sail_x, sail_y), "#4a2a3c")
        layer.polygon(np.array([(-0.02, -0.03), (-0.02, -1), (0.38, -0.08)]) * tall + (sail_x, sail_y), "#fdf6e2")
        layer.polygon(np.array([(-0.05, -0.03), (-0.05, -0.9), (-0.33, -0.06)]) * tall + (sail_x, sail_y), "#f4c9a0")
        layer.polygon(np.array([(-0.3, 0.1), (0.34, 0.1), (0.05, 0.75)]) * tall + (sail_x, sail_y), "#f3e3c0", 0.55)
    scene.lay(layer)
    shore = 0.47 - 0.10 * x + 0.012 * np.sin(x * 14)
    grass = ramp(0.45 + 0.25 * depth + 0.6 * fbm(x * 7, y * 12, 9, 4), "#2a6a3c", "#6fa83c", "#c6cf4a", "#f2dc6a")
    shade = smoothstep(0.1, -0.1, fbm(x * 3.5, y * 6, 12, 3) + 2.2 * (x - 0.42) - (y - 0.55))
    grass = grass + (ramp(0.5 + 0.6 * fbm(x * 9, y * 14, 10, 3), "#1c2f5a", "#235a4c", "#4a8a4a") - grass) * shade[..., None]
    scene.cover(grass, smoothstep(-0.003, 0.003, y - shore))
    layer = Layer(scene)
    layer.polygon(spline([(0.10, 0.62), (0.125, 0.40), (0.11, 0.2), (0.15, 0.0), (0.19, 0.0), (0.165, 0.2), (0.18, 0.42),
                          (0.215, 0.62)]), "#3b2340")  # fmt: skip
    for px, py, tall, dress in ((0.55, 0.56, 0.17, "#8a3a8c"), (0.63, 0.545, 0.14, "#23305c"), (0.80, 0.50, 0.09, "#c8443a")):
        skirt = [(-0.22, 0.05), (-0.10, -0.45), (-0.13, -0.66), (0.10, -0.66), (0.09, -0.45), (0.26, 0.05)]
        layer.polygon(spline([(a * tall + px, b * tall + py) for a, b in skirt], closed=True), dress)
        layer.ellipse(px, py - 0.76 * tall, 0.07 * tall, 0.09 * tall, "#eab894")
        layer.ellipse(px, py - 0.84 * tall, 0.12 * tall, 0.05 * tall, "#5a2a2a")
        layer.line([(px + 0.1 * tall, py - 0.5 * tall), (px + 0.2 * tall, py - 1.05 * tall)], 0.012 * tall * 2, "#4a2a3c")
        top = [(0.2 + 0.36 * np.cos(a), -1.0 - 0.26 * np.sin(a)) for a in np.linspace(0, np.pi, 12)]
        layer.polygon([(a * tall + px, b * tall + py) for a, b in top], "#f2a93b" if dress != "#c8443a" else "#fdf6e2")
        layer.polygon(np.array([(-0.2, 0.06), (0.25, 0.06), (-0.5, 0.3), (-0.9, 0.3)]) * tall + (px, py), "#1f3a5a", 0.6)
    scene.lay(layer)
    crown = fbm(x * 8, y * 8, 14, 5) + 1.1 - 5.0 * np.maximum(np.hypot((x - 0.14) * 0.85, y - 0.03) - 0.05, 0)
    leaves = ramp(0.5 + 0.9 * fbm(x * 26, y * 26, 15, 3) + 0.5 * (x - 0.15), "#1b2a4a", "#1f6f4a", "#5fa044", "#d6d25a")
    scene.cover(leaves, smoothstep(-0.05, 0.05, crown))
    return scene


def ink(size: int) -> Image.Image:
    """Bamboo before misty mountains in running ink."""
    canvas = Canvas(size, (4, 5))
    x, y = canvas.x, canvas.y
    rng = np.random.default_rng(4)
    canvas.cover(ramp(0.5 + 0.5 * fbm(x * 3, y * 3, 2, 4), "#e2d6bb", "#f1e9d6", "#f6f0e2"))
    sun = np.hypot(x - 0.57, y - 0.20) + 0.004 * fbm(x * 20, y * 20, 3, 3)
    canvas.pixels *= 1 - (1 - rgb("#d8452e")) * (smoothstep(0.082, 0.074, sun) * (0.85 + 0.3 * fbm(x * 9, y * 9, 5, 4)))[..., None]
    for k in range(5):
        ridge = 0.30 + 0.11 * k - (0.13 - 0.012 * k) * fbm(x * (2.2 + 0.4 * k) + 3.7 * k, 0.35 * y, 60 + 9 * k, 6, 0.46)
        below = y - ridge + 0.006 * fbm(x * 30, y * 30, 7, 3)
        fade = np.exp(-np.maximum(below, 0) / (0.07 + 0.012 * k))
        cut = 0.75 + 0.55 * fbm(x * 30 + 14 * below, below * 9, 30 + k, 4, ridged=True) * (0.4 + 0.6 * fade)
        rim = np.exp(-(((below - 0.004) / 0.004) ** 2))
        wash = (0.20 + 0.13 * k) * (fade * cut + 0.35 * rim) * smoothstep(-0.002, 0.002 + 0.001 * k, below)
        canvas.pixels *= 1 - (1 - rgb("#1c2430")) * np.clip(wash, 0, 1)[..., None]
    _stain(canvas, rng)
    for stalk_x, lean, wide, tone in ((0.66, -0.03, 0.022, 0.55), (0.10, 0.05, 0.030, 0.35), (0.20, -0.02, 0.046, 0.08)):
        _bamboo(canvas, rng, stalk_x, lean, wide, tone)
    fibre = fbm(x * 9, y * 130, 21, 3) + fbm(x * 130, y * 9, 24, 3)
    canvas.pixels += (0.035 * fibre)[..., None]
    canvas.grain(0.012, 6)
    return canvas.picture()


def _stain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Splashed drops with darker rims, as wet paper dries."""
    for _ in range(60):
        spot_x, spot_y, radius = rng.uniform(0, 0.8), rng.uniform(0.05, 1.0), 0.002 + 0.009 * rng.random() ** 4
        r = np.hypot(canvas.x - spot_x, canvas.y - spot_y) / radius
        drop = 0.45 * smoothstep(1.05, 0.9, r) + 0.3 * np.exp(-(((r - 1) / 0.15) ** 2))
        canvas.pixels *= (1 - drop * rng.uniform(0.3, 1.0))[..., None]


def _bamboo(canvas: Canvas, rng: np.random.Generator, x: float, lean: float, wide: float, tone: float) -> None:
    """One stalk from the ground up, its joints, twigs and leaves."""
    shade = np.array([[1.0, 1.04, 1.12]]) * tone + 0.05
    foot, part = 1.04, 0.0
    while foot > -0.1:
        tall = 0.13 + 0.05 * np.sin(foot * 5)
        spot = np.array([x + lean * (1 - foot)]), np.array([foot])
        canvas.brush(*spot, shade + 0.08, lambda a, b: (lean + 0 * a, -1 + 0 * b), length=tall - 0.006, width=wide,
                     seed=40 + int(part), bristle=1.6, ragged=0.06, dry=0.75, taper=14)  # fmt: skip
        canvas.brush(spot[0] - wide * 0.65, spot[1] + 0.002, shade * 0.4, lambda a, b: (1 + 0 * a, 0.35 * np.sin((a - spot[0][0]) / wide * 3)),
                     length=wide * 1.3, width=0.007, seed=3, taper=3)  # fmt: skip
        side = 1 if part % 2 else -1
        for twig in range(2):
            reach = rng.uniform(0.10, 0.22)
            start_x, start_y = spot[0] + side * wide * 0.4, spot[1]
            aim = side * rng.uniform(0.5, 1.2)
            canvas.brush(start_x, start_y, shade * 0.8, lambda a, b, aim=aim: (aim + 0 * a, -0.5 + 0 * b), length=reach,
                         width=0.004, seed=5, taper=3)  # fmt: skip
            tip_x = start_x + reach * np.array([0.35, 0.6, 0.8, 1.0, 1.0, 1.0]) * aim / np.hypot(aim, 0.5)
            tip_y = start_y - reach * np.array([0.35, 0.6, 0.8, 1.0, 1.0, 1.0]) * 0.5 / np.hypot(aim, 0.5)
            for leaf in range(6):
                turn = rng.uniform(0.1, 2.6) if side > 0 else np.pi - rng.uniform(0.1, 2.6)
                curl = rng.uniform(-3, 3)
                canvas.brush(tip_x[leaf : leaf + 1], tip_y[leaf : leaf + 1], shade * rng.uniform(0.5, 1.5),
                             lambda a, b, t=turn, c=curl: (np.cos(t + c * (a - x)), np.sin(t + c * (a - x))),
                             length=rng.uniform(0.08, 0.15), width=rng.uniform(0.012, 0.02), seed=leaf, bristle=0.6,
                             ragged=0.35, dry=0.25, taper=1.2)  # fmt: skip
        foot, part, side = foot - tall, part + 1, -side


def cubist(size: int) -> Image.Image:
    """A guitar, a bottle and a glass broken into planes."""
    canvas = Canvas(size, (4, 5))
    x, y = canvas.x, canvas.y
    still = _still_life()
    rng = np.random.default_rng(8)
    tones = ["#2b2a2a", "#5c5346", "#8c7a5a", "#b89c6a", "#d9c392", "#efe4c4", "#7d8a8c", "#3c4a52"]
    for scale, seed, opacity in ((4.2, 3, 1.0), (6.5, 5, 0.6), (11.0, 7, 0.45)):
        turn = 0.5 * seed
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        facet, edge = cells(u * scale, v * scale * 0.7, seed)
        aim, shift = rng.uniform(0, 2 * np.pi, 1 << 16)[facet], rng.normal(0, 0.035, (2, 1 << 16))[:, facet]
        seen = still.look(x + shift[0], y + shift[1])
        along = np.cos(aim) * x + np.sin(aim) * y
        shade = (along * scale * 0.9) % 1.0
        plane = ramp(rng.random(1 << 16)[facet] * 0.75 + 0.25 * shade, *tones)
        mixed = seen * 0.6 + plane * 0.4 + 0.34 * (shade[..., None] - 0.5)
        pick = (rng.random(1 << 16) < opacity)[facet]
        canvas.cover(mixed, pick * (0.75 if opacity < 1 else 1))
        canvas.cover("#1b1816", 0.8 * pick * smoothstep(0.012 * scale / 4, 0.004, edge))
    canvas.pixels += (0.10 * fbm(x * 70, y * 70, 31, 3) + 0.06 * fbm(x * 30 + y * 60, y * 20 - x * 60, 35, 2))[..., None]
    return canvas.picture()


def _still_life() -> Canvas:
    """The things on the table before they are broken."""
    still = Canvas(512, (4, 5))
    still.cover(ramp(0.5 + 0.5 * fbm(still.x * 2, still.y * 2, 2, 3), "#4a4a48", "#8a8270", "#c9b48a"))
    layer = Layer(still)
    layer.polygon(spline([(-0.1, 0.75), (0.3, 0.66), (0.9, 0.72), (0.9, 1.1), (-0.1, 1.1)], closed=True), "#6b4426")
    body = [(0.30, 0.93), (0.15, 0.84), (0.17, 0.70), (0.25, 0.62), (0.21, 0.53), (0.27, 0.45), (0.37, 0.43), (0.47, 0.46),
            (0.50, 0.55), (0.46, 0.63), (0.56, 0.70), (0.57, 0.84), (0.44, 0.93)]  # fmt: skip
    layer.polygon(spline(body, closed=True), "#b8702a")
    layer.polygon(spline([(a * 0.85 + 0.055, b * 0.85 + 0.10) for a, b in body], closed=True), "#dda552")
    layer.ellipse(0.36, 0.62, 0.065, 0.065, "#1b1512")
    layer.polygon([(0.34, 0.62), (0.39, 0.62), (0.52, 0.10), (0.48, 0.09)], "#2a1d16")
    for k in range(4):
        layer.line([(0.345 + 0.012 * k, 0.84), (0.49 + 0.008 * k, 0.10)], 0.003, "#f4ead0")
    layer.polygon([(0.27, 0.83), (0.46, 0.83), (0.46, 0.85), (0.27, 0.85)], "#2a1d16")
    layer.polygon([(0.62, 0.85), (0.62, 0.50), (0.66, 0.42), (0.66, 0.28), (0.71, 0.28), (0.71, 0.42), (0.75, 0.50), (0.75, 0.85)], "#24443c")
    layer.polygon([(0.62, 0.62), (0.75, 0.62), (0.75, 0.76), (0.62, 0.76)], "#efe4c4")
    layer.polygon([(0.06, 0.62), (0.20, 0.62), (0.17, 0.42), (0.09, 0.42)], "#dfe4e0")
    layer.polygon([(0.02, 0.1), (0.26, 0.06), (0.30, 0.34), (0.06, 0.38)], "#f1ead6")
    for k in range(7):
        layer.line([(0.05 + 0.005 * k, 0.13 + 0.032 * k), (0.25 + 0.005 * k, 0.10 + 0.032 * k)], 0.008, "#3a3835")
    still.lay(layer)
    return still


STYLES: Mapping[str, Callable[[int], Image.Image]] = {
    f.__name__: f for f in (swirls, glass, woodcut, mosaic, dots, ink, cubist)
}
