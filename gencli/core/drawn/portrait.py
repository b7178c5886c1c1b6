"""The portrait: a head as a relief, lit from a window, with features, hair and cloth painted onto it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from gencli.core.drawn.paint import (
    SMALLEST,
    Canvas,
    Field,
    Layer,
    blur,
    fbm,
    hill,
    noise,
    ramp,
    rgb,
    smoothstep,
    spline,
    steady,
)

MIDDLE_X, MIDDLE_Y, HALF = 0.395, 0.44, 0.225  # the head on the canvas: its middle and half its height
TURN = -0.20  # radians the head is turned, away from the viewer's right
EYES, EYE_LEVEL, MOUTH = 0.292, -0.02, 0.575  # in half heads, from the middle of the face


def face(size: int) -> Image.Image:
    """A young woman by a window, looking at the viewer."""
    canvas = Canvas(size, (4, 5), finer=1.5)
    u, v = (canvas.x - MIDDLE_X) / HALF, (canvas.y - MIDDLE_Y) / HALF
    rng = np.random.default_rng(31)
    _room(canvas)
    _hair(canvas, rng, 2600, back=True)
    _neck_and_cloth(canvas, u, v)
    _skin(canvas, u, v)
    for side in (-1, 1):
        x, y = on_canvas(np.float32(side * EYES), np.float32(EYE_LEVEL))
        _eye(canvas.part(float(x) - 0.06, float(y) - 0.05, float(x) + 0.06, float(y) + 0.05), side)
        _brow(canvas, rng, side)
    _hair(canvas, rng, 4600, back=False)
    canvas.bloom(0.02, 0.10, 0.72)
    canvas.grain(0.012, 4)
    return canvas.picture()


def across_face(u: Field) -> Field:
    """From the flat picture to the turned face: how far from the nose's line, in half heads."""
    return np.asarray(0.80 * (np.arcsin(np.clip(u / 0.80, -1, 1)) - TURN))


def on_canvas(s: Field, v: Field) -> tuple[Field, Field]:
    """The other way: a point of the face, to canvas units."""
    return MIDDLE_X + HALF * 0.80 * np.sin(s / 0.80 + TURN), MIDDLE_Y + HALF * v


def _room(canvas: Canvas) -> None:
    """Out of focus: a dim wall, a bright window with a plant on its sill, a curtain."""
    x, y = canvas.x, canvas.y
    canvas.cover(
        ramp(
            0.85 - 0.75 * x - 0.25 * y + 0.25 * fbm(x * 2, y * 2, 3, 3),
            "#1d2526",
            "#39423c",
            "#6d7160",
            "#a8a282",
        )
    )
    spots = np.random.default_rng(2)
    window = Canvas(SMALLEST, (4, 5))  # out of focus, so few pixels do
    window.cover(
        ramp(window.y + 0.5 * fbm(window.x * 9, window.y * 9, 5, 4), "#fff6dc", "#dfe2b0", "#8fa468", "#c8cf9a")
    )
    layer = Layer(window)
    for left, top, right, bottom in (
        (0.0, 0.30, 0.3, 0.325),
        (0.085, 0, 0.105, 1),
        (0.19, 0, 0.23, 1),
        (0, 0.66, 0.3, 0.72),
    ):
        layer.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], "#6b5a44")
    layer.polygon([(0, 0.72), (0.3, 0.72), (0.3, 1.1), (0, 1.1)], "#4a4034")
    for _ in range(60):
        at_x, at_y, turn = spots.normal(0.10, 0.05), spots.normal(0.58, 0.055), spots.uniform(0, 2 * np.pi)
        tip = np.array([np.cos(turn), np.sin(turn)])
        leaf = spline([(0, 0), (0.02, 0.010), (0.05, 0), (0.02, -0.010)], closed=True) @ np.array(
            [tip, [-tip[1], tip[0]]]
        )
        layer.polygon(leaf + np.array([at_x, at_y]), ramp(spots.random(1), "#24381c", "#4f6f2c", "#9aac54")[0])
    layer.polygon([(0.06, 0.74), (0.05, 0.63), (0.15, 0.63), (0.14, 0.74)], "#9a5236")
    window.lay(layer)
    soft = blur(window.pixels, 0.010 * window.unit)
    fold = 0.86 + 0.18 * np.sin(x * 130 + 3 * fbm(x * 3, y * 2, 8, 2))
    canvas.cover(window.look(x, y, soft), smoothstep(0.225, 0.205, x) * 0.92)
    canvas.cover(
        ramp(fold - 0.35 - 0.8 * (x - 0.2), "#2c2f2a", "#6f6a54", "#c2b48c"),
        smoothstep(0.195, 0.21, x) * smoothstep(0.30, 0.26, x + 0.01 * np.sin(y * 9)),
    )


