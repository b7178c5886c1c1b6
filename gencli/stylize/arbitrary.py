"""A painter that takes any style (Huang & Belongie 2017), with no training for it.

It is built as the painters of some styles are, and sees the photograph as they do; what it is to paint, it is told
twice. At each layer of the backbone there is a map of least change that gives the photograph's features the mean and
the covariance they have in the style (whitening and colouring: Li et al. 2017; the map: Lu et al. 2019): it sees the
features, and where they are to go. What strokes a style has that does not say. So the norms' scales and shifts depend
on the style, by a code that is predicted from its statistics (Ghiasi et al. 2017).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gencli.core.backbones import INPUT, Backbone, half_as_large
from gencli.core.device import precisely
from gencli.core.tiles import windows
from gencli.stylize import feedforward
from gencli.stylize.feedforward import Form, Painter, padded
from gencli.stylize.layers import StyleNorm
from gencli.stylize.losses import Moments
from gencli.stylize.whitening import Looks, Map, Wish, maps_of, moments_of, moved

LEAST = 0.2  # statistics of styles are taken to vary by so much at least, of what is usual in their layer
OWN = 0.7  # how much styles differ in their norms in the beginning
LEARNT = 0.2  # and where the rest of the network has learnt to paint already


class AnyStyle(nn.Module):
    """Photographs (N, 3, H, W) in [0, 1] to paintings in the styles that are wished for.

    `usual` and `vary` are the mean and the deviation of styles' statistics.
    """

    usual: Tensor
    vary: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.painter = Painter(form)
        statistics = 2 * (3 + sum(form.channels))
        self.register_buffer("usual", torch.zeros(statistics))
        self.register_buffer("vary", torch.ones(statistics))
        self.code = nn.Linear(statistics, form.code)

    @property
    def form(self) -> Form:
        return self.painter.form

    @property
    def layers(self) -> tuple[str, ...]:
        """Those a style is looked at in."""
        return (INPUT, *self.form.layers)

    def forward(
        self,
        encoder: Backbone,
        pictures: Tensor,
        wish: Wish,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """`draw` gives noise, else it is always the same. In tiles of a side of `tile` pixels a picture is the same,
        and needs less memory; there are no gradients then."""
        height, width = pictures.shape[-2:]
        given = self._padded(_recolored(pictures, wish))
        if wish.region is not None:
            wish = replace(wish, region=self._padded(wish.region[None])[0])
        maps = None
        if tile is not None and max(given.shape[-2:]) > tile:
            maps = _maps_in_tiles(encoder, given, wish, self.form.layers, tile)
        painted = self.painter.painted(Seeing(encoder, wish, maps), given, self.shares(wish), draw, tile)
        return painted[..., :height, :width]

    def _padded(self, pictures: Tensor) -> Tensor:
        return padded(pictures, self.form.stride, 2 * self.form.stride)

    def shares(self, wish: Wish) -> Tensor:
        """How much there is of the photograph, of what styles have in common, and of each number of the codes of those
        that are wished for, or of the mixture of theirs: (N, 2 + `code`)."""
        found = (statistics(wish.looks, self.layers).to(self.vary) - self.usual) / self.vary
        of_styles = torch.tanh(self.code(found)) / self.form.code**0.5  # or its rows together would learn too fast
        mixed = torch.einsum("ns,nsk->nk", wish.shares.to(of_styles), of_styles)
        strengths = wish.strengths.to(mixed)[:, None]
        return torch.cat([1 - strengths, strengths, strengths * mixed], 1)


@dataclass(frozen=True)
class Seeing:
    """What an encoder sees of pictures, and beside it by what that is to change; of a part of a picture only where the
    `maps` of the whole are known."""

    encoder: Backbone
    wish: Wish
    maps: Mapping[str, Map] | None = None

    def __call__(self, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Of each layer features (N, 2 C, h, w)."""
        found = {}
        for layer, features in self.encoder(pictures, layers).items():
            maps = self.maps[layer] if self.maps else _maps(features, layer, self.wish)
            found[layer] = torch.cat([features, moved(features, maps)], 1)
        return found

    def reach(self, layer: str) -> tuple[int, int]:
        return self.encoder.reach(layer)


