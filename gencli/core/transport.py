"""The map of least change between two normal distributions, which is optimal transport between them."""

from __future__ import annotations

import torch
from torch import Tensor


def matrix_root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric matrix without negative eigenvalues (…, C, C)."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mT
    return root


def transport(own: Tensor, root: Tensor, least: float = 1e-8) -> Tensor:
    """The matrix (…, C, C) that makes of a covariance `own` (…, C, C) another, given as its `root`: with the other's
    covariance T, T^½ (T^½ own T^½)^-½ T^½ (Olkin & Pukelsheim 1982).

    What varies less than a share `least` of the other's mean variance, in any direction, counts as varying so much:
    it is not blown up without bounds.
    """
    floor = least * root.square().sum((-2, -1)) / root.shape[-1] + torch.finfo(root.dtype).tiny
    own = own + floor[..., None, None] * torch.eye(own.shape[-1], dtype=own.dtype, device=own.device)
    values, vectors = torch.linalg.eigh(_even(root @ own @ root))
    # as small as rounding makes what should be none
    least_value = torch.finfo(root.dtype).eps * values[..., -1:].clamp_min(torch.finfo(root.dtype).tiny)
    inverse = (vectors * values.clamp_min(least_value).rsqrt()[..., None, :]) @ vectors.mT
    return root @ inverse @ root


def spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (…, C, 1) and covariance (…, C, C) of values (…, C, P) over P positions."""
    mean = values.mean(-1, keepdim=True)
    centred = values - mean
    return mean, centred @ centred.mT / values.shape[-1]


def _even(matrix: Tensor) -> Tensor:
    """Symmetric in its last bits too."""
    return (matrix + matrix.mT) / 2
