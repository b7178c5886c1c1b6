"""The harbour: houses with lit windows, lamps, boats, and all of it again in the water."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import (
    Canvas,
    Field,
    Layer,
    Point,
    blur,
    fbm,
    noise,
    ramp,
    rgb,
    smoothstep,
    spline,
)
from gencli.core.drawn.water import mirror, ripples

QUAY, WATER = 0.392, 0.412  # height of the quay's edge and of the water, in units from the top


@dataclass(frozen=True)
class Boat:
    """A sailing boat afloat at (x, y), so long, its bow to the right (`way` 1) or left (-1)."""

    x: float
    y: float
    long: float
    hull: str
    way: int
    sails: bool = False


BOATS = (
    Boat(0.905, 0.428, 0.075, "#e8e0d4", 1, sails=True),
    Boat(0.600, 0.432, 0.110, "#efe9df", -1),
    Boat(0.360, 0.437, 0.120, "#23406e", 1),
    Boat(0.130, 0.442, 0.130, "#f0ebe2", 1),
    Boat(0.745, 0.500, 0.240, "#7e2a26", 1),
    Boat(0.300, 0.545, 0.190, "#e9e4da", -1),
)


def harbour(size: int) -> Image.Image:
    """A harbour at dusk: sailing boats, lit windows, lamps in the water."""
    canvas = Canvas(size, (3, 2), finer=1.5)
    rng = np.random.default_rng(41)
    _dusk(canvas)
    lamps = _town(canvas, rng)
    for lamp_x, lamp_y in lamps:
        canvas.glow((lamp_x, lamp_y), 0.012, "#ffd890", 1.4)
        canvas.glow((lamp_x, lamp_y + 0.02), 0.05, "#ff9c48", 0.45)
    mirror(canvas, WATER, ("#5a4a6a", "#2c3358", "#141c38"), rough=1.7, murk=0.10)
    for boat in BOATS:
        _moor(canvas, boat)
    _jetty(canvas)
    canvas.bloom(0.012, 0.30, 0.72)
    canvas.grain(0.012, 5)
    return canvas.picture()


def _dusk(canvas: Canvas) -> None:
    """The sky after sunset, clouds lit from below, and two lines of hills."""
    x, y = canvas.x, canvas.y
    sun = np.exp(-(((x - 0.80) / 0.45) ** 2) - ((y - 0.38) / 0.16) ** 2)
    canvas.cover(ramp(y / 0.40 + 0.10 * sun, "#16234e", "#2f3d77", "#6f5a92", "#c8708a", "#f29a66", "#ffd083"))
    canvas.cover("#ffe0a0", 0.55 * sun**2)
    cloud = fbm(x * 2.4 + 0.5 * fbm(x * 4, y * 9, 71, 3), y * 10, 74, 6)
    under = cloud - fbm(x * 2.4, (y + 0.018) * 10, 74, 4)
    tint = ramp(0.25 + 1.1 * y / 0.4 + 0.7 * under, "#34406c", "#7a5f8e", "#e0808a", "#ffb27c", "#ffe2ae")
    canvas.cover(tint, 0.8 * smoothstep(-0.02, 0.45, cloud))
    for base, high, seed, colour in ((0.345, 0.05, 5, "#7c5f88"), (0.372, 0.04, 8, "#4a4470")):
        ridge = base - high * fbm(x * 3.5, 0 * x, seed, 6) - 0.02 * np.cos(x * 5)
        canvas.cover(ramp((y - ridge) / 0.07, colour, "#c8808c"), smoothstep(0, 0.003, y - ridge))


def _town(canvas: Canvas, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The quay with its row of gabled houses and church; answers where its lamps hang."""
    layer = Layer(canvas)
    for k in range(26):  # the town behind, in haze
        left, roof = -0.04 + 0.031 * k, 0.30 - 0.03 * rng.random() + 0.04 * abs(k / 26 - 0.3)
        layer.polygon([(left, QUAY), (left, roof), (left + 0.02, roof - 0.022), (left + 0.04, roof),
            (left + 0.04, QUAY)], ramp(rng.random(1), "#4a3f62", "#6b5070", "#5a3c54")[0])  # fmt: skip
        for _ in range(3):
            lit = left + rng.uniform(0.005, 0.035), roof + rng.uniform(0.005, 0.05)
            layer.ellipse(lit, (0.0016, 0.0022), "#ffcf7a")
    _church(layer)
    walls = (
        "#b5523f",
        "#d9b56a",
        "#8fa3a8",
        "#c98a5e",
        "#e2d6bc",
        "#7d4a44",
        "#b9a06e",
        "#5f7a86",
        "#d29a86",
    )
    left, k = -0.035, 0
    while left < 0.74:
        wide = 0.062 + 0.034 * rng.random()
        _house(
            layer,
            rng,
            left,
            wide=wide,
            tall=0.115 + 0.06 * rng.random(),
            wall=walls[k % len(walls)],
            gable=k % 3 != 1,
        )
        left, k = left + wide, k + 1
    end = left
    layer.polygon([(end, QUAY), (end, QUAY - 0.012), (1.1, QUAY - 0.006), (1.1, QUAY)], "#3c3350")
    layer.polygon([(-0.1, QUAY - 0.004), (1.1, QUAY - 0.004), (1.1, WATER), (-0.1, WATER)], "#3a3340")
    for row in range(3):
        for k in range(70):
            spot = (k + 0.5 * (row % 2)) / 68 - 0.01
            tone = ramp(rng.random(1), "#37303c", "#5b4c50", "#6d5a54")[0]
            layer.polygon([(spot, QUAY + 0.0062 * row), (spot + 0.0132, QUAY + 0.0062 * row),
                (spot + 0.0132, QUAY + 0.0062 * row + 0.005), (spot,
                QUAY + 0.0062 * row + 0.005)], tone)  # fmt: skip
    layer.line([(-0.1, QUAY - 0.002), (1.1, QUAY - 0.002)], 0.004, "#8a7468")
    lamps = [(0.05 + 0.118 * k, QUAY - 0.058) for k in range(9)]
    for x, y in lamps:
        layer.line([(x, QUAY - 0.002), (x, y)], 0.0024, "#15141f")
        layer.line([(x - 0.004, y + 0.004), (x + 0.004, y + 0.004)], 0.002, "#15141f")
        layer.ellipse((x, y), (0.0042, 0.005), "#fff0c0")
    for k in range(12):  # people out for a walk
        x = 0.03 + 0.70 * ((k * 0.618) % 1)
        coat = ramp(rng.random(1), "#1a1826", "#3c2a30", "#22304a")[0]
        layer.polygon(
            [(x - 0.003, QUAY), (x - 0.0035, QUAY - 0.016), (x + 0.0035, QUAY - 0.016), (x + 0.003, QUAY)],
            coat,
        )
        layer.ellipse((x, QUAY - 0.019), (0.0024, 0.003), "#a87a66")
    colour, mask = layer.read()
    worn = 1 + 0.22 * fbm(canvas.x * 28, canvas.y * 28, 90, 4) + 0.10 * noise(canvas.x * 150, canvas.y * 150, 96)
    shining = colour.max(-1) > 0.93
    colour = np.where(shining[..., None], colour, colour * worn[..., None])
    canvas.cover(colour, mask)
    return lamps


