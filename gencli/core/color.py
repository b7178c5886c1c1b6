"""Keeping a photograph's colours while it is repainted (Gatys et al. 2016, "Preserving Color")."""

from __future__ import annotations

import torch
from torch import Tensor

from gencli.core.device import precisely
from gencli.core.transport import matrix_root, spread, transport

# ITU-R BT.601 luma and the two colour differences
_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def match_color(style: Tensor, content: Tensor, how: str) -> Tensor:
    """A style picture (1, 3, H, W) in the content picture's colours.

    `covariance` maps the mean and covariance of the colours (the affine map that changes them least),
    `histogram` each channel's whole distribution, `luminance` the mean and deviation of the luma.
    """
    if how == "covariance":
        return _match_covariance(style, content)
    if how == "histogram":
        return _match_histogram(style, content)
    own, wanted = luma(style), luma(content)
    scale = wanted.std(correction=0) / own.std(correction=0).clamp_min(1e-4)
    return ((own - own.mean()) * scale + wanted.mean()).expand(-1, 3, -1, -1)


def luma(pictures: Tensor) -> Tensor:
    """(N, 3, H, W) → its luma (N, 1, H, W)."""
    weights = _YCC[0].to(pictures).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def with_color_of(painted: Tensor, content: Tensor) -> Tensor:
    """The luma of `painted` and the colour differences of `content`, both (1, 3, H, W)."""
    to_ycc = _YCC.to(content)
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, content)
    ycc = torch.cat([luma(painted), ycc[:, 1:]], 1)
    return torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_ycc), ycc)


def _match_covariance(style: Tensor, content: Tensor) -> Tensor:
    own, wanted = precisely(style.flatten(2)), precisely(content.flatten(2))
    (mean, covariance), (wanted_mean, wanted_covariance) = spread(own), spread(wanted)
    matched = transport(covariance, matrix_root(wanted_covariance)) @ (own - mean) + wanted_mean
    return matched.view_as(style).to(style)


def _match_histogram(style: Tensor, content: Tensor) -> Tensor:
    """Each value of a channel becomes the content's value of the same rank."""
    matched = torch.empty_like(style)
    for channel in range(3):
        own, wanted = style[0, channel].flatten(), content[0, channel].flatten().sort().values
        rank = own.argsort(stable=True).argsort()
        position = (precisely(rank) + 0.5) / len(own) * len(wanted)
        matched[0, channel] = wanted[position.long().clamp_max(len(wanted) - 1)].view_as(style[0, channel])
    return matched
