"""Paintings without number: `@painting-1`, `@painting-2` and so on, each with a palette, a composition and a hand of
its own. They show nothing: they are examples of styles, to learn from."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import (
    Canvas,
    Field,
    Flow,
    blur,
    cells,
    fbm,
    jitter,
    noise,
    ramp,
    scatter,
    smoothstep,
)

Tint: TypeAlias = Callable[[Field, Field], Field]  # the colours (…, 3) at points
Chance: TypeAlias = np.random.Generator
Hand: TypeAlias = "Callable[[Canvas, Chance, Tint], None]"

PREFIX = "painting-"
SHARPEST = 60.0  # of a composition: so large is its slope at most


def painting(number: int, size: int) -> Image.Image:
    """The painting of that number, its longest side `size` pixels."""
    chance = np.random.default_rng([number, 2017])
    canvas = Canvas(size, ((4, 3), (1, 1), (3, 4))[chance.integers(3)])
    tint = _composition(chance, _palette(chance))
    HANDS[chance.integers(len(HANDS))](canvas, chance, tint)
    if chance.random() < 0.4:
        canvas.grain(chance.uniform(0.005, 0.04), number)
    return canvas.picture()


def _palette(chance: Chance) -> Field:
    """Three to seven colours (K, 3), from dark to light or in any order, their hues in a simple relation."""
    count, hue = int(chance.integers(3, 8)), chance.random()
    apart = chance.choice([0.06, 0.2, 1 / 3, 0.5, 1.0])  # alike, neighbours, three, opposite, any
    dark, light = chance.uniform(0.02, 0.4), chance.uniform(0.65, 1)
    values = np.linspace(dark, light, count) if chance.random() < 0.6 else chance.uniform(dark, light, count)
    hues = hue + (chance.integers(0, 3, count) * apart if 0.3 < apart < 1 else chance.uniform(-apart, apart, count))
    vivid = chance.beta(2, chance.choice([1.0, 2.5, 5.0]), count)
    hsv = zip(hues + chance.normal(0, 0.03, count), vivid, values, strict=True)
    return np.asarray([colorsys.hsv_to_rgb(h % 1, s, v) for h, s, v in hsv], np.float32)


def _composition(chance: Chance, palette: Field) -> Tint:
    """Where which colour is: clouds, hills one behind another, circles around a light, or bands."""
    kind, seed = chance.integers(4), int(chance.integers(1 << 20))
    scale, warp, octaves = chance.uniform(1.5, 7), chance.uniform(0, 0.6), int(chance.integers(1, 5))
    sharp = chance.uniform(1, 6) if chance.random() < 0.5 else SHARPEST
    at, turn, bands = chance.uniform(0.1, 0.9, 2), chance.uniform(0, np.pi), chance.uniform(2, 9)
    levels = int(chance.integers(2, 6))

    def tint(x: Field, y: Field) -> Field:
        bent = warp * fbm(x * 3, y * 3, seed + 50, 2)
        if kind == 0:
            t = 0.5 + 0.9 * fbm((x + bent) * scale, (y + bent) * scale, seed, octaves)
        elif kind == 1:
            t = y + 0.3 * fbm(x * scale, y * 1.2, seed, octaves) + 0.2 * bent
        elif kind == 2:
            t = np.hypot(x - at[0], y - at[1]) * 1.4 + 0.4 * bent + 0.15 * fbm(x * scale, y * scale, seed, octaves)
        else:
            along = np.cos(turn) * x + np.sin(turn) * y
            t = 0.5 + 0.5 * np.sin(bands * 2 * (along + bent)) + 0.2 * fbm(x * scale, y * scale, seed, octaves)
        steps = np.floor(t * levels)
        part = smoothstep(0.5 - 0.5 / sharp, 0.5 + 0.5 / sharp, t * levels - steps)
        return ramp((steps + part) / levels, *palette)

    return tint


def _flow(chance: Chance) -> Flow:
    """In which direction strokes go: straight, swaying, around a point, or as they like."""
    kind, seed, turn = chance.integers(4), int(chance.integers(1 << 20)), chance.uniform(0, 2 * np.pi)
    scale, at = chance.uniform(1, 6), chance.uniform(0, 1, 2)

    def flow(x: Field, y: Field) -> tuple[Field, Field]:
        if kind == 2:
            return y - at[1] + 1e-3, at[0] - x
        sway = (0.15, 1.2, 0, 4.0)[kind] * fbm(x * scale, y * scale, seed, 2)
        return np.cos(turn + sway), np.sin(turn + sway)

    return flow


def _brushed(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Layers of strokes, each finer than the one below."""
    canvas.pixels[:] = tint(canvas.x, canvas.y) * chance.uniform(0.6, 1)
    width, slender = chance.uniform(0.012, 0.06), chance.uniform(1.3, 8)
    tone, hue, flow = chance.uniform(0.03, 0.25), chance.uniform(0, 0.12), _flow(chance)
    bristle, ragged, dry = chance.uniform(0, 0.9), chance.uniform(0, 0.5), chance.uniform(0, 0.5)
    taper = chance.uniform(1.5, 12)
    for layer in range(int(chance.integers(1, 4))):
        wide = max(0.005, width * 0.6**layer)
        long = min(0.35, wide * slender)
        x, y = scatter(canvas, round(min(9000.0, 2.2 / (wide * long))), chance)
        canvas.brush(x, y, jitter(tint(x, y), chance, tone, hue), flow, length=long, width=wide,
            seed=int(chance.integers(1 << 20)), bristle=bristle, ragged=ragged, dry=dry, taper=taper)  # fmt: skip
    canvas.light(chance.uniform(0, 0.7), shine=chance.uniform(0, 0.4))


