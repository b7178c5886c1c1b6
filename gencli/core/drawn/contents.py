"""The example photographs: scenes with light, depth and texture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gencli.core.drawn.harbour import harbour
from gencli.core.drawn.paint import Canvas, fbm, noise, ramp, rgb, smoothstep, steady
from gencli.core.drawn.portrait import face
from gencli.core.drawn.street import street
from gencli.core.drawn.water import mirror


def lake(size: int) -> Image.Image:
    """A mountain lake in the morning, snow peaks and firs mirrored in it."""
    canvas = Canvas(size, (3, 2), finer=1.5)
    rng = np.random.default_rng(3)
    shore = 0.395
    _morning_sky(canvas, shore)
    _mountains(canvas, shore)
    _firs(
        canvas,
        rng,
        520,
        span=(-0.02, 1.02),
        feet=(shore - 0.004, shore + 0.004),
        heights=(0.014, 0.046),
        haze=0.30,
    )
    _firs(
        canvas,
        rng,
        60,
        span=(0.60, 1.04),
        feet=(shore + 0.004, shore + 0.012),
        heights=(0.05, 0.12),
        haze=0.1,
    )
    mirror(canvas, shore + 0.008, ("#7fa0b4", "#3f6878", "#173c44"), rough=0.8, murk=0.06)
    _bank(canvas, rng)
    _firs(canvas, rng, 7, span=(-0.02, 0.22), feet=(0.545, 0.60), heights=(0.26, 0.52), haze=0.0)
    canvas.grain(0.012, 8)
    return canvas.picture()


def _morning_sky(canvas: Canvas, horizon: float) -> None:
    """Blue air, thin high cloud, and heaped clouds lit from the left."""
    x, y = canvas.x, canvas.y
    canvas.cover(ramp(y / horizon, "#2f68b0", "#6ba0d4", "#b5d2e8", "#ecdccb"))
    veil = fbm(x * 2.2 + 0.6 * fbm(x * 3, y * 6, 40, 3), y * 9, 44, 5)
    canvas.cover("#f4f3f0", 0.55 * smoothstep(0.05, 0.6, veil))
    heap = fbm(x * 4.5 + 2, y * 8, 50, 6) + 0.45 * np.exp(-(((y - 0.17) / 0.09) ** 2)) - 0.2
    lit = heap - fbm((x - 0.02) * 4.5 + 2, (y - 0.015) * 8, 50, 4)
    canvas.cover(ramp(0.6 + 1.5 * lit, "#8fa3bd", "#d5d8de", "#fff8ea"), smoothstep(0.0, 0.28, heap))


def _mountains(canvas: Canvas, horizon: float) -> None:
    """Fractal terrain seen in perspective: for each column, the first hill that rises above each pixel."""
    columns, steps = canvas.shape[1], 560
    across = np.linspace(-0.5, 0.5, columns, dtype=np.float32)[None, :]
    far = np.geomspace(3.0, 11.5, steps, dtype=np.float32)[:, None]
    x = across * far
    rise = smoothstep(3.3, 9.0, far)
    bend = 0.25 * fbm(x * 0.6, far * 0.6, 77, 3)
    crest = fbm(x * 0.27 + 4.1 + bend, far * 0.27 - bend, 90, 6, gain=0.40, ridged=True)
    ground = rise * (3.3 * crest**1.3 + 0.2 * fbm(x, far, 70, 6)) - 0.05 + 0.3 * smoothstep(3.0, 5.0, far)
    ground -= 1.2 * np.exp(-(((x - 0.6) / 1.6) ** 2)) * rise
    down_slope, across_slope = np.gradient(ground)
    slope_x = across_slope / (far * (across[0, 1] - across[0, 0]))
    step = np.gradient(far, axis=0)
    slope_z = (down_slope - slope_x * across * step) / step
    sun = (-0.72 * slope_x + 0.30 * slope_z + 0.55) / np.sqrt(1 + slope_x**2 + slope_z**2)
    horizon_line = ground + 0.55 * x
    shadow = smoothstep(0.12, 0.0, np.maximum.accumulate(horizon_line, axis=1) - horizon_line)
    light = np.clip(sun, 0, 1.2) * (0.15 + 0.85 * shadow)
    steep = np.hypot(slope_x, slope_z)
    detail = fbm(x * 5, far * 5, 33, 4)
    rock = ramp(0.5 + 0.5 * detail, "#4b4744", "#756c63", "#a09282")
    snow = smoothstep(-0.15, 0.2, ground - 1.05 + 0.5 * detail - 0.42 * (steep - 1.0))[..., None]
    wood = smoothstep(0.15, -0.15, ground - 0.62 + 0.5 * detail)[..., None]
    colour = rock + (rgb("#1f3a30") * (0.8 + 0.5 * noise(x * 45, far * 30, 5))[..., None] - rock) * wood
    colour = colour + (rgb("#f7f5f2") - colour) * snow
    colour = colour * (light[..., None] * rgb("#ffe9cc") * 1.05 + rgb("#5f7fb0") * 0.48)
    haze = 1 - np.exp(-np.maximum(far - 3.0, 0) * 0.055)
    colour += (rgb("#b9cfe4") - colour) * haze[..., None]
    top = horizon - (ground - 0.02) / far
    top = np.minimum.accumulate(top, axis=0) * canvas.unit
    rows = np.arange(canvas.shape[0]) + 0.5
    for j in range(columns):
        seen = np.searchsorted(-top[:, j], -rows)
        hit = np.flatnonzero((seen < steps) & (rows < (horizon + 0.012) * canvas.unit))
        canvas.pixels[hit, j] = colour[seen[hit], j]


def _firs(
    canvas: Canvas,
    rng: np.random.Generator,
    count: int,
    *,
    span: tuple[float, float],
    feet: tuple[float, float],
    heights: tuple[float, float],
    haze: float,
) -> None:
    """A stand of firs, each a cone of drooping boughs, lighter on the left."""
    sprigs = int(24 + 1900 * heights[1])
    tall = rng.uniform(*heights, count)
    at_x, at_y = rng.uniform(*span, count), np.sort(rng.uniform(*feet, count))
    canvas.brush(at_x, at_y, np.tile(rgb("#2a2320") * (1 - haze) + rgb("#8fa5b8") * haze, (count, 1)),
        steady(0, -1), length=tall * 0.97, width=tall * 0.025, seed=1, taper=8)  # fmt: skip
    level = np.sort(rng.uniform(0.05, 1.0, (count, sprigs)) ** 0.8, axis=1)
    side = rng.uniform(-1, 1, level.shape)
    tier = 0.62 + 0.38 * np.sin(level**1.3 * (50 + 20 * at_x[:, None]) + 2.5 * side)  # boughs come in whorls
    spread = tall[:, None] * (0.008 + 0.23 * (1 - level) ** 0.9 * tier)
    lit = 0.36 - 0.22 * side + 0.25 * (tier - 0.7) + 0.16 * rng.standard_normal(level.shape) + 0.12 * level
    colour = ramp(lit, "#06110f", "#0f241c", "#234029", "#4c6a3a", "#8c9458")
    colour = colour + (rgb("#8ea8bc") - colour) * haze
    x = at_x[:, None] + side * spread
    y = at_y[:, None] - tall[:, None] * level + np.abs(side) * spread * 0.35
    length = np.broadcast_to(tall[:, None] * (0.02 + 0.05 * (1 - level)), level.shape)
    aim = (
        (side + 0.25 * rng.standard_normal(level.shape)).ravel(),
        (0.35 + 0.3 * rng.random(level.shape)).ravel(),
    )
    canvas.brush(x.ravel(), y.ravel(), colour.reshape(-1, 3), steady(*aim), length=length.ravel(),
        width=(0.22 * length + 0.0012).ravel(), seed=2, bristle=0.7, ragged=0.5, taper=1.5)  # fmt: skip


def _bank(canvas: Canvas, rng: np.random.Generator) -> None:
    """The near shore: stones in the shallows and sunlit grass."""
    x, y = canvas.x, canvas.y
    for k in range(44):
        depth = (k / 44) ** 0.8
        middle = rng.uniform(0.22, 1.0) if k % 4 else rng.uniform(0.35, 0.7)
        foot = 0.505 + 0.155 * depth + 0.02 * middle
        wide = rng.uniform(0.006, 0.016) * (0.6 + 2.0 * depth)
        near = canvas.part(middle - 2 * wide, foot - wide, middle + 2 * wide, foot + 1.6 * wide)
        u, v = (near.x - middle) / wide, (near.y - foot) / (0.55 * wide)
        rough = 0.3 * fbm(u * 0.9 + 9 * k, v * 0.6, 60 + k, 4)
        r = np.hypot(u, v) + rough
        dome = np.sqrt(np.maximum(1 - r * r, 0))
        light = 0.34 + 0.30 * dome - 0.24 * u - 0.34 * v + 0.5 * rough + 0.12 * noise(near.x * 160, near.y * 160, 61)
        mirrored = smoothstep(1.15, 0.75, np.hypot(u, 0.85 * (v - 0.75)) + rough + 0.1 * noise(0 * u, v * 4, 62))
        near.cover("#1a2a2e", 0.75 * mirrored)
        near.cover(
            ramp(light, "#1d2022", "#4f4b47", "#8f877b", "#d3c8b4"),
            smoothstep(1.0, 0.93, r) * smoothstep(0.55, 0.48, v),
        )
    edge = 0.575 + 0.07 * x + 0.02 * fbm(x * 7, 0 * x, 64, 4) + 0.25 * np.maximum(x - 0.45, 0)
    canvas.cover(
        ramp(0.5 + fbm(x * 20, y * 20, 65, 4), "#1c2a16", "#43502a", "#6f6a3c"),
        smoothstep(0, 0.004, y - edge),
    )
    count = 5200
    at_x = rng.uniform(-0.02, 1.0, count)
    at_y = 0.585 + 0.07 * at_x + 0.25 * np.maximum(at_x - 0.45, 0) + 0.16 * rng.random(count) ** 1.3
    order = np.argsort(at_y)
    at_x, at_y = at_x[order], at_y[order]
    lean = rng.normal(0.15, 0.35, count)
    lit = (
        0.30
        + 0.9 * smoothstep(0.05, 0.40, at_x) * 0.3
        + 0.35 * noise(at_x * 9, at_y * 14, 67)
        + 0.16 * rng.standard_normal(count)
    )
    colour = ramp(lit, "#141f10", "#33491f", "#677a30", "#b8ab5c")
    canvas.brush(at_x, at_y, colour, steady(lean, -1), length=rng.uniform(0.012, 0.038, count),
        width=0.0022, seed=7, taper=1.2, ragged=0.3)  # fmt: skip


CONTENTS: Mapping[str, Callable[[int], Image.Image]] = {f.__name__: f for f in (lake, harbour, face, street)}
