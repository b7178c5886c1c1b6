"""Picture sets in memory: uint8 (N, C, H, W), batches by index, augmentation on the device.

A batch is a pure function of its position (epoch, index): its pictures and their augmentation are drawn
from generators seeded with that position. So nothing has to be saved for an exact resume, and no worker
processes are needed: to take 128 pictures out of a memory map costs a fraction of a millisecond.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.errors import UsageError


@dataclass(frozen=True)
class PictureSet:
    """Pictures with what is known about them.

    `stored` holds the pixels, uint8 (M, C, H, W), usually a memory map of the cache. `rows` says which of
    them belong to this set, and in what order (None: all), so that a split costs no memory. `labels` are
    int64 (N,), indices into `classes`; `attributes` are bool (N, A) with a name each. `fingerprint` tells
    contents apart: the same pixels, labels and names have the same fingerprint, wherever they came from.
    """

    stored: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    attributes: Tensor | None = None
    attribute_names: tuple[str, ...] = ()
    fingerprint: str = ""
    name: str = "pictures"
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.stored if self.rows is None else self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every picture."""
        _, channels, height, width = self.stored.shape
        return channels, height, width

    @property
    def pictures(self) -> Tensor:
        """All pictures of the set, uint8 (N, C, H, W). Of a subset this is a copy; `take` is cheaper."""
        return self.stored if self.rows is None else self.stored.index_select(0, self.rows)

    def take(self, indices: Tensor) -> Tensor:
        """The pictures at int64 `indices` (B,), uint8 (B, C, H, W), on the CPU."""
        return self.stored.index_select(0, indices if self.rows is None else self.rows[indices])

    def subset(self, indices: Tensor | Sequence[int]) -> PictureSet:
        """The pictures at `indices`, in that order, as a set of their own; no pixels are copied."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        digest = hashlib.sha256(self.fingerprint.encode() + chosen.numpy().tobytes())
        return replace(
            self,
            rows=chosen if self.rows is None else self.rows[chosen],
            labels=None if self.labels is None else self.labels[chosen],
            attributes=None if self.attributes is None else self.attributes[chosen],
            fingerprint=digest.hexdigest(),
        )

    def spread(self, count: int) -> PictureSet:
        """At most `count` of the pictures, evenly spread over the set, in its order."""
        chosen = min(count, len(self))
        return self.subset(torch.arange(chosen) * len(self) // chosen)

    def split(self, held_out: float, seed: int = 0) -> tuple[PictureSet, PictureSet]:
        """Two disjoint sets: the one to train on, and the fraction `held_out` never trained on.

        Drawn from the seed, the same for the same number of pictures and labels; class by class where
        there are labels, so that both parts have the set's proportions. Both parts get at least one
        picture. Raises UsageError when that is impossible.
        """
        if not 0 < held_out < 1:
            raise UsageError(f"cannot hold out a fraction of {held_out:g}", "give one between 0 and 1, such as 0.1")
        if len(self) < 2:
            raise UsageError(f"{self.name} has {len(self)} picture(s): too few to hold some out", "add pictures")
        shuffled = torch.randperm(len(self), generator=_generator("split", seed))
        if self.labels is not None:
            shuffled = shuffled[torch.argsort(self.labels[shuffled], stable=True)]
        # Walking along the shuffled (and by class sorted) set, a picture is held out whenever the count
        # due passes a whole number: each class gets its share to within one picture.
        count = min(max(1, round(held_out * len(self))), len(self) - 1)
        due = torch.arange(len(self) + 1) * count // len(self)
        held = due[1:] > due[:-1]
        return self.subset(shuffled[~held].sort().values), self.subset(shuffled[held].sort().values)


@dataclass(frozen=True)
class Augmentation:
    """Random changes of a training picture; by default none.

    `flip`: half of the pictures are mirrored left to right. `shift`: moved by up to so many pixels (of the
    batch's size) along each axis, what is uncovered filled by reflection. `scale`: instead of the whole
    picture a window of it, of a random share of its area (from, to) and an aspect ratio (width / height)
    log-uniform in `ratio`, is brought to the batch's size with antialiasing (Szegedy et al. 2015). `warp`: turned,
    stretched, slanted and moved a little; each number of the affine map that does it is off by a normal one of that
    deviation, moves being in halves of a side.
    """

    flip: bool = False
    shift: int = 0
    warp: float = 0.0
    scale: tuple[float, float] | None = None
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise UsageError(f"cannot shift by {self.shift} pixels", "give 0 or more")
        if not 0 <= self.warp < 1:
            raise UsageError(f"cannot warp by {self.warp:g}", "give 0 or a little more, such as 0.03")
        for name, bounds, most in (("scale", self.scale, 1.0), ("ratio", self.ratio, math.inf)):
            if bounds is not None and not 0 < bounds[0] <= bounds[1] <= most:
                raise UsageError(
                    f"a {name} from {bounds[0]:g} to {bounds[1]:g} is not possible",
                    f"give two numbers above 0{', at most 1' if most == 1 else ''}, the smaller first",
                )


NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Batch:
    """Pictures float32 (B, C, H, W) in [0, 1] and their int64 labels (B,); where they stand in the set,
    `indices` int64 (B,), and which were mirrored, `flipped` bool (B,). `indices` are on the CPU, the rest
    on the device."""

    pictures: Tensor
    labels: Tensor | None
    indices: Tensor
    flipped: Tensor


@dataclass
class PictureBatches:
    """A picture set as training sees it: `len(batches)` steps an epoch, `batches.batch(epoch, index)`.

    Every picture comes exactly once an epoch, in an order drawn from (seed, epoch). An epoch is cut into
    batches of equal size (to within one picture, at most `batch_size`), so there is no small last one. With
    several ranks each takes its own part of every step: `world_size * batch_size` pictures together.
    `size`: pictures are resized to squares of that side (default: as they are).
    """

    pictures: PictureSet
    batch_size: int
    seed: int = 0
    augmentation: Augmentation = NO_AUGMENTATION
    size: int | None = None
    device: torch.device | str = "cpu"
    rank: int = 0
    world_size: int = 1
    _order: tuple[int, Tensor] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.pictures) < self.world_size:
            raise UsageError(
                f"{self.pictures.name} has {len(self.pictures)} pictures for {self.world_size} ranks",
                "use fewer ranks or more pictures",
            )
        if self.batch_size < 1:
            raise UsageError(f"a batch of {self.batch_size} pictures is none", "give a batch size of 1 or more")

    def __len__(self) -> int:
        steps = math.ceil(len(self.pictures) / (self.batch_size * self.world_size))
        # Batches of 1 on several ranks may not come out even: rather two in one than none in another.
        return min(steps, len(self.pictures) // self.world_size)

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch `index` of `epoch`: always the same for the same position, set, seed and options."""
        part, parts = index * self.world_size + self.rank, len(self) * self.world_size
        count = len(self.pictures)
        indices = self._permutation(epoch)[count * part // parts : count * (part + 1) // parts]
        generator = _generator("augmentation", self.seed, epoch, part)
        pictures, flipped = augment(
            _sent(self.pictures.take(indices), self.device),
            self.augmentation,
            generator,
            self.size,
        )
        labels = self.pictures.labels
        return Batch(pictures, None if labels is None else _sent(labels[indices], self.device), indices, flipped)

    def _permutation(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.pictures), generator=_generator("order", self.seed, epoch))
            self._order = epoch, order
        return self._order[1]


def _sent(values: Tensor, device: torch.device | str) -> Tensor:
    """On a device. From pageable memory a GPU's copy would wait for all that it was told to do before."""
    pinned = values.pin_memory() if torch.device(device).type == "cuda" else values
    return pinned.to(device, non_blocking=True)


def in_order(
    pictures: PictureSet, batch_size: int, *, size: int | None = None, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """The whole set once, in order and unchanged, for evaluation."""
    generator = torch.Generator()
    for indices in torch.split(torch.arange(len(pictures)), batch_size):
        taken, flipped = augment(pictures.take(indices).to(device), NO_AUGMENTATION, generator, size)
        labels = None if pictures.labels is None else pictures.labels[indices].to(device)
        yield Batch(taken, labels, indices, flipped)


def augment(
    pictures: Tensor, augmentation: Augmentation, generator: torch.Generator, size: int | None = None
) -> tuple[Tensor, Tensor]:
    """Change pictures at random: uint8 (B, C, H, W) → float32 (B, C, size, size) in [0, 1]; and which were
    flipped, bool (B,).

    Everything is drawn from `generator`, on the CPU, so every device makes the same choices. Works on the
    device the pictures are on. `size` None keeps the size.
    """
    count, _, height, width = pictures.shape
    target = (size, size) if size else (height, width)
    if augmentation.scale is not None:
        top, left, tall, wide = _windows(count, height, width, augmentation, generator)
        rows = _sent(_resampling(top, tall, height, target[0]).div_(255), pictures.device)
        columns = _sent(_resampling(left, wide, width, target[1]), pictures.device)
        pictures = rows[:, None] @ pictures.float() @ columns[:, None].mT
    elif target != (height, width):
        pictures = resize(pictures, target)
    if augmentation.shift:
        pictures = _shift(pictures, augmentation.shift, generator)
    if augmentation.warp:
        pictures = _warp(pictures, augmentation.warp, generator)
    flipped = torch.zeros(count, dtype=torch.bool, device=pictures.device)
    if augmentation.flip:
        flipped = _sent(torch.rand(count, generator=generator) < 0.5, pictures.device)
        both = torch.cat((pictures, pictures.flip(-1)))  # 5 times faster than torch.where
        pictures = both.index_select(0, torch.arange(count, device=flipped.device) + count * flipped)
    if pictures.dtype == torch.uint8:
        pictures = pictures.float().div_(255)
    return pictures, flipped


def resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Antialiased bilinear resizing of a batch (B, C, H, W) to `size` (height, width), uint8 or float.

    uint8 stays uint8 on the CPU (5 times faster than float there) and becomes float in [0, 1] elsewhere.
    """
    if pictures.dtype == torch.uint8 and pictures.device.type != "cpu":
        pictures = pictures.float().div_(255)
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)


def _shift(pictures: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Move each picture of (B, C, H, W) by its own -limit … limit pixels along each axis, with reflection."""
    count, channels, height, width = pictures.shape
    moves = torch.randint(-limit, limit + 1, (2, count, 1), generator=generator)
    rows = _reflect(torch.arange(height) + moves[0], height)
    columns = _reflect(torch.arange(width) + moves[1], width)
    source = _sent((rows[:, :, None] * width + columns[:, None, :]).view(count, 1, -1), pictures.device)
    moved = pictures.flatten(2).gather(2, source.expand(-1, channels, -1))
    return moved.view(count, channels, height, width)


def _warp(pictures: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Look at each picture of (B, C, H, W), uint8 or float, through an affine map of its own: float in [0, 1]."""
    maps = torch.eye(2, 3) + deviation * torch.randn(len(pictures), 2, 3, generator=generator)
    values = pictures.float().div_(255) if pictures.dtype == torch.uint8 else pictures
    places = F.affine_grid(_sent(maps, pictures.device), list(pictures.shape), align_corners=False)
    # not bilinear: pictures between the pixels would be softer than those that training is for
    found = F.grid_sample(values, places, mode="bicubic", padding_mode="reflection", align_corners=False)
    return found.clamp_(0, 1)


def _reflect(positions: Tensor, length: int) -> Tensor:
    """Fold positions outside 0 … length - 1 back in, mirrored at the edge pixels' centres."""
    period = max(1, 2 * (length - 1))
    positions = positions.remainder(period)
    return torch.minimum(positions, period - positions)


def _windows(
    count: int, height: int, width: int, augmentation: Augmentation, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw windows inside a picture: top, left, height and width, each (B,), in pixels, not whole numbers."""
    assert augmentation.scale is not None
    draws = torch.rand(4, count, generator=generator)
    smallest, largest = augmentation.scale
    narrow, broad = (math.log(bound) for bound in augmentation.ratio)
    area = (smallest + (largest - smallest) * draws[0]) * height * width
    ratio = (narrow + (broad - narrow) * draws[1]).exp()
    tall, wide = (area / ratio).sqrt().clamp(max=height), (area * ratio).sqrt().clamp(max=width)
    return draws[2] * (height - tall), draws[3] * (width - wide), tall, wide


def _resampling(start: Tensor, length: Tensor, source: int, target: int) -> Tensor:
    """Matrices (B, target, source) that resample the windows start … start + length with antialiasing.

    Bilinear weights (a triangle), widened by the scale where a window shrinks: what Pillow's BILINEAR does.
    """
    step = (length / target)[:, None, None]
    centers = start[:, None, None] + (torch.arange(target)[:, None] + 0.5) * step
    weights = (1 - (torch.arange(source) + 0.5 - centers).abs() / step.clamp(min=1)).clamp_(min=0)
    return weights / weights.sum(-1, keepdim=True)


def _generator(purpose: str, *position: int) -> torch.Generator:
    """A generator for one purpose at one position; neighbouring positions get unrelated numbers."""
    digest = hashlib.sha256(repr((purpose, *position)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