def _church(layer: Layer) -> None:
    """A tower with a pointed spire above the roofs."""
    layer.polygon([(0.455, QUAY), (0.455, 0.19), (0.505, 0.19), (0.505, QUAY)], "#6a566c")
    layer.polygon([(0.480, QUAY), (0.480, 0.19), (0.505, 0.19), (0.505, QUAY)], "#87687a")
    layer.polygon([(0.450, 0.19), (0.4625, 0.155), (0.480, 0.055), (0.4975, 0.155), (0.510, 0.19)], "#39404f")
    layer.polygon([(0.480, 0.19), (0.480, 0.055), (0.4975, 0.155), (0.510, 0.19)], "#566070")
    layer.line([(0.480, 0.057), (0.480, 0.035)], 0.0016, "#2a2838")
    layer.line([(0.475, 0.043), (0.485, 0.043)], 0.0016, "#2a2838")
    layer.ellipse((0.480, 0.215), 0.010, "#f2dfae")
    layer.line([(0.480, 0.208), (0.480, 0.215), (0.485, 0.217)], 0.0014, "#2a2430")
    for x in (0.467, 0.480, 0.493):
        layer.polygon(
            [(x - 0.003, 0.262), (x - 0.003, 0.240), (x, 0.234), (x + 0.003, 0.240), (x + 0.003, 0.262)],
            "#231f30",
        )


