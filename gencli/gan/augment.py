"""Changes of pictures through which gradients flow (DiffAugment, Zhao et al. 2020).

A discriminator that sees real and drawn pictures changed alike cannot learn few pictures by heart, and what it tells
the generator is of the pictures as they are. Pictures are (N, C, H, W) in [0, 1]; `strength` is the share of them that
each kind of change happens to.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FULL, NONE = 1_000, 100_000  # pictures of a set up to which all are changed, and from which on none
SHIFT, HOLE = 1 / 8, 1 / 2  # of a side


def strength(count: int) -> float:
    """For a set of so many pictures: 1 for a thousand or fewer, 0 for a hundred thousand or more."""
    return min(max(math.log(NONE / count) / math.log(NONE / FULL), 0.0), 1.0)


def augment(pictures: Tensor, strength: float, draw: torch.Generator) -> Tensor:
    """Colours, place and a hole, each of a share `strength` of the pictures; numbers are drawn where `draw` is."""
    if not strength:
        return pictures
    for change in (colours, shifted, cut):
        pictures = change(pictures, _uniform(pictures, draw) < strength, draw)
    return pictures


def colours(pictures: Tensor, chosen: Tensor, draw: torch.Generator) -> Tensor:
    """Brighter or darker by up to a quarter of the range; colours up to twice as strong; contrast half to one and a
    half."""
    brightness, saturation, contrast = (torch.where(chosen, _uniform(pictures, draw) - 0.5, 0.0) for _ in range(3))
    pictures = pictures + brightness / 2  # the paper's pictures are in [-1, 1]: its half is a quarter of the range
    if pictures.shape[1] > 1:
        grey = pictures.mean(1, keepdim=True)
        pictures = torch.lerp(grey, pictures, 1 + 2 * saturation)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, pictures, 1 + contrast)


def shifted(pictures: Tensor, chosen: Tensor, draw: torch.Generator) -> Tensor:
    """Moved by up to an eighth along each axis; what is uncovered is grey."""
    count, channels, height, width = pictures.shape
    places = []
    for side, where in ((height, (-1, 1)), (width, (1, -1))):
        move = ((2 * _uniform(pictures, draw) - 1) * SHIFT * side).round() * chosen
        places.append((torch.arange(side, device=pictures.device) + move.view(-1, 1)).long().view(count, *where))
    rows, columns = places
    within = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)  # (N, H, W)
    source = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    moved = pictures.flatten(2).gather(2, source.view(count, 1, -1).expand(-1, channels, -1))
    return torch.where(within[:, None], moved.view_as(pictures), 0.5)


def cut(pictures: Tensor, chosen: Tensor, draw: torch.Generator) -> Tensor:
    """A square of half a side made grey, wherever its middle falls."""
    count, _, height, width = pictures.shape
    far = []
    for side, where in ((height, (-1, 1)), (width, (1, -1))):
        middle = _uniform(pictures, draw).view(-1, 1) * side
        places = torch.arange(side, device=pictures.device) + 0.5
        far.append(((places - middle).abs() > HOLE * side / 2).view(count, *where))
    kept = (far[0] | far[1])[:, None] | ~chosen
    return torch.where(kept, pictures, 0.5)


def _uniform(pictures: Tensor, draw: torch.Generator) -> Tensor:
    """A number in [0, 1) for each picture: (N, 1, 1, 1)."""
    shape = (len(pictures), 1, 1, 1)
    return torch.rand(shape, generator=draw, device=draw.device, dtype=pictures.dtype).to(pictures.device)
