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

from gencli.core.backbones import Backbone
from gencli.core.device import Runtime
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


@dataclass(frozen=True)
class Wish:
    """What is wanted of N pictures: `looks`; how strongly, (N,) in (0, 1]; and what share each style has in each of R
    regions, (N, R, S), which add up to 1 for each region.

    `regions` (R, H, W) in [0, 1], of a single picture, say where they are; without them there is one, which is
    everywhere. Where there is none the photograph stays.
    """

    looks: Looks
    strengths: Tensor
    shares: Tensor
    regions: Tensor | None = None

    def mixture(self) -> Tensor:
        """How much there is of each style in the whole pictures (N, S)."""
        if self.regions is None:
            return self.shares.mean(1)
        areas = self.regions.mean((-2, -1)).to(self.shares)
        return (self.shares * (areas / areas.sum())[:, None]).sum(1)

    def at(self, size: Sequence[int]) -> Tensor | None:
        """The regions in so many rows and columns."""
        return None if self.regions is None else F.adaptive_avg_pool2d(self.regions, (size[0], size[1]))


Map: TypeAlias = tuple[Tensor, Tensor]  # of R regions matrices (N, R, C, C), or kernels, and offsets (N, R, C)


@torch.no_grad()
def look_at(encoder: Backbone, styles: Sequence[Tensor], layers: Sequence[str], runtime: Runtime) -> Looks:
    """What is to be known of styles (1, 3, h, w) to paint one picture in them."""
    with runtime.autocast():
        seen = [encoder(style, layers) for style in styles]
    found = {layer: [losses.moments(widened(each[layer]).squeeze(0)) for each in seen] for layer in layers}
    means = {layer: torch.stack([one.mean for one in each])[None] for layer, each in found.items()}
    roots = {layer: matrix_root(torch.stack([one.covariance for one in each]))[None] for layer, each in found.items()}
    return Looks(means, roots)


def everywhere(regions: Tensor | None) -> Tensor | None:
    """Regions (R, h, w), and what they leave: (R + 1, h, w)."""
    return None if regions is None else torch.cat([regions, 1 - regions.sum(0, keepdim=True)])


def even(regions: Tensor) -> Tensor:
    """Regions (R, h, w) as shares of positions, which add up to 1 in each."""
    return regions / regions.sum((-2, -1), keepdim=True).clamp_min(TINY)


def moments_of(features: Tensor, shares: Tensor | None) -> Moments:
    """Moments of features (N, C, h, w): means (N, 1, C) and so on; or of a single picture's in R regions, whose
    positions have such shares (R, h, w): means (1, R, C)."""
    features = widened(features)
    if shares is None:
        found = losses.moments(features)
        return Moments(found.mean[:, None], found.second[:, None])
    each = [losses.moments(features.squeeze(0), share) for share in shares.to(features)]
    return Moments(torch.stack([one.mean for one in each])[None], torch.stack([one.second for one in each])[None])


@torch.no_grad()
def maps_of(moments: Moments, layer: str, wish: Wish, unit: float = 1.0) -> Map:
    """Maps that say of features with such moments (N, R, …) by what they are to change, in such a unit."""
    mean, root = (one[layer][:, None].to(moments.mean) for one in (wish.looks.mean, wish.looks.root))
    shares = wish.shares.to(moments.mean)
    there = torch.einsum("nrs,nrsij->nrij", shares, transport(moments.covariance[:, :, None], root, FLAT))
    wanted = torch.einsum("nrs,nrsi->nri", shares, mean.expand(-1, shares.shape[1], -1, -1))
    come = (unit / (1 + content_weight(wish.strengths.to(moments.mean))))[:, None, None]
    offset = come * (wanted - (there @ moments.mean[..., None]).squeeze(-1))
    return come[..., None] * (there - torch.eye(there.shape[-1], dtype=there.dtype, device=there.device)), offset


def moved(features: Tensor, maps: Map, regions: Tensor | None) -> Tensor:
    """The changes (N, C, h, w) that maps make of features, where the regions (R, h, w) are."""
    rows, total = positions(features), None
    for region, (matrix, offset) in enumerate(zip(*(one.to(rows).unbind(1) for one in maps), strict=True)):
        change = torch.baddbmm(offset[:, None], rows, matrix.mT).unflatten(1, features.shape[-2:]).movedim(-1, 1)
        change = change if regions is None else change * regions[region].to(change)
        total = change if total is None else total + change
    assert total is not None
    return total


def errors(weight: Tensor, unit: float, of_canvas: Map, of_photographs: Map, *, masked: bool = False) -> Map:
    """Kernels (N, R, D, 2 C, 3, 3) and offsets (N, R, D) for features of the canvas and of the photographs, one after
    another: the convolution with `weight` (D, 2 C, 3, 3) of how far the canvas is from the style, and from the
    photographs in the style. All of that is linear, and done at once.

    With regions the last of them is for where there is none.
    """
    style, content = widened(weight).chunk(2, 1)
    eye = unit * torch.eye(style.shape[1], dtype=style.dtype, device=style.device)
    (to_style, there), (photographs_to_style, wanted) = (
        tuple(part.to(style) for part in one) for one in (of_canvas, of_photographs)
    )
    together = "dcyx,nrck->nrdkyx"
    kernels = torch.cat(
        [
            torch.einsum(together, style, to_style) - unit * content,
            torch.einsum(together, content, photographs_to_style + eye),
        ],
        3,
    )
    offset = there @ style.sum((2, 3)).mT + wanted @ content.sum((2, 3)).mT
    if masked:
        nowhere = unit * torch.cat([-content, content], 1).expand_as(kernels[:, :1])
        kernels, offset = torch.cat([kernels, nowhere], 1), F.pad(offset, (0, 0, 0, 1))
    return kernels, offset


def convolved(features: Tensor, maps: Map, regions: Tensor | None) -> Tensor:
    """Features (N, C, h, w) convolved with `kernels` (N, R, D, C, 3, 3), offsets added: of each region its own where it
    is, (N, D, h, w)."""
    count = len(features)
    apart = F.pad(features, (1, 1, 1, 1), mode="reflect").flatten(0, 1)[None]
    total = None
    for region, (kernels, offset) in enumerate(zip(*(one.to(features).unbind(1) for one in maps), strict=True)):
        found = F.conv2d(apart, kernels.flatten(0, 1), offset.flatten(), groups=count)
        found = found.unflatten(1, (count, -1)).squeeze(0)
        found = found if regions is None else found * regions[region].to(found)
        total = found if total is None else total + found
    assert total is not None
    return total
