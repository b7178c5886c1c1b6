"""Colour faces drawn by code, with attributes: an endless series a seed, the same bytes every time.

Each attribute of a face is drawn independently of its others, and everything else (colours, shapes, pose) is
independent of the attributes, so what one attribute does to a picture can be learnt apart from the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from gencli.core.drawn import face_hair, face_parts, face_wear
from gencli.core.drawn.face_chance import NUMBERS, traits
from gencli.core.drawn.face_shapes import Field, Mask, Patch
from gencli.core.drawn.face_traits import Traits
from gencli.core.errors import UsageError

SHARES = {
    "smiling": 0.45,
    "open-mouth": 0.30,
    "closed-eyes": 0.20,
    "raised-brows": 0.30,
    "looking-left": 0.30,
    "glasses": 0.25,
    "hat": 0.25,
    "earrings": 0.25,
    "scarf": 0.25,
    "beard": 0.25,
    "lipstick": 0.30,
    "rosy-cheeks": 0.30,
    "dark-skin": 0.35,
    "dark-hair": 0.40,
    "long-hair": 0.45,
    "curly-hair": 0.35,
    "fringe": 0.35,
    "lit-from-left": 0.50,
}
"""The attributes and how many of the faces have each. All can be seen whatever the others are."""

ATTRIBUTES: tuple[str, ...] = tuple(SHARES)

SMALLEST = 16  # pixels
SERIES = 64  # faces that share a random generator
FINE = 64  # pixels: smaller pictures are drawn at least so large and reduced
BLOCK = 1 << 17  # pixels drawn together, so that they stay in the processor's cache


@dataclass(frozen=True)
class Faces:
    """What is known of N faces before they are drawn: attributes bool (N, A), and random numbers float32 (N, K)
    in [0, 1) from which everything else comes."""

    labels: Mask
    numbers: Field

    def __len__(self) -> int:
        return len(self.labels)

    def switched(self, attribute: str, on: bool) -> Faces:
        """The same faces with an attribute or without it. Raises UsageError for one that does not exist."""
        if attribute not in ATTRIBUTES:
            raise UsageError(f"faces have no attribute {attribute!r}", f"there are: {', '.join(ATTRIBUTES)}")
        labels = self.labels.copy()
        labels[:, ATTRIBUTES.index(attribute)] = on
        return replace(self, labels=labels)


def pick_faces(count: int, seed: int = 0, first: int = 0) -> Faces:
    """Faces number `first` … `first + count` of the endless series of a seed.

    Raises UsageError for fewer than 1 face, or a negative seed or number.
    """
    if count < 1:
        raise UsageError(f"cannot draw {count} faces", "ask for at least 1")
    if seed < 0 or first < 0:
        raise UsageError(f"there is no face number {first} of seed {seed}", "give numbers of at least 0")
    series = range(first // SERIES, (first + count - 1) // SERIES + 1)
    table = np.concatenate([_random(seed, k) for k in series])[first % SERIES :][:count]
    shares = np.array(list(SHARES.values()))
    return Faces(table[:, : len(shares)] < shares, table[:, len(shares) :])


def _random(seed: int, series: int) -> Field:
    return np.random.default_rng((seed, series)).random((SERIES, len(SHARES) + NUMBERS), np.float32)


def draw_faces(count: int, seed: int = 0, size: int = 64, first: int = 0) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Pictures uint8 (N, 3, size, size) and their attributes, bool (N, len(ATTRIBUTES)).

    They are number `first` … `first + count` of the endless series of a seed: a face depends on (seed, its
    number) alone, and shows the same at any size.

    Raises UsageError for fewer than 1 face, a size under 16 pixels, or a negative seed or number.
    """
    chosen = pick_faces(count, seed, first)
    return paint(chosen, size), chosen.labels


def draw_variations(
    count: int, seed: int, attribute: str, size: int = 64
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The first faces of a seed without an attribute and with it, all else equal: two uint8 (N, 3, size, size).

    Raises UsageError as `draw_faces` does, and for an attribute that does not exist.
    """
    chosen = pick_faces(count, seed)
    return paint(chosen.switched(attribute, False), size), paint(chosen.switched(attribute, True), size)


def paint(chosen: Faces, size: int = 64) -> npt.NDArray[np.uint8]:
    """Draw faces: uint8 (N, 3, size, size). Raises UsageError for a size under 16 pixels."""
    if size < SMALLEST:
        raise UsageError(f"cannot draw faces of {size} pixels", f"ask for a size of at least {SMALLEST}")
    finer = -(-FINE // size)
    result = np.empty((len(chosen), 3, size, size), np.uint8)
    step = max(1, BLOCK // (size * finer) ** 2)
    for start in range(0, len(chosen), step):
        some = slice(start, start + step)
        pixels = _paint(chosen.labels[some], chosen.numbers[some], size * finer)
        result[some] = np.clip(_reduce(pixels, finer) * 255 + 0.5, 0, 255).astype(np.uint8)
    return result


def _reduce(pixels: Field, factor: int) -> Field:
    """Means of squares of `factor` pixels a side, summed up in one order whatever the number of pictures."""
    total = pixels[:, :, ::factor, ::factor].copy()
    for k in range(1, factor**2):
        total += pixels[:, :, k // factor :: factor, k % factor :: factor]
    return total / np.float32(factor**2)


def _paint(labels: Mask, numbers: Field, size: int) -> Field:
    """Draw a block of faces, from what is behind to what is in front: float32 (N, 3, size, size)."""
    t = traits(dict(zip(ATTRIBUTES, labels.T, strict=True)), numbers)
    whole = _canvas(t, size)
    face_wear.paint_background(whole, t)
    hair = face_hair.outline(whole, t)
    face_hair.paint_back(whole, t, hair)
    face_wear.paint_body(whole, t)
    _some(whole, t, "scarf", face_wear.paint_scarf)
    face_parts.paint_ears(whole, t)
    face = face_parts.head_distance(whole, t)
    face_parts.paint_skin(whole, t, face)
    face_parts.paint_cheeks(whole, t)
    face_parts.paint_nose(whole, t)
    face_parts.paint_folds(whole, t)
    _some(whole, t, "beard", face_hair.paint_beard)
    face_parts.paint_mouth(whole, t)
    face_parts.paint_eyes(whole, t)
    face_hair.paint_shadow(whole, t, hair, face)
    face_hair.paint_front(whole, t, hair)
    face_parts.paint_brows(whole, t)
    _some(whole, t, "hat", face_wear.paint_hat)
    _some(whole, t, "glasses", face_wear.paint_glasses)
    _some(whole, t, "earrings", face_wear.paint_earrings)
    return whole.pixels


def _canvas(t: Traits, size: int) -> Patch:
    pose = t.pose
    middle = ((np.arange(size) + 0.5) / size).astype(np.float32)
    x, y = middle[None, None, :], middle[None, :, None]
    right, down = x - pose.x, y - pose.y
    u, v = (right * pose.cosine + down * pose.sine) / pose.scale, (down * pose.cosine - right * pose.sine) / pose.scale
    blank = np.empty((len(u), 3, size, size), np.float32)
    return Patch(blank, x, y, *(np.asarray(part, np.float32) for part in (u, v, 1 / (size * pose.scale))))


def _some(patch: Patch, t: Traits, attribute: str, painter: Callable[[Patch, Traits], None]) -> None:
    """Paint only on the faces that have an attribute."""
    rows = np.flatnonzero(t.has[attribute])
    if len(rows):
        part = patch.take(rows)
        painter(part, t.take(rows))
        patch.pixels[rows] = part.pixels
