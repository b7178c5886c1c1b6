"""The faces themselves: skin, eyes, brows, nose and mouth."""

from __future__ import annotations

import numpy as np

from gencli.core.drawn.face_shapes import Field, Patch, blob, coverage, ellipse, smooth_min, soft, wave
from gencli.core.drawn.face_traits import Traits

SIDES = (-1.0, 1.0)


def head_distance(patch: Patch, t: Traits, down: float = 0.0) -> Field:
    """Distance to the outline of the head, or of one moved down."""
    u, v = patch.u, patch.v - down
    skull = ellipse(u + 0.006 * t.pose.yaw, v + 0.055, t.head.width, 0.205)
    jaw = ellipse(u - 0.016 * t.pose.yaw, v - (t.head.chin - 0.20), t.head.jaw, 0.20)
    return smooth_min(skull, jaw, 0.11)


def paint_ears(patch: Patch, t: Traits) -> None:
    """Ears, of which the one on the far side hides behind the head."""
    for side in SIDES:
        part = patch.beside(side, 0.12, -0.04, 0.28, 0.09)
        u, v = part.u - side * (t.head.width + 0.004) + 0.026 * t.pose.yaw, part.v - 0.025
        part.cover(part.edge(ellipse(u, v, 0.030, 0.048)), t.head.skin * 0.93)
        part.cover(blob(u - 0.004 * side, v, 0.020, 0.036), t.head.shadow, 0.8)


def paint_skin(patch: Patch, t: Traits, face: Field) -> None:
    """The head, round in the light; `face` is the distance to its outline."""
    head, light = t.head, t.pose.light
    p, q = patch.u / 0.21, (patch.v - 0.01) / 0.29
    round_ = np.clip(1.05 * p * light - 0.34 * q - 0.32 * (p * p + q * q) + 0.18, -1, 1)
    lit, dark = np.maximum(round_, 0)[:, None], np.maximum(-round_, 0)[:, None]
    colour = head.skin + (head.lit - head.skin) * lit + (head.shadow - head.skin) * np.minimum(dark, 0.85)
    patch.cover(patch.edge(face), colour)


def paint_cheeks(patch: Patch, t: Traits) -> None:
    """Cheeks: blushing, freckled, and raised by a smile."""
    head, yaw = t.head, t.pose.yaw
    for side in SIDES:
        part = patch.beside(side, -0.03, 0.02, 0.22, 0.18)
        inside = soft(head_distance(part, t) + 0.012, 0.03)
        u, v = part.u - 0.020 * yaw - side * 0.112 * (1 - 0.10 * side * yaw), part.v - 0.102 + 0.008 * t.mouth.smile
        part.cover(blob(u, v, 0.080, 0.060) * inside, head.blush_colour, head.blush)
        dots = np.clip(wave(34 * part.u + 11 * part.v) * wave(31 * part.v - 9 * part.u) * 3 - 1.2, 0, 1)
        part.cover(blob(u + 0.03 * side, v, 0.085, 0.045) * dots, head.shadow, 0.7 * head.freckles)
        part.cover(blob(u + 0.01 * side, v + 0.014, 0.05, 0.03) * inside, head.lit, 0.45 * t.mouth.smile)


def paint_eyes(patch: Patch, t: Traits) -> None:
    """Both eyes, open or closed."""
    for side in SIDES:
        _lids(patch.beside(side, -0.05, -0.08, 0.21, 0.09), t, side)


