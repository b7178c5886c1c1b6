"""What is around the faces: background, neck, clothes, scarves, hats, glasses and earrings."""

from __future__ import annotations

import numpy as np

from gencli.core.drawn.face_parts import SIDES, head_distance
from gencli.core.drawn.face_shapes import (
    Patch,
    blob,
    coverage,
    ellipse,
    rounded_box,
    smooth_max,
    smooth_min,
    soft,
    wave,
)
from gencli.core.drawn.face_traits import Traits


def paint_background(patch: Patch, t: Traits) -> None:
    """A gradient with a glow behind the head, and a few spots out of focus."""
    back = t.background
    along = np.clip(0.5 + 0.75 * ((patch.x - 0.5) * back.x + (patch.y - 0.5) * back.y), 0, 1)[:, None]
    patch.pixels[...] = back.near + (back.far - back.near) * along
    white = np.float32(1.0)
    patch.cover(blob(patch.x - 0.5 - 0.2 * t.pose.light, patch.y - 0.38, 0.65, 0.65), white, back.glow)
    for k in range(3):
        x, y, size = (back.spots[:, 3 * k + i] for i in range(3))
        distance = np.sqrt((patch.x - x) ** 2 + (patch.y - y) ** 2) - 0.05 - 0.10 * size
        patch.cover(soft(distance, 0.035), white, 0.16 * (1 - size))


def paint_body(patch: Patch, t: Traits) -> None:
    """Neck and clothes."""
    patch = patch.below(0.65)
    head, wear, pose = t.head, t.wear, t.pose
    x, y = patch.x - (0.5 + 0.7 * (pose.x - 0.5)), patch.y
    neck = np.abs(x) - 0.088 * pose.scale - 0.5 * np.clip(y - 0.84, 0, 1)
    skin = np.maximum(neck, 0.70 - y)
    chest = ellipse(x, y - 0.98 - 0.12, wear.shoulders * 0.62, 0.20)
    lit = np.clip(0.55 * x * pose.light / 0.12, -1, 1)[:, None]
    colour = head.skin * 0.93 + (head.shadow - head.skin) * np.maximum(-lit, 0) * 0.7
    patch.cover(patch.edge(np.minimum(skin, chest)), colour)
    under = head_distance(patch, t, 0.05)
    patch.cover(patch.edge(np.minimum(skin, chest)) * soft(under, 0.05), head.shadow * 0.92, 0.85)
    cloth = ellipse(x, y - 1.15, wear.shoulders, 1.15 - wear.collar)
    deep = 0.05 + 0.10 * np.clip(wear.neckline - 0.4, 0, 1)
    narrow = np.clip(wear.neckline * 3 - 1.5, 0, 1)
    opening = ellipse(x, y - wear.collar + 0.01, 0.115 * pose.scale, deep)
    vee = np.abs(x) + 0.75 * (y - wear.collar - 0.10)
    opening = opening + (vee - opening) * narrow * 0.8
    shade = np.clip(0.9 * x * pose.light - 1.2 * (y - 0.92) + 0.10 * wave(x * 5 + y * 3), -1, 1)[:, None]
    fabric = wear.clothes * (1 + 0.22 * shade)
    bands = soft(np.abs(wave(9 * (y + 0.25 * x * x))) - 0.6, 0.25) * (wear.stripes > 0.2)
    fabric = fabric + (wear.trim * (1 + 0.22 * shade) - fabric) * bands[:, None] * 0.8
    patch.cover(patch.edge(smooth_max(cloth, -opening, 0.02)), fabric)
    patch.cover(patch.edge(cloth) * patch.stroke(opening - 0.012, 0.010), wear.trim * (1 + 0.15 * shade))
    for side in SIDES:  # the wings of a shirt's collar
        across, down = side * x - 0.060 * pose.scale, y - wear.collar - 0.045
        wing = rounded_box(0.8 * across + 0.6 * down, 0.8 * down - 0.6 * across, 0.034, 0.062, 0.008)
        wing = np.maximum(wing, np.maximum(0.002 - side * x, 10 * (0.65 - wear.cut)))
        patch.cover(soft(wing - 0.006, 0.03) * patch.edge(cloth), wear.clothes * 0.45, 0.45)
        patch.cover(patch.edge(wing), wear.trim * (1.06 + 0.18 * shade))


def paint_scarf(patch: Patch, t: Traits) -> None:
    """A knitted scarf with an end hanging down."""
    patch = patch.below(0.75)
    wear, pose = t.wear, t.pose
    x, y = patch.x - (0.5 + 0.7 * (pose.x - 0.5)), patch.y - 0.945
    ring = rounded_box(x, y + 1.4 * x * x, 0.185, 0.058, 0.05)
    end = rounded_box(x - 0.085 + 0.15 * y, y - 0.10, 0.052, 0.14, 0.02)
    ribs = wave(10 * x + 14 * y)
    shade = np.clip(0.8 * x * pose.light / 0.2 - 3.0 * np.abs(y), -1, 1)[:, None]
    for shape in (end, ring):
        patch.cover(soft(shape - 0.012, 0.03), wear.clothes * 0.5, 0.6)
        stripes = soft(np.abs(y - 0.16) - 0.02, 0.01) if shape is end else soft(np.abs(ribs) - 0.12, 0.2) * 0.5
        colour = wear.scarf + (wear.scarf_trim - wear.scarf) * stripes[:, None]
        patch.cover(patch.edge(shape), colour * (1 + 0.20 * shade + 0.07 * ribs[:, None]))


