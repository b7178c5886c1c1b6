"""The old street: facades as planes in true perspective, each pixel asked what it sees there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import (
    Canvas,
    Colour,
    Field,
    Layer,
    Mask,
    cells,
    fbm,
    noise,
    ramp,
    rgb,
    smoothstep,
    spline,
)

EYE = 1.65  # metres above the cobbles
FOCUS = 0.80  # units: how far the picture plane is from the eye
VANISH_X, VANISH_Y = 0.43, 0.57  # where the street's lines meet


@dataclass(frozen=True)
class House:
    """A house, in metres: `near` is where its front begins, `out` how far it is from the street's middle."""

    near: float
    wide: float
    tall: float
    out: float
    wall: str
    timber: bool
    seed: int

    @property
    def trim(self) -> Field:
        """The colour of doors and shutters."""
        return rgb(("#35604a", "#7a3a2c", "#3b5a7c", "#5c6b3a")[self.seed % 4])


def street(size: int) -> Image.Image:
    """An old town street in the last sun: gables, shutters, cobbles, a lamp."""
    canvas = Canvas(size, (4, 5), finer=1.5)
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
    _puddles(canvas)
    _street_life(canvas)
    canvas.glow((0.47, 0.50), 0.16, "#ffd9a0", 0.30)
    canvas.bloom(0.02, 0.12, 0.80)
    canvas.grain(0.012, 7)
    return canvas.picture()


def _row(rng: np.random.Generator, left: bool) -> list[House]:
    """The houses of one side, near to far."""
    walls = {
        True: "#d9a441 #b5543c #e8dcc0 #7fa08c #c9795a #d8c08a #8fa4b4 #cf8f7a",
        False: "#e6c27a #cc6b4a #f0e2c4 #d99a5a #a8b89a #e3a88a #f2d9a0 #c9573f",
    }[left].split()
    houses, near = [], 1.2 if left else 0.6
    for k, wall in enumerate(walls):
        wide = rng.uniform(4.2, 6.2)
        out = (2.9 if left else 3.3) + rng.uniform(-0.25, 0.35)
        tall, timber = rng.uniform(7.2, 10.5), (k + left) % 3 == 1
        houses.append(House(near, wide, tall, out, wall, timber, 10 * k + 5 * left))
        near += wide
    return houses


def _paint_house(canvas: Canvas, house: House, left: bool) -> None:
    """Paint the flank that shows above lower neighbours, then the front."""
    side = -1.0 if left else 1.0
    dx, dy = side * (canvas.x - VANISH_X) / FOCUS, (VANISH_Y - canvas.y) / FOCUS
    inwards, high = dx * house.near - house.out, EYE + dy * house.near
    flank = (inwards > 0) & (high > 0) & (high < house.tall - 0.25 * np.abs(inwards - 3))
    rough = 0.9 + 0.2 * noise(canvas.x[flank] * 60, canvas.y[flank] * 60, 4)
    canvas.pixels[flank] = rgb(house.wall) * (0.62 if left else 0.75) * rough[:, None]
    z = house.out / np.maximum(dx, 1e-3)
    along, high = z - house.near, EYE + dy * z
    step = np.floor(np.abs(along - house.wide / 2) / (house.wide / 9) + 0.5)
    gable = house.tall + 0.62 * (4.5 - step)
    seen = (along >= 0) & (along <= house.wide) & (high >= 0) & (high <= gable)
    if seen.any():
        canvas.pixels[seen] = _front(house, along[seen], high[seen], z[seen], left)


class Front:
    """The points of a house front that are in sight, in metres, and the colours there."""

    FLOOR = 2.75

    def __init__(self, house: House, along: Field, high: Field) -> None:
        columns = max(2, round(house.wide / 1.9))
        width = house.wide / columns
        self.house, self.along, self.high = house, along, high
        self.storey = np.maximum(np.floor((high - 0.5) / self.FLOOR), 0)
        self.bay = np.floor(along / width)
        self.from_middle = along - (self.bay + 0.5) * width  # of the bay, where its window or door is
        self.above = high - 0.5 - self.storey * self.FLOOR  # the floor of its storey
        self.edge = 0.5 * width - np.abs(self.from_middle)  # how far inside the bay
        self.colour = np.tile(rgb(house.wall), (len(along), 1))

    def box(self, half: float, low: float, high: float) -> Mask:
        """The points at most `half` from the middle of their bay, between two heights of their storey."""
        return np.asarray((np.abs(self.from_middle) < half) & (self.above > low) & (self.above < high))

    def put(self, mask: Mask, paint: Colour) -> None:
        """Paint one colour, or a colour for every point, where the mask is."""
        paint = rgb(paint)
        self.colour[mask] = paint if paint.ndim == 1 else paint[mask]


