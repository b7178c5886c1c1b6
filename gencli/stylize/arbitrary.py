"""A network that paints in any style at one look (Huang & Belongie 2017), by looking at what it has painted.

An encoder, the backbone, sees a picture and its style. At each of its levels there is a map of least change that gives
the picture's features the mean and the covariance they have in the style (whitening and colouring: Li et al. 2017; the
map: Lu et al. 2019). How far features are from where it takes them is how wrong the picture is, as seen there; it is,
but for a factor, the gradient of what `stylize` minimises. A decoder, trained once on many styles, makes of that a
change of the picture, from the deepest level up: a step of a descent that was learnt (Andrychowicz et al. 2016).

What strokes a style has the errors do not say. So the norms' scales and shifts depend on the style, by a code that is
predicted from its statistics (Ghiasi et al. 2017).

There are several such passes, from small pictures to large ones. Each begins with what the one before has painted, the
first with the photograph in the style's colours. Noise is mixed in, for strokes must come from somewhere in a clear
sky.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.backbones import INPUT, Backbone
from gencli.core.device import Runtime, generator
from gencli.core.images import resize
from gencli.core.tiles import Place, Window, windows
from gencli.core.transport import matrix_root, transport
from gencli.stylize import losses
from gencli.stylize.feedforward import SEED, Block, StyleNorm, padded, shrunk, widened
from gencli.stylize.losses import Moments, content_weight, positions
from gencli.stylize.objective import TINY

FLAT = 1e-3  # features vary by such a share of the style's mean variance at least: what is flat is not blown up
LEAST = 0.2  # statistics of styles are taken to vary by so much at least
OWN = 0.7  # how much styles differ in their norms in the beginning
DARKEST = 0.02  # a canvas is kept so far from black and white that changes of its logit show


@dataclass(frozen=True)
class Plan:
    """How a network is built. Of each level, finest first: the encoder's `layers`, their `channels`, the `units` in
    which their errors are measured, and the decoder's `widths` and maps of `noise`. The side in pixels of the last
    convolution. Of each of the `passes` how often the picture is made half as large for it, and the decoder's residual
    `blocks` at each level, as far down as it looks. How many numbers a style's `code` has."""

    layers: tuple[str, ...] = (INPUT, "conv2_1", "conv3_1", "conv4_1", "conv5_1")
    channels: tuple[int, ...] = (3, 64, 128, 192, 256)
    units: tuple[float, ...] = (2.0, 1.0, 1.25, 1.4, 1.2)
    widths: tuple[int, ...] = (16, 32, 64, 96, 64)
    noise: tuple[int, ...] = (2, 8, 8, 8, 8)
    ends: int = 5
    passes: tuple[int, ...] = (1, 0)
    blocks: tuple[tuple[int, ...], ...] = ((0, 1, 2, 2, 1), (0, 2))
    code: int = 48

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """What `dataclasses.asdict` made, and JSON kept."""
        return cls(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


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


class Level(nn.Module):
    """What is seen at one size, noise, and what was found below, to features (N, `width`, h, w).

    `errors` (`width`, 2 C, 3, 3) is the convolution of how far C features of the canvas are from the style, and how far
    from those of the photograph in the style. The norms have a row for all styles and one for each number of a style's
    code.
    """

    def __init__(self, channels: int, rest: int, width: int, blocks: int, rows: int) -> None:
        super().__init__()
        self.errors = nn.Parameter(torch.zeros(width, 2 * channels, 3, 3))
        self.rest = nn.Conv2d(rest, width, 3, 1, 1, padding_mode="reflect", bias=False)
        self.norm = StyleNorm(rows, width)
        self.blocks = nn.ModuleList(Block(rows, width) for _ in range(blocks))

    def forward(self, seen: Tensor, noise: Tensor, below: Tensor | None, code: Tensor) -> Tensor:
        """`seen` (N, `width`, h, w) is what `errors` made, `below` comes from the level below, if there is one."""
        x = self.norm(self.together(seen, noise, below), code).relu_()
        for block in self.blocks:
            x = block(x, code)
        return x

    def together(self, seen: Tensor, noise: Tensor, below: Tensor | None) -> Tensor:
        """What comes to the first norm."""
        rest = noise
        if below is not None:
            rest = torch.cat([noise, F.interpolate(below, size=noise.shape[-2:], mode="nearest")], 1)
        found: Tensor = seen + self.rest(rest)
        return found


class Decoder(nn.Module):
    """Errors at each level to a change of the picture's logit, for styles of such codes (N, 1 + `code`): one pass."""

    def __init__(self, plan: Plan, blocks: Sequence[int]) -> None:
        super().__init__()
        below = (*plan.widths[1 : len(blocks)], 0)
        self.levels = nn.ModuleList(
            Level(
                plan.channels[depth],
                plan.noise[depth] + below[depth],
                plan.widths[depth],
                blocks[depth],
                1 + plan.code,
            )
            for depth in range(len(blocks))
        )
        self.last = nn.Conv2d(plan.widths[0], 3, plan.ends, 1, plan.ends // 2, padding_mode="reflect")

    def forward(self, seen: Sequence[Tensor], noise: Sequence[Tensor], code: Tensor) -> Tensor:
        """`seen` is what the levels' `errors` made."""
        return self.finest(seen[0], noise[0].to(seen[0]), self.deeper(seen, noise, code), code)

    def deeper(self, seen: Sequence[Tensor], noise: Sequence[Tensor], code: Tensor) -> Tensor:
        """Features of the level below the finest."""
        x: Tensor | None = None
        for level, errors, drawn in reversed([*zip(self.levels, seen, noise, strict=True)][1:]):
            x = level(errors, drawn.to(errors), x, code)
        assert x is not None
        return x

    def finest(self, seen: Tensor, noise: Tensor, below: Tensor, code: Tensor) -> Tensor:
        """The change, from what is seen at the finest level and the features of the level below it."""
        found: Tensor = self.last(self.levels[0](seen, noise, below, code))
        return found


class AnyStyle(nn.Module):
    """Photographs (N, 3, H, W) in [0, 1] to paintings in the styles that are wished for.

    `usual` and `vary` are the mean and the deviation of styles' statistics.
    """

    usual: Tensor
    vary: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        statistics = 2 * sum(plan.channels)
        self.register_buffer("usual", torch.zeros(statistics))
        self.register_buffer("vary", torch.ones(statistics))
        self.code = nn.Linear(statistics, plan.code)
        self.decoders = nn.ModuleList(Decoder(plan, blocks) for blocks in plan.blocks)

    def forward(
        self,
        encoder: Backbone,
        pictures: Tensor,
        wish: Wish,
        runtime: Runtime,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        *_, (_, painted) = self.stages(encoder, pictures, wish, runtime, draw, tile)
        return painted

    def stages(
        self,
        encoder: Backbone,
        pictures: Tensor,
        wish: Wish,
        runtime: Runtime,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each pass the photographs at its size, and what is painted then.

        Without `draw` the noise is always the same. In tiles of a side of `tile` pixels pictures are the same, and need
        less memory; there are no gradients then.
        """
        draw = draw or generator(SEED)
        with torch.no_grad():
            whole = (pictures + self._recoloring(pictures, wish)).clamp(0, 1)
        before: tuple[Tensor, Tensor] | None = None
        code = self.codes(wish)
        for decoder, times in zip(self.decoders, self.plan.passes, strict=True):
            size = shrunk(pictures.shape, times)
            photographs, there = (resize(each, size).clamp(0, 1) for each in (pictures, whole))
            plain = there
            if before is not None:
                # the photograph's detail, which a smaller picture had not
                detail = (1 - wish.strengths)[:, None, None, None] * (there - resize(before[0], size))
                there = (resize(before[1], size) + detail).clamp(0, 1)
            change = Pass(self.plan, cast("Decoder", decoder), encoder, wish, code, runtime, draw, tile)(
                there, photographs
            )
            before = plain, torch.sigmoid(change + torch.logit(there, DARKEST))
            yield photographs, before[1]

    def codes(self, wish: Wish) -> Tensor:
        """A 1, and the codes of the styles that are wished for, or the mixture of theirs: (N, 1 + `code`)."""
        found = (self.statistics(wish.looks).to(self.vary) - self.usual) / self.vary
        of_styles = torch.tanh(self.code(found)) / self.plan.code**0.5  # or its rows together would learn too fast
        mixed = torch.einsum("ns,nsk->nk", wish.mixture().to(of_styles), of_styles)
        return F.pad(mixed, (1, 0), value=1.0)

    def statistics(self, looks: Looks) -> Tensor:
        """Of styles (N, S, …) the means and the deviations of the features at each level, each in its unit."""
        numbers = []
        for layer, unit in zip(self.plan.layers, self.plan.units, strict=True):
            deviation = looks.root[layer].square().sum(-1).sqrt()
            numbers += [unit * looks.mean[layer], unit * deviation]
        return torch.cat(numbers, -1)

    def _recoloring(self, pictures: Tensor, wish: Wish) -> Tensor:
        """What is to be added to photographs so that they have the styles' colours, as far as they are to come."""
        colors, regions = pictures.double(), wish.at(pictures.shape[-2:])
        maps = maps_of(moments_of(colors, None if regions is None else even(regions)), INPUT, wish)
        return moved(colors, maps, regions).to(pictures)


def initialise(net: AnyStyle, draw: torch.Generator, styles: Looks) -> None:
    """Normal weights after He et al. 2015; of the last layers zeros: no change to begin with. `styles` (1, S, …) are
    examples."""
    with torch.no_grad():
        # what styles have in common says nothing: codes of raw statistics are all alike, and so would be the strokes
        found = net.statistics(styles)[0]
        net.usual.copy_(found.mean(0))
        net.vary.copy_(found.std(0, correction=0).clamp_min(LEAST))
        net.code.weight.normal_(0, net.code.in_features**-0.5, generator=draw)
        net.code.bias.zero_()
        for module in net.modules():
            if isinstance(module, StyleNorm):
                module.scale[1:].normal_(0, OWN, generator=draw)
                module.shift[1:].normal_(0, OWN, generator=draw)
            if isinstance(module, Level):
                fan_in = module.errors[0].numel() + module.rest.weight[0].numel()
                module.errors.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
                module.rest.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, Block):
                for layer in (module.first, module.second):
                    fan_in = layer.convolution.weight[0].numel()
                    layer.convolution.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, Decoder):
                module.last.weight.zero_()
                if module.last.bias is not None:
                    module.last.bias.zero_()


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


@dataclass(frozen=True)
class Pass:
    """One pass over pictures of one size; in tiles, where `tile` says so and they are larger."""

    plan: Plan
    decoder: Decoder
    encoder: Backbone
    wish: Wish
    code: Tensor
    runtime: Runtime
    draw: torch.Generator
    tile: int | None

    @property
    def layers(self) -> tuple[str, ...]:
        """Those it looks at."""
        return self.plan.layers[: len(self.decoder.levels)]

    def __call__(self, canvas: Tensor, photographs: Tensor) -> Tensor:
        """The change of the canvas's logit (N, 3, h, w)."""
        height, width = canvas.shape[-2:]
        deepest = self.encoder.reach(self.layers[-1])[0]
        pictures = [padded(one, deepest, 2 * deepest) for one in (canvas, photographs)]
        noise, regions = {}, {}
        where = self.wish.at((height, width))
        for layer, maps in zip(self.layers, self.plan.noise, strict=False):
            stride = self.encoder.reach(layer)[0]
            size = (pictures[0].shape[-2] // stride, pictures[0].shape[-1] // stride)
            drawn = torch.randn(len(canvas), maps, *size, generator=self.draw, device=self.draw.device)
            noise[layer] = drawn.to(canvas.device)
            if where is not None:
                regions[layer] = F.adaptive_avg_pool2d(padded(where, deepest, 2 * deepest), size)
        in_tiles = self.tile is not None and self.tile < max(height, width)
        found = (self._in_tiles if in_tiles else self._whole)(pictures, [*noise.values()], regions)
        return widened(found)[..., :height, :width]

    def _whole(self, pictures: Sequence[Tensor], noise: Sequence[Tensor], regions: Mapping[str, Tensor]) -> Tensor:
        canvas, photographs = (self._look(one) for one in pictures)
        seen = []
        for level, layer in enumerate(self.layers):
            shares = None if layer not in regions else even(regions[layer])
            maps = [self._maps(level, moments_of(features[layer], shares)) for features in (canvas, photographs)]
            given = torch.cat([canvas[layer], photographs[layer]], 1)
            with self.runtime.autocast():
                seen.append(convolved(given, self._errors(level, *maps), everywhere(regions.get(layer))))
        with self.runtime.autocast():
            change: Tensor = self.decoder(seen, noise, self.code)
        return change

    def _look(self, picture: Tensor) -> dict[str, Tensor]:
        with self.runtime.autocast():  # features alone: moments need the precision
            return self.encoder(picture, self.layers)

    def _maps(self, level: int, moments: Moments) -> Map:
        return maps_of(moments, self.layers[level], self.wish, self.plan.units[level])

    def _errors(self, level: int, of_canvas: Map, of_photographs: Map) -> Map:
        weight = cast("Level", self.decoder.levels[level]).errors
        return errors(weight, self.plan.units[level], of_canvas, of_photographs, masked=self.wish.regions is not None)

    # ---------------------------------------------------------------- in tiles

    @torch.no_grad()
    def _in_tiles(self, pictures: Sequence[Tensor], noise: Sequence[Tensor], regions: Mapping[str, Tensor]) -> Tensor:
        """The same of a single picture, without its features at the finer levels ever being there as a whole.

        What is whole has the decoder's few channels and at most half the size.
        """
        layers, size = self.layers, (pictures[0].shape[-2], pictures[0].shape[-1])
        reaches = [self.encoder.reach(layer) for layer in layers]
        strides, deepest = [stride for stride, _ in reaches], reaches[-1][0]
        # a position more than the encoder sees, for the decoder's first convolutions
        tiles = windows(*size, self.tile, deepest, max(radius for _, radius in reaches) + deepest)
        shapes = [(size[0] // stride, size[1] // stride) for stride in strides]
        found = [self._moments_in_tiles(picture, tiles, shapes, regions) for picture in pictures]
        maps = [
            self._errors(level, *(self._maps(level, moments) for moments in both))
            for level, both in enumerate(zip(*found, strict=True))
        ]

        def seen_in(window: Window, level: int, canvas: Tensor, photographs: Tensor) -> Tensor:
            where = regions.get(layers[level])
            where = None if where is None else where[around(window, strides[level])]
            with self.runtime.autocast():
                return convolved(torch.cat([canvas, photographs], 1), maps[level], everywhere(where))

        seen: list[Tensor] = [pictures[0]]  # in place of the finest
        for window in tiles:
            canvas, photographs = (self._look(one[window.outer]) for one in pictures)
            for level, layer in enumerate(layers[1:], 1):
                part = seen_in(window, level, canvas[layer], photographs[layer])
                if len(seen) == level:
                    seen.append(part.new_empty(1, part.shape[1], *shapes[level]))
                seen[level][window.place(strides[level], shapes[level])] = window.core(
                    part[0], strides[level], shapes[level]
                )
        with self.runtime.autocast():
            below = self.decoder.deeper(seen, noise, self.code)
        finest = cast("Level", self.decoder.levels[0])

        def parts() -> Iterator[tuple[Window, tuple[Tensor, Tensor, Tensor]]]:
            for window in tiles:
                found = seen_in(window, 0, pictures[0][window.outer], pictures[1][window.outer])
                yield window, (found, noise[0][window.outer].to(found), below[around(window, strides[1])])

        # a norm needs the whole picture's mean and variance
        total = pictures[0].new_zeros(2, self.plan.widths[0], dtype=torch.float64)
        for window, given in parts():
            with self.runtime.autocast():
                x = window.core(finest.together(*given)[0], 1, size).double()
            total += torch.stack((x.sum((-2, -1)), x.square().sum((-2, -1))))
        mean, square = total / (size[0] * size[1])
        finest.norm.known = mean.to(pictures[0]), (square - mean.square()).to(pictures[0])
        change = pictures[0].new_empty(pictures[0].shape)
        try:
            for window, given in parts():
                with self.runtime.autocast():
                    made = self.decoder.finest(*given, self.code)
                change[window.place(1, size)] = window.core(widened(made)[0], 1, size)
        finally:
            finest.norm.known = None
        return change

    def _moments_in_tiles(
        self,
        picture: Tensor,
        tiles: Sequence[Window],
        shapes: Sequence[tuple[int, int]],
        regions: Mapping[str, Tensor],
    ) -> list[Moments]:
        """Those of each level, added up over tiles."""
        total: list[Moments] = []
        for window in tiles:
            features = self._look(picture[window.outer])
            for level, (layer, shape) in enumerate(zip(self.layers, shapes, strict=True)):
                stride = self.encoder.reach(layer)[0]
                where = regions.get(layer)
                shares = picture.new_full((1, *shape), 1 / (shape[0] * shape[1])) if where is None else even(where)
                core = window.core(features[layer][0], stride, shape)[None]
                part = moments_of(core, shares[window.place(stride, shape)])
                if len(total) == level:
                    total.append(part)
                else:
                    total[level] = Moments(total[level].mean + part.mean, total[level].second + part.second)
        return total


def around(window: Window, stride: int) -> Place:
    """A tile with its surroundings in a layer of that stride, as an index."""
    _, rows, columns = window.outer
    return ..., slice(rows.start // stride, rows.stop // stride), slice(columns.start // stride, columns.stop // stride)
