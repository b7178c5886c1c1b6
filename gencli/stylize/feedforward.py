"""A network that paints in a style at one look (Johnson et al. 2016), or in several, and between them (Dumoulin et al.
2017).

The published one shrinks the picture by and by, changes it where it is small, and enlarges it again. Edges are
reflected and not black, each feature map is normalised over its own picture (Ulyanov et al. 2016), and pictures are
enlarged before a convolution and not by one, which leaves checkerboards (Odena et al. 2016).

gencli's need not learn to see: a trained backbone looks at the photograph, made half as large, and what it sees at each
size is there on the way up (Ronneberger et al. 2015). Nor does it draw the whole picture, but a change of the
photograph, whose colours have been moved towards the style's before. Noise is mixed in where it changes the picture,
for strokes must come from somewhere in a clear sky.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.backbones import half_as_large
from gencli.core.device import generator, precisely
from gencli.core.tiles import Window, collected_over, moments_over, windows
from gencli.core.transport import matrix_root, spread, transport
from gencli.stylize.layers import Block, Layer, StyleNorm
from gencli.stylize.losses import content_weight

FLAT = 0.02  # a photograph's colours vary by such a share of the style's variance at least, so that noise stays small
DARKEST = 0.02  # a photograph is kept so far from black and white that changes of its logit show
GRAIN = 0.5  # how strong the noise is in the beginning, all its maps together
SEED = 7  # of the noise a picture is painted with: the same for all, so that a film does not flicker


@dataclass(frozen=True)
class Form:
    """How a painter is built: how many `styles` it knows, or for any style how many numbers a style's `code` has; its
    channels at full size, half, and so on, `widths`, and its residual `blocks` there, none at full size; the side in
    pixels of the first and the last convolution; maps of `noise` wherever there are blocks. What the backbone sees of
    the photograph at half size, a quarter, and so on: its `layers` and their `channels`. Without, the painter sees with
    layers of its own, as was published."""

    styles: int = 1
    widths: tuple[int, ...] = (12, 24, 48, 64, 64)
    blocks: tuple[int, ...] = (0, 0, 2, 2, 2)
    ends: int = 5
    noise: int = 8
    layers: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    code: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Form:
        """What `dataclasses.asdict` made, and JSON kept."""
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**kept)

    @property
    def rows(self) -> int:
        """Of the tables of norms: for the photograph and for each style; or for the photograph, for what all styles
        have in common, and for each number of a code."""
        return 2 + self.code if self.code else 1 + self.styles

    @property
    def given(self) -> tuple[int, ...]:
        """Channels that are given at half size, a quarter, and so on: for any style twice the backbone's."""
        return tuple(2 * channels if self.code else channels for channels in self.channels)

    @property
    def stride(self) -> int:
        """Pixels a side that are one position of the smallest features."""
        return 1 << (len(self.widths) - 1)

    @property
    def fine(self) -> int:
        """How many of the sizes, from the full one, have no blocks."""
        return next(size for size, blocks in enumerate(self.blocks) if blocks)


class Seer(Protocol):
    """What a painter sees with: a backbone, or one that is told what to look for."""

    def __call__(self, pictures: Tensor, layers: Sequence[str]) -> dict[str, Tensor]: ...

    def reach(self, layer: str) -> tuple[int, int]: ...


