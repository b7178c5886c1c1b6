"""The function a stylised picture minimises, with its gradient, whole or in tiles.

The style is a function of moments, which are sums over positions, and the content is a sum over
positions. So a picture past the memory limit can be worked in tiles with the same result: a first
pass adds up the tiles' moments, the style loss gives its gradient with respect to them, and a second
pass carries that gradient, and the content's, back through each tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.backbones import Backbone
from gencli.core.images import total_variation
from gencli.core.tiles import Shapes, Tiling
from gencli.core.transport import matrix_root
from gencli.stylize import losses
from gencli.stylize.losses import Moments

TINY = 1e-8
CAFFE = 255 * 0.226  # the textbook's network took pictures in 0 … 255; ours are divided by the deviation
BOOK_CONTENT, BOOK_STYLE, BOOK_VARIATION = 2.5e-8, 1e-6, 1e-6


@dataclass(frozen=True)
class Weights:
    """What each part of the objective counts for."""

    content: Mapping[str, float]  # by layer
    style: Mapping[str, float]  # by layer
    styles: Sequence[float]  # one a style picture
    ratio: float = 1.0  # of all content to all style
    tv: float = 0.0
    loss: str = "gram"  # or w2
    book: bool = False  # the textbook's sums in place of relative distances


@dataclass(frozen=True)
class Style:
    """One style picture at one scale."""

    moments: Mapping[str, Moments]  # by layer
    roots: Mapping[str, Tensor]  # by layer, of the covariance; only for w2
    units: Mapping[str, Tensor]  # by layer: the photograph's distance from the style
    weight: float
    region: int  # which of the objective's regions it is compared with


class Objective:
    """Content + style + total variation of a picture (1, 3, H, W): a value and a gradient.

    What does not depend on the picture is computed once, here. Each layer's style distance is divided
    by that of the photograph, and each layer's content distance by the spread of the photograph's
    features: both are about 1 where nothing of it is there, at every size and in every network.

    `masks` (1, 1, H, W) in [0, 1], one a style, say where each style applies. `tile` is the side of
    the tiles in pixels; None works on the whole.
    """

    def __init__(
        self,
        backbone: Backbone,
        content: Tensor,
        styles: Sequence[Tensor],
        weights: Weights,
        masks: Sequence[Tensor] | None = None,
        tile: int | None = None,
    ) -> None:
        content_layers, style_layers = (
            {backbone.resolve(layer): weight for layer, weight in part.items()}
            for part in (weights.content, weights.style)
        )
        self.backbone, self.weights = backbone, replace(weights, content=content_layers, style=style_layers)
        self.tile = tile
        self.tiling = Tiling(backbone, content.shape[-2:], {*content_layers, *style_layers}, tile)
        self.area = content.shape[-2] * content.shape[-1]
        self.regions: list[dict[str, Tensor] | None] = [None]
        if masks is not None:
            self.regions = [self._region(mask) for mask in masks]
        with torch.no_grad():
            self.content = self._assemble(content)
            self.spread = {layer: losses.spread(f).clamp_min(TINY) for layer, f in self.content.items()}
            of_content = [self._gather(content, region) for region in self.regions]
            self.styles = []
            for i, style in enumerate(styles):
                self.styles.append(self._study(style, i, of_content))

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The objective's value (0-dim) and its gradient (1, 3, H, W)."""
        value, gradient = self._whole(picture) if len(self.tiling.windows) == 1 else self._tiled(picture)
        if self.weights.tv:
            x = picture.detach().requires_grad_()
            smoothness = self._variation(x)
            gradient += torch.autograd.grad(smoothness, x)[0]
            value += smoothness.detach()
        return value, gradient

    # ---------------------------------------------------------------- one pass, or two

    def _whole(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        x = picture.detach().requires_grad_()
        features = {layer: found.squeeze(0) for layer, found in self.backbone(x, self.tiling.layers).items()}
        present = [
            {
                layer: losses.moments(features[layer], None if region is None else region[layer])
                for layer in self.weights.style
            }
            for region in self.regions
        ]
        value = self._style_loss(present)
        for layer in self.weights.content:
            value = value + self._content_loss(layer, features[layer], self.content[layer])
        (gradient,) = torch.autograd.grad(value, x)
        return value.detach(), gradient

    def _tiled(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            gathered = [self._gather(picture, region) for region in self.regions]
        leaves = [
            {layer: Moments(m.mean.requires_grad_(), m.second.requires_grad_()) for layer, m in found.items()}
            for found in gathered
        ]
        with torch.enable_grad():
            value = self._style_loss(leaves)
        value.backward()  # into the moments
        total, gradient = value.detach(), torch.zeros_like(picture)
        for window in self.tiling.windows:
            x = picture[window.outer].detach().requires_grad_()
            carried = torch.zeros((), device=x.device)
            for layer, features, place in self.tiling.cores(x, window):
                for region, leaf in zip(self.regions, leaves, strict=True):
                    if layer in leaf:
                        part = losses.moments(features, self._share(layer, region, self.tiling.shapes)[place])
                        for moment, whole in ((part.mean, leaf[layer].mean), (part.second, leaf[layer].second)):
                            if whole.grad is not None:  # Gram matrices have no use for the mean
                                carried = carried + (moment * whole.grad).sum()
                if layer in self.weights.content:
                    content = self._content_loss(layer, features, self.content[layer][place])
                    total = total + content.detach()
                    carried = carried + content
            gradient[window.outer] += torch.autograd.grad(carried, x)[0]
        return total, gradient

    # ---------------------------------------------------------------- losses

    def _style_loss(self, present: Sequence[Mapping[str, Moments]]) -> Tensor:
        """Over styles and layers, from the moments of each region."""
        total = torch.zeros((), device=self.backbone.mean.device)
        for style in self.styles:
            for layer, weight in self.weights.style.items():
                distance = self._distance(present[style.region][layer], style, layer)
                total = total + style.weight * weight * distance / style.units[layer]
        return total

    def _distance(self, x: Moments, style: Style, layer: str) -> Tensor:
        if self.weights.loss == "w2":
            return losses.wasserstein2(x, style.moments[layer], style.roots[layer])
        return losses.gram_distance(x, style.moments[layer])

    def _content_loss(self, layer: str, features: Tensor, target: Tensor) -> Tensor:
        """Of a layer, or of a tile's part of it: its share of the mean over the whole picture."""
        squares = (features - target).square().sum()
        weight = self.weights.content[layer]
        if self.weights.book:
            return weight * BOOK_CONTENT * CAFFE**2 * squares
        return self.weights.ratio * weight * squares / self.content[layer].numel() / self.spread[layer]

    def _variation(self, x: Tensor) -> Tensor:
        if self.weights.book:
            return self.weights.tv * BOOK_VARIATION * losses.book_variation(255 * x)
        return self.weights.tv * total_variation(x)

    # ---------------------------------------------------------------- what is computed once

    def _study(self, style: Tensor, index: int, of_content: Sequence[Mapping[str, Moments]]) -> Style:
        """A style's moments, and for each layer the unit its distance is measured in."""
        region = index if len(self.regions) > 1 else 0
        found = self._gather(style, None)
        roots = {}
        if self.weights.loss == "w2":
            roots = {layer: matrix_root(m.covariance) for layer, m in found.items()}
        studied = Style(found, roots, {}, self.weights.styles[index], region)
        units = {}
        for layer in self.weights.style:
            if self.weights.book:
                height, width = self.tiling.shapes[layer]
                scale = (height * width * CAFFE**2) ** 2 / (4 * 3**2 * self.area**2)
                units[layer] = self.backbone.mean.new_tensor(1 / (BOOK_STYLE * scale))
            else:
                units[layer] = self._distance(of_content[region][layer], studied, layer).clamp_min(TINY)
        return replace(studied, units=units)

    def _region(self, mask: Tensor) -> dict[str, Tensor]:
        """A mask (1, 1, H, W) as each style layer's shares (h, w), which add up to one."""
        found = {layer: F.adaptive_avg_pool2d(mask, self.tiling.shapes[layer])[0, 0] for layer in self.weights.style}
        return {layer: share / share.sum().clamp_min(TINY) for layer, share in found.items()}

    def _assemble(self, picture: Tensor) -> dict[str, Tensor]:
        """The whole picture's features of the content layers, from tiles."""
        whole: dict[str, Tensor] = {}
        for window in self.tiling.windows:
            for layer, features, place in self.tiling.cores(picture[window.outer], window, self.weights.content):
                if len(self.tiling.windows) == 1:
                    whole[layer] = features
                    continue
                if layer not in whole:
                    whole[layer] = features.new_empty(len(features), *self.tiling.shapes[layer])
                whole[layer][place] = features
        return whole

    def _gather(self, picture: Tensor, region: Mapping[str, Tensor] | None) -> dict[str, Moments]:
        """The whole picture's moments of the style layers, added up over tiles."""
        tiling = Tiling(self.backbone, picture.shape[-2:], self.weights.style, self.tile)
        total: dict[str, Moments] = {}
        for window in tiling.windows:
            for layer, features, place in tiling.cores(picture[window.outer], window):
                alike = region is None and len(tiling.windows) == 1
                share = None if alike else self._share(layer, region, tiling.shapes)[place]
                part = losses.moments(features, share)
                before = total.get(layer)
                total[layer] = Moments(before.mean + part.mean, before.second + part.second) if before else part
        return total

    def _share(self, layer: str, region: Mapping[str, Tensor] | None, shapes: Shapes) -> Tensor:
        """The share of each position of a layer (h, w) in its moments."""
        if region is None:
            height, width = shapes[layer]
            return self.backbone.mean.new_full((1, 1), 1 / (height * width)).expand(height, width)
        return region[layer]
