"""The old street: facades as planes in true perspective, each pixel asked what it sees there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gencli.core.drawn.paint import Canvas, Field, Layer, cells, fbm, noise, ramp, rgb, smoothstep, spline

EYE = 1.65  # metres above the cobbles
FOCUS = 0.80  # units: how far the picture plane is from the eye
VANISH_X, VANISH_Y = 0.43, 0.57  # where the street's lines meet


@dataclass(frozen=True)
class House:
    """A house beside the street, in metres; `near` is where its front begins, `out` its distance from the middle."""

    near: float
    wide: float
    tall: float
    out: float
    wall: str
    timber: bool
    seed: int


def street(size: int) -> Image.Image:
    """An old town street in the last sun: gables, shutters, cobbles, a lamp."""
    canvas = Canvas(size, (4, 5), finer=2)
    rng = np.random.default_rng(12)
    x, y = canvas.x, canvas.y
    canvas.cover(ramp(y / 0.60, "#3c6fb4", "#7fa9d4", "#d5d8d4", "#fbe2b4", "#ffd394"))
    cloud = fbm(x * 3.5, y * 7, 3, 5)
    canvas.cover(ramp(0.5 + cloud, "#c9b8bc", "#fff1dc"), 0.75 * smoothstep(0.0, 0.5, cloud))
    _far_end(canvas)
    _cobbles(canvas)
    for left in (True, False):
        for house in _row(rng, left)[::-1]:
            _paint_house(canvas, house, left)
    _street_life(canvas)
    canvas.glow(0.47, 0.50, 0.16, "#ffd9a0", 0.30)
    canvas.bloom(0.02, 0.12, 0.80)
    canvas.grain(0.012, 7)
    return canvas.picture()


def _row(rng: np.random.Generator, left: bool) -> list[House]:
    """The houses of one side, near to far."""
    walls = ("#d9a441 #b5543c #e8dcc0 #7fa08c #c9795a #d8c08a #8fa4b4 #cf8f7a" if left else
             "#e6c27a #cc6b4a #f0e2c4 #d99a5a #a8b89a #e3a88a #f2d9a0 #c9573f").split()  # fmt: skip
    houses, near = [], 1.2 if left else 0.6
    for k, wall in enumerate(walls):
        wide = rng.uniform(4.2, 6.2)
        out = (2.9 if left else 3.3) + rng.uniform(-0.25, 0.35)
        houses.append(House(near, wide, rng.uniform(7.2, 10.5), out, wall, (k + left) % 3 == 1, 10 * k + 5 * left))
        near += wide
    return houses


def _paint_house(canvas: Canvas, house: House, left: bool) -> None:
    """Paint the flank that shows above lower neighbours, then the front."""
    side = -1.0 if left else 1.0
    dx, dy = side * (canvas.x - VANISH_X) / FOCUS, (VANISH_Y - canvas.y) / FOCUS
    high = EYE + dy * house.near
    flank = (dx * house.near > house.out) & (high > 0) & (high < house.tall - 0.25 * np.abs(dx * house.near - house.out - 3))
    canvas.pixels[flank] = rgb(house.wall) * (0.62 if left else 0.75) * (0.9 + 0.2 * noise(canvas.x * 60, canvas.y * 60, 4))[flank, None]
    z = house.out / np.maximum(dx, 1e-3)
    along, high = z - house.near, EYE + dy * z
    step = np.floor(np.abs(along - house.wide / 2) / (house.wide / 9) + 0.5)
    gable = house.tall + 0.62 * (4.5 - step)
    seen = np.flatnonzero((along >= 0) & (along <= house.wide) & (high >= 0) & (high <= gable))
    if len(seen):
        canvas.pixels.reshape(-1, 3)[seen] = _front(house, along.ravel()[seen], high.ravel()[seen], z.ravel()[seen], left)


def _front(house: House, along: Field, high: Field, z: Field, left: bool) -> Field:
    """The colour of a house front at points `along` the street and `high` above it."""
    rng = np.random.default_rng(house.seed)
    colour = rgb(house.wall) * (0.92 + 0.16 * fbm(along * 0.8, high * 0.8, house.seed, 5))[:, None]
    colour *= (0.97 + 0.10 * noise(along * 14, high * 14, 5))[:, None]
    stain = smoothstep(1.2, 0.0, high) + 0.5 * smoothstep(0.1, 0.5, fbm(along * 2.5, high * 0.35, house.seed + 3, 3))
    colour *= (1 - 0.22 * stain)[:, None]

    def put(mask: npt.NDArray[np.bool_], paint: Field | str) -> None:
        colour[mask] = rgb(paint)

    def box(u: Field, v: Field, a: float, b: float, c: float, d: float) -> npt.NDArray[np.bool_]:
        return np.asarray((u > a) & (u < b) & (v > c) & (v < d))

    floor = 2.75
    storey = np.floor((high - 0.5) / floor)
    columns = max(2, round(house.wide / 1.9))
    u = (along / house.wide * columns) % 1.0 * (house.wide / columns)  # metres from the left of this bay
    v = (high - 0.5) - storey * floor
    bay = np.floor(along / house.wide * columns)
    middle = house.wide / columns / 2
    upper = (storey >= 1) & (high < house.tall + 0.9)
    if house.timber:
        slant = np.abs(((u - v * 0.55) + 0.2) % (2 * middle))
        beam = (v < 0.18) | (u < 0.13) | ((slant < 0.13) & (v < 1.0)) | box(u, v, middle - 0.62, middle - 0.5, 0.2, 2.7)
        put(upper & beam, rgb("#4a3022") * (0.8 if left else 1.0))
    else:
        put(upper & (v < 0.12), rgb(house.wall) * 1.18)
        put(upper & (v > 0.12) & (v < 0.17), rgb(house.wall) * 0.6)
    chance = rng.random((16, 16))[storey.astype(int) % 16, bay.astype(int) % 16]
    put(upper & box(u, v, middle - 0.52, middle + 0.52, 0.72, 2.28), rgb("#f4ead4") * 0.9)
    glass = upper & box(u, v, middle - 0.43, middle + 0.43, 0.80, 2.2)
    pane = ramp(0.35 * v + 0.4 * chance, "#2b3a4c", "#50687f", "#a9bcc4")
    colour[glass] = pane[glass]
    colour[glass & (chance > 0.62) & (v < 2.05)] = rgb("#ffc76a") * 0.98
    put(glass & ((np.abs(u - middle) < 0.035) | (np.abs(v - 1.75) < 0.035) | (np.abs(v - 1.27) < 0.02)), "#efe4cc")
    put(upper & box(u, v, middle - 0.45, middle + 0.45, 2.12, 2.2), rgb("#2a2a30"))
    shutter = rgb(("#35604a", "#7a3a2c", "#3b5a7c", "#5c6b3a")[house.seed % 4])
    wings = upper & (v > 0.76) & (v < 2.24) & (np.abs(np.abs(u - middle) - 0.73) < 0.19)
    put(wings, shutter)
    put(wings & ((v * 9) % 1 < 0.35), shutter * 0.68)
    boxes = upper & (chance < 0.6) & box(u, v, middle - 0.6, middle + 0.6, 0.46, 0.76)
    bloom = noise(along * 7, high * 7, house.seed + 8)
    colour[boxes] = ramp(0.5 + 0.6 * bloom, "#244a22", "#4d7a2f", "#d83a3a", "#ff8a9a")[boxes]
    put(upper & box(u, v, middle - 0.58, middle + 0.58, 0.42, 0.54), "#6b4a34")
    round_light = np.hypot(along - house.wide / 2, high - house.tall - 1.3) < 0.42
    put(round_light, "#f0e4ca")
    put(np.hypot(along - house.wide / 2, high - house.tall - 1.3) < 0.33, "#2f3c4e")
    ground = storey < 1
    put(ground & (high < 0.55), "#6d655c")
    arch = np.where(v > 1.9, np.hypot(u - middle, v - 1.9), np.abs(u - middle))
    door = ground & (bay % 2 == house.seed % 2)
    shop = ground & ~door
    put(door & (arch < 0.74) & (v > -0.5), rgb("#cdbb98") * 0.85)
    put(door & (arch < 0.58) & (v > -0.5), shutter * 0.75)
    put(door & (arch < 0.58) & ((np.abs(u - middle) < 0.03) | (np.abs(v - 0.9) < 0.04)), shutter * 0.45)
    put(shop & box(u, v, middle - 0.80, middle + 0.80, 0.15, 2.05), "#4a3426")
    lit = shop & box(u, v, middle - 0.72, middle + 0.72, 0.25, 1.95)
    wares = ramp(0.6 + 0.5 * noise(along * 4, high * 5, house.seed + 2) - 0.15 * (v < 0.8), "#6b3f22", "#c98a3c", "#ffd27a", "#fff0c0")
    colour[lit] = wares[lit]
    put(lit & (np.abs(u - middle) < 0.03), "#4a3426")
    awning = shop & box(u, v, middle - 0.95, middle + 0.95, 1.9, 2.45)
    put(awning, rgb(("#b03a2e", "#2f6b62", "#c8862f")[house.seed % 3]))
    put(awning & ((u * 4) % 1 < 0.5), "#f0e3c8")
    glowing = (lit | (glass & (chance > 0.62)))[:, None]
    edge = np.minimum(along, house.wide - along)
    colour *= (0.72 + 0.28 * smoothstep(0.0, 0.25, edge))[:, None]
    if left:
        light = rgb("#7f8db4") * 0.86 * np.ones_like(colour)
    else:
        shade = 2.6 + 1.1 * np.floor(2.2 + 2 * np.sin(z * 0.9)) / 2 + 0.25 * np.abs((z * 1.1) % 2 - 1)
        sunlit = smoothstep(-0.12, 0.12, high - shade)[:, None]
        light = rgb("#8a8fb4") * 0.80 * (1 - sunlit) + rgb("#ffdfa6") * 1.14 * sunlit
    light = np.where(glowing, np.maximum(light, 0.95), light)
    haze = (1 - np.exp(-np.maximum(z - 5, 0) * 0.020))[:, None]
    return np.asarray(colour * light * (1 - haze) + rgb("#f6d5a4") * haze)


def _far_end(canvas: Canvas) -> None:
    """What closes the street: hazy roofs and a tower against the light."""
    layer = Layer(canvas)
    for x, tall, wide, colour in ((0.36, 0.10, 0.06, "#c7a48c"), (0.41, 0.13, 0.05, "#b8957f"), (0.455, 0.09, 0.05, "#c09a7c"),
                                  (0.50, 0.12, 0.06, "#d2ab84")):  # fmt: skip
        layer.polygon([(x, 0.6), (x, VANISH_Y - tall), (x + wide / 2, VANISH_Y - tall - 0.03), (x + wide, VANISH_Y - tall), (x + wide, 0.6)], colour)
    layer.polygon([(0.425, 0.6), (0.425, 0.33), (0.465, 0.33), (0.465, 0.6)], "#a58672")
    layer.polygon([(0.445, 0.6), (0.445, 0.33), (0.465, 0.33), (0.465, 0.6)], "#d9b088")
    layer.polygon(spline([(0.420, 0.33), (0.428, 0.29), (0.438, 0.27), (0.445, 0.19), (0.452, 0.27), (0.462, 0.29), (0.470, 0.33)]), "#6f7f86")
    layer.ellipse(0.445, 0.365, 0.011, 0.011, "#fbeccb")
    for y in (0.41, 0.46):
        layer.polygon([(0.440, y), (0.440, y - 0.02), (0.450, y - 0.02), (0.450, y)], "#6b5248")
    canvas.lay(layer, soft=0.0008)


def _cobbles(canvas: Canvas) -> None:
    """Rounded stones in rows, worn, a little wet, brighter towards the light."""
    ground = np.flatnonzero(canvas.y.ravel() > VANISH_Y + 0.004)
    x, y = canvas.x.ravel()[ground], canvas.y.ravel()[ground]
    z = EYE * FOCUS / (y - VANISH_Y)
    across = (x - VANISH_X) / FOCUS * z
    cell, rim = cells(across * 4.6 + 50, z * 4.6 + 0.35 * np.cos(across * 1.4), 5, jitter=0.55)
    tone = np.random.default_rng(6).random(1 << 16)[cell]
    fade = smoothstep(22, 5, z)
    dome = smoothstep(0.02, 0.28, rim)
    stone = ramp(0.25 + 0.5 * tone + 0.25 * fbm(across * 1.3, z * 1.3, 7, 4), "#4b4a56", "#77707a", "#a3958f", "#c9b49a")
    colour = stone * (1 - fade[:, None] * (1 - (0.35 + 0.75 * dome)[:, None]))
    shine = smoothstep(2, 26, z) * np.exp(-((across / 2.0) ** 2)) * (0.45 + 0.55 * dome * fade)
    colour = colour * rgb("#c3c0d6") * 0.92 + (0.75 * shine)[:, None] * rgb("#ffc98c")
    gutter = np.exp(-(((np.abs(across) - 1.9) / 0.10) ** 2))
    colour *= (1 - 0.45 * gutter)[:, None]
    beam = smoothstep(0.06, 0.0, np.abs(((z + 0.55 * across) % 9.0) - 4.5) - 0.55) * smoothstep(-3.2, -1.0, across) * smoothstep(3, 5, z)
    colour += (0.30 * beam * (0.5 + 0.5 * dome))[:, None] * rgb("#ffcf8a")
    puddle = smoothstep(0.30, 0.36, fbm(across * 0.9 + 5, z * 0.6, 31, 4)) * smoothstep(14, 6, z)
    mirrored = ramp((y - VANISH_Y) / 0.5, "#ffdfae", "#c5cdd8", "#6f97c8")
    colour += (mirrored * 0.85 - colour) * (0.7 * puddle)[:, None]
    haze = (1 - np.exp(-np.maximum(z - 5, 0) * 0.020))[:, None]
    canvas.pixels.reshape(-1, 3)[ground] = colour * (1 - haze) + rgb("#f6d5a4") * haze


def _street_life(canvas: Canvas) -> None:
    """A lamp post, a hanging sign, and people going home with long shadows."""
    layer = Layer(canvas)

    def at(across: float, high: float, z: float) -> tuple[float, float]:
        return VANISH_X + across * FOCUS / z, VANISH_Y + (EYE - high) * FOCUS / z

    for across, z, coat, tall in ((0.5, 13.0, "#5a3a34", 1.75), (0.05, 13.3, "#33405c", 1.65), (-1.0, 20.0, "#6b4a40", 1.75),
                                  (1.2, 8.2, "#2c2f44", 1.78)):  # fmt: skip
        unit = FOCUS / z
        x, y = at(across, 0, z)
        layer.polygon([(x - 0.12 * unit, y), (x + 0.12 * unit, y), (x - 1.6 * unit, y + 1.1 * unit), (x - 2.0 * unit, y + 1.1 * unit)], "#2a2a3a", 0.5)
        legs = [(-0.16, 0), (-0.10, 0.85), (0.10, 0.85), (0.19, 0.02), (0.11, 0.0), (0.0, 0.7), (-0.07, 0.0)]
        layer.polygon([(x + a * unit, y - b * unit) for a, b in legs], rgb(coat) * 0.6)
        torso = spline([(-0.2, 0.6), (-0.24, 1.25), (-0.12, tall - 0.28), (0.12, tall - 0.28), (0.24, 1.25), (0.2, 0.6)], closed=True)
        layer.polygon(torso * (unit, -unit) + (x, y), coat)
        layer.polygon(torso * (unit * 0.35, -unit) + (x + 0.13 * unit, y), rgb(coat) * 1.5)
        layer.ellipse(x, y - (tall - 0.12) * unit, 0.10 * unit, 0.13 * unit, "#c99a7c")
        layer.ellipse(x - 0.01 * unit, y - (tall - 0.07) * unit, 0.11 * unit, 0.10 * unit, "#3a2620")
    z, across = 4.3, -1.75
    foot, head = at(across, 0.0, z), at(across, 3.35, z)
    for wide, low, high in ((0.030, 0.0, 0.05), (0.020, 0.05, 0.30), (0.009, 0.28, 1.0)):
        a, b = (foot[1] + (head[1] - foot[1]) * part for part in (low, high))
        layer.polygon([(foot[0] - wide / 2, a), (foot[0] + wide / 2, a), (foot[0] + wide / 2, b), (foot[0] - wide / 2, b)], "#1d2026")
        layer.polygon([(foot[0] + wide * 0.2, a), (foot[0] + wide / 2, a), (foot[0] + wide / 2, b), (foot[0] + wide * 0.2, b)], "#5c5854")
    x, y = head
    layer.line([(x - 0.035, y + 0.018), (x + 0.035, y + 0.018)], 0.005, "#1d2026")
    lantern = [(-0.016, 0.0), (-0.026, -0.055), (0.026, -0.055), (0.016, 0.0)]
    layer.polygon([(x + a, y + b) for a, b in lantern], "#ffe2a0")
    layer.polygon([(x + a, y + b) for a, b in ((-0.032, -0.053), (0.0, -0.088), (0.032, -0.053))], "#1d2026")
    layer.ellipse(x, y - 0.090, 0.005, 0.006, "#1d2026")
    for a in (-0.021, 0.0, 0.021):
        layer.line([(x + 0.75 * a, y), (x + 1.2 * a, y - 0.055)], 0.003, "#1d2026")
    layer.line([(x - 0.018, y), (x + 0.018, y)], 0.006, "#1d2026")
    sign = at(2.4, 3.3, 7.0)
    layer.line([(sign[0] - 0.005, sign[1] - 0.045), (sign[0] + 0.10, sign[1] - 0.048)], 0.004, "#22201f")
    layer.ellipse(sign[0] + 0.03, sign[1], 0.034, 0.040, "#22201f")
    layer.ellipse(sign[0] + 0.03, sign[1], 0.028, 0.034, "#c8963c")
    layer.ellipse(sign[0] + 0.03, sign[1], 0.015, 0.020, "#7a2f24")
    canvas.lay(layer)
    canvas.glow(x, y - 0.028, 0.02, "#ffd890", 0.9)
    canvas.glow(x, y - 0.028, 0.09, "#ffb060", 0.28)
