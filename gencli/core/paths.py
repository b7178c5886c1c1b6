"""Paths through a latent space, as the latents of an animation's frames."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gencli.core.errors import UsageError

PATHS = ("line", "sphere", "circle")


def check(kind: str) -> None:
    """Raise UsageError where there is no such kind of path."""
    if kind not in PATHS:
        raise UsageError(f"there is no path {kind}", f"choose one of {', '.join(PATHS)}")


def path(kind: str, points: Tensor, frames: int, *, closed: bool, draw: torch.Generator) -> Tensor:
    """Latents (frames, L) along a path through points (K, L).

    `line` and `sphere` pass through all points, each part in the same time; `closed`, they return to the first and
    end one step before it, so that a film of them loops exactly. `circle` goes through two points that lie opposite
    each other, turned as `draw` has it, and always loops.

    Raises UsageError for fewer than two points, or a circle there cannot be.
    """
    if len(points) < 2:
        raise UsageError("a walk needs two points or more", "name two pictures, or give --points 2")
    if kind == "circle":
        return circle(points, frames, draw)
    between = slerp if kind == "sphere" else torch.lerp
    stops = torch.cat([points, points[:1]]) if closed else points
    return _through(between, stops, torch.linspace(0, len(stops) - 1, frames + closed)[:frames])


def _through(between: Callable[[Tensor, Tensor, Tensor], Tensor], stops: Tensor, at: Tensor) -> Tensor:
    """Places `at` (F,) in [0, K - 1] along a path by way of stops (K, L)."""
    first = at.long().clamp_max(len(stops) - 2)
    return between(stops[first], stops[first + 1], (at - first)[:, None])


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation (Shoemake 1985) of latents (F, L) at shares (F, 1): the direction turns evenly and the
    length changes evenly. Where they lie in line with the origin, a straight line."""
    lengths = start.norm(dim=1, keepdim=True), end.norm(dim=1, keepdim=True)
    one, other = start / lengths[0].clamp_min(1e-12), end / lengths[1].clamp_min(1e-12)
    angle = (one * other).sum(1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    turned = (((1 - share) * angle).sin() * one + (share * angle).sin() * other) / sine.clamp_min(1e-12)
    in_line = (sine < 1e-4) | (torch.minimum(*lengths) < 1e-12)
    return torch.where(in_line, torch.lerp(start, end, share), turned * torch.lerp(*lengths, share))


def circle(points: Tensor, frames: int, draw: torch.Generator) -> Tensor:
    """Once round the circle on which two points (2, L) lie opposite each other: (frames, L), from the first on.

    Where there is room for it, its plane is square to the direction of its centre: so all of it is about as far from
    the origin as the points are, where the prior has its pictures.

    Raises UsageError for more than two points, and where there is one latent.
    """
    if len(points) != 2 or points.shape[1] < 2:
        what = f"{len(points)} points" if len(points) != 2 else "one latent dimension"
        raise UsageError(f"there is no circle through {what}", "use --path line")
    center, across = points.mean(0), (points[0] - points[1]) / 2
    drawn = torch.randn(points.shape[1], generator=draw)
    inside = (across, center) if points.shape[1] > 2 else (across,)
    # of Householder's method even what lies among the others comes out square to them
    square, _ = torch.linalg.qr(torch.stack([*inside, drawn.to(across)], 1).double())
    angles = (torch.arange(frames) * (2 * torch.pi / frames))[:, None]
    return center + angles.cos() * across + angles.sin() * (square[:, -1].to(across) * across.norm())