def _neck_and_cloth(canvas: Canvas, u: Field, v: Field) -> None:
    """Neck in the shade of the chin, collar bones, and a knitted jersey over the shoulders."""
    s = (u - 0.06) / 0.38
    column = np.sqrt(np.maximum(1 - s * s, 0))
    light = 0.62 * column - 0.32 * s + 0.05
    light -= 0.42 * smoothstep(1.30, 0.95, v + 0.18 * s)
    spread = 0.38 + 1.0 * smoothstep(1.15, 1.95, v) ** 1.6
    skin = smoothstep(1.0, 0.97, np.abs(u - 0.05) / spread) * (v > 0.5)
    chest = smoothstep(1.35, 1.75, v)
    light = light * (1 - chest) + chest * (0.62 - 0.28 * u - 0.10 * hill(u, v, (-0.05, 1.62), (0.10, 0.10)))
    for side in (-1, 1):
        bone = (v - 1.60) - 0.10 * np.abs(u - 0.05) * 1.0
        light += (
            0.10
            * np.exp(-((bone / 0.03) ** 2))
            * smoothstep(0.05, 0.25, side * (u - 0.05))
            * smoothstep(0.9, 0.4, side * (u - 0.05))
        )
    canvas.cover(_flesh(light + 0.02 * fbm(u * 8, v * 8, 9, 3)), skin)
    slope = 1.36 + 0.30 * np.abs((u - 0.05) / 1.3) ** 2.4
    neckline = 1.80 - 0.40 * np.abs((u - 0.05) / 0.60) ** 2.2
    cloth = smoothstep(-0.012, 0.012, v - np.maximum(slope, neckline))
    fold = fbm(u * 1.6 + 0.5 * v, v * 1.3 - 0.6 * u, 21, 4)
    bulk = 0.55 - 0.34 * (u + 0.1) - 0.5 * smoothstep(0.25, 0.0, v - slope) * (u > 0) + 0.42 * fold
    rows = v * 46 + 1.5 * fold + 3.2 * np.abs(u - 0.05) ** 2
    stitch = np.sin(rows * 2 * np.pi / 2) * np.sin((u * 30 + 0.5 * np.floor(rows)) * 2 * np.pi / 2)
    rib = smoothstep(0.10, 0.09, np.abs(v - np.maximum(slope, neckline) - 0.02))
    knit = np.where(rib > 0.5, np.sin(u * 150), stitch)
    canvas.cover(ramp(bulk + 0.10 * knit - 0.06 * rib, "#0d1d2b", "#1d4257", "#3f7284", "#9dbcb8"), cloth)
    canvas.pixels *= (
        1 - 0.45 * smoothstep(0.09, 0.0, np.maximum(slope, neckline) - v) * skin * (1 - cloth) * (v > 1.2)
    )[..., None]


def _flesh(light: Field) -> Field:
    """Skin under warm light, from shadow to shine."""
    return ramp(light, "#2a1410", "#5f3022", "#a0613f", "#d29a70", "#efc8a0", "#fde9cf")