def _lids(patch: Patch, t: Traits, side: float) -> None:
    eyes, head, yaw = t.eyes, t.head, t.pose.yaw
    half = eyes.half * (1 - 0.10 * side * yaw)
    u = patch.u - 0.030 * yaw - side * eyes.apart * (1 - 0.13 * side * yaw)
    v = patch.v - 0.018 - t.pose.nod + eyes.slant * side * u
    s = u / half
    q = np.maximum(1 - s * s, 0)
    lid = -eyes.upper * q * (1 + 0.35 * s * s)  # a little fuller than a parabola
    floor, closed = eyes.lower * q, 0.55 * eyes.lower * q
    slope = np.sqrt(1 + (eyes.upper / half * s * (1.3 + 1.4 * s * s)) ** 2)
    ends = (np.abs(s) - 1) * half
    patch.cover(blob(u, v + 0.014, 1.5 * half, 0.062), head.shadow, 0.26)
    _eye(patch, t, u, v, np.maximum(np.maximum(lid - v, v - floor) / slope, ends), lid)
    patch.cover(blob(u, v - closed + 0.016, half, 0.03), head.lit, 0.30 * (1 - eyes.open))
    upper = lid + (closed - lid) * (1 - eyes.open)
    thick = eyes.lash * (1.25 - 0.25 * eyes.open) * np.clip(0.78 + 0.32 * side * s, 0.3, 1.2)
    thick = thick * np.clip(5 * (1.18 - np.abs(s)), 0, 1)
    steep = np.where(ends < 0, np.minimum(slope, 1.5), 1)
    line = np.maximum(np.abs(v - upper) / steep - thick, ends - 0.05 * half * (1 + side * s))
    patch.cover(patch.edge(line), head.shadow * 0.22)
    fold = np.abs(v - floor - 0.006) / slope
    patch.cover(np.clip(1 - fold / 0.011, 0, 1) * (np.abs(s) < 0.95), head.shadow, 0.4 + 0.2 * t.mouth.smile)


def _eye(patch: Patch, t: Traits, u: Field, v: Field, distance: Field, lid: Field) -> None:
    eyes = t.eyes
    inside = patch.edge(distance) * eyes.open
    white = np.array([0.975, 0.965, 0.955], np.float32)[:, None, None]
    shade = np.clip(1 - (v - lid) / 0.022, 0, 1)[:, None]
    patch.cover(inside, white - np.array([0.26, 0.25, 0.20], np.float32)[:, None, None] * shade)
    u, v = u - eyes.gaze, v + 0.004
    ring = np.sqrt(u * u + v * v + 1e-8)
    glow = np.clip(0.55 + v / eyes.iris * 0.55, 0, 1)[:, None]
    iris = eyes.colour * (0.45 + 0.95 * glow)
    patch.cover(patch.edge(ring - eyes.iris) * inside, iris)
    patch.cover(patch.edge(ring - 0.52 * eyes.iris) * inside, eyes.colour * 0.12)
    p, q = u - 0.40 * eyes.iris * t.pose.light, v + 0.42 * eyes.iris
    patch.cover(patch.edge(np.sqrt(p * p + q * q + 1e-8) - 0.0085) * inside, np.float32(1.0))


def paint_brows(patch: Patch, t: Traits) -> None:
    """Both brows, thick inside and thin outside."""
    eyes = t.eyes
    for side in SIDES:
        part = patch.beside(side, -0.03, -0.17, 0.20, 0.01)
        half = 1.18 * eyes.half * (1 - 0.10 * side * t.pose.yaw)
        u = part.u - 0.028 * t.pose.yaw - side * (eyes.apart + 0.004) * (1 - 0.13 * side * t.pose.yaw)
        s = side * u / half
        middle = eyes.brow_y + t.pose.nod - eyes.brow_arch * (1 - (s - 0.15) ** 2) - eyes.brow_slant * s * half
        thick = eyes.brow_half * np.clip(0.9 - 0.45 * s, 0.3, 1.2)
        line = np.maximum(np.abs(part.v - middle) - thick, (np.abs(s) - 1) * half)
        part.cover(part.edge(line), eyes.brow_colour, 0.92)


