"""A step's pictures of both kinds: in pairs, made of their targets, or each kind in an order of its own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gencli.core.device import Runtime, generator
from gencli.core.pictures import Augmentation, PictureBatches, PictureSet
from gencli.gan.translation.options import TranslatorTraining
from gencli.gan.translation.tasks import Task, spoilt


@dataclass(frozen=True)
class Both:
    """A step's pictures of both kinds, (N, 3, H, W) in [0, 1]."""

    before: Tensor
    after: Tensor


class PairedBatches:
    """Pairs, both cut out and mirrored alike; with a task, targets alone, of which the inputs are made."""

    def __init__(self, pictures: PictureBatches, task: Task | None, seed: int) -> None:
        self.pictures, self.task, self.seed = pictures, task, seed

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, epoch: int, index: int) -> Both:
        found = self.pictures.batch(epoch, index).pictures
        if self.task is None:
            return Both(found[:, :3], found[:, 3:])
        draw = generator(self.seed, 5, epoch, index * self.pictures.world_size + self.pictures.rank)
        return Both(spoilt(self.task, found, draw), found)


class UnpairedBatches:
    """Both kinds, each in an order of its own; of the kind that has fewer, pictures come more often."""

    def __init__(self, before: PictureBatches, after: PictureBatches) -> None:
        self.both = before, after

    def __len__(self) -> int:
        return max(map(len, self.both))

    def batch(self, epoch: int, index: int) -> Both:
        step = epoch * len(self) + index
        return Both(*(kind.batch(*divmod(step, len(kind))).pictures for kind in self.both))


def batches(pictures: PictureSet, options: TranslatorTraining, runtime: Runtime, seed: int) -> PictureBatches:
    """Squares of the pictures, cut out of them where they are larger."""
    share = (options.size / pictures.shape[-1]) ** 2
    augmentation = Augmentation(flip=options.flip, scale=(share, share) if share < 1 else None, ratio=(1.0, 1.0))
    return PictureBatches(
        pictures,
        options.batch_size,
        seed,
        augmentation,
        options.size,
        runtime.device,
        runtime.rank,
        runtime.world_size,
    )