def _front(house: House, along: Field, high: Field, z: Field, left: bool) -> Field:
    """The colour of a house front at points `along` the street and `high` above it."""
    rng = np.random.default_rng(house.seed)
    front = Front(house, along, high)
    worn = smoothstep(0.1, 0.5, fbm(along * 2.5, high * 0.35, house.seed + 3, 3))
    stain = smoothstep(1.2, 0.0, high) + 0.5 * worn
    plaster = 0.92 + 0.16 * fbm(along * 0.8, high * 0.8, house.seed, 5) + 0.08 * noise(along * 14, high * 14, 5)
    front.colour *= (plaster * (1 - 0.22 * stain))[:, None]
    lit = _upper_storeys(front, rng) | _ground_floor(front, rng)
    corner = np.minimum(along, house.wide - along)
    colour = front.colour * (0.72 + 0.28 * smoothstep(0.0, 0.25, corner))[:, None]
    shadow = 2.6 + 0.55 * np.floor(2.2 + 2 * np.sin(z * 0.9)) + 0.25 * np.abs((z * 1.1) % 2 - 1)
    sun = smoothstep(-0.12, 0.12, high - shadow)[:, None] * (not left)  # over the roofs of the left side
    light = rgb("#7079a0") * (1 - sun) + rgb("#ffe8b4") * 1.14 * sun
    light = np.where(lit[:, None], np.maximum(light, 0.95), light)
    haze = (1 - np.exp(-np.maximum(z - 5, 0) * 0.020))[:, None]
    return np.asarray(colour * light * (1 - haze) + rgb("#f6d5a4") * haze)


def _upper_storeys(front: Front, rng: np.random.Generator) -> Mask:
    """Timber or mouldings, windows with shutters and flowers; answers which points glow."""
    house, above, aside = front.house, front.above, np.abs(front.from_middle)
    upper = (front.storey >= 1) & (front.high < house.tall + 0.9)
    if house.timber:
        slant = (front.from_middle - 0.55 * above + 0.2) % 2.0 < 0.13
        post = (front.edge < 0.07) | ((np.abs(aside - 0.58) < 0.06) & (above > 0.2))
        front.put(upper & ((above < 0.18) | post | (slant & (above < 1.0))), "#45301f")
    else:
        front.put(upper & (above < 0.12), rgb(house.wall) * 1.18)
        front.put(upper & (above > 0.12) & (above < 0.17), rgb(house.wall) * 0.6)
    chance = rng.random((16, 16))[front.storey.astype(int) % 16, front.bay.astype(int) % 16]
    glass = upper & front.box(0.43, 0.80, 2.2)
    lit: Mask = glass & (chance > 0.62)
    bars = (aside < 0.035) | (np.abs(above - 1.75) < 0.035) | (np.abs(above - 1.27) < 0.02)
    front.put(upper & front.box(0.52, 0.72, 2.28), rgb("#f4ead4") * 0.9)
    front.put(glass, ramp(0.35 * above + 0.4 * chance, "#2b3a4c", "#50687f", "#a9bcc4"))
    front.put(lit, "#fac368")
    front.put(glass & bars, "#efe4cc")
    front.put(upper & front.box(0.45, 2.12, 2.2), "#2a2a30")
    shutter = upper & (above > 0.76) & (above < 2.24) & (np.abs(aside - 0.73) < 0.19)
    front.put(shutter, house.trim)
    front.put(shutter & ((above * 9) % 1 < 0.35), house.trim * 0.68)
    bloom = noise(front.along * 7, front.high * 7, house.seed + 8)
    flowers = ramp(0.5 + 0.6 * bloom, "#244a22", "#4d7a2f", "#d83a3a", "#ff8a9a")
    front.put(upper & (chance < 0.6) & front.box(0.6, 0.46, 0.76), flowers)
    front.put(upper & front.box(0.58, 0.42, 0.54), "#6b4a34")
    round_light = np.hypot(front.along - house.wide / 2, front.high - house.tall - 1.3)
    front.put(round_light < 0.42, "#f0e4ca")
    front.put(round_light < 0.33, "#2f3c4e")
    return lit


