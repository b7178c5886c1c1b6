"""Style pictures in the manner of crafts: leaded glass, cut wood, set stones."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import (
    Canvas,
    Field,
    Layer,
    Mask,
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


def glass(size: int) -> Image.Image:
    """A river valley at sunrise in leaded glass."""
    canvas = Canvas(size, (4, 5))
    x, y = canvas.x, canvas.y
    sun_x, sun_y = 0.47, 0.30
    radius, angle = np.hypot(x - sun_x, y - sun_y), np.arctan2(x - sun_x, sun_y - y)
    far = 0.50 + 0.05 * np.sin(x * 7 + 1) + 0.02 * np.sin(x * 17)
    near = 0.66 + 0.06 * np.sin(x * 5 + 3.4)
    meadow = 0.86 + 0.03 * np.sin(x * 9)
    bank = 0.40 + 0.10 * np.sin((y - 0.5) * 16) * smoothstep(0.5, 0.75, y)
    river = (np.abs(x - bank) < 0.012 + 0.28 * np.maximum(y - 0.52, 0) ** 1.2) & (y > far)
    rim = np.minimum(np.minimum(x, canvas.width - x), np.minimum(y, canvas.depth - y))
    along = np.where(np.minimum(x, canvas.width - x) < np.minimum(y, canvas.depth - y), y, x)
    polar = (angle * 24 / (2 * np.pi), 4.2 * np.log(radius + 0.05) + 0.12 * np.sin(angle * 7))
    regions: list[tuple[Mask, Field, Field, str]] = [
        (radius > 0, *polar, "#123a9c #1b62c4 #2f9be0 #7fd0f0 #4a3fa8"),
        ((radius < 0.36) & (np.sin(angle * 12) > 0.3), *polar, "#f7a21b #f26a1b #ffd23f #e8403a"),
        (radius < 0.085, angle * 8 / (2 * np.pi), radius * 18, "#ffe04a #ffc21a #fff2a0"),
        (y > far, x * 10, (y - far) * 14, "#5b2a86 #7d3fa0 #2c4a9a #a0559a"),
        (y > near, x * 12 + 3 * y, (y - near) * 17, "#0f6b3c #2f9a3f #86c232 #0b4f4a"),
        (river, (x - bank) * 14, y * 18, "#9fe3f2 #d8f6f6 #3fb4e0 #fff0b8"),
        (y > meadow, x * 16, (y - meadow) * 20, "#c81e2c #f2511e #137a3c #0b5a2f #ffb81a"),
        (rim < 0.035, along * 22, rim * 8, "#9c1430 #1b3f9c #e8a81a #6b1a7a"),
    ]
    pane = np.zeros(x.shape, np.intp)
    for k, (inside, u, v, colours) in enumerate(regions):
        cell, _ = cells(u[inside] + 40, v[inside] + 40, seed=50 + k, jitter=0.75)
        palette = np.stack([rgb(c) for c in colours.split()])
        pick = np.random.default_rng(70 + k).integers(len(palette), size=1 << 16)
        canvas.pixels[inside] = palette[pick[cell]]
        pane[inside] = cell + (k << 16)
    came = np.zeros(x.shape, np.float32)
    came[:, 1:] += pane[:, 1:] != pane[:, :-1]
    came[1:] += pane[1:] != pane[:-1]
    lead = blur(np.minimum(came, 1), 0.0028 * canvas.unit) * canvas.unit / 180
    tone = np.random.default_rng(3).uniform(0.75, 1.15, len(regions) << 16).astype(np.float32)[pane]
    sheet = 0.95 + 0.35 * fbm(x * 12 + 31, y * 34 + 2 * np.sin(x * 15), 4, 4) + 0.2 * noise(x * 90, y * 90, 9)
    depth = smoothstep(0.1, 1.0, blur(lead, 0.007 * canvas.unit))
    canvas.pixels *= (tone * sheet * (1.25 - 0.7 * depth + 0.35 * np.exp(-((radius / 0.3) ** 2))))[..., None]
    canvas.cover(ramp(lead, "#2a2622", "#0c0a0a"), smoothstep(0.28, 0.42, lead))
    canvas.height = smoothstep(0.2, 0.9, lead)
    canvas.light(0.3, shine=0.5, soft=0.002)
    return canvas.picture()


def woodcut(size: int) -> Image.Image:
    """Breakers under a red sun, cut in wood and printed in indigo."""
    canvas = Canvas(size, (3, 2))
    x, y = canvas.x, canvas.y
    rng = np.random.default_rng(17)
    canvas.cover(ramp(y / 0.55, "#c9b48a", "#e9dcba", "#f3ead2", "#e6c9a0"))
    rays = np.sin(np.arctan2(y - 0.20, x - 0.87) * 36)
    canvas.cover("#e2b184", 0.55 * smoothstep(-0.1, 0.1, rays) * smoothstep(0.75, 0.2, np.hypot(x - 0.87, y - 0.20)))
    layer = Layer(canvas)
    layer.ellipse((0.87, 0.20), 0.098, "#6b2418")
    layer.ellipse((0.87, 0.20), 0.094, "#c8452c")
    for k in range(11):
        level = 0.12 + 0.016 * k
        sway = 0.004 * np.sin(np.linspace(0, 9, 40) + k)
        layer.line(
            np.stack([0.87 + np.linspace(-1, 1, 40) * np.sqrt(0.09**2 - (level - 0.20) ** 2), level + sway], -1),
            0.0022,
            "#e9a878" if k % 3 else "#8c2f1e",
        )
    for k in range(9):
        _cloud(layer, rng, 0.1 + 0.9 * ((k * 0.618) % 1), 0.035 + 0.032 * k)
    for k in range(7):
        _breaker(layer, rng, 0.02 + 0.17 * k, 0.50 + 0.02 * (k % 2), scale=0.075, way=1 if k % 2 else -1)
    _breaker(layer, rng, 0.27, 0.60, scale=0.38, way=1)
    _breaker(layer, rng, 0.90, 0.62, scale=0.16, way=-1)
    for k in range(6):
        _breaker(layer, rng, 0.0 + 0.20 * k, 0.66, scale=0.105, way=1)
    for k in range(7):
        _breaker(layer, rng, -0.04 + 0.19 * k, 0.74, scale=0.12, way=-1 if k % 3 == 1 else 1)
    canvas.lay(layer)
    wood = fbm(x * 5 + 0.3 * fbm(x * 3, y * 3, 2, 3), y * 150 + 6 * fbm(x * 2, y * 4, 3, 2), 5, 3)
    canvas.pixels += (0.10 * wood + 0.05 * noise(x * 160, y * 160, 8))[..., None]
    return canvas.picture()


def _cloud(layer: Layer, rng: np.random.Generator, x: float, y: float) -> None:
    """A flat band of cloud with round ends, outlined."""
    wide = rng.uniform(0.06, 0.16)
    for swell, colour in ((0.003, "#7d6a58"), (0.0, "#f6efdc")):
        for k in range(4):
            reach = wide * (1 - 0.2 * k)
            layer.ellipse((x + 0.03 * k, y + 0.007 * k), (reach + swell, 0.006 + swell), colour)


def _breaker(layer: Layer, rng: np.random.Generator, x: float, y: float, *, scale: float, way: int) -> None:
    """A wave that breaks to the right (`way` 1) or left (-1); (x, y) is the middle of its foot."""
    back = spline([(-1.9, -0.6), (-1.5, 0.0), (-1.0, 0.14), (-0.5, 0.45), (-0.1, 0.84), (0.3, 1.1),
        (0.72, 1.16), (1.05, 1.0), (1.2, 0.72)])  # fmt: skip
    face = spline([(2.2, -0.6), (1.7, 0.0), (1.0, 0.03), (0.6, 0.16), (0.38, 0.42), (0.42, 0.7),
        (0.68, 0.88), (0.95, 0.86), (1.2, 0.72)])  # fmt: skip

    def place(points: Field) -> Field:
        return np.stack([x + way * scale * points[:, 0], y - scale * points[:, 1]], -1)

    t = np.linspace(0, 1, len(back))[:, None]
    layer.polygon(place(np.concatenate([back, face[::-1]])), "#10204a")
    stripes = 15
    inks = ("#f1e7cc", "#10204a", "#2f5f9e", "#f1e7cc", "#1b3a78", "#8fb4c4", "#10204a")
    for k in range(1, stripes):
        start = k / stripes + 0.012 * np.sin(9 * t + 2 * k)
        stop = start + (0.62 / stripes) * (0.35 + 0.65 * np.sin(np.pi * np.clip(t * 1.08, 0, 1)))
        edges = [back + (face - back) * np.clip(part, 0, 1) ** 0.85 for part in (start, stop)]
        layer.polygon(place(np.concatenate([edges[0], edges[1][::-1]])), inks[k % len(inks)])
    crest = np.concatenate([back[52:], face[:70:-1]])
    crest = crest[np.linspace(0, len(crest) - 1, 40).astype(int)]
    heading = np.arctan2(*np.gradient(crest, axis=0).T[::-1])
    blobs = [(crest[k] + rng.normal(0, 0.035, 2), rng.uniform(0.05, 0.10)) for k in range(len(crest))]
    claws = []
    for k in range(len(crest)):
        for _ in range(2):
            root = crest[k] + rng.normal(0, 0.05, 2)
            claws.append(_claw(root, heading[k] + rng.normal(-0.2, 0.7), rng.uniform(0.10, 0.19), rng.choice([-1, 1])))
    for swell, colour in ((0.0035 + 0.008 * scale, "#10204a"), (0.0, "#f6efdc")):
        for centre, radius in blobs:
            spot = place(centre[None])[0]
            layer.ellipse(spot, radius * scale + swell, colour)
        for claw in claws:
            layer.polygon(place(claw), colour)
            if swell:
                layer.line(place(np.concatenate([claw, claw[:1]])), 2 * swell, colour)
    for centre, radius in blobs:
        bend = np.linspace(0.3, 3.6, 9) + rng.uniform(0, 6)
        arc = centre + 0.6 * radius * np.stack([np.cos(bend), np.sin(bend)], -1)
        layer.line(place(arc), 0.0022 + 0.006 * scale, "#4a78a8")
    for _ in range(int(90 * scale)):
        drop = np.array([[rng.uniform(0.5, 2.0), rng.uniform(0.35, 1.5)]])
        spot = place(drop)[0]
        layer.ellipse(spot, rng.uniform(0.0015, 0.0035), "#fbf6e8")


def _claw(root: Field, heading: float, length: float, turn: int) -> Field:
    """A finger of foam that tapers and curls: its outline (N, 2)."""
    s = np.linspace(0, 1, 9)
    direction = heading + turn * 2.6 * s**1.5
    step = length / 8
    spine = root + np.cumsum(np.stack([np.cos(direction), np.sin(direction)], -1) * step, axis=0)
    side = np.stack([-np.sin(direction), np.cos(direction)], -1) * (0.26 * length * (1 - s) ** 0.8)[:, None]
    return np.concatenate([spine + side, (spine - side)[::-1]])


STONE = 0.0178  # side of a stone of the mosaic, with its joint


def mosaic(size: int) -> Image.Image:
    """Fish circling in a Roman sea of small stones."""
    canvas = Canvas(size, (1, 1), finer=2)
    rng = np.random.default_rng(9)
    cartoon = _fishes(rng)
    x, y, angle = _settle(cartoon, rng, side=STONE)
    colour = jitter(cartoon.look(x, y), rng, 0.13, 0.025)
    colour[rng.random(len(x)) < 0.06] *= 1.25
    layer = Layer(canvas)
    ring = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * STONE * 0.45
    for k in range(len(x)):
        turn = angle[k] + rng.normal(0, 0.05)
        c, s = np.cos(turn), np.sin(turn)
        corners = ring * rng.uniform(0.86, 1.06, (4, 2))
        layer.polygon(corners @ np.array([[c, s], [-s, c]]) + (x[k], y[k]), colour[k])
    canvas.cover(ramp(0.5 + fbm(canvas.x * 40, canvas.y * 40, 3, 3), "#3a342e", "#7d7263"))
    canvas.lay(layer)
    stone = layer.read()[1]
    tilt = noise(canvas.x * 47, canvas.y * 47, 6)
    vein = fbm(canvas.x * 60, canvas.y * 60, 12, 3)
    canvas.pixels *= (1 + stone * (0.14 * tilt + 0.12 * vein))[..., None]
    canvas.height = blur(stone, 0.0012 * canvas.unit) + 0.06 * vein
    canvas.light(0.55, shine=0.4)
    return canvas.picture()


def _fishes(rng: np.random.Generator) -> Canvas:
    """The cartoon of the mosaic: fish in a sea framed by a wave border."""
    cartoon = Canvas(256)
    x, y = cartoon.x, cartoon.y
    around = np.arctan2(y - 0.5, x - 0.5)
    swell = np.sin(52 * np.hypot(x - 0.5, y - 0.5) + 2.2 * np.sin(7 * around) + 2 * around)
    cartoon.cover(ramp(0.42 + 0.5 * swell, "#0b3a52", "#0f5f70", "#1d8a8c", "#5fbfae", "#d6efd6"))
    layer = Layer(cartoon)
    _fish(layer, 0.35, 0.235, "#c8502a")
    _fish(layer, 0.35 + np.pi, 0.235, "#dd9a24")
    for k in range(8):
        a = 2 * np.pi * k / 8
        layer.ellipse((0.5 + 0.055 * np.cos(a), 0.5 + 0.055 * np.sin(a)), 0.026, "#e8b93c" if k % 2 else "#f4e6c0")
    layer.ellipse((0.5, 0.5), 0.034, "#8c2f22")
    cartoon.lay(layer)
    rim = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    along = np.where(np.minimum(x, 1 - x) < np.minimum(y, 1 - y), y, x)
    cartoon.cover("#f1e4c4", rim < 0.105)
    cartoon.cover("#20303c", (rim < 0.095) & (rim > 0.06 + 0.018 * np.sin(along * 2 * np.pi * 9)))
    cartoon.cover("#c0562f", (rim < 0.085) & (rim < 0.052 + 0.018 * np.sin(along * 2 * np.pi * 9)))
    cartoon.cover("#f1e4c4", rim < 0.03)
    cartoon.cover("#20303c", rim < 0.02)
    return cartoon


def _fish(layer: Layer, around: float, orbit: float, colour: str) -> None:
    """A fish bent along a circle around the middle of the picture."""

    def bend(points: list[tuple[float, float]]) -> Field:
        p = np.asarray(points) * 1.6
        a, r = around + p[:, 0] / orbit, orbit + p[:, 1]
        return np.stack([0.5 + r * np.cos(a), 0.5 + r * np.sin(a)], -1)

    body = [(-0.17, 0.0), (-0.10, 0.045), (0.0, 0.075), (0.10, 0.06), (0.17, 0.0), (0.10, -0.055),
        (0.0, -0.07), (-0.10, -0.04)]  # fmt: skip
    outline = [(p[0], p[1]) for p in spline(body, closed=True)]
    tail = [(-0.15, 0.0), (-0.25, 0.085), (-0.22, 0.0), (-0.25, -0.085)]
    fin = [(-0.05, 0.06), (-0.03, 0.12), (0.06, 0.105), (0.07, 0.065)]
    for shape in (tail, fin, [(a, -b) for a, b in fin]):
        layer.polygon(bend(shape), "#7a2a1c")
    layer.polygon(bend([(a * 1.06, b * 1.18) for a, b in outline]), "#1c2a34")
    layer.polygon(bend(outline), colour)
    layer.polygon(bend([(a, min(b, -0.028)) for a, b in outline]), "#f7e6b4")
    for k in range(5):
        s = -0.125 + 0.042 * k
        layer.line(bend([(s, 0.042), (s + 0.02, 0.0), (s + 0.005, -0.028)]), 0.013, "#f6cf6a" if k % 2 else "#7a2418")
    layer.line(bend([(0.085, 0.055), (0.07, 0.0), (0.085, -0.05)]), 0.014, "#1c2a34")
    eye = bend([(0.12, 0.018)])[0]
    layer.ellipse(eye, 0.017, "#fbf3dc")
    layer.ellipse(eye, 0.009, "#101418")


def _settle(cartoon: Canvas, rng: np.random.Generator, side: float) -> tuple[Field, Field, Field]:
    """Where square stones come to lie, and their turn, when rows follow the contours (after Hausner 2001).

    Lloyd's relaxation in the Chebyshev metric of each stone's own axes, on the cartoon's pixels.
    """
    n, unit = cartoon.shape[0], cartoon.unit
    across2, down2, both = np.zeros((3, *cartoon.shape), np.float32)
    for channel in range(3):
        down, across = np.gradient(blur(cartoon.pixels[..., channel], 1.5))
        across2, down2, both = across2 + across**2, down2 + down**2, both + across * down
    turn = 0.5 * np.arctan2(2 * blur(both, 4), blur(across2, 4) - blur(down2, 4))
    x, y = scatter(cartoon, round(1 / side**2), rng, margin=0.0)
    reach = np.arange(-5, 6)
    dj, di = (a.ravel()[None] for a in np.meshgrid(reach, reach))
    for _ in range(9):
        i, j = np.floor(y * unit).astype(int)[:, None] + di, np.floor(x * unit).astype(int)[:, None] + dj
        angle = turn[np.clip(i[:, 60], 0, n - 1), np.clip(j[:, 60], 0, n - 1)][:, None]
        u, v = (j + 0.5) / unit - x[:, None], (i + 0.5) / unit - y[:, None]
        far = np.maximum(np.abs(u * np.cos(angle) + v * np.sin(angle)), np.abs(v * np.cos(angle) - u * np.sin(angle)))
        far[(i < 0) | (j < 0) | (i >= n) | (j >= n)] = np.inf
        order = np.argsort(-far, axis=None, kind="stable")
        order = order[np.isfinite(far.ravel()[order])]
        owner = np.full(n * n, -1)
        owner[(i * n + j).ravel()[order]] = order // di.size
        at = np.flatnonzero(owner >= 0)
        area = np.maximum(np.bincount(owner[at], minlength=len(x)), 1)
        x = np.bincount(owner[at], (at % n + 0.5) / unit, len(x)) / area
        y = np.bincount(owner[at], (at // n + 0.5) / unit, len(y)) / area
    i, j = np.clip((y * unit).astype(int), 0, n - 1), np.clip((x * unit).astype(int), 0, n - 1)
    return x, y, turn[i, j]