class Painter(nn.Module):
    """Photographs (N, 3, H, W) in [0, 1] to paintings, in such shares of the photograph and of each style (N, 1 + S),
    which add up to 1.

    `mean` (S, 3) and `root` (S, 3, 3) are the mean of each style's colours and the root of their covariance.
    """

    mean: Tensor
    root: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        widths, rows = form.widths, form.rows
        sizes = [*zip(widths, form.blocks, strict=True)]
        smaller = [Layer(rows, 3, widths[0], form.ends)]
        if form.layers:
            of_backbone = zip(form.given, sizes[1:], strict=True)
            smaller += [Layer(rows, given, width, 3 if blocks else 1) for given, (width, blocks) in of_backbone]
        else:
            smaller += [Layer(rows, *pair, down=2) for pair in pairwise(widths)]
        larger = [Layer(rows, after, before, larger=True) for before, after in pairwise(widths)]
        self.smaller, self.larger = nn.ModuleList(smaller), nn.ModuleList(larger)
        self.blocks = nn.ModuleList(nn.ModuleList(Block(rows, width) for _ in range(blocks)) for width, blocks in sizes)
        self.grain = nn.ParameterList(torch.zeros(rows, form.noise if blocks else 0, width) for width, blocks in sizes)
        self.last = nn.Conv2d(widths[0], 3, form.ends, 1, form.ends // 2, padding_mode="reflect")
        if form.styles:
            self.register_buffer("mean", torch.zeros(form.styles, 3))
            self.register_buffer("root", torch.zeros(form.styles, 3, 3))

    def forward(
        self,
        encoder: Seer | None,
        pictures: Tensor,
        shares: Tensor,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """The backbone is `encoder`, for a painter that has layers of it.

        `draw` gives noise, else it is always the same. In tiles of a side of `tile` pixels a picture is the same, and
        needs less memory; there are no gradients then.
        """
        return self.painted(encoder, self.recolored(pictures, shares), shares, draw, tile)

    def painted(
        self,
        encoder: Seer | None,
        there: Tensor,
        shares: Tensor,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """The same of photographs whose colours have been moved."""
        height, width = there.shape[-2:]
        in_tiles = tile is not None and max(height, width) > tile
        given = padded(there, self.form.stride, 2 * self.form.stride)
        if in_tiles:
            change = _found_in_tiles(self, encoder, given, shares, tile)
        else:
            change = self.found(encoder, given, shares, draw)
        change = widened(change[..., :height, :width])
        return torch.sigmoid(change + torch.logit(there, DARKEST) if self.form.layers else change)

    @torch.no_grad()
    def recolored(self, pictures: Tensor, shares: Tensor) -> Tensor:
        """Photographs whose colours were moved towards the styles', as far as such shares let a painting come."""
        if not self.form.layers:
            return pictures
        colors = widened(pictures.flatten(2))
        mean, covariance = spread(precisely(colors))
        shares, mean_wanted, root = map(precisely, (shares, self.mean, self.root))
        strength = (1 - shares[:, 0]).clamp_min(1e-3)
        maps = transport(covariance[:, None], root, FLAT)  # (N, S, 3, 3)
        wanted = shares[:, 1:] / strength[:, None]
        there = torch.einsum("ns,nsij->nij", wanted, maps)
        offset = (wanted @ mean_wanted)[..., None] - there @ mean
        come = (1 / (1 + content_weight(strength)))[:, None, None].to(colors)
        with torch.autocast(colors.device.type, enabled=False):
            moved = torch.baddbmm(offset.to(colors), there.to(colors), colors)
        return torch.lerp(colors, moved, come).view_as(pictures).to(pictures).clamp(0, 1)

    def found(self, encoder: Seer | None, given: Tensor, shares: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """What the network finds in pictures (N, 3, H, W), of their size."""
        seen = self.seen(encoder, given, shares)
        x = self.coarse(seen[self.form.fine :], shares, draw)
        for size in reversed(range(self.form.fine)):
            x = self.enlarged(size, x, seen[size], shares)
        return self.drawn(x)

    def drawn(self, x: Tensor) -> Tensor:
        """The change (N, 3, H, W), from the features at full size."""
        # kernels for contiguous memory make eight channels at a time, of which three are wanted
        change: Tensor = self.last(x.contiguous(memory_format=torch.channels_last))
        return change

    def seen(self, encoder: Seer | None, given: Tensor, shares: Tensor, sizes: int | None = None) -> list[Tensor]:
        """Features of pictures at each of the sizes, or at the first of them."""
        layers = self.smaller[:sizes]
        if not self.form.layers:
            return [*accumulate(layers, lambda before, layer: layer(before, shares), initial=given)][1:]
        looked_at = self.looked_at(encoder, given, len(layers))
        return [layer(x, shares) for layer, x in zip(layers, looked_at, strict=True)]

    def unnormed(self, encoder: Seer | None, given: Tensor, shares: Tensor, size: int) -> Tensor:
        """What comes to the norm of those at one size."""
        if self.form.layers:
            x = self.looked_at(encoder, given, size + 1)[-1]
        else:
            x = [given, *self.seen(encoder, given, shares, size)][-1]
        return cast("Layer", self.smaller[size]).seen(x)

    @torch.no_grad()
    def looked_at(self, encoder: Seer | None, given: Tensor, sizes: int) -> list[Tensor]:
        """Pictures, and what the backbone sees of them at the next sizes."""
        if sizes == 1:
            return [given]
        assert encoder is not None
        features = encoder(half_as_large(given), self.form.layers[: sizes - 1])
        return [given, *features.values()]

    def coarse(self, seen: Sequence[Tensor], shares: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """Features at the largest size that has blocks, from those `seen` there and at all smaller ones."""
        fine, last = self.form.fine, len(self.form.widths) - 1
        x, draw, each = seen[-1], draw or generator(SEED), draw is not None
        for size in reversed(range(fine, last + 1)):
            if size < last:
                x = self.enlarged(size, x, seen[size - fine], shares)
            if len(self.grain[size][0]):
                of = len(x) if each else 1
                noise = torch.randn(of, self.form.noise, *x.shape[2:], generator=draw, device=draw.device)
                gains = torch.einsum("nr,rkc->nkc", shares, self.grain[size])
                x = x + torch.einsum("nkhw,nkc->nchw", noise.to(x), gains.to(x.dtype))
            for block in cast("nn.ModuleList", self.blocks[size]):
                x = block(x, shares)
        return x

    def enlarged(self, size: int, x: Tensor, seen: Tensor, shares: Tensor) -> Tensor:
        """Features at a size, from those at half of it and from what was seen there."""
        found: Tensor = self.larger[size](x, shares)
        return found + seen if self.form.layers else found


def initialise(net: Painter, draw: torch.Generator, styles: Sequence[Tensor] = ()) -> None:
    """Normal weights after He et al. 2015; of the last layer zeros: a painter that draws changes begins with none.

    `styles` are the pictures (1, 3, h, w) whose colours it is to know.
    """
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
                if module.bias is not None:
                    module.bias.zero_()
        net.last.weight.zero_()
        for grain in net.grain:
            grain.normal_(0, GRAIN / max(1, net.form.noise) ** 0.5, generator=draw)
        for index, style in enumerate(styles):
            mean, covariance = spread(precisely(style[0].flatten(1)))
            net.mean[index], net.root[index] = mean[:, 0], matrix_root(covariance)


def take_over(net: Painter, start: Painter, begin: Sequence[int]) -> None:
    """Give a painter the weights of another of its form, but for the styles: each begins as that style of the other
    which `begin` says."""
    rows, known = [0, *(1 + style for style in begin)], start.state_dict()
    with torch.no_grad():
        for name, own in net.state_dict().items():
            if name.endswith(("norm.scale", "norm.shift")) or name.startswith("grain"):
                own.copy_(known[name][rows])
            elif name not in {"mean", "root"}:
                own.copy_(known[name])


def widened(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def padded(pictures: Tensor, stride: int, least: int = 0) -> Tensor:
    """(…, H, W), its sides multiples of `stride` and at least `least`: the rest is reflected from the right and the
    lower edge, or where there is too little to reflect, more of the same."""
    down, across = (max(-side % stride, least - side) for side in pictures.shape[-2:])
    if not down and not across:
        return pictures
    enough = down < pictures.shape[-2] and across < pictures.shape[-1]
    return F.pad(pictures, (0, across, 0, down), mode="reflect" if enough else "replicate")


@torch.no_grad()
def _found_in_tiles(net: Painter, encoder: Seer | None, whole: Tensor, shares: Tensor, tile: int | None) -> Tensor:
    """What `found` finds, without the features at the fine sizes ever being there as a whole; those at the others take
    no more memory than the picture.

    Norms need the whole picture's mean and variance. They are summed up over tiles, one after another, for each depends
    on those before.
    """
    form, size = net.form, (whole.shape[-2], whole.shape[-1])
    reach = 2 * (encoder.reach(form.layers[-1])[1] if encoder and form.layers else form.stride)
    tiles = windows(*size, tile, form.stride, reach + 2 * (form.ends + form.stride))
    smaller, larger = (cast("list[Layer]", [*layers]) for layers in (net.smaller, net.larger))

    def down(window: Window, depth: int) -> Tensor:
        """What comes to a norm of what is seen."""
        return net.unnormed(encoder, whole[window.outer], shares, depth)

    def up(window: Window, depth: int) -> Tensor:
        """What comes to a norm on the way up; to the one before the first, what comes out."""
        x, seen = coarse[window.around(1 << form.fine)], net.seen(encoder, whole[window.outer], shares, form.fine)
        for there in reversed(range(depth + 1, form.fine)):
            x = net.enlarged(there, x, seen[there], shares)
        return net.drawn(x) if depth < 0 else larger[depth].seen(x)

    try:
        kept = []
        for depth, layer in enumerate(smaller):
            if depth < form.fine:
                layer.norm.known = moments_over(tiles, partial(down, depth=depth), 1 << depth, size)
            else:
                entered = collected_over(tiles, partial(down, depth=depth), 1 << depth, size)
                exact = widened(entered)
                layer.norm.known = exact.mean((0, 2, 3)), exact.var((0, 2, 3), correction=0)
                kept.append(layer.norm(entered, shares).relu_())
        coarse = net.coarse(kept, shares)
        for depth in reversed(range(form.fine)):
            larger[depth].norm.known = moments_over(tiles, partial(up, depth=depth), 1 << depth, size)
        return collected_over(tiles, partial(up, depth=-1), 1, size)
    finally:
        for module in net.modules():
            if isinstance(module, StyleNorm):
                module.known = None