def statistics(looks: Looks, layers: Sequence[str]) -> Tensor:
    """Of styles (N, S, …) the means and the deviations of all features, (N, S, 2 C)."""
    each = [(looks.mean[layer], looks.root[layer].square().sum(-1).sqrt()) for layer in layers]
    return torch.cat([numbers for both in each for numbers in both], -1)


@torch.no_grad()
def initialise(net: AnyStyle, draw: torch.Generator, styles: Looks, start: Painter | None = None) -> None:
    """As painters; or from one of some styles that has learnt to paint. `styles` (1, S, …) are examples."""
    # what styles have in common says nothing: codes of raw statistics are all alike, and so would be the strokes
    found = statistics(styles, net.layers)[0]
    usual = [
        (styles.mean[layer].square() + styles.root[layer].square().sum(-1)).mean().sqrt().expand(2 * channels)
        for layer, channels in zip(net.layers, (3, *net.form.channels), strict=True)
    ]
    net.usual.copy_(found.mean(0))
    net.vary.copy_(found.std(0, correction=0).maximum(LEAST * torch.cat(usual).to(found)))
    net.code.weight.normal_(0, net.code.in_features**-0.5, generator=draw)
    net.code.bias.zero_()
    feedforward.initialise(net.painter, draw)
    if start is not None:
        _take_over(net.painter, start)
    own = OWN if start is None else LEARNT
    for module in net.modules():
        if isinstance(module, StyleNorm):
            module.scale[2:].normal_(0, own, generator=draw)
            module.shift[2:].normal_(0, own, generator=draw)
    for grain in net.painter.grain:
        grain[2:] *= own


def _take_over(net: Painter, start: Painter) -> None:
    """Give a painter of any style what another of that form knows: of the styles' rows their mean, and nothing yet of
    where features are to go."""
    known = start.state_dict()
    for name, own in net.state_dict().items():
        old = known[name]
        if name.endswith(("norm.scale", "norm.shift")) or name.startswith("grain"):
            own[0].copy_(old[0])
            own[1].copy_(old[1:].mean(0))
        elif own.shape != old.shape:  # a layer that sees twice as much
            own.zero_()
            own[:, : old.shape[1]].copy_(old)
        else:
            own.copy_(old)


@torch.no_grad()
def _recolored(pictures: Tensor, wish: Wish) -> Tensor:
    """Photographs in the styles' colours, as far as they are to come."""
    colors = precisely(pictures)
    return (colors + moved(colors, _maps(colors, INPUT, wish))).to(pictures).clamp(0, 1)


@torch.no_grad()
def _maps(features: Tensor, layer: str, wish: Wish) -> Map:
    with torch.autocast(features.device.type, enabled=False):  # moments need the precision
        return maps_of(moments_of(features, wish.counts(features.shape[-2:])), layer, wish)


@torch.no_grad()
def _maps_in_tiles(
    encoder: Backbone, picture: Tensor, wish: Wish, layers: Sequence[str], tile: int
) -> Mapping[str, Map]:
    """Maps of a whole picture, whose moments are added up over tiles."""
    half = half_as_large(picture)
    reaches = {layer: encoder.reach(layer) for layer in layers}
    shapes = {layer: (half.shape[-2] // stride, half.shape[-1] // stride) for layer, (stride, _) in reaches.items()}
    counts = {layer: wish.counts(shape) for layer, shape in shapes.items()}
    stride, around = (max(numbers) for numbers in zip(*reaches.values(), strict=True))
    total = dict[str, Moments]()
    for window in windows(half.shape[-2], half.shape[-1], tile // 2, stride, around):
        for layer, features in encoder(half[window.outer], layers).items():
            shape, stride = shapes[layer], reaches[layer][0]
            count = counts[layer]
            count = half.new_full(shape, 1 / (shape[0] * shape[1])) if count is None else count
            with torch.autocast(picture.device.type, enabled=False):
                core = window.core(features[0], stride, shape)[None]
                part = moments_of(core, count[window.place(stride, shape)])
            before = total.get(layer)
            total[layer] = Moments(before.mean + part.mean, before.second + part.second) if before else part
    with torch.autocast(picture.device.type, enabled=False):
        return {layer: maps_of(moments, layer, wish) for layer, moments in total.items()}