def paint_hat(patch: Patch, t: Traits) -> None:
    """A knitted cap with its rim turned up, or a hat with a brim."""
    patch = patch.around(-0.36, -0.45, 0.36, -0.04)
    wear, head, hair = t.wear, t.head, t.hair
    u, v = patch.u + 0.008 * t.pose.yaw, patch.v - wear.hat_edge
    v = v - 0.9 * u * u
    side = head.width + 0.55 * hair.volume
    brim = (wear.hat_kind > 0.55).astype(np.float32)
    crown = rounded_box(u, v + 0.060, side * (1 - 0.10 * brim), 0.120 + 0.01 * brim, 0.118 - 0.058 * brim)
    crown = np.maximum(crown, v)
    ribs = wave(u * 16) * (1 - brim)
    light = np.clip(0.5 * u / side * t.pose.light - 1.6 * (v + 0.10), -1, 1)
    cloth = wear.hat * (1 + 0.24 * (light + 0.3 * ribs)[:, None])
    under = soft(np.abs(v - 0.012) - 0.016, 0.03) * coverage(np.abs(u) - side, 0.03)
    patch.cover(under, hair.shadow * 0.6, 0.45)
    patch.cover(patch.edge(crown), cloth)
    high, wide = 0.032 - 0.008 * brim, side * (1 - 0.10 * brim) + 0.006
    band = rounded_box(u, v + 0.034 - 0.004 * brim, wide, high, 0.018 - 0.012 * brim)
    patch.cover(patch.edge(band), wear.hat_trim * (1 + 0.20 * (light + 0.4 * ribs)[:, None]))
    edge = np.maximum(rounded_box(u, v + 0.3 * u * u, side + 0.085, 0.016, 0.015), (0.5 - brim) * 10)
    patch.cover(patch.edge(edge), wear.hat * (0.92 + 0.22 * light[:, None]))
    bobble = np.sqrt(u * u + (v + 0.195) ** 2 + 1e-8) - 0.036 + 0.005 * wave(u * 30) * wave(v * 30)
    bobble = np.maximum(bobble, (np.abs(wear.hat_kind - 0.2) - 0.2) * 10)
    patch.cover(patch.edge(bobble), wear.hat_trim * (1 + 0.25 * light[:, None]))


def paint_glasses(patch: Patch, t: Traits) -> None:
    """Round to square glasses."""
    patch = patch.around(-0.25, -0.08, 0.25, 0.12)
    wear, eyes, yaw = t.wear, t.eyes, t.pose.yaw
    half = eyes.apart - 0.014
    temple = t.hair.temple + 0.06 * t.hair.temple_slope
    v = patch.v - 0.022 - t.pose.nod
    for side in SIDES:
        u = patch.u - 0.034 * yaw - side * (eyes.apart + 0.004) * (1 - 0.13 * side * yaw)
        wide = half * (1 - 0.10 * side * yaw)
        lens = rounded_box(u, v, wide, wear.frame_height, wear.frame_corner * np.minimum(wide, wear.frame_height))
        patch.cover(patch.edge(lens), np.float32(1.0), 0.10)
        glint = np.abs(u - 0.5 * v * -1.0 - 0.018) - 0.010
        patch.cover(patch.edge(np.maximum(glint, lens + 0.012)), np.float32(1.0), 0.22)
        reach = np.maximum(np.abs(v + 0.012) - 0.006, np.maximum(wide - side * u, side * patch.u - temple))
        patch.cover(patch.edge(np.minimum(np.abs(lens) - 0.0085, reach)), wear.frame)
    u = patch.u - 0.036 * yaw
    bridge = np.maximum(np.abs(v + 0.014 - 6 * u * u) - 0.0065, np.abs(u) - 0.020)
    patch.cover(patch.edge(bridge), wear.frame)


def paint_earrings(patch: Patch, t: Traits) -> None:
    """Drops or hoops, in front of the hair."""
    wear = t.wear
    hoop = (wear.hoop > 0.5).astype(np.float32)
    for side in SIDES:
        part = patch.beside(side, 0.12, 0.05, 0.30, 0.17)
        u = part.u - side * (t.head.width + 0.012) + 0.020 * t.pose.yaw
        v = part.v - 0.088
        ring = np.sqrt(u * u + (v - 0.022) ** 2 + 1e-8)
        drop = smooth_min(ring - 0.021, np.sqrt(u * u + (v + 0.004) ** 2 + 1e-8) - 0.009, 0.02)
        shape = drop + (np.abs(ring - 0.033) - 0.0058 - drop) * hoop
        part.cover(part.edge(shape - 0.004), wear.jewel * 0.35, 0.5)
        light = np.clip(0.5 - v / 0.06 + u * t.pose.light / 0.05, 0, 1)[:, None]
        part.cover(part.edge(shape), wear.jewel * (0.72 + 0.5 * light))