def _ground_floor(front: Front, rng: np.random.Generator) -> Mask:
    """Arched doors and shops by turns, with shelves of wares behind the panes; answers what glows."""
    house, above, aside = front.house, front.above, np.abs(front.from_middle)
    ground = front.storey < 1
    front.put(ground & (front.high < 0.55), "#6d655c")
    door = ground & (front.bay % 2 == house.seed % 2)
    shop = ground & ~door
    arch = np.where(above > 1.9, np.hypot(aside, above - 1.9), aside)
    front.put(door & (arch < 0.74), rgb("#cdbb98") * 0.85)
    front.put(door & (arch < 0.58), house.trim * 0.75)
    front.put(door & (arch < 0.58) & ((aside < 0.03) | (np.abs(above - 0.9) < 0.04)), house.trim * 0.45)
    front.put(shop & front.box(0.80, 0.15, 2.05), "#4a3426")
    lit: Mask = shop & front.box(0.72, 0.25, 1.95)
    shelf, rest = np.divmod(above - 0.25, 0.42)
    item, gap = np.divmod(front.along + 0.13 * shelf, 0.17)
    kind = rng.random((8, 64))[shelf.astype(int) % 8, item.astype(int) % 64]
    front.put(lit, ramp(0.35 + 0.35 * above, "#c9803a", "#ffc468", "#ffe6ac"))
    wares = ramp((kind * 7.3) % 1, "#7a3420", "#c98a3c", "#f0d9a0", "#5c6b3a", "#a84a30")
    front.put(lit & (rest < 0.10 + 0.22 * kind) & (gap < 0.13), wares)
    front.put(lit & ((rest > 0.385) | (aside < 0.03)), "#5a3a26")
    awning = shop & front.box(0.95, 1.9, 2.45)
    front.put(awning, ("#b03a2e", "#2f6b62", "#c8862f")[house.seed % 3])
    front.put(awning & ((front.from_middle * 4) % 1 < 0.5), "#f0e3c8")
    return lit


def _far_end(canvas: Canvas) -> None:
    """What closes the street: hazy roofs and a tower against the light."""
    layer = Layer(canvas)
    for x, tall, wide, colour in ((0.36, 0.10, 0.06, "#c7a48c"), (0.41, 0.13, 0.05, "#b8957f"), (0.455,
            0.09, 0.05, "#c09a7c"),
                                  (0.50, 0.12, 0.06, "#d2ab84")):  # fmt: skip
        layer.polygon(
            [
                (x, 0.6),
                (x, VANISH_Y - tall),
                (x + wide / 2, VANISH_Y - tall - 0.03),
                (x + wide, VANISH_Y - tall),
                (x + wide, 0.6),
            ],
            colour,
        )
    layer.polygon([(0.425, 0.6), (0.425, 0.33), (0.465, 0.33), (0.465, 0.6)], "#a58672")
    layer.polygon([(0.445, 0.6), (0.445, 0.33), (0.465, 0.33), (0.465, 0.6)], "#d9b088")
    layer.polygon(
        spline(
            [
                (0.420, 0.33),
                (0.428, 0.29),
                (0.438, 0.27),
                (0.445, 0.19),
                (0.452, 0.27),
                (0.462, 0.29),
                (0.470, 0.33),
            ]
        ),
        "#6f7f86",
    )
    layer.ellipse((0.445, 0.365), 0.011, "#fbeccb")
    for y in (0.41, 0.46):
        layer.polygon([(0.440, y), (0.440, y - 0.02), (0.450, y - 0.02), (0.450, y)], "#6b5248")
    canvas.lay(layer, soft=0.0008)