def _relief(u: Field, v: Field) -> tuple[Field, Field]:
    """The face as a height in half heads, and its mask."""
    s = across_face(u)
    lower = smoothstep(0.0, 0.95, v)
    wide = 0.735 - 0.27 * lower
    oval = np.abs(u - 0.02 * TURN) ** 2.3 / wide**2.3 + np.abs(v / 1.01) ** 2.7
    height = 0.80 * np.sqrt(np.maximum(1 - oval, 0))
    nose_s = s + 0.30 * TURN * smoothstep(-0.2, 0.3, v) * -1
    bridge = smoothstep(-0.22, 0.30, v) * smoothstep(0.385, 0.28, v)
    height = height + (0.06 + 0.20 * bridge) * np.exp(-((nose_s / (0.065 + 0.045 * bridge)) ** 2)) * smoothstep(
        -0.25, -0.02, v
    ) * smoothstep(0.40, 0.30, v)
    height += 0.05 * hill(nose_s, v, (0, 0.275), (0.075, 0.065))
    for side in (-1, 1):
        height += 0.055 * hill(nose_s, v, (side * 0.105, 0.305), (0.045, 0.05))
        height -= 0.105 * hill(s, v, (side * 0.25, -0.06), (0.18, 0.115))
        height += 0.055 * hill(s, v, (side * EYES, -0.01), (0.115, 0.075))
        height += 0.035 * hill(s, v, (side * 0.30, -0.22), (0.22, 0.06))
        height += 0.050 * hill(s, v, (side * 0.40, 0.22), (0.22, 0.18))
        height -= 0.020 * hill(s, v, (side * 0.33, 0.60), (0.12, 0.16))
        height -= 0.018 * hill(s, v, (side * 0.205, MOUTH + 0.005), (0.035, 0.04))
    height += 0.055 * hill(s, v, (0, MOUTH + 0.00), (0.22, 0.14))
    height += 0.030 * hill(s, v, (0, MOUTH + 0.060), (0.13, 0.045)) + 0.022 * hill(
        s, v, (0, MOUTH - 0.040), (0.15, 0.035)
    )
    height -= 0.030 * hill(s, v, (0, MOUTH + 0.004), (0.20, 0.016))
    height -= 0.012 * hill(s, v, (0, 0.46), (0.022, 0.06))
    height -= 0.030 * hill(s, v, (0, 0.745), (0.17, 0.040))
    height += 0.060 * hill(s, v, (0, 0.885), (0.15, 0.10))
    return height, smoothstep(1.0, 0.965, oval)


def _skin(canvas: Canvas, u: Field, v: Field) -> None:
    """Light the relief from the upper left, soft in the shadows, and colour cheeks, nose and lips."""
    height, mask = _relief(u, v)
    pixel = 1 / (HALF * canvas.unit)
    soft = blur(height, 0.012 / pixel)
    down, across = np.gradient(soft, pixel)
    length = np.sqrt(1 + across**2 + down**2)
    lambert = (0.60 * across + 0.42 * down + 0.68) / length
    shadow = np.zeros_like(height)
    for k in range(1, 22):  # what stands between the skin and the window
        reach = 0.016 * k
        ahead = canvas.look(canvas.x - 0.60 * reach * HALF, canvas.y - 0.42 * reach * HALF, soft)
        shadow = np.maximum(shadow, smoothstep(0.0, 0.05, ahead - soft - 0.68 * reach))
    hollow = np.clip((blur(height, 0.09 / pixel) - height) * 5, -0.3, 1)
    s = across_face(u)
    light = 0.17 + 0.72 * np.clip(lambert, 0, 1) * (1 - 0.42 * blur(shadow, 0.02 / pixel)) - 0.20 * hollow
    light += 0.10 * smoothstep(0.55, 0.75, u) + 0.012 * fbm(u * 30, v * 30, 7, 3)
    colour = _flesh(light)
    blush = (
        hill(s, v, (-0.40, 0.25), (0.20, 0.15))
        + hill(s, v, (0.40, 0.25), (0.20, 0.15))
        + 0.7 * hill(s, v, (0, 0.28), (0.11, 0.07))
    )
    colour = colour * (1 - (0.20 * blush)[..., None] * (1 - rgb("#ff8a7a")))
    freckle = smoothstep(0.48, 0.62, noise(u * 34, v * 34, 14)) * (hill(s, v, (0, 0.18), (0.5, 0.14)))
    colour *= (1 - 0.10 * freckle)[..., None]
    colour = _lips(colour, light, s, v)
    for side in (-1, 1):
        nostril = hill(s + 0.30 * -TURN * 0.9, v, (side * 0.062, 0.350), (0.028, 0.014))
        colour *= (1 - 0.72 * nostril)[..., None] * (1 - (0.3 * nostril)[..., None] * (1 - rgb("#ff9080")))
    down, across = np.gradient(blur(height, 0.02 / pixel), pixel)
    shine = ((0.42 * across + 0.30 * down + 0.86) / np.sqrt(1 + across**2 + down**2)).clip(0, 1) ** 36
    colour += (0.16 * shine * (1 - shadow))[..., None] * rgb("#fff0dc")
    canvas.cover(colour, mask)


