"""What an art and the training loop agree on: recipes, batches, how long, and what is told back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from gencli.core.checkpoint import Stateful
from gencli.core.errors import UsageError

Preview = Image.Image | Mapping[str, str]


class Diverged(Exception):  # noqa: N818  (no error: the loop goes back)
    """A recipe sees that its training is lost, and says why."""


class Recipe(ABC):
    """What the loop must know of a model.

    Everything a step depends on lives in one of the five mappings, and is saved: then a resume is
    exact. Of `generators` and `own` every rank's are saved, of the others rank 0's. A step that draws
    random numbers draws them from `generators`; layers that know PyTorch's own generator only
    (`nn.Dropout`) do so inside `device.drawing_from(one of them)`.

    A step is free to use its modules and optimizers as it likes. Under torchrun each
    `optimizer.step()` takes the mean of the ranks' gradients by itself; clipping before it is of
    each rank's own.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    generators: Mapping[str, torch.Generator] = MappingProxyType({})
    extras: Mapping[str, Stateful] = MappingProxyType({})  # a gradient scaler, a replay buffer …
    own: Mapping[str, Stateful] = MappingProxyType({})  # what differs by rank, in tensors of the same shapes on all

    @abstractmethod
    def step(self, batch: Any, progress: float) -> Mapping[str, Tensor | float]:
        """One optimisation step on a batch; the losses to log, 0-dim tensors left on the device.

        `progress` in [0, 1) is how much of the training is over, for schedules.
        """

    @abstractmethod
    def export(self) -> Mapping[str, Tensor]:
        """The inference weights for `model.safetensors` (moving averages, folded batch norm …)."""

    def rate(self, progress: float) -> float:
        """The factor on every optimizer's initial learning rate (warm-up, cosine …): a pure function."""
        return 1.0

    def evaluate(self) -> Mapping[str, float]:
        """Figures on held-out data. Leaves the modules in training mode."""
        return {}

    def remarks(self, means: Mapping[str, float]) -> Sequence[str]:
        """What people should be told, given the means of the losses since the last line of the log.

        Raises Diverged when it is better to go back to the last save, with half the learning rate.
        """
        return ()

    def preview(self) -> Preview | None:
        """A picture, or texts by what they show, for `samples/`: how far the model is."""
        return None


def up_and_down(progress: float, warm_up: float) -> float:
    """A course for a learning rate, in [0, 1]: up in a straight line from a twentieth over the share `warm_up` of the
    training, down along a cosine (Loshchilov & Hutter 2017)."""
    if progress < warm_up:
        return 0.05 + 0.95 * progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def level_and_down(progress: float) -> float:
    """The course of a learning rate that stays for half of the training, and then falls to 0 in a straight line
    (Isola et al. 2017)."""
    return min(1.0, 2 * (1 - progress))


class Batches(Protocol):
    """The data in the order of training."""

    def __len__(self) -> int:
        """Steps an epoch."""

    def batch(self, epoch: int, index: int) -> Any:
        """The batch of a position, both from 0: a pure function, which is what makes a resume exact.

        Under torchrun each rank's batches hold that rank's share.
        """


@dataclass(frozen=True)
class TrainingOptions:
    """How long to train and how often to save. A resume may change these, and only these.

    `steps`, `epochs`, `minutes`: whichever is over first ends the training; at least one is needed.
    With the first two alone a training is deterministic; the clock is not.
    """

    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    save_minutes: float = 5.0  # between saves inside an epoch
    log_steps: int = 50  # between lines of metrics.jsonl
    evaluate_steps: int | None = None  # between evaluations, previews and saves; None: once an epoch
    best: str | None = None  # keep the weights that were best by this figure of evaluate(); None: the last
    higher_is_better: bool = False
    patience: int | None = None  # stop after so many evaluations without a better `best`

    def __post_init__(self) -> None:
        durations = {"steps": self.steps, "epochs": self.epochs, "minutes": self.minutes}
        if all(value is None for value in durations.values()):
            raise UsageError("nothing says how long to train", "give --steps, --epochs or --minutes")
        intervals = {"log_steps": self.log_steps, "evaluate_steps": self.evaluate_steps}
        for name, value in {**durations, **intervals, "patience": self.patience}.items():
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} is {value}; it must be more than 0")
        if not self.save_minutes >= 0:
            raise UsageError(f"save_minutes is {self.save_minutes}; it cannot be negative")
        if self.patience is not None and self.best is None:
            raise UsageError("patience needs a figure to watch: set `best`")


@dataclass(frozen=True)
class Progress:
    """What the loop tells its caller after each step, and once more with each line it logs."""

    step: int
    steps: int | None  # in all; None when only the clock ends the training
    epoch: int  # from 1
    seconds: float
    fraction: float  # of the whole training, in [0, 1]
    line: Mapping[str, Any] | None = None  # just written to metrics.jsonl
    preview: Preview | None = None  # that belongs to it


@dataclass(frozen=True)
class Result:
    """How a training ended."""

    folder: Path
    steps: int
    seconds: float
    stopped_by: str  # steps, epochs, minutes or patience
    evaluation: Mapping[str, float]  # the last
    best: float | None
    best_step: int | None