def _dabbed(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Dabs beside one another, on a ground that shows."""
    canvas.cover(_paper(chance))
    wide = chance.uniform(0.006, 0.025)
    x, y = scatter(canvas, round(min(16_000.0, chance.uniform(0.7, 2) / wide**2)), chance)
    colour = jitter(tint(x, y), chance, chance.uniform(0.05, 0.3), chance.uniform(0, 0.25))
    canvas.brush(x, y, colour, _flow(chance), length=wide * chance.uniform(1, 1.8), width=wide,
        seed=int(chance.integers(1 << 20)), bristle=0.1, ragged=0.05, taper=2)  # fmt: skip


def _pieced(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Pieces of one colour each, with joints or without."""
    scale, ratio, turn = chance.uniform(6, 45), chance.uniform(0.4, 2.5), chance.uniform(0, np.pi)
    bend = 0.3 * chance.random() * fbm(canvas.x * 2, canvas.y * 2, int(chance.integers(1 << 20)), 2)
    u, v = canvas.x + bend, canvas.y - bend
    across, down = np.cos(turn) * u + np.sin(turn) * v, np.cos(turn) * v - np.sin(turn) * u
    cell, border = cells(
        across * scale + 40, down * scale * ratio + 40, int(chance.integers(1 << 20)), chance.uniform(0.2, 1)
    )
    cell = cell & 0xFFFF
    middle = np.zeros((1 << 16, 2))
    count = np.maximum(np.bincount(cell.ravel(), minlength=1 << 16), 1)
    for k, place in enumerate((canvas.x, canvas.y)):
        middle[:, k] = np.bincount(cell.ravel(), place.ravel(), 1 << 16) / count
    colour = jitter(tint(middle[:, 0], middle[:, 1]), chance, chance.uniform(0, 0.3), chance.uniform(0, 0.1))
    canvas.pixels[:] = colour[cell]
    joint = chance.uniform(0, 0.14) if chance.random() < 0.7 else 0
    if joint:
        canvas.cover(_paper(chance), smoothstep(joint + 0.03, joint, border))
        canvas.height[:] = smoothstep(0, joint + 0.1, border)
        canvas.light(chance.uniform(0, 1), soft=0.0015)


def _hatched(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Thin lines on paper, denser where it is dark, some of them in colour."""
    paper = _paper(chance)
    canvas.cover(paper)
    wide = chance.uniform(0.0015, 0.006)
    for _ in range(int(chance.integers(1, 4))):
        x, y = scatter(canvas, round(min(14_000.0, chance.uniform(10, 35) / wide)), chance)
        colour = tint(x, y)
        drawn = chance.random(len(x)) < 0.02 + 1.6 * np.abs(colour - paper).mean(-1)
        x, y, colour = x[drawn], y[drawn], colour[drawn]
        if chance.random() < 0.6:
            colour = np.repeat((1 - paper)[None] * 0.4, len(x), 0) + 0.15 * colour
        colour, long = jitter(colour, chance, 0.1, 0.02), chance.uniform(0.01, 0.1)
        canvas.brush(x, y, colour, _flow(chance), length=long, width=wide,
            seed=int(chance.integers(1 << 20)), ragged=chance.uniform(0, 0.6), dry=chance.uniform(0, 0.7))  # fmt: skip


def _printed(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Flat colours, or lines that swell with the tone, outlined."""
    x, y, colour = canvas.x, canvas.y, tint(canvas.x, canvas.y)
    tone = colour.mean(-1)
    if chance.random() < 0.6:
        along, across = (part(x, y) for part in (_flow_part(chance), _flow_part(chance)))
        lines = np.sin(2 * np.pi * chance.uniform(15, 80) * (along + chance.uniform(0, 0.15) * across))
        there = smoothstep(-0.15, 0.15, lines - (2 * tone - 1))
        ink = colour.reshape(-1, 3)[tone.argmin()] * 0.6
        colour = colour + (ink - colour) * (there * chance.uniform(0.4, 1))[..., None]
    canvas.pixels[:] = colour
    edge = np.hypot(*np.gradient(blur(tone, 0.002 * canvas.unit))) * canvas.unit
    canvas.cover(colour.reshape(-1, 3).min(0) * 0.4, chance.uniform(0, 1) * smoothstep(8, 30, edge))


def _washed(canvas: Canvas, chance: Chance, tint: Tint) -> None:
    """Washes that run into each other, darker where they dried."""
    seed, scale = int(chance.integers(1 << 20)), chance.uniform(2, 8)
    canvas.cover(_pale(chance))
    for layer in range(int(chance.integers(2, 5))):
        cloud = fbm(canvas.x * scale, canvas.y * scale, seed + 10 * layer, 5) - chance.uniform(-0.25, 0.2)
        there = smoothstep(0, chance.uniform(0.02, 0.4), cloud)
        rim = np.exp(-((cloud / 0.02) ** 2)) * chance.uniform(0, 0.5)
        pool = 0.8 + 0.3 * fbm(canvas.x * 25, canvas.y * 25, seed + 5 + layer, 3)
        wash = 1 - (1 - tint(canvas.x + 0.3 * layer, canvas.y)) * (there * pool * 0.8 + rim)[..., None]
        canvas.pixels *= np.clip(wash, 0, 1)
    canvas.pixels += chance.uniform(0, 0.05) * noise(canvas.x * 220, canvas.y * 220, seed)[..., None]


def _flow_part(chance: Chance) -> Callable[[Field, Field], Field]:
    """A coordinate that bends."""
    turn, bend, seed = chance.uniform(0, np.pi), chance.uniform(0, 0.2), int(chance.integers(1 << 20))
    return lambda x, y: np.asarray(np.cos(turn) * x + np.sin(turn) * y + bend * fbm(x * 3, y * 3, seed, 2))


def _paper(chance: Chance) -> Field:
    """The colour of a ground: pale, dark, or any."""
    grounds = _pale(chance), chance.uniform(0, 0.15, 3), chance.random(3)
    return np.asarray(grounds[chance.choice(3, p=[0.5, 0.3, 0.2])], np.float32)


def _pale(chance: Chance) -> Field:
    return np.asarray(np.array([0.95, 0.91, 0.82]) * chance.uniform(0.85, 1.04), np.float32)


HANDS: tuple[Hand, ...] = (_brushed, _brushed, _brushed, _dabbed, _pieced, _hatched, _printed, _washed)
