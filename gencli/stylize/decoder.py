"""From what is wrong with a picture, as an encoder sees it, to a change of the picture: one pass of a network for any
style, in one piece or in tiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.backbones import INPUT, Backbone
from gencli.core.device import Runtime
from gencli.core.tiles import Window, collected_over, moments_over, windows
from gencli.stylize.feedforward import Block, StyleNorm, padded, widened
from gencli.stylize.losses import Moments
from gencli.stylize.whitening import Map, Wish, convolved, errors, even, everywhere, maps_of, moments_of


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
        for level, wrong, drawn in reversed([*zip(self.levels, seen, noise, strict=True)][1:]):
            x = level(wrong, drawn.to(wrong), x, code)
        assert x is not None
        return x

    def finest(self, seen: Tensor, noise: Tensor, below: Tensor, code: Tensor) -> Tensor:
        """The change, from what is seen at the finest level and the features of the level below it."""
        found: Tensor = self.last(self.levels[0](seen, noise, below, code))
        return found


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
            where = None if where is None else where[window.around(strides[level])]
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

        def given(window: Window) -> tuple[Tensor, Tensor, Tensor]:
            found = seen_in(window, 0, pictures[0][window.outer], pictures[1][window.outer])
            return found, noise[0][window.outer].to(found), below[window.around(strides[1])]

        def coming(window: Window) -> Tensor:
            with self.runtime.autocast():
                return finest.together(*given(window))

        def made(window: Window) -> Tensor:
            with self.runtime.autocast():
                return widened(self.decoder.finest(*given(window), self.code))

        finest.norm.known = moments_over(tiles, coming, 1, size)
        try:
            return collected_over(tiles, made, 1, size)
        finally:
            finest.norm.known = None

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