def _house(
    layer: Layer, rng: np.random.Generator, x: float, *, wide: float, tall: float, wall: str, gable: bool
) -> None:
    """A house on the quay with its roof, chimney, shop and rows of windows."""
    dim = rgb(wall) * rgb("#b090a4") * 0.92
    eaves, ridge = QUAY - tall, QUAY - tall - 0.55 * wide
    middle = x + wide / 2
    roof = rgb(rng.choice(["#5a3038", "#49384a", "#6b3c38", "#3c3c50"]))
    layer.polygon([(x + 0.7 * wide, eaves), (x + 0.7 * wide, ridge - 0.002),
        (x + 0.82 * wide, ridge - 0.002), (x + 0.82 * wide, eaves)], "#4a343c")  # fmt: skip
    if gable:
        layer.polygon([(x - 0.004, eaves + 0.004), (middle, ridge - 0.006), (x + wide + 0.004, eaves + 0.004)], roof)
        layer.polygon([(x, eaves), (middle, ridge), (x + wide, eaves)], dim)
        layer.ellipse((middle, eaves - 0.17 * wide), (0.006, 0.007), "#ffd27a" if rng.random() < 0.5 else "#241f30")
    else:
        top = eaves - 0.36 * wide
        layer.polygon(
            [(x - 0.003, eaves), (x + 0.08 * wide, top), (x + 0.92 * wide, top), (x + wide + 0.003, eaves)],
            roof,
        )
        for k in range(6):
            level = top + (eaves - top) * (k + 0.5) / 6
            layer.line([(x + 0.06 * wide, level), (x + 0.94 * wide, level)], 0.0012, roof * 0.75)
        layer.polygon([(middle - 0.008, eaves - 0.004), (middle - 0.008, top + 0.010),
            (middle, top + 0.002), (middle + 0.008, top + 0.010), (middle + 0.008, eaves - 0.004)],
            dim * 1.05)  # fmt: skip
        layer.ellipse((middle, top + 0.013), (0.004, 0.005), "#ffd27a")
    layer.polygon([(x, QUAY), (x, eaves), (x + wide, eaves), (x + wide, QUAY)], dim)
    layer.line([(x, QUAY), (x, eaves)], 0.0022, dim * 0.55)
    layer.line([(x, eaves), (x + wide, eaves)], 0.0026, dim * 1.25)
    columns, rows = max(2, round(wide / 0.024)), max(2, round(tall / 0.036)) - 1
    step, floor = wide / columns, (tall - 0.034) / rows
    for row in range(rows):
        for column in range(columns):
            left, top = x + step * (column + 0.28), eaves + floor * (row + 0.25)
            _window(layer, rng, (left, top), (step * 0.44, floor * 0.58), dim)
    layer.line([(x, QUAY - 0.033), (x + wide, QUAY - 0.033)], 0.002, dim * 0.6)
    shop = ramp(rng.random(1), "#ffc561", "#ffdf94", "#e8913c")[0]
    layer.polygon([(x + 0.12 * wide, QUAY), (x + 0.12 * wide, QUAY - 0.025),
        (x + 0.30 * wide, QUAY - 0.025), (x + 0.30 * wide, QUAY)], dim * 0.35)  # fmt: skip
    layer.polygon([(x + 0.40 * wide, QUAY - 0.007), (x + 0.40 * wide, QUAY - 0.024),
        (x + 0.90 * wide, QUAY - 0.024), (x + 0.90 * wide, QUAY - 0.007)], shop)  # fmt: skip
    for part in (0.52, 0.65, 0.78):
        layer.line([(x + part * wide, QUAY - 0.007), (x + part * wide, QUAY - 0.024)], 0.0012, "#5a3a2a")
    awning = rgb(rng.choice(["#8c2f2a", "#2a5a5a", "#d8c8a0"]))
    for k in range(6):
        part = 0.37 + 0.095 * k
        layer.polygon([(x + part * wide, QUAY - 0.028), (x + (part + 0.095) * wide, QUAY - 0.028),
            (x + (part + 0.10) * wide, QUAY - 0.021), (x + (part - 0.005) * wide, QUAY - 0.021)],
            awning if k % 2 else "#c9b49c")  # fmt: skip


