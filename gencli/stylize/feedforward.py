"""A network that paints in a style at one look (Johnson et al. 2016), or in several, and between them (Dumoulin et al.
2017).

It shrinks the picture to a quarter, changes it there, and enlarges it again. Edges are reflected and not black, each
feature map is normalised over its own picture (Ulyanov et al. 2016), and pictures are enlarged before a convolution and
not by one, which leaves checkerboards (Odena et al. 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.tiles import Window, windows

EPSILON = 1e-5  # of a norm
Part = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Form:
    """How a painter is built: how many `styles` it knows; its channels at full size, half, and so on; residual
    `blocks` at the smallest; the side in pixels of the first and the last convolution; and whether it draws the whole
    picture or what `changes` in it."""

    styles: int = 1
    widths: tuple[int, ...] = (16, 32, 64)
    blocks: int = 5
    ends: int = 9
    changes: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Form:
        """What `dataclasses.asdict` made, and JSON kept."""
        return cls(**{**values, "widths": tuple(values["widths"])})

    @property
    def stride(self) -> int:
        """Pixels a side that are one position of the smallest features."""
        return 1 << (len(self.widths) - 1)


class StyleNorm(nn.Module):
    """Instance norm with a scale and a shift for each style and for none, or the mixture of several.

    `known` are the mean and the variance (C,) of the whole picture, where the norm sees only a part of it.
    """

    known: tuple[Tensor, Tensor] | None = None

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1 + styles, channels))
        self.shift = nn.Parameter(torch.zeros(1 + styles, channels))

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        """(N, C, h, w), of each picture such shares of the photograph and of each style (N, 1 + S)."""
        scale, shift = ((shares @ table).flatten() for table in (self.scale, self.shift))
        mean, variance = self.known or (None, None)
        # with a channel of its own for each picture's, batch norm is instance norm
        apart = x.reshape(1, -1, *x.shape[2:])
        return F.batch_norm(apart, mean, variance, scale, shift, self.known is None, eps=EPSILON).view_as(x)


class Layer(nn.Module):
    """Convolution, norm, ReLU; `up` times as large before it, or one in `down` positions of it."""

    def __init__(
        self, styles: int, before: int, after: int, side: int = 3, *, up: int = 1, down: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, side, down, side // 2, padding_mode="reflect", bias=False)
        self.norm = StyleNorm(styles, after)
        self.up, self.relu = up, relu

    def seen(self, x: Tensor) -> Tensor:
        """What comes to the norm."""
        if self.up > 1:
            x = F.interpolate(x, scale_factor=self.up, mode="nearest")
        found: Tensor = self.convolution(x)
        return found

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        found: Tensor = self.norm(self.seen(x), shares)
        return found.relu_() if self.relu else found


class Block(nn.Module):
    """A residual block: what it finds is added to what it was given."""

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.first = Layer(styles, channels, channels)
        self.second = Layer(styles, channels, channels, relu=False)

    def forward(self, x: Tensor, shares: Tensor) -> Tensor:
        found: Tensor = x + self.second(self.first(x, shares), shares)
        return found


class Painter(nn.Module):
    """Photographs (N, 3, H, W) in [0, 1] to paintings, in such shares of the photograph and of each style (N, 1 + S),
    which add up to 1."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        widths, styles = form.widths, form.styles
        smaller = [Layer(styles, 3, widths[0], form.ends)]
        smaller += [Layer(styles, *pair, down=2) for pair in pairwise(widths)]
        larger = [Layer(styles, *pair, up=2) for pair in pairwise(widths[::-1])]
        self.smaller, self.larger = nn.ModuleList(smaller), nn.ModuleList(larger)
        self.blocks = nn.ModuleList(Block(styles, widths[-1]) for _ in range(form.blocks))
        self.last = nn.Conv2d(widths[0], 3, form.ends, 1, form.ends // 2, padding_mode="reflect")

    def forward(self, pictures: Tensor, shares: Tensor) -> Tensor:
        x = padded(pictures, self.form.stride)
        for part in (*self.smaller, *self.blocks, *self.larger):
            x = part(x, shares)
        return self.drawn(self.last(x)[..., : pictures.shape[-2], : pictures.shape[-1]], pictures)

    def drawn(self, found: Tensor, pictures: Tensor) -> Tensor:
        """What the last convolution found, as pictures."""
        if self.form.changes:
            found = found + torch.logit(pictures, 0.02)
        return torch.sigmoid(found)


def initialise(net: Painter, draw: torch.Generator) -> None:
    """Normal weights after He et al. 2015; of the last layer zeros: a painter that draws changes begins with none."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
                if module.bias is not None:
                    module.bias.zero_()
        net.last.weight.zero_()


def widened(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def padded(pictures: Tensor, stride: int) -> Tensor:
    """(N, C, H, W), its sides multiples of `stride`: the rest is reflected from the right and the lower edge."""
    down, across = (-side % stride for side in pictures.shape[-2:])
    if not down and not across:
        return pictures
    return F.pad(pictures, (0, across, 0, down), mode="reflect")


@torch.no_grad()
def paint(net: Painter, picture: Tensor, shares: Tensor, tile: int | None = None) -> Tensor:
    """A picture (1, 3, H, W) painted in shares (1, 1 + S); in tiles of that side it is the same, and needs less memory.

    Norms need the whole picture's mean and variance. Those at full size and half are summed up over tiles, one after
    another, for each depends on those before; between them the features at the smallest size, which take no more
    memory than the picture, are there as a whole.
    """
    if tile is None or max(picture.shape[-2:]) <= tile:
        return net(picture, shares)
    stride, whole = net.form.stride, padded(picture, net.form.stride)
    size = (whole.shape[-2], whole.shape[-1])
    tiles = windows(*size, tile, stride, 2 * net.form.ends)
    try:
        down = [*net.smaller]
        for depth, layer in enumerate(down):
            seen = _Chain(down[:depth], layer.seen, shares, tiles, 1, 1 << depth, size)
            if depth + 1 < len(down):
                layer.norm.known = seen.moments(whole)
        x = layer.norm(seen.collected(whole), shares).relu_()
        for block in net.blocks:
            x = block(x, shares)
        up = [*net.larger]
        for depth, layer in enumerate(up):
            seen = _Chain(up[:depth], layer.seen, shares, tiles, stride, stride >> (depth + 1), size)
            layer.norm.known = seen.moments(x)
        found = _Chain(up, net.last, shares, tiles, stride, 1, size).collected(x)
    finally:
        for module in net.modules():
            if isinstance(module, StyleNorm):
                module.known = None
    return net.drawn(found[..., : picture.shape[-2], : picture.shape[-1]], picture)


@dataclass(frozen=True)
class _Chain:
    """Layers and a last part, run over tiles of what they are given, which has one position in `entered` pixels; what
    comes out has one in `left`."""

    layers: Sequence[nn.Module]
    last: Part
    shares: Tensor
    tiles: Sequence[Window]
    entered: int
    left: int
    size: tuple[int, int]

    def moments(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance (C,) of what comes out."""
        total: Tensor | None = None
        for window in self.tiles:
            x = self._run(given, window).double()[0]
            sums = torch.stack((x.sum((-2, -1)), x.square().sum((-2, -1))))
            total = sums if total is None else total + sums
        assert total is not None
        mean, square = total / ((self.size[0] // self.left) * (self.size[1] // self.left))
        return mean.to(given), (square - mean.square()).to(given)

    def collected(self, given: Tensor) -> Tensor:
        """What comes out (1, C, h, w), as a whole."""
        whole: Tensor | None = None
        for window in self.tiles:
            x = self._run(given, window)
            if whole is None:
                whole = x.new_empty(1, x.shape[1], self.size[0] // self.left, self.size[1] // self.left)
            whole[window.place(self.left, (whole.shape[-2], whole.shape[-1]))] = x
        assert whole is not None
        return whole

    def _run(self, given: Tensor, window: Window) -> Tensor:
        rows, columns = (slice(part.start // self.entered, part.stop // self.entered) for part in window.outer[1:])
        x = given[..., rows, columns]
        for layer in self.layers:
            x = layer(x, self.shares)
        full = (self.size[0] // self.left, self.size[1] // self.left)
        return window.core(self.last(x).squeeze(0), self.left, full)[None]