def _cobbles(canvas: Canvas) -> None:
    """Rounded stones in rows, worn, a little wet, brighter towards the light."""
    ground = np.flatnonzero(canvas.y.ravel() > VANISH_Y + 0.004)
    x, y = canvas.x.ravel()[ground], canvas.y.ravel()[ground]
    z = EYE * FOCUS / (y - VANISH_Y)
    across = (x - VANISH_X) / FOCUS * z
    cell, rim = cells(across * 5.4 + 50, z * 5.4 + 0.35 * np.cos(across * 1.4), 5, jitter=0.55)
    tone = np.random.default_rng(6).random(1 << 16)[cell]
    fade = smoothstep(22, 5, z)
    dome = smoothstep(0.015, 0.20, rim)
    stone = ramp(
        0.25 + 0.5 * tone + 0.25 * fbm(across * 1.3, z * 1.3, 7, 4),
        "#4b4a56",
        "#77707a",
        "#a3958f",
        "#c9b49a",
    )
    colour = stone * (1 - fade[:, None] * (1 - (0.35 + 0.75 * dome)[:, None]))
    shine = smoothstep(2, 26, z) * np.exp(-((across / 2.0) ** 2)) * (0.45 + 0.55 * dome * fade)
    colour = colour * rgb("#c3c0d6") * 0.92 + (0.75 * shine)[:, None] * rgb("#ffc98c")
    gutter = np.exp(-(((np.abs(across) - 1.9) / 0.10) ** 2))
    colour *= (1 - 0.45 * gutter)[:, None]
    beam = (
        smoothstep(0.06, 0.0, np.abs(((z + 0.55 * across) % 9.0) - 4.5) - 0.55)
        * smoothstep(-3.2, -1.0, across)
        * smoothstep(3, 5, z)
    )
    colour += (0.30 * beam * (0.5 + 0.5 * dome))[:, None] * rgb("#ffcf8a")
    haze = (1 - np.exp(-np.maximum(z - 5, 0) * 0.020))[:, None]
    canvas.pixels.reshape(-1, 3)[ground] = colour * (1 - haze) + rgb("#f6d5a4") * haze


def _puddles(canvas: Canvas) -> None:
    """Rain left between the stones, with the sky and the roofs in it."""
    ground = canvas.part(0, VANISH_Y + 0.02, canvas.width, canvas.depth)
    z = EYE * FOCUS / (ground.y - VANISH_Y)
    across = (ground.x - VANISH_X) / FOCUS * z
    level = fbm(across * 0.8 + 5, z * 0.5, 31, 4) - 0.12 * smoothstep(
        0.0, 0.25, cells(across * 5.4 + 50, z * 5.4, 5, 0.55)[1]
    )
    wet = smoothstep(0.10, 0.20, level) * smoothstep(22, 8, z)
    sway = 0.004 * noise(across * 9, z * 9, 33)
    seen = canvas.look(ground.x + sway, 2 * VANISH_Y - ground.y + 2 * sway)
    ground.cover(seen * 0.80, 0.80 * wet)
    ground.cover("#2c2a34", 0.35 * smoothstep(0.02, 0.10, level) * (1 - wet) * smoothstep(22, 8, z))


