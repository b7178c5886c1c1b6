"""What style transfer minimises: pure functions of features, under the papers' names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gencli.core.transport import matrix_root, trace_of_root

RATIO = {"gram": 0.05, "w2": 0.15}  # content to style at strength 0.5: chosen by eye, so that 0.5 looks like half


def content_weight(strength: Any, style_loss: str = "w2") -> Any:
    """How much the content counts beside the style, for a number or a tensor of strengths in (0, 1]."""
    return RATIO[style_loss] * ((1 - strength) / strength) ** 2


@dataclass(frozen=True)
class Moments:
    """First and second moments of a layer's channels over the positions of a picture, or of each of several.

    `mean` (…, C) and `second` (…, C, C) = E[f fᵀ], the Gram matrix (Gatys et al. 2016, eq. 3) divided by the
    number of positions.
    `centred` (…, C, N), where it is kept, satisfies centred · centredᵀ = covariance.
    """

    mean: Tensor
    second: Tensor
    centred: Tensor | None = None

    @property
    def covariance(self) -> Tensor:
        return self.second - self.mean[..., :, None] * self.mean[..., None, :]


def positions(features: Tensor) -> Tensor:
    """(…, C, H, W) → (…, H·W, C), a row a position: a view in either memory layout, where flattening may copy."""
    if features.is_contiguous():
        return features.flatten(-2).mT
    return features.movedim(-3, -1).flatten(-3, -2)


class _EvenMoments(torch.autograd.Function):
    """Mean and second moment of rows (…, N, C), all counting the same.

    Its gradient is one matrix product with a bias; left to autograd it takes three passes over the largest
    tensors there are, a sixth of a whole step's time.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows)
        return rows.mean(-2), rows.mT @ rows / rows.shape[-2]

    @staticmethod
    def backward(ctx: Any, of_mean: Tensor, of_second: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        count = rows.shape[-2]
        if rows.dim() == 2:
            return torch.addmm(of_mean / count, rows, (of_second + of_second.mT) / count)
        return torch.baddbmm(of_mean[:, None] / count, rows, (of_second + of_second.mT) / count)


def moments(features: Tensor, share: Tensor | None = None) -> Moments:
    """Moments of features (C, H, W), each position counting for its `share` (H, W); without, all the same. Features
    of several pictures (N, C, H, W) give the moments of each.

    Shares that add up to less than one give a part of the moments: those of tiles add up to the whole's.
    """
    f = positions(features)  # (…, N, C)
    if share is None:
        share = f.new_full((1,), 1 / f.shape[-2])
        mean, second = _EvenMoments.apply(f)
    else:
        share = share.flatten()
        mean, second = share @ f, (f * share[:, None]).mT @ f
    few = f.shape[-2] < f.shape[-1]
    return Moments(mean, second, ((f - mean[..., None, :]) * share.sqrt()[:, None]).mT if few else None)


def gram_distance(x: Moments, target: Moments) -> Tensor:
    """Squared distance of Gram matrices. Gatys et al. 2016, eq. 4 but for the constant."""
    return (x.second - target.second).square().sum((-2, -1))


def wasserstein2(x: Moments, target: Moments, root: Tensor | None = None) -> Tensor:
    """Squared 2-Wasserstein distance of the normal distributions with these moments.

    |μx - μs|² + tr(Σx + Σs - 2 (Σs^½ Σx Σs^½)^½) (Olkin & Pukelsheim 1982). `root` is Σs^½, if it is known
    already. With fewer positions N than channels C, the trace of the root is taken of the N × N matrix
    Xᵀ Σs X, whose eigenvalues are the same.
    """
    mean_part = (x.mean - target.mean).square().sum(-1)
    if x.centred is not None:
        inner = x.centred.mT @ target.covariance @ x.centred  # (N, N)
    else:
        root = matrix_root(target.covariance) if root is None else root
        inner = root @ x.covariance @ root  # (C, C)
    return mean_part + _trace(x.covariance) + _trace(target.covariance) - 2 * trace_of_root(inner)


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def spread(features: Tensor) -> Tensor:
    """Variance of features (…, C, H, W) over positions, averaged over channels: the unit of the content's distance."""
    return features.flatten(-2).var(-1, correction=0).mean(-1)


def book_variation(pictures: Tensor) -> Tensor:
    """The textbook's total variation: Σ (dx² + dy²)^1.25 over pixels and channels of (N, C, H, W)."""
    inner = pictures[..., :-1, :-1]
    down = (inner - pictures[..., 1:, :-1]).square()
    across = (inner - pictures[..., :-1, 1:]).square()
    return (down + across).pow(1.25).sum()
