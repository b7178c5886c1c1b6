"""Tiles that together see exactly what the whole picture sees.

Where all that is asked of a layer is sums over its positions, a picture past the memory limit can be worked in tiles
with the same result: they overlap by as much as the network sees around a position, so that each is computed from what
the whole picture would give it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias

import torch
from torch import Tensor

from gencli.core.backbones import ENOUGH, INPUT, Backbone
from gencli.core.device import Runtime, free_memory, precisely
from gencli.core.errors import GencliError, UsageError

Place: TypeAlias = tuple[EllipsisType, slice, slice]
Shapes: TypeAlias = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """A tile: the part of the picture it answers for (`top` … `right`), and that part with its surroundings."""

    top: int
    bottom: int
    left: int
    right: int
    outer_top: int
    outer_bottom: int
    outer_left: int
    outer_right: int

    @property
    def outer(self) -> Place:
        """The tile with its surroundings in a picture: rows and columns, as an index."""
        return ..., slice(self.outer_top, self.outer_bottom), slice(self.outer_left, self.outer_right)

    def around(self, stride: int) -> Place:
        """The tile with its surroundings in a layer of that stride, as an index."""
        rows, columns = (slice(part.start // stride, part.stop // stride) for part in self.outer[1:])
        return ..., rows, columns

    def place(self, stride: int, full: tuple[int, int]) -> Place:
        """What the tile answers for in a layer of `full` size (h, w) over the whole picture, as an index."""
        last_row, last_column = self.bottom == self.outer_bottom, self.right == self.outer_right
        rows = slice(self.top // stride, full[0] if last_row else self.bottom // stride)
        return ..., rows, slice(self.left // stride, full[1] if last_column else self.right // stride)

    def core(self, features: Tensor, stride: int, full: tuple[int, int]) -> Tensor:
        """The features (C, h, w) of the tile without those of its surroundings."""
        _, rows, columns = self.place(stride, full)
        top, left = (self.top - self.outer_top) // stride, (self.left - self.outer_left) // stride
        return features[:, top : top + rows.stop - rows.start, left : left + columns.stop - columns.start]


def moments_over(
    tiles: Sequence[Window], part: Callable[[Window], Tensor], stride: int, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Mean and variance (C,) of features, one position in `stride` pixels of a picture of `size` (h, w). `part` gives
    those of a tile with its surroundings (1, C, …)."""
    full, total = (size[0] // stride, size[1] // stride), None
    for window in tiles:
        x = part(window)
        core = precisely(window.core(x[0], stride, full))
        sums = torch.stack((core.sum((-2, -1)), core.square().sum((-2, -1))))
        total = sums if total is None else total + sums
    assert total is not None
    mean, square = total / (full[0] * full[1])
    kind = torch.promote_types(x.dtype, torch.float32)
    return mean.to(kind), (square - mean.square()).to(kind)


def collected_over(
    tiles: Sequence[Window], part: Callable[[Window], Tensor], stride: int, size: tuple[int, int]
) -> Tensor:
    """The same features, as a whole (1, C, h, w)."""
    full: tuple[int, int] = (size[0] // stride, size[1] // stride)
    whole: Tensor | None = None
    for window in tiles:
        x = part(window)
        whole = x.new_empty(1, x.shape[1], *full) if whole is None else whole
        whole[window.place(stride, full)] = window.core(x[0], stride, full)
    assert whole is not None
    return whole


def windows(height: int, width: int, tile: int | None, stride: int, halo: int) -> list[Window]:
    """Tiles of about `tile` × `tile` pixels that cover a picture (None: one), on the grid of the deepest
    layer's `stride`, each with at least `halo` pixels of surroundings where the picture has them."""
    side = max(height, width) if tile is None else tile
    # without any surroundings a tile would look as if the picture ended with it
    side, halo = (-(-length // stride) * stride for length in (side, max(1, halo)))
    found = []
    for top in range(0, height, side):
        bottom = min(top + side, height)
        if 0 < height - bottom < stride:  # a rest too thin for a position of the deepest layer
            bottom = height
        for left in range(0, width, side):
            right = min(left + side, width)
            if 0 < width - right < stride:
                right = width
            outer = max(top - halo, 0), min(bottom + halo, height), max(left - halo, 0), min(right + halo, width)
            found.append(Window(top, bottom, left, right, *outer))
            if right == width:
                break
        if bottom == height:
            break
    return found


def faded(make: Callable[[Tensor], Tensor], picture: Tensor, tile: int | None, overlap: int) -> Tensor:
    """What `make` gives for a picture (1, 3, H, W), of the same size; of what is larger than `tile` pixels a side, for
    tiles that overlap by so many pixels and are faded into one another.

    For networks that look at a whole, so that tiles cannot give the same.
    """
    if tile is None or max(picture.shape[-2:]) <= tile:
        return make(picture)
    total, weight = torch.zeros_like(picture), torch.zeros_like(picture[:, :1])
    rows, columns = (_spans(side, tile, overlap) for side in picture.shape[-2:])
    for top, bottom in rows:
        for left, right in columns:
            place = ..., slice(top, bottom), slice(left, right)
            down, across = (
                _ramp(stop - start, overlap, start > 0, stop < side).to(picture)
                for (start, stop), side in zip(((top, bottom), (left, right)), picture.shape[-2:], strict=True)
            )
            share = down[:, None] * across
            total[place] += share * make(picture[place])
            weight[place] += share
    return total / weight


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles of a side begin and end, evenly spread."""
    if length <= tile:
        return [(0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [index * (length - tile) // (count - 1) for index in range(count)]
    return [(start, start + tile) for start in starts]


def _ramp(length: int, overlap: int, begins: bool, ends: bool) -> Tensor:
    """How much positions of a tile count (length,): less where another tile `begins` before or `ends` after it."""
    position = torch.arange(length) + 0.5
    share = torch.ones(length)
    if begins:
        share = share.minimum(position / overlap)
    if ends:
        share = share.minimum((length - position) / overlap)
    return share.clamp(max=1)


class Tiling:
    """Layers of a backbone over pictures of one `size` (height, width), looked at in windows of about `tile` pixels a
    side (None: in one).

    Raises UsageError for pictures so small that nothing is left of them in a layer.
    """

    def __init__(self, backbone: Backbone, size: Sequence[int], layers: Collection[str], tile: int | None) -> None:
        order = [INPUT, *backbone.layers]
        self.backbone = backbone
        self.layers = sorted({backbone.resolve(layer) for layer in layers}, key=order.index)
        reaches = {layer: backbone.reach(layer) for layer in self.layers}
        self.strides = {layer: stride for layer, (stride, _) in reaches.items()}
        self.shapes = feature_shapes(backbone, size, self.layers)
        self.halo = max((radius for _, radius in reaches.values()), default=0)
        self.windows = windows(size[0], size[1], tile, max(self.strides.values(), default=1), self.halo)

    def cores(
        self, part: Tensor, window: Window, layers: Collection[str] | None = None
    ) -> Iterator[tuple[str, Tensor, Place]]:
        """Each layer's features (C, h, w) that a window answers for, and their place among the whole picture's.

        `part` (1, 3, h, w) is the picture at `window.outer`.
        """
        for layer, features in self.backbone(part, self.layers if layers is None else layers).items():
            stride, full = self.strides[layer], self.shapes[layer]
            yield layer, window.core(features.squeeze(0), stride, full), window.place(stride, full)


@torch.no_grad()
def feature_shapes(backbone: Backbone, size: Sequence[int], layers: Sequence[str]) -> Shapes:
    """Height and width of layers' features for pictures of `size` (height, width).

    A layer's height follows from the picture's height alone, so two thin strips tell. Raises UsageError
    for a picture so small that nothing is left of it in a layer.
    """
    height, width = size
    empty = backbone.mean.new_zeros(1, 3, 1, 1)
    try:
        upright = backbone(empty.expand(-1, -1, height, min(width, ENOUGH)), layers)
        lying = backbone(empty.expand(-1, -1, min(height, ENOUGH), width), layers)
    except RuntimeError as error:
        raise UsageError(
            f"{width} × {height} pixels are too few for {backbone.name} to see {', '.join(layers)}",
            "choose a larger --size, or layers that are not so deep",
        ) from error
    return {layer: (upright[layer].shape[-2], lying[layer].shape[-1]) for layer in layers}


def activation_bytes(backbone: Backbone, size: Sequence[int], layers: Collection[str], tile: int | None) -> int:
    """Memory for all that a gradient of `layers` needs to be kept, of pictures of `size` (height, width): in tiles,
    of one tile at a time."""
    height, width = size
    if tile:
        around = 2 * max(backbone.reach(layer)[1] for layer in layers)
        height, width = (min(side, tile + around) for side in size)
    return 4 * activation_count(backbone, (height, width), layers)


@torch.no_grad()
def activation_count(backbone: Backbone, size: Sequence[int], layers: Collection[str]) -> int:
    """How many numbers all modules up to the deepest of `layers` put out for such a picture."""
    counts: list[int] = []
    handles = [
        module.register_forward_hook(lambda module, given, output: counts.append(output.numel()))
        for module in backbone.modules()
        if not any(module.children())
    ]
    backbone(backbone.mean.new_zeros(1, 3, ENOUGH, ENOUGH), layers)
    for handle in handles:
        handle.remove()
    return round(sum(counts) * size[0] * size[1] / ENOUGH**2)


def check_memory(size: Sequence[int], needed: int, tile: int | None, runtime: Runtime) -> None:
    """Raise GencliError when a picture of `size` (height, width), which needs so many bytes, does not fit."""
    free = free_memory(runtime.device)
    if needed > free:
        remedy = "choose a smaller --size" + ("" if tile else ", or work in tiles: --tile 512")
        raise GencliError(
            f"a picture of {size[1]} × {size[0]} pixels needs about {needed / 1e9:.1f} GB of memory; "
            f"{free / 1e9:.1f} GB are free",
            remedy,
        )
