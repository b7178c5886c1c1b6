"""The traits of drawn faces: what its painters ask of a face. Lengths are in the head's frame, of which 1 is about
the picture's side; numbers are float32 (N, 1, 1), colours float32 (N, 3, 1, 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from gencli.core.drawn.face_shapes import Field, Mask


@dataclass(frozen=True)
class Pose:
    """Where the head is, in units of the picture; how it is tilted, turned (-1 left … 1 right) and nods; and
    where the light comes from, -1 left … 1 right."""

    x: Field
    y: Field
    scale: Field
    cosine: Field
    sine: Field
    yaw: Field
    nod: Field
    light: Field


@dataclass(frozen=True)
class Head:
    """Half widths of the head and the jaw, where the chin ends, how old it looks (0 … 1), and its colours."""

    width: Field
    jaw: Field
    chin: Field
    age: Field
    skin: Field
    shadow: Field
    lit: Field
    blush: Field
    blush_colour: Field
    freckles: Field


@dataclass(frozen=True)
class Eyes:
    """Eyes, as `apart` from the middle, with lids `upper` and `lower` from theirs; `open` 1 or 0; and brows."""

    apart: Field
    half: Field
    upper: Field
    lower: Field
    slant: Field
    open: Field
    iris: Field
    gaze: Field
    lash: Field
    colour: Field
    brow_y: Field
    brow_arch: Field
    brow_half: Field
    brow_slant: Field
    brow_colour: Field


@dataclass(frozen=True)
class Mouth:
    """Nose and mouth: half widths, and where they are; how far its corners rise, and its lips stand apart."""

    nose_half: Field
    nose_y: Field
    half: Field
    y: Field
    curve: Field
    gap: Field
    upper: Field
    lower: Field
    colour: Field
    smile: Field


@dataclass(frozen=True)
class Hair:
    """How far the hair stands off the head at the sides (`volume`) and above (`height`), where it ends, the outline
    of the face in it, and its colours."""

    volume: Field
    height: Field
    end: Field
    flare: Field  # how much wider it gets downwards
    temple: Field  # half width of the face's opening, and how much wider that gets downwards
    temple_slope: Field
    line: Field  # height of the hairline, how it bends down on both sides of the parting, and slants
    bend: Field
    parting: Field
    sweep: Field
    tufts: Field  # of a fringe's edge
    wavy: Field  # of long hair's edge
    messy: Field  # of the crown's edge
    curl: Field  # 1 or 0
    curl_size: Field  # half curls a unit of length
    phase: Field
    colour: Field
    shadow: Field
    lit: Field
    beard: Field
    beard_end: Field


@dataclass(frozen=True)
class Wear:
    """Clothes and what else is worn. `hat_edge` is where a hat sits, far above the head where there is none."""

    shoulders: Field
    collar: Field
    neckline: Field
    clothes: Field
    trim: Field
    scarf: Field
    scarf_trim: Field
    frame: Field
    frame_height: Field
    frame_corner: Field
    jewel: Field
    hoop: Field  # chances that decide between kinds: of earrings, patterns, collars, hats
    stripes: Field
    cut: Field
    hat: Field
    hat_trim: Field
    hat_kind: Field
    hat_edge: Field


@dataclass(frozen=True)
class Background:
    """A gradient between two colours along (x, y), and spots of light."""

    near: Field
    far: Field
    x: Field
    y: Field
    glow: Field
    spots: Field


@dataclass(frozen=True)
class Traits:
    """All traits of N faces: numbers (N, 1, 1), colours (N, 3, 1, 1), and which faces have what not all have."""

    pose: Pose
    head: Head
    eyes: Eyes
    mouth: Mouth
    hair: Hair
    wear: Wear
    background: Background
    has: Mapping[str, Mask]

    def take(self, rows: npt.NDArray[np.intp]) -> Traits:
        """Those of some faces."""
        return Traits(
            _take(self.pose, rows),
            _take(self.head, rows),
            _take(self.eyes, rows),
            _take(self.mouth, rows),
            _take(self.hair, rows),
            _take(self.wear, rows),
            _take(self.background, rows),
            {name: label[rows] for name, label in self.has.items()},
        )


Part = TypeVar("Part", Pose, Head, Eyes, Mouth, Hair, Wear, Background)


def _take(part: Part, rows: npt.NDArray[np.intp]) -> Part:
    return type(part)(**{field.name: getattr(part, field.name)[rows] for field in fields(part)})
