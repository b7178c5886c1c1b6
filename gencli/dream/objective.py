"""What a picture is to be full of: terms that add and scale like numbers, and their value with its gradient.

Each term is a function of the means of some statistics over the positions of one layer. So a picture past the memory
limit can be worked in tiles with the same result: a first pass adds up the tiles' statistics, the terms give their
gradient with respect to the means, and a second pass carries it back through each tile.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.backbones import Backbone
from gencli.core.device import trim_heap
from gencli.core.errors import UsageError
from gencli.core.names import class_number
from gencli.core.tiles import Tiling, Window

TINY = 1e-8
MOST_GUIDES = 1024  # vectors of a guide: each position of the picture is compared with all of them


class Objective(ABC):
    """A sum of weighted terms, such as `2 * Layer("conv4_2") + Channel("conv5_1", 7) - Category(3)`."""

    @property
    @abstractmethod
    def parts(self) -> tuple[tuple[float, Term], ...]:
        """The terms and what each counts for."""

    def __add__(self, other: Objective) -> Objective:
        return Sum(self.parts + other.parts)

    def __mul__(self, weight: float) -> Objective:
        return Sum(tuple((weight * before, term) for before, term in self.parts))

    __rmul__ = __mul__

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        return self + -other


@dataclass(frozen=True)
class Sum(Objective):
    """Terms with their weights."""

    parts: tuple[tuple[float, Term], ...] = ()


def total(objectives: Iterable[Objective]) -> Objective:
    """The sum of any number of objectives."""
    return Sum(tuple(part for objective in objectives for part in objective.parts))


class Term(Objective):
    """One thing to be seen more of, by what a layer makes of a picture. As an objective, it counts for 1."""

    layer: str

    @property
    def parts(self) -> tuple[tuple[float, Term], ...]:
        return ((1.0, self),)

    @abstractmethod
    def sums(self, features: Tensor) -> Tensor:
        """Statistics of features (C, h, w), each added up over the positions: (S,)."""

    @abstractmethod
    def value(self, means: Tensor) -> Tensor:
        """How much of it there is, 0-dim, by the statistics' means over the positions (S,)."""


@dataclass(frozen=True)
class Layer(Term):
    """How strongly a layer answers, by its activations a:

    - `contrast`: twice the log of the channels' mean deviation from their means over the picture. What answers in one
      place and not in others counts, and no channel by its square, so that no one motif fills the picture; and layers
      of any strength weigh alike.
    - `mean-square`: mean a² (Chollet 2017).
    - `l2`: √ Σ a² (Mordvintsev et al. 2015), divided by the root of how many there are.
    """

    layer: str
    energy: str = "contrast"

    def sums(self, features: Tensor) -> Tensor:
        squares = features.square().sum((1, 2))
        return torch.stack((squares, features.sum((1, 2)))) if self.energy == "contrast" else squares

    def value(self, means: Tensor) -> Tensor:
        if self.energy == "contrast":
            squares, mean = means
            return 2 * (squares - mean.square()).clamp_min(TINY).sqrt().mean().log()
        return means.mean() if self.energy == "mean-square" else means.mean().clamp_min(TINY).sqrt()


@dataclass(frozen=True)
class Channel(Term):
    """The logarithm of the mean of one channel of a layer (Olah et al. 2017), from 0."""

    layer: str
    index: int

    def sums(self, features: Tensor) -> Tensor:
        return features[self.index].sum().view(1)

    def value(self, means: Tensor) -> Tensor:
        return means.clamp_min(TINY).log().squeeze(0)


@dataclass(frozen=True)
class Category(Term):
    """The log-odds of a class of the classifier, which go on growing where its probability is near 1.

    `layer` is the deepest, of which the classifier `head` (see `category`) sees the mean over the picture.
    """

    layer: str
    index: int
    head: nn.Module = field(repr=False)

    def sums(self, features: Tensor) -> Tensor:
        return features.sum((1, 2))

    def value(self, means: Tensor) -> Tensor:
        logits = self.head(means.view(1, -1, 1, 1))[0]
        others = torch.cat((logits[: self.index], logits[self.index + 1 :]))
        odds: Tensor = logits[self.index] - others.logsumexp(0)
        return odds


def category(name: str | int, backbone: Backbone) -> Category:
    """The term of a class, by its name or its number from 0.

    Raises UsageError when the network has no such class, or a classifier that needs to see more than means.
    """
    if backbone.head is None:
        raise UsageError(f"{backbone.name} has no classifier", "use a backbone that was kept whole")
    if not isinstance(next(backbone.head.children(), None), nn.AdaptiveAvgPool2d):
        raise UsageError(f"the classifier of {backbone.name} cannot be dreamt of", "use another --backbone")
    index = name if isinstance(name, int) else class_number(name, backbone.classes, backbone.name)
    return Category(backbone.layers[-1], index, backbone.head)


