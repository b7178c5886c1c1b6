"""The map of least change between two normal distributions, which is optimal transport between them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

FLOOR = 8  # times the rounding of the largest: what an eigenvalue is at least, where its inverse root is wanted


def matrix_root(matrix: Tensor) -> Tensor:
    """The square root of a symmetric matrix without negative eigenvalues (…, C, C)."""
    values, vectors = _eigen(matrix)
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
    values, vectors = _eigen(_even(root @ own @ root))
    # as small as rounding makes what should be none
    least_value = torch.finfo(root.dtype).eps * values[..., -1:].clamp_min(torch.finfo(root.dtype).tiny)
    inverse = (vectors * values.clamp_min(least_value).rsqrt()[..., None, :]) @ vectors.mT
    return root @ inverse @ root


def trace_of_root(matrix: Tensor, by_products: bool | None = None) -> Tensor:
    """tr(M^½) of symmetric matrices without negative eigenvalues (…, C, C), as (…).

    With λ / √(λ + ε) for √λ: nothing for the eigenvalues that rounding makes of zero, and a derivative that stays
    finite there. GPUs find eigenvalues slowly, one matrix after another, and multiply fast: there it is found
    `by_products` of matrices alone, as tr(M (M + ε)^-½).
    """
    matrix = _even(matrix)
    floor = FLOOR * torch.finfo(matrix.dtype).eps * matrix.detach().square().sum((-2, -1)).sqrt().clamp_min(1e-12)
    if by_products or (by_products is None and matrix.device.type != "cpu"):
        found: Tensor = _TraceByProducts.apply(matrix, floor)
        return found
    values = torch.linalg.eigvalsh(matrix).clamp_min(0)
    return (values * (values + floor[..., None]).rsqrt()).sum(-1)


class _TraceByProducts(torch.autograd.Function):
    """tr(M (M + ε)^-½) of matrices (…, C, C), and its derivative (M + ε)^-½ - ½ M (M + ε)^-3/2."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, floor: Tensor) -> Tensor:
        inverse = _inverse_root(matrix, floor)
        ctx.save_for_backward(matrix, inverse)
        return (matrix * inverse).sum((-2, -1))

    @staticmethod
    def backward(ctx: Any, of_trace: Tensor) -> tuple[Tensor, None]:
        matrix, inverse = ctx.saved_tensors
        kept = inverse @ matrix @ inverse  # in this order, in which rounding is not blown up where M is small
        return of_trace[..., None, None] * _even(inverse - inverse @ kept / 2), None


def _inverse_root(matrix: Tensor, floor: Tensor) -> Tensor:
    """(M + ε)^-½ of symmetric matrices (…, C, C) whose eigenvalues are not below zero by more than rounding, for such
    floors ε (…), by the coupled Newton–Schulz iteration (Higham 2008, eq. 6.35)."""
    each = matrix.reshape(-1, *matrix.shape[-2:])
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(each)
    lifted = each + floor.flatten()[:, None, None] * eye
    size = lifted.square().sum((1, 2), keepdim=True).sqrt()  # no eigenvalue is larger
    root, inverse = lifted / size, eye
    for _ in range(_rounds(matrix.dtype)):
        step = torch.baddbmm(eye, inverse, root, beta=1.5, alpha=-0.5)
        root, inverse = root @ step, step @ inverse
    return (inverse * size.rsqrt()).view_as(matrix)


def _rounds(dtype: torch.dtype) -> int:
    """Of the iteration, until it has found the smallest eigenvalue there may be: each takes half as much again to what
    is far from its aim, and the last few do the rest."""
    return math.ceil(math.log(FLOOR * torch.finfo(dtype).eps, 1.5) / -2) + 4


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (…, C), rising, and eigenvectors of symmetric matrices (…, C, C). Found on the CPU: a GPU takes a
    millisecond and more for each, and Apple's did not know how to for long."""
    values, vectors = torch.linalg.eigh(matrix.cpu())
    return values.to(matrix.device), vectors.to(matrix.device)


def spread(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (…, C, 1) and covariance (…, C, C) of values (…, C, P) over P positions."""
    mean = values.mean(-1, keepdim=True)
    centred = values - mean
    return mean, centred @ centred.mT / values.shape[-1]


def _even(matrix: Tensor) -> Tensor:
    """Symmetric in its last bits too."""
    return (matrix + matrix.mT) / 2
