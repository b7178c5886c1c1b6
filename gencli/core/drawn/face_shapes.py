"""What faces are drawn with: shapes as signed distances, soft edges, and colour laid over a block of pictures.

Arrays of points are float32 (N, h, w), those of a face's own numbers (N, 1, 1), of its colours (N, 3, 1, 1).
Points are worked on only by what IEEE 754 rounds exactly (sums, products, quotients, square roots), so a picture
has the same bytes whatever block it is drawn in. A distance is negative inside a shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Field: TypeAlias = npt.NDArray[np.floating[Any]]
Mask: TypeAlias = npt.NDArray[np.bool_]
Number: TypeAlias = "Field | float"

# The poses of heads, within which features are looked for where they can be only:
MIDDLE_X, MIDDLE_Y = (0.475, 0.525), (0.545, 0.570)  # of the head's frame, in units of the picture
SCALE = (1.10, 1.22)  # of the head
TILT = 0.13  # at most, to either side, in radians


@dataclass(frozen=True)
class Patch:
    """A rectangle of a block of pictures, to be painted on.

    `pixels` (N, 3, h, w) is a view, sRGB in [0, 1]. `x` (1, 1, w) and `y` (1, h, 1) are in units of the picture,
    from its upper left corner; `u` and `v` (N, h, w) are the same in the head's own frame: from between the eyes
    and the nose, upright with the head, to the right and down. `pixel` is a pixel's width there, (N, 1, 1).
    """

    pixels: Field
    x: Field
    y: Field
    u: Field
    v: Field
    pixel: Field

    def around(self, left: float, top: float, right: float, bottom: float) -> Patch:
        """The part on which a rectangle in the head's frame can fall, whatever the pose: a view."""
        height, width = self.pixels.shape[2:]
        lean_x, lean_y = TILT * SCALE[1] * max(-top, bottom), TILT * SCALE[1] * max(-left, right)
        low_x, high_x = MIDDLE_X[0] + min(left * s for s in SCALE), MIDDLE_X[1] + max(right * s for s in SCALE)
        low_y, high_y = MIDDLE_Y[0] + min(top * s for s in SCALE), MIDDLE_Y[1] + max(bottom * s for s in SCALE)
        columns = slice(max(0, int((low_x - lean_x) * width)), int((high_x + lean_x) * width) + 1)
        rows = slice(max(0, int((low_y - lean_y) * height)), int((high_y + lean_y) * height) + 1)
        return self._part(rows, columns)

    def beside(self, side: float, inner: float, top: float, outer: float, bottom: float) -> Patch:
        """The same for a rectangle on the right (side 1), or its mirror image on the left (side -1)."""
        return self.around(inner, top, outer, bottom) if side > 0 else self.around(-outer, top, -inner, bottom)

    def below(self, top: float) -> Patch:
        """The part below a height in units of the picture: a view."""
        return self._part(slice(int(top * self.pixels.shape[2]), None), slice(None))

    def _part(self, rows: slice, columns: slice) -> Patch:
        return Patch(
            self.pixels[:, :, rows, columns],
            self.x[:, :, columns],
            self.y[:, rows],
            self.u[:, rows, columns],
            self.v[:, rows, columns],
            self.pixel,
        )

    def take(self, rows: npt.NDArray[np.intp]) -> Patch:
        """Some of the pictures: a copy."""
        return Patch(self.pixels[rows], self.x, self.y, self.u[rows], self.v[rows], self.pixel[rows])

    def cover(self, mask: Field, colour: Field, opacity: Number = 1.0) -> None:
        """Lay a colour, (N, 3, 1, 1) or (N, 3, h, w), over the pictures where the mask (N, h, w) is 1."""
        step = colour - self.pixels
        step *= (mask * opacity)[:, None]
        self.pixels[...] += step

    def edge(self, distance: Field) -> Field:
        """What of each pixel is inside a shape, 0 to 1, by its signed distance in the head's frame."""
        return coverage(distance, self.pixel)

    def stroke(self, distance: Field, half: Number) -> Field:
        """What of each pixel a line covers that is `half` wide on either side of where the distance is 0."""
        return self.edge(np.abs(distance) - half)


def coverage(distance: Field, width: Number) -> Field:
    """1 inside, 0 outside, linear over `width` across the edge."""
    return np.clip(0.5 - distance / width, 0, 1)


def soft(distance: Field, width: Number) -> Field:
    """1 inside, 0 outside, a smooth S over `width` across the edge."""
    t = coverage(distance, width)
    return t * t * (3 - 2 * t)


def blob(u: Field, v: Field, across: Number, down: Number) -> Field:
    """A soft round spot about the origin: 1 in the middle, 0 from the ellipse with these half axes on."""
    t = np.clip(1 - (u / across) ** 2 - (v / down) ** 2, 0, 1)
    return t * t


def ellipse(u: Field, v: Field, across: Number, down: Number) -> Field:
    """About the distance to an upright ellipse round the origin, exact at its edge."""
    p, q = u / across, v / down
    near = np.sqrt(p * p + q * q + 1e-6)
    return near * (near - 1) / np.sqrt((p / across) ** 2 + (q / down) ** 2 + 1e-4)


def rounded_box(u: Field, v: Field, across: Number, down: Number, radius: Number) -> Field:
    """Distance to an upright rectangle round the origin with rounded corners."""
    p, q = np.abs(u) - (across - radius), np.abs(v) - (down - radius)
    beyond = np.sqrt(np.maximum(p, 0) ** 2 + np.maximum(q, 0) ** 2)
    return beyond + np.minimum(np.maximum(p, q), 0) - radius


def smooth_max(one: Field, other: Field, reach: Number) -> Field:
    """The larger of two distances: what both shapes share, with its corners rounded over `reach`."""
    near = np.clip(1 - np.abs(one - other) / reach, 0, 1)
    return np.maximum(one, other) + near * near * (reach * 0.25)


def smooth_min(one: Field, other: Field, reach: Number) -> Field:
    """The smaller of two distances: both shapes together, their meeting filled over `reach`."""
    near = np.clip(1 - np.abs(one - other) / reach, 0, 1)
    return np.minimum(one, other) - near * near * (reach * 0.25)


def wave(t: Field) -> Field:
    """Nearly the sine of a turn: period 1, -1 … 1, made of parabolas."""
    s = t - np.floor(t) - 0.5
    return s * (np.abs(s) * 16 - 8)
