"""The example photographs: scenes with light, depth and texture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from gencli.core.drawn.harbour import harbour
from gencli.core.drawn.portrait import face
from gencli.core.drawn.street import street
from gencli.core.drawn.water import mirror
from gencli.core.drawn.paint import Canvas, Field, blur, cells, fbm, noise, ramp, rgb, smoothstep


def lake(size: int) -> Image.Image:
    """A mountain lake in the morning, snow peaks and firs mirrored in it."""
    canvas = Canvas(size, (3, 2), finer=1.5)
    rng = np.random.default_rng(3)
    shore = 0.395
    _morning_sky(canvas, shore)
    _mountains(canvas, shore)
    _firs(canvas, rng, 520, (-0.02, 1.02), (shore - 0.004, shore + 0.004), (0.014, 0.046), 0.30)
    _firs(canvas, rng, 60, (0.60, 1.04), (shore + 0.004, shore + 0.012), (0.05, 0.12), 0.1)
    mirror(canvas, shore + 0.008, ("#7fa0b4", "#3f6878", "#14343c"), rough=1.0, murk=0.16)
    _bank(canvas, rng)
    _firs(canvas, rng, 7, (-0.02, 0.22), (0.545, 0.60), (0.26, 0.52), 0.0)
    canvas.grain(0.012, 8)
    return canvas.picture()


def _morning_sky(canvas: Canvas, horizon: float) -> None:
    """Blue air, thin high cloud, and heaped clouds lit from the left."""
    x, y = canvas.x, canvas.y
    canvas.cover(ramp(y / horizon, "#2f68b0", "#6ba0d4", "#b5d2e8", "#ecdccb"))
    veil = fbm(x * 2.2 + 0.6 * fbm(x * 3, y * 6, 40, 3), y * 9, 44, 5)
    canvas.cover("#f4f3f0", 0.55 * smoothstep(0.05, 0.6, veil))
    heap = fbm(x * 4.5 + 2, y * 8, 50, 6) + 0.35 * np.exp(-(((y - 0.20) / 0.07) ** 2)) - 0.2
    lit = heap - fbm((x - 0.02) * 4.5 + 2, (y - 0.015) * 8, 50, 4)
    canvas.cover(ramp(0.6 + 1.5 * lit, "#8fa3bd", "#d5d8de", "#fff8ea"), smoothstep(0.0, 0.28, heap))


def _mountains(canvas: Canvas, horizon: float) -> None:
    """Fractal terrain seen in perspective: for each column, the first hill that rises above each pixel."""
    columns, steps = canvas.shape[1], 420
    across = np.linspace(-0.5, 0.5, columns, dtype=np.float32)[None, :]
    far = np.geomspace(3.0, 16.0, steps, dtype=np.float32)[:, None]
    x = across * far
    rise = smoothstep(3.3, 9.0, far)
    bend = 0.25 * fbm(x * 0.6, far * 0.6, 77, 3)
    crest = fbm(x * 0.27 + 4.1 + bend, far * 0.27 - bend, 90, 6, 0.42, ridged=True)
    ground = rise * (3.3 * crest**1.3 + 0.2 * fbm(x, far, 70, 6)) - 0.05 + 0.3 * smoothstep(3.0, 5.0, far)
    ground -= 1.2 * np.exp(-(((x - 0.6) / 1.6) ** 2)) * rise
    down_slope, across_slope = np.gradient(ground)
    slope_x = across_slope / (far * (across[0, 1] - across[0, 0]))
    step = np.gradient(far, axis=0)
    slope_z = (down_slope - slope_x * across * step) / step
    sun = (-0.72 * -slope_x * -1 + 0.30 * slope_z + 0.55) / np.sqrt(1 + slope_x**2 + slope_z**2)
    horizon_line = ground + 0.55 * x
    shadow = smoothstep(0.12, 0.0, np.maximum.accumulate(horizon_line[:, ::1], axis=1) - horizon_line)
    light = np.clip(sun, 0, 1.2) * (0.15 + 0.85 * shadow)
    steep = np.hypot(slope_x, slope_z)
    detail = fbm(x * 5, far * 5, 33, 4)
    rock = ramp(0.5 + 0.5 * detail, "#4b4744", "#756c63", "#a09282")
    snow = smoothstep(-0.15, 0.2, ground - 1.05 + 0.5 * detail - 0.42 * (steep - 1.0))[..., None]
    wood = smoothstep(0.15, -0.15, ground - 0.62 + 0.5 * detail)[..., None]
    colour = rock + (rgb("#1f3a30") * (0.8 + 0.5 * noise(x * 22, far * 22, 5))[..., None] - rock) * wood
    colour = colour + (rgb("#f7f5f2") - colour) * snow
    colour = colour * (light[..., None] * rgb("#ffe9cc") * 1.05 + rgb("#5f7fb0") * 0.48)
    haze = 1 - np.exp(-np.maximum(far - 3.0, 0) * 0.055)
    colour += (rgb("#b9cfe4") - colour) * haze[..., None]
    top = horizon - (ground - 0.02) / far
    top = np.minimum.accumulate(top, axis=0) * canvas.unit
    rows = np.arange(canvas.shape[0]) + 0.5
    for j in range(columns):
        seen = np.searchsorted(-top[:, j], -rows)
        hit = np.flatnonzero((seen < steps) & (rows < horizon * canvas.unit + 2))
        canvas.pixels[hit, j] = colour[seen[hit], j]


def _firs(
    canvas: Canvas,
    rng: np.random.Generator,
    count: int,
    span: tuple[float, float],
    feet: tuple[float, float],
    heights: tuple[float, float],
    haze: float,
) -> None:
    """A stand of firs, each a cone of drooping boughs, lighter on the left."""
    sprigs = int(30 + 3600 * heights[1] ** 2)
    tall = rng.uniform(*heights, count)
    at_x, at_y = rng.uniform(*span, count), np.sort(rng.uniform(*feet, count))
    up = (np.zeros(count), -np.ones(count))
    canvas.brush(at_x, at_y, np.tile(rgb("#2a2320") * (1 - haze) + rgb("#8fa5b8") * haze, (count, 1)),
                 lambda a, b: up, length=tall * 0.97, width=tall * 0.025, seed=1, taper=8)  # fmt: skip
    level = np.sort(rng.uniform(0.05, 1.0, (count, sprigs)) ** 0.8, axis=1)
    side = rng.uniform(-1, 1, level.shape)
    tier = 0.62 + 0.38 * np.sin(level**1.3 * (50 + 20 * at_x[:, None]) + 2.5 * side)  # boughs come in whorls
    spread = tall[:, None] * (0.008 + 0.23 * (1 - level) ** 0.9 * tier)
    lit = 0.36 - 0.22 * side + 0.25 * (tier - 0.7) + 0.16 * rng.standard_normal(level.shape) + 0.12 * level
    colour = ramp(lit, "#071312", "#12291f", "#2a4a2c", "#61793c", "#a8a55a")
    colour = colour + (rgb("#8ea8bc") - colour) * haze
    x = at_x[:, None] + side * spread
    y = at_y[:, None] - tall[:, None] * level + np.abs(side) * spread * 0.35
    length = np.broadcast_to(tall[:, None] * (0.02 + 0.05 * (1 - level)), level.shape)
    aim = (side + 0.25 * rng.standard_normal(level.shape)).ravel(), (0.35 + 0.3 * rng.random(level.shape)).ravel()
    canvas.brush(x.ravel(), y.ravel(), colour.reshape(-1, 3), lambda a, b: aim, length=length.ravel(),
                 width=(0.22 * length + 0.0012).ravel(), seed=2, bristle=0.7, ragged=0.5, taper=1.5)  # fmt: skip


def _bank(canvas: Canvas, rng: np.random.Generator) -> None:
    """The near shore: stones in the shallows and sunlit grass."""
    x, y = canvas.x, canvas.y
    near = np.maximum(y - 0.47, 0) / 0.2
    u, v = (x - 0.3) * 20 / (0.35 + near), 9 * np.log(0.25 + near)
    warp = 0.25 * fbm(u, v, 60, 2)
    cell, rim = cells(u + warp + 50, v + 50 - warp, 62, jitter=0.8)
    there = (np.random.default_rng(63).random(1 << 16)[cell] < 0.12 + 0.55 * smoothstep(0.45, 0.9, near))
    there &= (y > 0.485 + 0.03 * x) & (near > 0.06)
    dome = smoothstep(0.0, 0.42, rim)
    down, across = np.gradient(blur(dome * there, 1.5) * 0.018 * canvas.unit / (0.35 + 3 * near))
    light = 0.42 - 1.1 * across + 1.4 * down + 0.22 * fbm(x * 60, y * 60, 61, 3)
    canvas.cover("#0d2126", 0.75 * np.clip(blur(there.astype(np.float32), 3.0), 0, 1))
    canvas.cover(ramp(light, "#26282a", "#5f5a53", "#a59a88", "#d8ccb8"), there * smoothstep(0.03, 0.06, rim))
    edge = 0.575 + 0.07 * x + 0.02 * fbm(x * 7, 0 * x, 64, 4) + 0.25 * np.maximum(x - 0.45, 0)
    canvas.cover(ramp(0.5 + fbm(x * 20, y * 20, 65, 4), "#1c2a16", "#43502a", "#6f6a3c"), smoothstep(0, 0.004, y - edge))
    count = 5200
    at_x = rng.uniform(-0.02, 1.0, count)
    at_y = 0.585 + 0.07 * at_x + 0.25 * np.maximum(at_x - 0.45, 0) + 0.16 * rng.random(count) ** 1.3
    order = np.argsort(at_y)
    at_x, at_y = at_x[order], at_y[order]
    lean = rng.normal(0.15, 0.35, count)
    lit = 0.5 + 0.35 * noise(at_x * 14, at_y * 14, 67) + 0.16 * rng.standard_normal(count)
    colour = ramp(lit, "#1a2712", "#3f5a22", "#7f9436", "#d8c768")
    canvas.brush(at_x, at_y, colour, lambda a, b: (lean, -1 + 0 * a), length=rng.uniform(0.012, 0.038, count), width=0.0022,
                 seed=7, taper=1.2, ragged=0.3)  # fmt: skip


CONTENTS: Mapping[str, Callable[[int], Image.Image]] = {f.__name__: f for f in (lake, harbour, face, street)}
