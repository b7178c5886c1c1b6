"""The hair of drawn faces: what is behind the head, what frames the face, and beards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gencli.core.drawn.face_parts import head_distance
from gencli.core.drawn.face_shapes import Field, Patch, coverage, ellipse, smooth_max, soft, wave
from gencli.core.drawn.face_traits import Traits


@dataclass(frozen=True)
class Outline:
    """Distances (N, h, w): `outer` is negative where there is hair or head, `opening` where the face looks out."""

    outer: Field
    opening: Field
    tone: Field  # about -1 … 1: strands and curls


def outline(patch: Patch, t: Traits) -> Outline:
    """The shape of the hair over the whole patch."""
    hair, head, yaw = t.hair, t.head, t.pose.yaw
    u, v = patch.u + 0.012 * yaw, patch.v + 0.045
    side = head.width + hair.volume
    skirt = np.abs(u) - side - hair.flare * np.clip(v, 0, 1)
    crown = ellipse(u + 0.15 * hair.parting * np.clip(-v * 5, 0, 1), v, side, 0.205 + hair.height)
    outer = np.minimum(crown, np.maximum(skirt, -v))
    tone, bulge = _texture(patch, t)
    outer = smooth_max(outer, patch.v - hair.end - hair.wavy * wave(patch.u * 9 + hair.phase), 0.10)
    outer = outer - bulge - hair.wavy * wave(patch.v * 3.5 + hair.phase) * np.clip(3 * v, 0, 1)
    outer = np.maximum(outer, t.wear.hat_edge + 0.9 * patch.u**2 - patch.v)
    return Outline(outer, _opening(patch, t, bulge), tone)


def _texture(patch: Patch, t: Traits) -> tuple[Field, Field]:
    """Light and dark of strands or curls, about -1 … 1, and how far curls stand out."""
    hair = t.hair
    strands = (patch.u - hair.parting) / (np.abs(patch.v + 0.34) + 0.14)
    tuft = hair.messy * wave(strands * 2.1 + hair.phase) * np.clip(-6 * patch.v, 0, 1)
    strands = 0.6 * wave(strands * 3.3 + hair.phase) + 0.4 * wave(strands * 7.9 - hair.phase)
    u, v = patch.u * hair.curl_size, patch.v * hair.curl_size
    u = u + 0.16 * wave(v * 0.83 + hair.phase)
    v = v + 0.16 * wave(u * 0.71 - hair.phase)
    rings = wave(u + v + hair.phase) * wave(u - v)
    return strands + (rings - strands) * hair.curl, (0.017 * rings + 0.004) * hair.curl + tuft


def _opening(patch: Patch, t: Traits, bulge: Field) -> Field:
    """Distance to the outline of the face in the hair: forehead above, temples and cheeks at the sides."""
    hair, yaw = t.hair, t.pose.yaw
    u, v = patch.u - 0.020 * yaw, patch.v
    line = hair.line + hair.sweep * u + hair.bend * (u - hair.parting) ** 2
    line = line + hair.tufts * wave(u * 14 + hair.phase)
    sides = np.abs(u) - hair.temple - hair.temple_slope * np.clip(v + 0.06, 0, 1)
    return smooth_max((line - v) * 0.85, sides, 0.05) + 0.6 * bulge


def paint_back(patch: Patch, t: Traits, shape: Outline) -> None:
    """The hair behind the head, in its own shadow."""
    shade = np.clip(0.30 + 0.30 * shape.tone - 0.8 * (patch.v - 0.1), 0, 1)[:, None]
    patch.cover(patch.edge(shape.outer), t.hair.shadow + (t.hair.colour - t.hair.shadow) * shade * 0.7)


def paint_shadow(patch: Patch, t: Traits, shape: Outline, face: Field) -> None:
    """The shadow that the hair casts on the face."""
    near = np.clip(1 + shape.opening / 0.05, 0, 1) * coverage(shape.outer, 0.02) * patch.edge(face)
    patch.cover(near * near, t.head.shadow, 0.55)


def paint_front(patch: Patch, t: Traits, shape: Outline) -> None:
    """The hair around the face, with light on its crown."""
    hair = t.hair
    mask = patch.edge(smooth_max(shape.outer, -shape.opening, 0.02))
    u, v = patch.u / (t.head.width + hair.volume), (patch.v + 0.045) / (0.205 + hair.height)
    round_ = np.clip(0.60 * u * t.pose.light - 0.52 * v - 0.15 + 0.28 * shape.tone, -1, 1)
    around = np.sqrt(u * u + v * v) + 0.03 * shape.tone
    sheen = np.clip(1 - np.abs(around - 0.80) / 0.14, 0, 1) * np.clip(-v + 0.25 + 0.3 * u * t.pose.light, 0, 1)
    sheen = sheen * (1 - 0.7 * hair.curl) * np.clip(0.75 + 0.5 * shape.tone, 0, 1)
    lit = np.clip(0.6 * np.maximum(round_, 0) + 0.75 * sheen, 0, 1)[:, None]
    dark = np.maximum(-round_, 0)[:, None]
    colour = hair.colour + (hair.lit - hair.colour) * lit + (hair.shadow - hair.colour) * dark
    patch.cover(mask, colour)


def paint_beard(patch: Patch, t: Traits) -> None:
    """A full beard with its moustache."""
    patch = patch.around(-0.24, -0.16, 0.24, 0.38)
    head, mouth, yaw = t.head, t.mouth, t.pose.yaw
    u, v = patch.u - 0.026 * yaw, patch.v
    top = mouth.nose_y + 0.060 - 5.5 * np.clip(np.abs(u) - 0.035, 0, 1) ** 2 - 0.9 * np.clip(np.abs(u) - 0.13, 0, 1)
    below = np.clip((v - 0.10) / (head.chin - 0.10), 0, 1.2)
    grown = head_distance(patch, t) - t.hair.beard_end * below - 0.006
    tone, _ = _texture(patch, t)
    cheeks = smooth_max(top - v + 0.010 * tone, grown, 0.03)
    lip = v - mouth.y - mouth.curve * (0.30 - 0.45 * (u / mouth.half) ** 2) + 0.018
    moustache = smooth_max(np.abs(lip) - 0.020, np.abs(u) - 0.9 * mouth.half, 0.02)
    mask = soft(np.minimum(cheeks, moustache), 1.6 * patch.pixel)
    tone = 0.5 * tone + 0.5 * wave(u * 13 + 0.6 * wave(v * 5))
    side = np.clip(0.55 * u / head.width * t.pose.light + 0.30 * tone - 2.0 * (v - 0.21), -1, 1)[:, None]
    colour = t.hair.beard + (t.hair.lit - t.hair.beard) * 0.55 * np.maximum(side, 0)
    patch.cover(mask, colour + (t.hair.shadow * 0.8 - t.hair.beard) * 0.7 * np.maximum(-side, 0))
