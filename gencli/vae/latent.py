"""Planes through the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gencli.core.errors import UsageError


@dataclass(frozen=True)
class LatentPlane:
    """The plane `origin` (L,) + a · `directions[0]` + b · `directions[1]`, (2, L), where (a, b) are about as the prior
    would have them: normal numbers. `names` say what a and b are."""

    origin: Tensor
    directions: Tensor
    names: tuple[str, str]

    def latents(self, coordinates: Tensor) -> Tensor:
        """Coordinates (…, 2) → latents (…, L)."""
        return self.origin + coordinates @ self.directions

    def coordinates(self, latents: Tensor) -> Tensor:
        """Where latents (N, L) lie, seen from straight above: (N, 2)."""
        scale = self.directions.square().sum(1).clamp_min(1e-20)
        found: Tensor = (latents - self.origin) @ self.directions.mT / scale
        return found


def plane(latent: int, axes: Sequence[int] | None = None, encoded: Tensor | None = None) -> LatentPlane:
    """The plane that shows most of a latent space.

    With up to two latents there is only one. Of more, `axes` names two, from 1; without, it is that of the two
    principal components of `encoded` pictures (N, L), whose units are their deviations.

    Raises UsageError for axes there are not.
    """
    if axes is not None:
        if len(axes) != 2 or axes[0] == axes[1] or not all(1 <= axis <= latent for axis in axes):
            raise UsageError(
                f"--axes {','.join(map(str, axes))}: there are no such two latents", f"name two of 1 … {latent}: 1,2"
            )
        rows = torch.eye(latent)[[axis - 1 for axis in axes]]
        return LatentPlane(torch.zeros(latent), rows, (f"latent {axes[0]}", f"latent {axes[1]}"))
    if latent <= 2 or encoded is None:
        rows = torch.eye(2, latent)  # the second of one latent leads nowhere
        return LatentPlane(torch.zeros(latent), rows, ("latent 1", "latent 2" if latent > 1 else ""))
    origin = encoded.mean(0)
    values, vectors = torch.linalg.eigh((encoded - origin).mT.double().cov(correction=0))
    largest = vectors.flip(1)[:, :2].mT
    signs = largest.gather(1, largest.abs().argmax(1, keepdim=True)).sign()  # an eigenvector may point either way
    deviations = values.flip(0)[:2].clamp_min(0).sqrt()
    directions = (largest * signs * deviations[:, None]).float()
    return LatentPlane(origin, directions, ("component 1", "component 2"))


def spaced(steps: int, reach: float | None = None) -> Tensor:
    """Coordinates (steps,) along an axis, rising: from -`reach` to `reach`, or in the middle of as many equal shares
    of a normal distribution."""
    if reach is not None:
        return torch.linspace(-reach, reach, steps)
    shares = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    return torch.special.ndtri(shares).float()


def lattice(columns: Tensor, rows: Tensor) -> Tensor:
    """All pairs of coordinates, the first along a row, the second falling from row to row: (R, C, 2)."""
    second, first = torch.meshgrid(rows.flip(0), columns, indexing="ij")
    return torch.stack([first, second], -1)