def paint_nose(patch: Patch, t: Traits) -> None:
    """A nose by its shadow, its light and its wings."""
    patch = patch.around(-0.10, -0.03, 0.10, 0.18)
    head, mouth, light = t.head, t.mouth, t.pose.light
    bridge = 0.024 * t.pose.yaw + 0.15 * t.pose.yaw * np.clip(patch.v, 0, 0.12)
    u, v = patch.u - bridge, patch.v - mouth.nose_y
    patch.cover(blob(u + 0.020 * light, v + 0.035, 0.020, 0.085), head.shadow, 0.55)
    patch.cover(blob(u - 0.004 * light, v + 0.045, 0.013, 0.075), head.lit, 0.60)
    patch.cover(blob(u - 0.006 * light, v + 0.006, 0.020, 0.018), head.lit, 0.75)
    s = u / mouth.nose_half
    base = v - 0.020 + 0.014 * s * s - 0.006 * np.abs(s)
    wings = np.maximum(np.abs(base) - 0.0052, (np.abs(s) - 1) * mouth.nose_half)
    patch.cover(patch.edge(wings), head.shadow * 0.72, 0.85)
    patch.cover(blob(u, v - 0.036, 0.9 * mouth.nose_half, 0.016), head.shadow, 0.45)


def paint_folds(patch: Patch, t: Traits) -> None:
    """The shadow below the lips, and the folds of cheeks that smile or are old."""
    patch = patch.around(-0.18, 0.06, 0.18, 0.32)
    mouth, head = t.mouth, t.head
    u, v = patch.u - 0.032 * t.pose.yaw, patch.v - mouth.y - 0.5 * t.pose.nod
    patch.cover(blob(u, v - 0.055 - 0.6 * mouth.gap - 0.4 * mouth.curve, 0.055, 0.022), head.shadow, 0.55)
    inside = soft(head_distance(patch, t) + 0.012, 0.03)
    for side in SIDES:
        fold = blob(u - side * (mouth.half + 0.014 + 0.25 * (v + 0.03)), v + 0.035, 0.016, 0.052)
        patch.cover(fold * inside, head.shadow, 0.42 * mouth.smile + 0.25 * head.age)


def paint_mouth(patch: Patch, t: Traits) -> None:
    """Lips, and between them teeth and tongue."""
    patch = patch.around(-0.17, 0.09, 0.17, 0.31)
    mouth, head = t.mouth, t.head
    u, v = patch.u - 0.032 * t.pose.yaw, patch.v - mouth.y - 0.5 * t.pose.nod
    s = u / mouth.half
    q = np.maximum(1 - s * s, 0)
    line = mouth.curve * (0.40 - s * s)
    slope = np.sqrt(1 + (2 * s * (mouth.curve + 0.5 * mouth.gap) / mouth.half) ** 2)
    bow = 1 - 0.45 * np.clip(1 - 4 * np.abs(s), 0, 1)
    top, bottom = line - mouth.upper * q * bow, line + (mouth.gap + mouth.lower) * q
    ends = (np.abs(s) - 1.02) * mouth.half
    lips = np.maximum(np.maximum(top - v, v - bottom) / slope, ends)
    patch.cover(patch.edge(lips), mouth.colour * np.where(v < line, 0.86, 1.04)[:, None])
    patch.cover(blob(u + 0.008, v - line - mouth.gap - 0.6 * mouth.lower, 0.028, 0.010), head.lit, 0.40)
    floor = line + mouth.gap * q
    inner = np.maximum(np.maximum(line - v, v - floor) / slope, ends)
    inside = patch.edge(inner + 0.001) * np.clip(mouth.gap / 0.01, 0, 1)
    patch.cover(inside, np.array([0.30, 0.07, 0.09], np.float32)[:, None, None])
    patch.cover(
        inside * soft(np.abs(v - floor - 0.004) - 0.012, 0.014), np.array([0.80, 0.36, 0.38], np.float32)[:, None, None]
    )
    teeth = inside * coverage(v - line - (0.28 + 0.22 * mouth.smile) * mouth.gap * q, patch.pixel)
    patch.cover(teeth, np.array([0.98, 0.96, 0.93], np.float32)[:, None, None])
    closed = np.maximum(np.abs(v - line) / slope - 0.0052, ends)
    patch.cover(patch.edge(closed), mouth.colour * 0.42, np.clip(1 - mouth.gap / 0.01, 0, 1))
    for side in SIDES:  # dimples
        dimple = blob(u - side * mouth.half, v + 0.6 * mouth.curve, 0.015, 0.015)
        patch.cover(dimple, head.shadow * 0.7, 0.15 + 0.45 * mouth.smile)
