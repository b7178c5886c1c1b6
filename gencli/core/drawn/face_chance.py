"""What makes a face this one: its traits, from a row of random numbers and its attributes.

Where an attribute governs a trait, the trait has one range with it and another without, and takes its place in
either from the same random number. So switching an attribute leaves all else as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from gencli.core.drawn.face_shapes import MIDDLE_X, MIDDLE_Y, SCALE, TILT, Field, Mask, Number, wave
from gencli.core.drawn.face_traits import Background, Eyes, Hair, Head, Mouth, Pose, Traits, Wear
from gencli.core.drawn.paint import ramp, rgb

NUMBERS = 128  # random numbers a face: more than are used, so that a new trait leaves the others as they are

SKIN_LIGHT = ("#fbe3d3", "#f6cfb4", "#eab98f", "#dba67a")
SKIN_DARK = ("#a9714a", "#8a5637", "#6f452e", "#5a3827")
HAIR_DARK = ("#17141c", "#241a1a", "#33221b")
HAIR_OTHER = (
    *("#7a4b28", "#94582d", "#b0602c", "#c2562c", "#c98b45", "#dfb566", "#efd596"),
    *("#efe6d2", "#b4b1b0", "#d9648f", "#3b9c9c", "#8a66c0", "#4a7cc4"),
)
EYES = ("#4a2c1a", "#5d3a20", "#7a5530", "#5f7a3a", "#3f8a6a", "#3f7fb5", "#5f87a5", "#3b2416")
LIPSTICK = ("#d11f3a", "#e2386a", "#c41c50", "#b3226a", "#ec4a34")
CLOTHES = (
    *("#2f4a6d", "#3d6e8e", "#5aa5a0", "#4f7d5a", "#8fb08a", "#d9a441", "#e07a4b", "#c8553d"),
    *("#a83f55", "#7d5a8c", "#50507d", "#4a4a52", "#e8dcc8", "#f2efe9", "#d68fa0", "#86a8c9"),
)
KNITS = (
    *("#c8443c", "#e0913a", "#e6c04a", "#4f9268", "#2f8a95", "#3c65ad", "#79539f", "#c65a88"),
    *("#eee6d8", "#5a6472"),
)
FRAMES = ("#1d1b20", "#3a2a24", "#7a2f2a", "#243f66", "#8a6a2f", "#2d2d35")
JEWELS = ("#f2c14e", "#f2c14e", "#e9edf2", "#35b5a8", "#e0506a", "#5f8fe0")
BACKGROUNDS = (
    *(("#bfe0ea", "#6fb0cc"), ("#fbe3c2", "#f0b48a"), ("#d6e8c9", "#8fbf9a"), ("#ead9f0", "#b59bd0")),
    *(("#fbd5d5", "#e59aa2"), ("#f7efdc", "#d8c49f"), ("#cfe3e0", "#5f9a9a"), ("#8fa8d0", "#46608f")),
    *(("#f6dc9a", "#dfa85a"), ("#b8c4cc", "#6b7c8a"), ("#f9c9a8", "#c9739a"), ("#a9d8c8", "#4f88a0")),
    *(("#5d6a8a", "#2c3350"), ("#87a08a", "#3f5a50")),
)

Labels: TypeAlias = Mapping[str, Field]  # of each attribute: 1 or 0 for every face, (N, 1, 1)


def traits(labels: Mapping[str, Mask], numbers: Field) -> Traits:
    """The traits of N faces from their attributes, bool (N,) by name, and random numbers (N, NUMBERS) in
    [0, 1)."""
    dice = Dice(numbers)
    on = {name: label[:, None, None].astype(np.float32) for name, label in labels.items()}
    pose, head, hair = _pose(dice, on), _head(dice, on), _hair(dice, on)
    return Traits(
        pose,
        head,
        _eyes(dice, on, head, hair),
        _mouth(dice, on, head),
        hair,
        _wear(dice, on),
        _background(dice),
        labels,
    )


class Dice:
    """Hands out the random numbers of N faces, one column after another."""

    def __init__(self, numbers: Field) -> None:
        self.columns = iter(numbers.T)

    def __call__(self, low: float, high: float) -> Field:
        """Uniform between two bounds, (N, 1, 1)."""
        return np.float32(low) + np.float32(high - low) * next(self.columns)[:, None, None]

    def given(self, on: Field, yes: tuple[float, float], no: tuple[float, float]) -> Field:
        """Uniform between the bounds `yes` where a label is 1, between the bounds `no` where it is 0, (N, 1, 1)."""
        place = self(0, 1)
        return either(on, yes[0] + (yes[1] - yes[0]) * place, no[0] + (no[1] - no[0]) * place)

    def along(self, colours: Sequence[str]) -> Field:
        """A colour along an even gradient, (N, 3, 1, 1)."""
        return ramp(next(self.columns), *colours).astype(np.float32)[:, :, None, None]

    def near(self, colours: Sequence[str], spread: float = 0.03) -> Field:
        """One of the colours, a little lighter or darker than it, (N, 3, 1, 1)."""
        table = np.stack([rgb(colour) for colour in colours]).astype(np.float32)
        chosen = table[(next(self.columns) * len(table)).astype(np.intp)]
        return np.clip(chosen[:, :, None, None] + self(-spread, spread)[..., None], 0, 1)


def either(on: Field, yes: Number, no: Number) -> Field:
    """`yes` where a label is 1, `no` where it is 0."""
    return np.asarray(no + (yes - no) * on, np.float32)


def mix(colour: Field, other: Field | str, share: Field | float) -> Field:
    """A colour (N, 3, 1, 1) mixed with another."""
    towards = rgb(other).astype(np.float32)[:, None, None] if isinstance(other, str) else other
    return np.asarray(colour + (towards - colour) * share, np.float32)


def _pose(dice: Dice, on: Labels) -> Pose:
    tilt = dice(-TILT, TILT)  # so small that it is its own sine
    return Pose(
        x=dice(*MIDDLE_X),
        y=dice(*MIDDLE_Y),
        scale=dice(*SCALE),
        cosine=np.sqrt(1 - tilt * tilt),
        sine=tilt,
        yaw=dice.given(on["looking-left"], (-1.0, -0.7), (-0.2, 0.8)),
        nod=dice(-0.008, 0.008),
        light=dice.given(on["lit-from-left"], (-1.0, -0.6), (0.6, 1.0)),
    )


def _head(dice: Dice, on: Labels) -> Head:
    skin = either(on["dark-skin"][..., None], dice.along(SKIN_DARK), dice.along(SKIN_LIGHT))
    dark = on["dark-skin"][..., None]
    return Head(
        width=dice(0.186, 0.206),
        jaw=dice(0.135, 0.165),
        chin=dice(0.255, 0.285),
        age=np.maximum(dice(-1.5, 1), 0),
        skin=skin,
        shadow=skin * np.array([0.74, 0.60, 0.58], np.float32)[:, None, None],
        lit=mix(skin, "#fff1d6", either(dark, 0.30, 0.45)),
        blush=dice.given(on["rosy-cheeks"], (0.70, 0.90), (0.0, 0.08)),
        blush_colour=mix(skin, "#ea3452", either(dark, 0.55, 0.52)),
        freckles=np.clip(dice(-3, 1), 0, 1),
    )


def _hair(dice: Dice, on: Labels) -> Hair:
    long, curly, fringe = on["long-hair"], on["curly-hair"], on["fringe"]
    colour = either(on["dark-hair"][..., None], dice.along(HAIR_DARK), dice.along(HAIR_OTHER))
    end = dice(0, 1)
    return Hair(
        volume=dice(0.022, 0.042) + 0.022 * curly + 0.006 * long,
        height=dice(0.035, 0.060) + 0.020 * curly,
        end=either(long, 0.26 + 0.17 * end, 0.02 + 0.06 * end),
        flare=dice.given(long, (0.02, 0.24), (-0.30, 0.0)),
        temple=dice.given(long, (0.150, 0.172), (0.160, 0.176)),
        temple_slope=dice.given(long, (0.0, 0.08), (0.30, 0.5)),
        line=dice.given(fringe, (-0.105, -0.090), (-0.190, -0.165)),
        bend=dice.given(fringe, (0.1, 0.5), (1.0, 2.6)),
        wavy=dice(0, 0.010) * (0.4 + 0.6 * long) * (1 - curly),
        messy=np.maximum(dice(-0.010, 0.012), 0) * (1 - curly),
        parting=dice(-0.10, 0.10),
        sweep=dice(-1, 1) * either(fringe, 0.16, 0.05),
        tufts=dice.given(fringe, (0.004, 0.014), (0.0, 0.004)),
        curl=curly,
        curl_size=dice(6.0, 8.5),
        phase=dice(0, 1),
        colour=colour,
        shadow=colour * np.array([0.62, 0.56, 0.60], np.float32)[:, None, None],
        lit=mix(colour, "#ffe9c8", 0.34),
        beard=mix(colour * 0.82, "#3a241a", 0.15),
        beard_end=dice(0.012, 0.055),
    )


def _eyes(dice: Dice, on: Labels, head: Head, hair: Hair) -> Eyes:
    raised, smiling = on["raised-brows"], on["smiling"]
    openness = dice(0.82, 1.12) * (1 + 0.22 * raised)
    return Eyes(
        apart=dice(0.080, 0.094),
        half=dice(0.043, 0.053),
        upper=dice(0.029, 0.036) * openness,
        lower=dice(0.015, 0.021) * (1 - 0.35 * smiling),
        slant=dice(-0.05, 0.16),
        open=1 - on["closed-eyes"],
        iris=dice(0.0235, 0.028),
        gaze=dice.given(on["looking-left"], (-0.018, -0.012), (-0.008, 0.012)),
        lash=dice(0.0055, 0.0085),
        colour=dice.near(EYES),
        brow_y=dice(-0.062, -0.052) - 0.036 * raised,
        brow_arch=dice(0.008, 0.018) + 0.008 * raised,
        brow_half=dice(0.0080, 0.0130),
        brow_slant=dice(-0.22, 0.04),
        brow_colour=mix(mix(hair.colour, "#4a2e20", 0.35) * 0.8, head.shadow * 0.25, 0.45),
    )


def _mouth(dice: Dice, on: Labels, head: Head) -> Mouth:
    smile, ajar = on["smiling"], on["open-mouth"]
    natural = mix(head.skin, "#bd5a57", dice(0.30, 0.50)[..., None])
    return Mouth(
        nose_half=dice(0.024, 0.034),
        nose_y=dice(0.095, 0.112),
        half=dice(0.060, 0.074) + 0.026 * smile - 0.010 * ajar,
        y=dice(0.170, 0.182) - 0.004 * smile,
        curve=dice.given(smile, (0.036, 0.050), (0.003, 0.014)),
        gap=dice(0.030, 0.046) * ajar,
        upper=dice(0.011, 0.017) + 0.004 * on["lipstick"],
        lower=dice(0.015, 0.023) + 0.005 * on["lipstick"],
        colour=either(on["lipstick"][..., None], dice.near(LIPSTICK), natural),
        smile=smile,
    )


def _wear(dice: Dice, on: Labels) -> Wear:
    clothes = dice.near(CLOTHES)
    return Wear(
        shoulders=dice(0.36, 0.45),
        collar=dice(0.83, 0.86),
        neckline=dice(0, 1),
        clothes=clothes,
        trim=mix(clothes, dice.near(CLOTHES), dice(0.2, 0.9)[..., None]),
        scarf=dice.near(KNITS),
        scarf_trim=dice.near(KNITS),
        frame=dice.near(FRAMES),
        frame_height=dice(0.046, 0.062),
        frame_corner=dice(0.35, 1.0),
        jewel=dice.near(JEWELS, 0.02),
        hoop=dice(0, 1),
        stripes=np.clip(dice(-2, 1), 0, 1),
        cut=dice(0, 1),
        hat=dice.near(KNITS),
        hat_trim=dice.near(KNITS),
        hat_kind=dice(0, 1),
        hat_edge=either(on["hat"], dice(-0.190, -0.170), -2.0),
    )


def _background(dice: Dice) -> Background:
    table = np.stack([[rgb(near), rgb(far)] for near, far in BACKGROUNDS]).astype(np.float32)
    pair = table[(next(dice.columns) * len(table)).astype(np.intp)][..., None, None]
    shift = dice(-0.05, 0.05)[..., None]
    turn = dice(0, 1)
    return Background(
        near=np.clip(pair[:, 0] + shift, 0, 1),
        far=np.clip(pair[:, 1] + shift, 0, 1),
        x=wave(turn),
        y=wave(turn + 0.25),
        glow=dice(0.1, 0.5),
        spots=np.concatenate([dice(0, 1) for _ in range(9)], axis=1)[..., None],  # (N, 9, 1, 1)
    )