def _window(layer: Layer, rng: np.random.Generator, corner: Point, reach: Point, wall: Field) -> None:
    """A window: lit, or dark with the sky in it; with frame, cross bar and sometimes shutters."""
    (x, y), (wide, tall) = corner, reach
    edge = 0.0016

    def pane(left: float, top: float, right: float, bottom: float, colour: str | Field) -> None:
        layer.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    if rng.random() < 0.5:
        shutter = wall * 0.55
        pane(x - 0.38 * wide, y, x - 0.03 * wide, y + tall, shutter)
        pane(x + 1.03 * wide, y, x + 1.38 * wide, y + tall, shutter)
    pane(x - edge, y - edge, x + wide + edge, y + tall + edge, np.minimum(wall * 1.45, 0.85))
    if rng.random() < 0.58:
        warm = ramp(rng.random(1), "#f5a544", "#ffcf70", "#ffe6a8")[0]
        pane(x, y, x + wide, y + tall, warm)
        pane(x, y, x + 0.25 * wide, y + tall, warm * rgb("#f0c8a0"))
    else:
        pane(x, y, x + wide, y + tall, "#262a44")
        layer.polygon([(x, y), (x + 0.8 * wide, y), (x, y + 0.7 * tall)], "#55527a")
    layer.line([(x + wide / 2, y), (x + wide / 2, y + tall)], 0.0012, "#4c3a38")
    layer.line([(x, y + 0.4 * tall), (x + wide, y + 0.4 * tall)], 0.0012, "#4c3a38")
    pane(x - 2 * edge, y + tall + edge, x + wide + 2 * edge, y + tall + 2.4 * edge, wall * 1.3)


def _moor(canvas: Canvas, boat: Boat) -> None:
    """Draw the boat, and its reflection broken by the ripples."""
    x, y, long, way, sails = boat.x, boat.y, boat.long, boat.way, boat.sails
    layer = Layer(canvas)
    paint = rgb(boat.hull) * rgb("#d8b4b4")

    def place(points: list[tuple[float, float]] | Field) -> Field:
        return np.asarray(points) * (way * long, long) + (x, y)

    mast, top = 0.06, -1.32
    for a, b in (((mast, top), (0.53, -0.115)), ((mast, top), (-0.48, -0.09)), ((mast, -0.95), (0.50,
            -0.115)),
                 ((mast, top), (mast - 0.09, -0.10)), ((mast, top), (mast + 0.09, -0.10))):  # fmt: skip
        layer.line(place([a, b]), 0.0011, "#3a3040", 0.85)
    if sails:
        layer.polygon(
            place(spline([(mast, top + 0.05), (mast - 0.10, -0.8), (-0.42, -0.19), (mast, -0.19)])), "#f0cdb0"
        )
        layer.polygon(
            place(spline([(mast + 0.03, top + 0.12), (mast + 0.2, -0.6), (0.50, -0.13), (mast + 0.08, -0.2)])),
            "#ffe3c4",
        )
    layer.line(place([(mast, 0), (mast, top)]), 0.0022 + 0.010 * long, "#4a3a3c")
    layer.line(place([(mast + 0.006, 0), (mast + 0.006, top)]), 0.0012, "#d8a888")
    layer.line(place([(mast - 0.08, -0.82), (mast + 0.08, -0.82)]), 0.0014, "#4a3a3c")
    if not sails:
        layer.line(place([(mast, -0.24), (-0.42, -0.225)]), 0.05 * long, "#c8b4ac")
        layer.line(place([(mast, -0.225), (-0.42, -0.212)]), 0.02 * long, "#8a7078")
        for k in range(6):
            s = mast - 0.06 - 0.07 * k
            layer.line(place([(s, -0.265), (s - 0.01, -0.205)]), 0.0012, "#5a4450")
    cabin = spline([(-0.24, -0.08), (-0.21, -0.165), (0.0, -0.175), (0.18, -0.155), (0.27, -0.10)])
    layer.polygon(place(cabin), rgb("#e6dccf") * rgb("#c8a8b0"))
    for k in range(4):
        s = -0.17 + 0.09 * k
        layer.polygon(
            place([(s, -0.115), (s, -0.145), (s + 0.055, -0.147), (s + 0.055, -0.117)]),
            "#ffd27a" if k != 2 else "#2a2a44",
        )
    deck = spline([(-0.5, -0.085), (-0.2, -0.072), (0.2, -0.085), (0.54, -0.125)])
    keel = spline([(0.54, -0.125), (0.40, 0.0), (0.2, 0.035), (-0.2, 0.04), (-0.46, 0.015), (-0.5, -0.085)])
    layer.polygon(place(np.concatenate([deck, keel])), paint)
    shade = spline([(0.46, -0.03), (0.2, -0.012), (-0.2, -0.008), (-0.48, -0.02)])
    layer.polygon(place(np.concatenate([shade, keel[::-1][1:40]])), paint * 0.62)
    layer.line(place(deck), 0.0018, "#fff0dc")
    layer.line(place(deck + np.array([0, 0.030])), 0.022 * long, "#c87848" if boat.hull != "#7e2a26" else "#e8d8b8")
    for k in range(9):
        s = -0.46 + 0.115 * k
        layer.line(place([(s, -0.085), (s, -0.125)]), 0.0010, "#cfc0b8", 0.8)
    layer.line(place(deck - np.array([0, 0.042])), 0.0009, "#cfc0b8", 0.8)
    for k in range(3):
        fender = place([(-0.3 + 0.25 * k, -0.02)])[0]
        layer.ellipse(fender, (0.014 * long, 0.032 * long), "#d8d0d4")
    colour, mask = layer.read()
    near = canvas.part(0, y, canvas.width, y + 1.4 * long)  # the water below, where it is mirrored
    fall = near.y - y
    sway = ripples(near, WATER)[1] * (0.004 + 0.10 * np.minimum(fall, 0.2))
    at_x, at_y = near.x + 0.8 * sway, 2 * y - near.y + 0.6 * sway
    near.cover(
        canvas.look(at_x, at_y, colour) * rgb("#a8a0b8"),
        0.8 * canvas.look(at_x, at_y, mask) * np.exp(-2.2 * fall),
    )
    near.cover(
        "#0f1428",
        0.55 * np.exp(-(((near.x - x) / (0.5 * long)) ** 4) - ((fall - 0.012 * long) / (0.05 * long)) ** 2),
    )
    canvas.cover(colour, mask)
    light = place([(mast, top - 0.01)])[0]
    canvas.glow(light, 0.006, "#fff4d8", 0.9)


