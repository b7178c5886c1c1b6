"""Style pictures painted after a cartoon: a plain scene first, then dots or planes in its colours."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import Canvas, Layer, fbm, jitter, ramp, rgb, scatter, smoothstep, spline


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
        canvas.brush(x - across / 2, y, colour, lambda a, b: (1 + 0 * a, 0.3 * np.sin(a * 9)),
            length=across * 1.15, width=across, seed=count, taper=2.0, ragged=0.0, bristle=0.12)  # fmt: skip
    canvas.light(0.25, shine=0.15)
    return canvas.picture()


PIGMENTS = ("#f7f0d2", "#f9dc6b", "#f2a93b", "#ea6f3a", "#cf3d3a", "#e79aa0", "#b56aa8", "#6a4c9c",
    "#2f3f8f", "#3f6fc0", "#6fb0dc", "#b5dbe0", "#1f6f6a", "#2f8f4f", "#7fb64a", "#c6d25a", "#1b3a3c",
    "#6b3f2a", "#2a2348")  # fmt: skip


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
    grass = (
        grass
        + (ramp(0.5 + 0.6 * fbm(x * 9, y * 14, 10, 3), "#1c2f5a", "#235a4c", "#4a8a4a") - grass) * shade[..., None]
    )
    scene.cover(grass, smoothstep(-0.003, 0.003, y - shore))
    layer = Layer(scene)
    layer.polygon(spline([(0.115, 0.62), (0.13, 0.40), (0.11, 0.2), (0.15, 0.0), (0.19, 0.0), (0.165, 0.2),
        (0.18, 0.42), (0.20, 0.62)]), "#3b2340")  # fmt: skip
    for px, py, tall, dress in (
        (0.55, 0.56, 0.17, "#8a3a8c"),
        (0.63, 0.545, 0.14, "#23305c"),
        (0.80, 0.50, 0.09, "#c8443a"),
    ):
        skirt = [(-0.22, 0.05), (-0.10, -0.45), (-0.13, -0.66), (0.10, -0.66), (0.09, -0.45), (0.26, 0.05)]
        layer.polygon(spline([(a * tall + px, b * tall + py) for a, b in skirt], closed=True), dress)
        layer.ellipse((px, py - 0.76 * tall), (0.07 * tall, 0.09 * tall), "#eab894")
        layer.ellipse((px, py - 0.84 * tall), (0.12 * tall, 0.05 * tall), "#5a2a2a")
        layer.line(
            [(px + 0.1 * tall, py - 0.5 * tall), (px + 0.2 * tall, py - 1.05 * tall)],
            0.012 * tall * 2,
            "#4a2a3c",
        )
        top = [(0.2 + 0.36 * np.cos(a), -1.0 - 0.26 * np.sin(a)) for a in np.linspace(0, np.pi, 12)]
        layer.polygon([(a * tall + px, b * tall + py) for a, b in top], "#f2a93b" if dress != "#c8443a" else "#fdf6e2")
        layer.polygon(
            np.array([(-0.2, 0.06), (0.25, 0.06), (-0.5, 0.3), (-0.9, 0.3)]) * tall + (px, py), "#1f3a5a", 0.6
        )
    scene.lay(layer)
    crown = fbm(x * 8, y * 8, 14, 5) + 1.25 - 4.6 * np.maximum(np.hypot((x - 0.14) * 0.85, y - 0.03) - 0.05, 0)
    leaves = ramp(0.5 + 0.9 * fbm(x * 26, y * 26, 15, 3) + 0.5 * (x - 0.15), "#1b2a4a", "#1f6f4a", "#5fa044", "#d6d25a")
    scene.cover(leaves, smoothstep(-0.05, 0.05, crown))
    return scene


def cubist(size: int) -> Image.Image:
    """A guitar, a bottle and a glass broken into planes."""
    canvas = Canvas(size, (4, 5), finer=1.5)
    x, y = canvas.x, canvas.y
    still = _still_life()
    rng = np.random.default_rng(19)
    tones = ("#1c1a1a", "#4a4034", "#8a6f48", "#c29a5a", "#e6cf9a", "#f6ecd2", "#93a0a0", "#4a6068")
    for angles, cuts, share in (
        ((0.12, 1.30, 2.30), 6, 1.0),
        ((0.45, 1.75, 2.75), 9, 0.45),
        ((0.25, 1.05, 1.95), 14, 0.35),
    ):
        facet = np.zeros(x.shape, np.intp)
        rises, edge = [], np.full(x.shape, 1.0, np.float32)
        for angle in angles:
            along = x * np.cos(angle) + y * np.sin(angle)
            ends = np.linspace(along.min(), along.max(), cuts) + rng.normal(0, 0.22 / cuts, cuts)
            ends = np.sort(np.concatenate([ends, [-9.0, 9.0]]))
            band = np.searchsorted(ends, along)
            rises.append(np.clip((along - ends[band - 1]) / np.minimum(ends[band] - ends[band - 1], 0.3), 0, 1))
            edge = np.minimum(edge, along - ends[band - 1])
            facet = facet * 32 + band
        kind, shift = rng.random((3, 1 << 15)), rng.normal(0, 0.018, (2, 1 << 15))
        rise = np.choose((kind[0, facet] * 3).astype(int), rises)
        rise = np.where(kind[1, facet] < 0.5, rise, 1 - rise)
        seen = still.look(x + shift[0, facet], y + shift[1, facet])
        plane = ramp(0.85 * kind[2, facet] + 0.15 * rise, *tones)
        mixed = 0.78 * seen + 0.26 * plane + (0.62 * (rise - 0.55))[..., None]
        pick = (rng.random(1 << 15) < share)[facet]
        canvas.cover(mixed, pick * (0.80 if share < 1 else 1.0))
        canvas.cover("#12100f", 0.85 * pick * smoothstep(0.0042, 0.0018, edge))
        canvas.cover("#fff6e0", 0.20 * pick * smoothstep(0.0100, 0.0055, edge) * smoothstep(0.0030, 0.0048, edge))
    smooth = canvas.pixels.copy()
    dab_x, dab_y = scatter(canvas, 6500, rng)
    colour = jitter(canvas.look(dab_x, dab_y), rng, 0.13, 0.02)
    canvas.brush(dab_x, dab_y, colour, lambda a, b: (1 + 0 * a, -0.25 + 0.8 * np.sin(7 * a + 4 * b)),
        length=0.016, width=0.0075, seed=4, bristle=0.5)  # fmt: skip
    canvas.pixels = 0.70 * smooth + 0.30 * canvas.pixels
    canvas.light(0.28, shine=0.08)
    return canvas.picture()


def _still_life() -> Canvas:
    """The things on the table before they are broken."""
    still = Canvas(512, (4, 5))
    still.cover(ramp(0.5 + 0.5 * fbm(still.x * 2, still.y * 2, 2, 3), "#4a4a48", "#8a8270", "#c9b48a"))
    layer = Layer(still)
    layer.polygon(spline([(-0.1, 0.75), (0.3, 0.66), (0.9, 0.72), (0.9, 1.1), (-0.1, 1.1)], closed=True), "#6b4426")
    body = [(0.30, 0.93), (0.15, 0.84), (0.17, 0.70), (0.25, 0.62), (0.21, 0.53), (0.27, 0.45),
        (0.37, 0.43), (0.47, 0.46), (0.50, 0.55), (0.46, 0.63), (0.56, 0.70), (0.57, 0.84),
        (0.44, 0.93)]  # fmt: skip
    layer.polygon(spline(body, closed=True), "#b8702a")
    layer.polygon(spline([(a * 0.85 + 0.055, b * 0.85 + 0.10) for a, b in body], closed=True), "#dda552")
    for curve in (
        spline(body, closed=True),
        spline([(a * 0.6 + 0.155, b * 0.6 + 0.27) for a, b in body], closed=True),
    ):
        layer.line(curve, 0.008, "#1c130d")
    layer.ellipse((0.36, 0.62), 0.065, "#f0dcae")
    layer.ellipse((0.36, 0.62), 0.055, "#1b1512")
    layer.polygon([(0.34, 0.62), (0.39, 0.62), (0.52, 0.10), (0.48, 0.09)], "#2a1d16")
    for k in range(4):
        layer.line([(0.345 + 0.012 * k, 0.84), (0.49 + 0.008 * k, 0.10)], 0.003, "#f4ead0")
    layer.polygon([(0.27, 0.83), (0.46, 0.83), (0.46, 0.85), (0.27, 0.85)], "#2a1d16")
    layer.polygon(
        [
            (0.62, 0.85),
            (0.62, 0.50),
            (0.66, 0.42),
            (0.66, 0.28),
            (0.71, 0.28),
            (0.71, 0.42),
            (0.75, 0.50),
            (0.75, 0.85),
        ],
        "#1d4a40",
    )
    layer.polygon([(0.635, 0.84), (0.635, 0.51), (0.675, 0.42), (0.675, 0.30), (0.685, 0.30), (0.685, 0.84)], "#4f8a74")
    layer.polygon([(0.62, 0.62), (0.75, 0.62), (0.75, 0.76), (0.62, 0.76)], "#efe4c4")
    layer.polygon([(0.06, 0.42), (0.22, 0.42), (0.18, 0.62), (0.10, 0.62)], "#e6eae4")
    layer.polygon([(0.075, 0.48), (0.205, 0.48), (0.18, 0.62), (0.10, 0.62)], "#8c3226")
    layer.polygon([(0.13, 0.62), (0.15, 0.62), (0.15, 0.74), (0.19, 0.76), (0.09, 0.76), (0.13, 0.74)], "#e6eae4")
    layer.line([(0.06, 0.42), (0.22, 0.42), (0.18, 0.62), (0.10, 0.62), (0.06, 0.42)], 0.006, "#1c1a18")
    layer.polygon([(0.02, 0.1), (0.26, 0.06), (0.30, 0.34), (0.06, 0.38)], "#f1ead6")
    for k in range(7):
        layer.line([(0.05 + 0.005 * k, 0.13 + 0.032 * k), (0.25 + 0.005 * k, 0.10 + 0.032 * k)], 0.008, "#3a3835")
    still.lay(layer)
    return still