def _lips(colour: Field, light: Field, s: Field, v: Field) -> Field:
    """Tint the mouth: a bow above, fuller below, dark between, moist light on the lower lip."""
    half = 0.222
    t = np.clip(np.abs(s) / half, 0, 1)
    parting = MOUTH - 0.012 * (1 - t) ** 2 + 0.006 * np.cos(t * 5) - 0.026 * t**2.2
    upper = parting - 0.068 * (1 - t**1.6) * (1 - 0.22 * np.exp(-((s / 0.035) ** 2)))
    lower = parting + 0.092 * (1 - t**2.2)
    inside = (
        smoothstep(-0.008, 0.012, v - upper)
        * smoothstep(0.010, -0.010, v - lower)
        * smoothstep(1.0, 0.93, np.abs(s) / half)
    )
    tone = light - 0.10 * (v < parting) + 0.04 * (v > parting) + 0.03 * noise(s * 70, v * 9, 3)
    rose = ramp(tone, "#3a1014", "#7a2a2e", "#b45250", "#d47f78", "#f0b8ac")
    colour = colour + (rose - colour) * (0.88 * inside)[..., None]
    colour = colour + (0.20 * hill(s, v, (-0.05, MOUTH + 0.048), (0.06, 0.014)) * inside)[..., None]
    seam = np.exp(-(((v - parting) / 0.009) ** 2)) * smoothstep(1.05, 0.9, np.abs(s) / half)
    return np.asarray(colour * (1 - 0.72 * seam)[..., None])


