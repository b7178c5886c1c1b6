"""A network that paints in a style at one look (Johnson et al. 2016), or in several, and between them (Dumoulin et al.
2017).

With several scales it works coarse to fine, as `stylize` does: a small picture first, for large forms, and what was
painted there is enlarged and painted over. At each size it shrinks the picture to a quarter, changes it there, and
enlarges it again. Edges are reflected and not black, each feature map is normalised over its own picture (Ulyanov et
al. 2016), and pictures are enlarged before a convolution and not by one, which leaves checkerboards (Odena et al.
2016).

What it draws is a change of the photograph, whose colours have been moved towards the style's before: so it has less
to learn. Noise is mixed in where the features are smallest, for strokes must come from somewhere in a clear sky.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.device import generator
from gencli.core.images import resize
from gencli.core.tiles import Window, windows
from gencli.core.transport import matrix_root, spread, transport
from gencli.stylize.losses import content_weight

EPSILON = 1e-5  # of a norm
SMALLEST = 16  # pixels a side of the smallest picture that is painted
FLAT = 0.02  # a photograph's colours vary by such a share of the style's variance at least, so that noise stays small
GRAIN = 0.5  # how strong the noise is in the beginning, all its maps together
SEED = 7  # of the noise a picture is painted with: the same for all, so that a film does not flicker
Found = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Form:
    """How a painter is built: how many `styles` it knows; its channels at full size, half, and so on; residual
    `blocks` at the smallest; the side in pixels of the first and the last convolution; how many `scales` it works at,
    each half as large as the next; maps of `noise`; and whether it draws what `changes` in the photograph once this
    has the style's colours, or the whole picture."""

    styles: int = 1
    widths: tuple[int, ...] = (12, 24, 48)
    blocks: int = 5
    ends: int = 5
    scales: int = 1
    noise: int = 8
    changes: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Form:
        """What `dataclasses.asdict` made, and JSON kept."""
        return cls(**{**values, "widths": tuple(values["widths"])})

    @property
    def stride(self) -> int:
        """Pixels a side that are one position of the smallest features."""
        return 1 << (len(self.widths) - 1)

    @property
    def rows(self) -> int:
        """How many sets of norms there are: at each scale one for the photograph and one for each style."""
        return self.scales * (1 + self.styles)

    @property
    def planes(self) -> int:
        """Of what is painted: the colours of what is there and, coarse to fine, of the photograph."""
        return 3 if self.scales == 1 else 6


class StyleNorm(nn.Module):
    """Instance norm with several scales and shifts, or the mixture of them.

    `known` are the mean and the variance (C,) of the whole picture, where the norm sees only a part of it.
    """

    known: tuple[Tensor, Tensor] | None = None

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(rows, channels))
        self.shift = nn.Parameter(torch.zeros(rows, channels))

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """(N, C, h, w), of each picture such shares of the rows (N, R)."""
        scale, shift = ((mixture @ table).flatten() for table in (self.scale, self.shift))
        mean, variance = self.known or (None, None)
        # with a channel of its own for each picture's, batch norm is instance norm
        apart = x.reshape(1, -1, *x.shape[2:])
        return F.batch_norm(apart, mean, variance, scale, shift, self.known is None, eps=EPSILON).view_as(x)