@dataclass(frozen=True)
class Guide(Term):
    """How near each position comes to the best-matching of `vectors` (G, C): a guide picture's features.

    - `contrast`: minus the log of 1 less the mean cosine, of what features and vectors have beside the vectors' mean.
      Every position becomes what it was like already.
    - the others: the log of the mean dot product (Mordvintsev et al. 2015), which the guide's loudest features win
      nearly everywhere.
    """

    layer: str
    vectors: Tensor = field(repr=False)
    energy: str = "contrast"

    def sums(self, features: Tensor) -> Tensor:
        positions, vectors = features.flatten(1).T, self.vectors  # (N, C)
        if self.energy == "contrast":
            middle = vectors.mean(0)
            positions, vectors = (F.normalize(found - middle) for found in (positions, vectors))
        with torch.no_grad():
            best = (positions @ vectors.T).argmax(1)
        return (vectors[best] * positions).sum().view(1)

    def value(self, means: Tensor) -> Tensor:
        if self.energy == "contrast":
            return -(1 - means).clamp_min(TINY).log().squeeze(0)
        return means.clamp_min(TINY).log().squeeze(0)


@torch.no_grad()
def guide(picture: Tensor, layer: str, backbone: Backbone, energy: str = "contrast") -> Guide:
    """The term of a guide picture (1, 3, H, W): at most `MOST_GUIDES` of its features, evenly spread."""
    found = backbone(picture, [layer])[backbone.resolve(layer)].flatten(2)[0].T
    chosen = torch.arange(min(len(found), MOST_GUIDES), device=found.device) * len(found) // MOST_GUIDES
    return Guide(layer, found[chosen] if len(found) > MOST_GUIDES else found, energy)


class Sight:
    """An objective as a backbone sees it in pictures of one `size` (height, width): a value and a gradient.

    `border` positions at each layer's edges are left out, though never all. `tile` is the side of the tiles in pixels;
    None works on the whole.
    """

    def __init__(
        self,
        objective: Objective,
        backbone: Backbone,
        size: Sequence[int],
        tile: int | None = None,
        border: int = 0,
    ) -> None:
        self.backbone = backbone
        self.parts = [(weight, term) for weight, term in objective.parts if weight]
        self.tiling = Tiling(backbone, size, [term.layer for _, term in self.parts], tile)
        self.names = [backbone.resolve(term.layer) for _, term in self.parts]
        shapes = [self.tiling.shapes[name] for name in self.names]
        self.margins = [[min(border, (side - 1) // 2) for side in shape] for shape in shapes]
        self.counts = [
            (height - 2 * down) * (width - 2 * across)
            for (height, width), (down, across) in zip(shapes, self.margins, strict=True)
        ]

    def __call__(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """The value (0-dim) of a picture (1, 3, H, W), and its gradient."""
        if not self.parts:
            return picture.new_zeros(()), torch.zeros_like(picture)
        return self._whole(picture) if len(self.tiling.windows) == 1 else self._tiled(picture)

    @torch.no_grad()
    def values(self, picture: Tensor) -> list[float]:
        """Of each term, before its weight."""
        means = self._means(picture)
        return [float(term.value(mean)) for (_, term), mean in zip(self.parts, means, strict=True)]

    def _whole(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        x = picture.detach().requires_grad_()
        value = self._value(self._means(x))
        (gradient,) = torch.autograd.grad(value, x)
        return value.detach(), gradient

    def _tiled(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            means = self._means(picture)
        trim_heap()  # whoever works in tiles is short of memory
        leaves = [mean.requires_grad_() for mean in means]
        value = self._value(leaves)
        slopes = torch.autograd.grad(value, leaves)
        gradient = torch.zeros_like(picture)
        for window in self.tiling.windows:
            x = picture[window.outer].detach().requires_grad_()
            shares = self._shares(x, window)
            carried = sum((slope * share).sum() for slope, share in zip(slopes, shares, strict=True))
            assert isinstance(carried, Tensor)
            gradient[window.outer] += torch.autograd.grad(carried, x)[0]
            del shares, carried
        trim_heap()
        return value.detach(), gradient

    def _value(self, means: Sequence[Tensor]) -> Tensor:
        total = means[0].new_zeros(())
        for (weight, term), mean in zip(self.parts, means, strict=True):
            total = total + weight * term.value(mean)
        return total

    def _means(self, picture: Tensor) -> list[Tensor]:
        """Each term's statistics, their means over the whole picture."""
        shares = (self._shares(picture[window.outer], window) for window in self.tiling.windows)
        return functools.reduce(lambda means, more: [*map(torch.add, means, more)], shares)

    def _shares(self, part: Tensor, window: Window) -> list[Tensor]:
        """What a window adds to each term's means."""
        seen = {layer: (features, place) for layer, features, place in self.tiling.cores(part, window)}
        found = []
        for (_, term), name, margin, count in zip(self.parts, self.names, self.margins, self.counts, strict=True):
            features, (_, rows, columns) = seen[name]
            (height, width), (down, across) = self.tiling.shapes[name], margin
            rows_left, columns_left = _left(rows, down, height), _left(columns, across, width)
            found.append(term.sums(features[:, rows_left, columns_left]) / count)
        return found


def _left(taken: slice, margin: int, length: int) -> slice:
    """Of positions `taken` out of `length`, those that are not in the margin at either end, counted from the first."""
    first, last = max(taken.start, margin), min(taken.stop, length - margin)
    return slice(first - taken.start, max(first, last) - taken.start)