def _eye(canvas: Canvas, side: int) -> None:
    """One eye: lids, lashes, a wet white, an iris with rays, and the window in it."""
    s, v = across_face((canvas.x - MIDDLE_X) / HALF), (canvas.y - MIDDLE_Y) / HALF
    half = 0.136
    t = side * (s - side * EYES) / half  # -1 at the nose, 1 at the temple
    level = v - EYE_LEVEL + 0.012 * t
    arch = np.sqrt(np.clip(1 - t * t, 0, 1))
    upper, lower = -0.061 * arch ** (1.05) * (1 - 0.10 * t), 0.042 * arch**1.15 * (1 + 0.15 * t)
    within = np.abs(t) < 1
    open_eye = smoothstep(-0.006, 0.006, level - upper) * smoothstep(0.006, -0.006, level - lower) * within
    crease = np.exp(-(((level - upper * 1.25 + 0.040) / 0.012) ** 2)) * smoothstep(1.15, 0.7, np.abs(t - 0.05))
    lid = (
        smoothstep(-0.055, -0.03, level - upper)
        * smoothstep(0.0, -0.01, level - upper)
        * smoothstep(1.1, 0.8, np.abs(t))
    )
    canvas.pixels *= (1 - 0.34 * crease - 0.10 * lid)[..., None] * (
        1 - (0.15 * (lid + crease))[..., None] * (1 - rgb("#e8a090"))
    )
    ball = 0.80 - 0.30 * np.abs(t) ** 2 - 0.40 * smoothstep(0.035, 0.0, level - upper) - 0.10 * (t * side + 0.2)
    canvas.cover(ramp(ball, "#3a2826", "#8a7670", "#cdbfb6", "#efe8e0"), open_eye)
    corner = hill(t, level, (-0.93, 0.008), (0.10, 0.014))
    canvas.cover("#b0706a", 0.7 * corner * open_eye)
    iris_s, iris_v = s - side * EYES - 0.012, level + 0.008
    r, angle = np.hypot(iris_s, iris_v) / 0.064, np.arctan2(iris_v, iris_s)
    rays = noise(angle * 9, r * 1.5 + 5 * side, 40) + 0.5 * noise(angle * 24, r, 41)
    tint = ramp(
        0.55 - 0.5 * np.abs(r - 0.62) + 0.18 * rays + 0.25 * iris_v / 0.06 + 0.12,
        "#16120c",
        "#3d3a22",
        "#7a7a48",
        "#b0a868",
    )
    tint = tint * smoothstep(1.04, 0.80, r)[..., None]
    tint = tint * (1 - 0.55 * smoothstep(0.035, 0.0, level - upper))[..., None]
    canvas.cover(tint, open_eye * smoothstep(1.03, 0.94, r))
    canvas.cover("#080606", open_eye * smoothstep(0.44, 0.36, r))
    glint = smoothstep(0.017, 0.011, np.maximum(np.abs(iris_s + 0.020), np.abs(iris_v + 0.022) * 0.8))
    canvas.cover("#fdfaf0", 0.95 * glint * open_eye)
    canvas.cover("#d8e0e0", 0.35 * hill(iris_s, iris_v, (0.020, 0.024), (0.012, 0.009)) * open_eye)
    line = np.exp(-(((level - upper + 0.003) / (0.008 + 0.004 * np.clip(t + 0.5, 0, 2))) ** 2)) * smoothstep(
        1.06, 0.9, np.abs(t)
    )
    canvas.cover("#1c100c", 0.90 * line)
    rim = np.exp(-(((level - lower - 0.004) / 0.007) ** 2)) * smoothstep(1.0, 0.8, np.abs(t))
    canvas.cover("#d8a48c", 0.45 * rim)
    under = np.exp(-(((level - lower - 0.055) / 0.02) ** 2)) * smoothstep(1.0, 0.5, np.abs(t))
    canvas.pixels *= (1 - 0.07 * under)[..., None]
    q = np.linspace(-0.5, 1.0, 20)
    root_v = EYE_LEVEL - 0.012 * q - 0.061 * np.sqrt(np.clip(1 - q * q, 0, 1)) * (1 - 0.10 * q)
    x, y = on_canvas(side * EYES + side * q * half, root_v)
    lean = side * (0.2 + 0.9 * q)
    canvas.brush(x, y, np.tile(rgb("#170d0a"), (len(q), 1)), lambda a,
        b: (lean + 25 * side * (b - y), -1 + 0 * b), length=HALF * (0.020 + 0.028 * (q + 0.5)),
        width=0.0012, seed=3, taper=1.2, ragged=0.1)  # fmt: skip


def _brow(canvas: Canvas, rng: np.random.Generator, side: int) -> None:
    """An eyebrow of short hairs that turn outwards along its arch."""
    count = 150
    q = np.sort(rng.uniform(0, 1, count))
    thick = 0.040 * np.minimum(1, 2.6 * (1 - q) + 0.1) * (0.75 + 0.25 * np.minimum(1, 5 * q))
    s = side * (0.135 + 0.36 * q)
    v = (
        -0.205
        - 0.075 * np.sin(np.pi * np.minimum(q * 0.78 + 0.02, 1))
        + 0.05 * q**3
        + thick * (rng.random(count) - 0.5)
    )
    x, y = on_canvas(s, v)
    rise = -0.95 * (1 - q) ** 1.5 + 0.45 * q**2
    colour = ramp(rng.random(count) - 0.2 * side, "#33201a", "#583c2a", "#8a6348")
    canvas.brush(x, y, colour, steady(side, rise), length=HALF * rng.uniform(0.05, 0.09, count),
        width=0.0014, seed=8, taper=1.2, ragged=0.4)  # fmt: skip


