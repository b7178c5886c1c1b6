"""Water that mirrors what stands above it."""

from __future__ import annotations

import numpy as np

from gencli.core.drawn.paint import Canvas, Field, fbm, ramp, smoothstep


def ripples(canvas: Canvas, level: float) -> tuple[Field, Field]:
    """Nearness of the water below `level`, 0 to 1, and its ripples, which shrink with distance."""
    near = np.maximum(canvas.y - level, 0) / (canvas.depth - level)
    return near, fbm(canvas.x * 9 / (near + 0.12), 20 / (near + 0.06), 12, 4)


def mirror(canvas: Canvas, level: float, tints: tuple[str, ...], rough: float, murk: float) -> None:
    """Turn all below `level` into water: the scene upside down, swayed and tinted from far to near."""
    x, y = canvas.x, canvas.y
    near, ripple = ripples(canvas, level)
    calm = smoothstep(-0.3, 0.4, fbm(x * 2, y * 16, 17, 3))
    sway = rough * ripple * (0.002 + 0.022 * near) * (0.35 + calm)
    seen = canvas.look(x + 0.4 * sway, np.clip(2 * level - y + 1.6 * sway, 0, level - 0.002))
    water = seen * 0.92 + (ramp(near, *tints) - seen) * (murk + 0.30 * near**1.4)[..., None]
    breeze = smoothstep(0.25, 0.5, fbm(x * 1.5 + 7, y * 40, 23, 4)) * smoothstep(0.35, 0.05, near)
    water += (0.10 * ripple * (0.3 + near) + 0.08 * breeze)[..., None]
    canvas.cover(water, smoothstep(level - 0.001, level + 0.001, y))
