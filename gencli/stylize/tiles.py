"""Tiles that together see exactly what the whole picture sees."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import TypeAlias

from torch import Tensor

Place: TypeAlias = tuple[EllipsisType, slice, slice]


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