class Layer(nn.Module):
    """Convolution, norm, ReLU; `up` times as large before it, or one in `down` positions of it."""

    def __init__(
        self, rows: int, before: int, after: int, side: int = 3, *, up: int = 1, down: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, side, down, side // 2, padding_mode="reflect", bias=False)
        self.norm = StyleNorm(rows, after)
        self.up, self.relu = up, relu

    def seen(self, x: Tensor) -> Tensor:
        """What comes to the norm."""
        if self.up > 1:
            x = F.interpolate(x, scale_factor=self.up, mode="nearest")
        found: Tensor = self.convolution(x)
        return found

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        found: Tensor = self.norm(self.seen(x), mixture)
        return found.relu_() if self.relu else found


class Block(nn.Module):
    """A residual block: what it finds is added to what it was given."""

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.first = Layer(rows, channels, channels)
        self.second = Layer(rows, channels, channels, relu=False)

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        found: Tensor = x + self.second(self.first(x, mixture), mixture)
        return found


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
        smaller = [Layer(rows, form.planes, widths[0], form.ends)]
        smaller += [Layer(rows, *pair, down=2) for pair in pairwise(widths)]
        larger = [Layer(rows, *pair, up=2) for pair in pairwise(widths[::-1])]
        self.smaller, self.larger = nn.ModuleList(smaller), nn.ModuleList(larger)
        self.blocks = nn.ModuleList(Block(rows, widths[-1]) for _ in range(form.blocks))
        self.last = nn.Conv2d(widths[0], 3, form.ends, 1, form.ends // 2, padding_mode="reflect")
        self.grain = nn.Parameter(torch.zeros(rows, form.noise, widths[-1])) if form.noise else None
        self.register_buffer("mean", torch.zeros(form.styles, 3))
        self.register_buffer("root", torch.zeros(form.styles, 3, 3))

    def forward(self, pictures: Tensor, shares: Tensor, draw: torch.Generator | None = None) -> Tensor:
        *_, (_, painted) = self.stages(pictures, shares, draw)
        return painted

    def stages(
        self, pictures: Tensor, shares: Tensor, draw: torch.Generator | None = None, found: Found | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Photographs and their paintings, from the smallest to the full size.

        Gradients go through one size, and not back to the one before. `draw` gives noise, else it is always the same.
        `found` runs the network some other way.
        """
        found = found or (lambda given, mixture: self.found(given, mixture, draw))
        whole, strength = self.recolored(pictures, shares), (1 - shares[:, 0])[:, None, None, None]
        before: tuple[Tensor, Tensor] | None = None
        for depth in range(self.form.scales):
            size = shrunk(pictures.shape, self.form.scales - 1 - depth)
            photographs = there = resize(whole, size).clamp(0, 1)
            if before is not None:
                # the photograph's detail, which the smaller picture had not
                detail = photographs - resize(before[0], size)
                there = (resize(before[1], size) + (1 - strength) * detail).clamp(0, 1)
            given = torch.cat([there, photographs], 1) if self.form.scales > 1 else there
            change = found(given, self.at_scale(shares, depth))
            painted = torch.sigmoid(change + torch.logit(there, 0.02) if self.form.changes else change)
            before = photographs, painted.detach()
            yield resize(pictures, size).clamp(0, 1), painted

    def at_scale(self, shares: Tensor, depth: int) -> Tensor:
        """Shares of all rows (N, R), where those of a scale are wanted (N, 1 + S)."""
        return F.pad(shares, (depth * shares.shape[1], (self.form.scales - 1 - depth) * shares.shape[1]))

    @torch.no_grad()
    def recolored(self, pictures: Tensor, shares: Tensor) -> Tensor:
        """Photographs whose colours were moved towards the styles', as far as such shares let a painting come."""
        if not self.form.changes:
            return pictures
        colors, strength = pictures.flatten(2).double(), (1 - shares[:, 0]).clamp_min(1e-3).double()
        mean, covariance = spread(colors)
        maps = transport(covariance[:, None], self.root.double(), FLAT)  # (N, S, 3, 3)
        wanted = shares[:, 1:].double() / strength[:, None]
        moved = torch.einsum("ns,nsij->nij", wanted, maps) @ (colors - mean) + (wanted @ self.mean.double())[..., None]
        come = (1 / (1 + content_weight(strength)))[:, None, None]
        return torch.lerp(colors, moved, come).view_as(pictures).to(pictures).clamp(0, 1)

    def found(self, given: Tensor, mixture: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """What the network finds (N, 3, H, W) in pictures (N, `planes`, H, W)."""
        x = padded(given, self.form.stride)
        for layer in self.smaller:
            x = layer(x, mixture)
        x = self.changed(x, mixture, draw)
        for layer in self.larger:
            x = layer(x, mixture)
        return widened(self.last(x)[..., : given.shape[-2], : given.shape[-1]])

    def changed(self, x: Tensor, mixture: Tensor, draw: torch.Generator | None = None) -> Tensor:
        """The smallest features after noise and the residual blocks."""
        if self.grain is not None:
            of, draw = (len(x), draw) if draw else (1, generator(SEED))
            noise = torch.randn(of, self.form.noise, *x.shape[2:], generator=draw, device=draw.device)
            gains = torch.einsum("nr,rkc->nkc", mixture, self.grain)
            x = x + torch.einsum("nkhw,nkc->nchw", noise.to(x), gains.to(x.dtype))
        for block in self.blocks:
            x = block(x, mixture)
        return x


def initialise(net: Painter, draw: torch.Generator, styles: Sequence[Tensor]) -> None:
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
        if net.grain is not None:
            net.grain.normal_(0, GRAIN / net.form.noise**0.5, generator=draw)
        for index, style in enumerate(styles):
            mean, covariance = spread(style[0].flatten(1).double())
            net.mean[index], net.root[index] = mean[:, 0], matrix_root(covariance)


def take_over(net: Painter, start: Painter, begin: Sequence[int]) -> None:
    """Give a painter the weights of another of its form, but for the styles: each begins as that style of the other
    which `begin` says."""
    rows = [
        depth * (1 + start.form.styles) + row
        for depth in range(net.form.scales)
        for row in (0, *(1 + one for one in begin))
    ]
    known = start.state_dict()
    with torch.no_grad():
        for name, own in net.state_dict().items():
            if name.endswith(("norm.scale", "norm.shift", "grain")):
                own.copy_(known[name][rows])
            elif name not in {"mean", "root"}:
                own.copy_(known[name])


def shrunk(shape: Sequence[int], times: int) -> tuple[int, int]:
    """Height and width of pictures (…, H, W) made half as large so often."""
    height, width = (max(min(side, SMALLEST), round(side / (1 << times))) for side in shape[-2:])
    return height, width


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
def paint(net: Painter, picture: Tensor, shares: Tensor, tile: int | None = None) -> Tensor:
    """A picture (1, 3, H, W) painted in shares (1, 1 + S); in tiles of that side it is the same, and needs less memory.

    Norms need the whole picture's mean and variance. Those at full size and half are summed up over tiles, one after
    another, for each depends on those before; between them the features at the smallest size, which take no more
    memory than the picture, are there as a whole.
    """

    def found(given: Tensor, mixture: Tensor) -> Tensor:
        whole = tile is None or max(given.shape[-2:]) <= tile
        return net.found(given, mixture) if whole else _found_in_tiles(net, given, mixture, tile)

    *_, (_, painted) = net.stages(picture, shares, found=found)
    return painted


def _found_in_tiles(net: Painter, given: Tensor, mixture: Tensor, tile: int | None) -> Tensor:
    stride, whole = net.form.stride, padded(given, net.form.stride)
    size = (whole.shape[-2], whole.shape[-1])
    tiles = windows(*size, tile, stride, 2 * max(net.form.ends, 5))
    try:
        down = [*net.smaller]
        for depth, layer in enumerate(down):
            seen = _Chain(down[:depth], layer.seen, mixture, tiles, 1, 1 << depth, size)
            if depth + 1 < len(down):
                layer.norm.known = seen.moments(whole)
        x = net.changed(layer.norm(seen.collected(whole), mixture).relu_(), mixture)
        up = [*net.larger]
        for depth, layer in enumerate(up):
            seen = _Chain(up[:depth], layer.seen, mixture, tiles, stride, stride >> (depth + 1), size)
            layer.norm.known = seen.moments(x)
        found = _Chain(up, net.last, mixture, tiles, stride, 1, size).collected(x)
    finally:
        for module in net.modules():
            if isinstance(module, StyleNorm):
                module.known = None
    return widened(found[..., : given.shape[-2], : given.shape[-1]])


@dataclass(frozen=True)
class _Chain:
    """Layers and a last part, run over tiles of what they are given, which has one position in `entered` pixels; what
    comes out has one in `left`."""

    layers: Sequence[nn.Module]
    last: Callable[[Tensor], Tensor]
    mixture: Tensor
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
            x = layer(x, self.mixture)
        full = (self.size[0] // self.left, self.size[1] // self.left)
        return window.core(self.last(x).squeeze(0), self.left, full)[None]