def _hair(canvas: Canvas, rng: np.random.Generator, count: int, back: bool) -> None:
    """Long brown hair from the parting to the shoulders; `back` is the mass behind the neck."""
    u, v = rng.uniform(-1.35, 1.35, 5 * count), rng.uniform(-1.30, 1.75, 5 * count)
    part = -0.13  # where the hair is parted
    outer = np.where(
        v < -0.1,
        np.sqrt(np.clip(1 - ((v + 0.1) / 1.14) ** 2, 0, 1)) * 0.87,
        0.87 + 0.10 * smoothstep(0.1, 1.6, v),
    )
    outer = outer + 0.035 * np.sin(v * 5 + np.sign(u)) * smoothstep(0, 0.5, v)
    if back:
        keep = np.abs(u) < outer * 0.96
    else:
        inner = 0.61 - 0.17 * smoothstep(0.55, 1.15, v) + 0.04 * np.sin(v * 5)
        hairline = -0.72 + 0.95 * np.abs(u - part) ** 1.9
        keep = (np.abs(u) < outer) & ((v < hairline) | (np.abs(u) > inner))
    u, v = u[keep][:count], v[keep][:count]
    order = np.argsort(rng.random(len(u)) if back else -np.abs(u - part) - 0.35 * rng.random(len(u)))
    u, v = u[order], v[order]

    def flow(x: Field, y: Field) -> tuple[Field, Field]:
        a, b = (x - MIDDLE_X) / HALF - part, (y - MIDDLE_Y) / HALF
        way = np.where(a >= 0, 1.0, -1.0)
        hang = smoothstep(-0.35, 0.45, b)
        wave = 0.32 * np.sin(b * 5.2 + 2.5 * np.abs(a)) * smoothstep(0.2, 1.0, b)
        across = way * (np.maximum(-b, 0) * 0.85 + 0.10) * (1 - hang) + hang * way * (
            0.10 + wave - 0.25 * smoothstep(0.9, 1.5, b)
        )
        return across, np.abs(a) * 1.1 * (1 - hang) + 0.12 + hang

    depth = np.sqrt(np.clip(1 - (u / 1.15) ** 2, 0, 1))
    band = np.exp(-(((v + 0.62 - 0.3 * np.abs(u)) / 0.16) ** 2)) + 0.6 * np.exp(-(((v - 0.75) / 0.22) ** 2))
    lock = noise(u * 5 + 0.5 * v, v * 0.8, 61)
    light = 0.34 - 0.30 * u + 0.18 * band * (u < 0.4) + 0.20 * lock + 0.09 * rng.standard_normal(len(u)) + 0.10 * depth
    if back:
        light = light * 0.45 - 0.04
    colour = ramp(light, "#100906", "#27160e", "#4c2c1a", "#7d4e2b", "#c08e58")
    at_x, at_y = MIDDLE_X + HALF * u, MIDDLE_Y + HALF * v
    if not back:  # the parting: hair begins there on both sides
        seam = np.linspace(-1.13, -0.75, 240)
        at_x = np.concatenate([at_x, MIDDLE_X + HALF * (part + rng.normal(0, 0.012, 240))])
        at_y = np.concatenate([at_y, MIDDLE_Y + HALF * seam])
        colour = np.concatenate([colour, ramp(0.25 + 0.2 * rng.random(240), "#120a07", "#5d371f", "#9a6436")])
    canvas.brush(at_x, at_y, colour, flow, length=0.09, width=0.0046 if back else 0.0034, seed=50 + back,
        bristle=0.8, ragged=0.35, taper=1.4)  # fmt: skip
    loose = rng.choice(len(u), 260)
    shine = np.minimum(colour[loose] * 1.3 + 0.05, 1)
    canvas.brush(MIDDLE_X + HALF * 1.02 * u[loose], MIDDLE_Y + HALF * (v[loose] - 0.01), shine, flow,
        length=rng.uniform(0.08, 0.2, 260), width=0.0014, seed=60 + back, ragged=0.2, taper=1.4)  # fmt: skip