def _jetty(canvas: Canvas) -> None:
    """Planks and posts in the near corner."""
    layer = Layer(canvas)
    back, front = 0.575, 0.70
    layer.polygon([(-0.05, back), (0.20, back), (0.36, front), (-0.05, front)], "#33262c")
    for k in range(9):
        near = (k / 9) ** 1.3
        top, bottom = back + (front - back) * near, back + (front - back) * ((k + 0.9) / 9) ** 1.3
        right = 0.20 + 0.16 * near
        tone = rgb(("#6a4c44", "#5a4240", "#755548")[k % 3])
        layer.polygon([(-0.05, top), (right, top), (right + 0.01, bottom), (-0.05, bottom)], tone)
        layer.line([(-0.05, top), (right, top)], 0.002, tone * 1.35)
    for x, y, tall in ((0.195, 0.585, 0.075), (0.265, 0.635, 0.10), (0.02, 0.582, 0.07)):
        layer.polygon([(x - 0.010, y), (x - 0.010, y - tall), (x + 0.010, y - tall), (x + 0.010, y)], "#3a2a2c")
        layer.polygon([(x + 0.003, y), (x + 0.003, y - tall), (x + 0.010, y - tall), (x + 0.010, y)], "#8a5f4c")
        layer.ellipse((x, y - tall), (0.010, 0.004), "#a87858")
    rope = [(0.02 + s * 0.175, 0.525 + 0.04 * 4 * s * (1 - s)) for s in np.linspace(0, 1, 12)]
    layer.line(rope, 0.0035, "#b89a78")
    colour, mask = layer.read()
    planks = 1 + 0.3 * fbm(canvas.x * 9, canvas.y * 130, 44, 4)
    soft = blur(mask, 0.006 * canvas.unit)
    canvas.cover("#0c1022", 0.6 * np.clip(soft, 0, 1))
    canvas.cover(colour * planks[..., None], mask)