def _street_life(canvas: Canvas) -> None:
    """A lamp post, a hanging sign, and people going home with long shadows."""
    layer = Layer(canvas)

    def at(across: float, high: float, z: float) -> tuple[float, float]:
        return VANISH_X + across * FOCUS / z, VANISH_Y + (EYE - high) * FOCUS / z

    for across, z, coat, tall in ((0.5, 13.0, "#5a3a34", 1.75), (0.05, 13.3, "#33405c", 1.65), (-1.0, 20.0,
            "#6b4a40", 1.75),
                                  (1.2, 8.2, "#2c2f44", 1.78)):  # fmt: skip
        unit = FOCUS / z
        x, y = at(across, 0, z)
        layer.polygon(
            [
                (x - 0.12 * unit, y),
                (x + 0.12 * unit, y),
                (x - 1.6 * unit, y + 1.1 * unit),
                (x - 2.0 * unit, y + 1.1 * unit),
            ],
            "#2a2a3a",
            0.5,
        )
        for step, lift in ((-0.10, 0.0), (0.11, 0.05)):
            leg = [(0.02, 0.9), (step - 0.06, lift), (step + 0.09, lift), (0.10, 0.9), (-0.08, 0.9)]
            layer.polygon([(x + a * unit, y - b * unit) for a, b in leg], rgb(coat) * 0.55)
        cloak = [(-0.20, 0.52), (-0.17, 1.0), (-0.23, 1.22), (-0.17, tall - 0.33), (-0.06, tall - 0.25),
            (0.06, tall - 0.25), (0.17, tall - 0.33), (0.23, 1.22), (0.17, 1.0), (0.20, 0.52)]  # fmt: skip
        for swell, shift, tint in ((1.0, 0.0, 0.8), (0.45, 0.09, 1.35)):
            layer.polygon([(x + (a * swell + shift) * unit, y - b * unit) for a, b in cloak], rgb(coat) * tint)
        for way in (-1, 1):
            arm = [(way * 0.17, tall - 0.36), (way * 0.27, 1.12), (way * 0.24, 0.86)]
            layer.line(
                [(x + a * unit, y - b * unit) for a, b in arm],
                0.085 * unit,
                rgb(coat) * (1.3 if way > 0 else 0.7),
            )
        layer.ellipse((x, y - (tall - 0.11) * unit), (0.078 * unit, 0.11 * unit), "#c08f72")
        layer.ellipse((x - 0.012 * unit, y - (tall - 0.075) * unit), 0.085 * unit, "#33211c")
    z, across = 4.3, -1.75
    foot, head = at(across, 0.0, z), at(across, 3.35, z)
    for wide, low, high in ((0.030, 0.0, 0.05), (0.020, 0.05, 0.30), (0.009, 0.28, 1.0)):
        a, b = (foot[1] + (head[1] - foot[1]) * part for part in (low, high))
        layer.polygon(
            [
                (foot[0] - wide / 2, a),
                (foot[0] + wide / 2, a),
                (foot[0] + wide / 2, b),
                (foot[0] - wide / 2, b),
            ],
            "#1d2026",
        )
        layer.polygon(
            [
                (foot[0] + wide * 0.2, a),
                (foot[0] + wide / 2, a),
                (foot[0] + wide / 2, b),
                (foot[0] + wide * 0.2, b),
            ],
            "#5c5854",
        )
    x, y = head
    layer.line([(x - 0.035, y + 0.018), (x + 0.035, y + 0.018)], 0.005, "#1d2026")
    lantern = [(-0.016, 0.0), (-0.026, -0.055), (0.026, -0.055), (0.016, 0.0)]
    layer.polygon([(x + a, y + b) for a, b in lantern], "#ffe2a0")
    layer.polygon([(x + a, y + b) for a, b in ((-0.032, -0.053), (0.0, -0.088), (0.032, -0.053))], "#1d2026")
    layer.ellipse((x, y - 0.090), (0.005, 0.006), "#1d2026")
    for a in (-0.021, 0.0, 0.021):
        layer.line([(x + 0.75 * a, y), (x + 1.2 * a, y - 0.055)], 0.003, "#1d2026")
    layer.line([(x - 0.018, y), (x + 0.018, y)], 0.006, "#1d2026")
    sign = at(2.4, 3.3, 7.0)
    layer.line([(sign[0] - 0.005, sign[1] - 0.045), (sign[0] + 0.10, sign[1] - 0.048)], 0.004, "#22201f")
    layer.ellipse((sign[0] + 0.03, sign[1]), (0.034, 0.040), "#22201f")
    layer.ellipse((sign[0] + 0.03, sign[1]), (0.028, 0.034), "#c8963c")
    layer.ellipse((sign[0] + 0.03, sign[1]), (0.015, 0.020), "#7a2f24")
    canvas.lay(layer)
    canvas.glow((x, y - 0.028), 0.02, "#ffd890", 0.9)
    canvas.glow((x, y - 0.028), 0.09, "#ffb060", 0.28)
