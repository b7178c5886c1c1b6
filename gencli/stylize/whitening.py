"""Maps of least change: by what a picture's features are to change to have the mean and the covariance they have in a
style.

Whitening and colouring is Li et al. 2017; the map that changes least is Lu et al. 2019. How far features are from where
it takes them is, but for a factor, the gradient of what `stylize` minimises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.backbones import Backbone, half_as_large
from gencli.core.device import Runtime, precisely
from gencli.core.transport import matrix_root, transport
from gencli.stylize import losses
from gencli.stylize.feedforward import widened
from gencli.stylize.losses import Moments, content_weight, positions
from gencli.stylize.objective import TINY

FLAT = 1e-3  # features vary by such a share of the style's mean variance at least: what is flat is not blown up


@dataclass(frozen=True)
class Looks:
    """Styles as the encoder sees them: of each layer the means (N, S, C) and the roots of the covariances (N, S, C, C)
    of the S styles that each of N pictures is to be painted in."""

    mean: Mapping[str, Tensor]
    root: Mapping[str, Tensor]

    @staticmethod
    def together(each: Sequence[Looks]) -> Looks:
        """Those of several pictures."""
        parts = ([getattr(looks, part) for looks in each] for part in ("mean", "root"))
        return Looks(*({layer: torch.cat([one[layer] for one in found]) for layer in found[0]} for found in parts))


@dataclass(frozen=True)
class Wish:
    """What is wanted of N pictures: `looks`; how strongly, (N,) in (0, 1]; and what share each style has (N, S), which
    add up to 1. Of a single picture it may be wanted for a `region` (H, W) in [0, 1] of it."""

    looks: Looks
    strengths: Tensor
    shares: Tensor
    region: Tensor | None = None

    def counts(self, size: Sequence[int]) -> Tensor | None:
        """How much each position of features of that size counts (h, w), where they do not all count the same: they add
        up to 1."""
        if self.region is None:
            return None
        there = F.adaptive_avg_pool2d(self.region[None], (size[0], size[1]))[0]
        return there / there.sum().clamp_min(TINY)


Map: TypeAlias = tuple[Tensor, Tensor]  # matrices (N, C, C) and offsets (N, C)


@torch.no_grad()
def look_at(encoder: Backbone, styles: Sequence[Tensor], layers: Sequence[str], runtime: Runtime) -> Looks:
    """What is to be known of styles (1, 3, h, w) to paint one picture in them: made half as large, as the picture will
    be for the encoder."""
    with runtime.autocast():
        seen = [encoder(half_as_large(style), layers) for style in styles]
    found = {layer: [losses.moments(widened(each[layer]).squeeze(0)) for each in seen] for layer in layers}
    means = {layer: torch.stack([one.mean for one in each])[None] for layer, each in found.items()}
    roots = {layer: matrix_root(torch.stack([one.covariance for one in each]))[None] for layer, each in found.items()}
    return Looks(means, roots)


def moments_of(features: Tensor, counts: Tensor | None) -> Moments:
    """Moments of pictures' features (N, C, h, w); or of a single one's, whose positions count so much (h, w)."""
    features = precisely(features)  # whitening magnifies what rounding does to them
    if counts is None:
        return losses.moments(features)
    found = losses.moments(features.squeeze(0), counts.to(features))
    return Moments(found.mean[None], found.second[None])


@torch.no_grad()
def maps_of(moments: Moments, layer: str, wish: Wish) -> Map:
    """Maps that say of features with such moments (N, …) by what they are to change."""
    mean, root = (one[layer].to(moments.mean) for one in (wish.looks.mean, wish.looks.root))
    shares = wish.shares.to(moments.mean)
    there = torch.einsum("ns,nsij->nij", shares, transport(moments.covariance[:, None], root, FLAT))
    wanted = torch.einsum("ns,nsi->ni", shares, mean)
    come = (1 / (1 + content_weight(wish.strengths.to(moments.mean))))[:, None]
    offset = come * (wanted - (there @ moments.mean[..., None]).squeeze(-1))
    return come[..., None] * (there - torch.eye(there.shape[-1], dtype=there.dtype, device=there.device)), offset


def moved(features: Tensor, maps: Map) -> Tensor:
    """The changes (N, C, h, w) that maps make of features."""
    rows, (matrix, offset) = positions(features), (one.to(features) for one in maps)
    return torch.baddbmm(offset[:, None], rows, matrix.mT).unflatten(1, features.shape[-2:]).movedim(-1, 1)
