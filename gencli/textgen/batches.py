"""Tokens in the order of training: lanes that are read on and on, windows, and documents.

A batch is a pure function of its position, so a resume needs no iterator's state; and it is read from the
disk when it is needed, so a text may be larger than memory.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gencli.core.device import Runtime, generator
from gencli.core.errors import GencliError
from gencli.textgen.tokens import Tokens

IGNORED = -100  # a target that does not count: cross_entropy's own sign for it


@dataclass(frozen=True)
class Batch:
    """`inputs` and `targets` int64 (B, T): what comes next at each position, `IGNORED` where nothing does.

    `fresh`: the rows do not go on where those of the batch before ended.
    """

    inputs: Tensor
    targets: Tensor
    fresh: bool = True


class TokenBatches(ABC):
    """What the training loop asks for: `len(batches)` steps an epoch, `batches.batch(epoch, index)`.

    Under torchrun `rows` are each rank's, and each rank reads rows of its own.
    """

    def __init__(self, tokens: Tokens, rows: int, context: int, seed: int, runtime: Runtime) -> None:
        if len(tokens) < 2:
            raise GencliError(f"the training text has {len(tokens)} token; two are the least that can be learnt from")
        self.tokens, self.seed, self.runtime = tokens, seed, runtime
        self.context = min(context, len(tokens) - 1)
        self.rows = rows

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, epoch: int, index: int) -> Batch: ...

    def draw(self, epoch: int, below: int) -> int:
        """A number in [0, below), the same for all ranks, another one each epoch."""
        return int(torch.randint(below, (), generator=generator(self.seed, epoch)))

    def read(self, starts: npt.NDArray[np.int64]) -> Batch:
        """The windows that begin at `starts`, and their tokens' successors."""
        taken = torch.from_numpy(self.tokens.take(starts, self.context + 1).astype(np.int64))
        taken = taken.to(self.runtime.device, non_blocking=True)
        return Batch(taken[:, :-1], taken[:, 1:])


class Lanes(TokenBatches):
    """The text cut into `rows` long lanes read side by side, `context` tokens a step.

    What a recurrent model remembers at the end of a step is where the next begins (truncated
    back-propagation through time, Williams & Peng 1990). A short text has fewer lanes.
    """

    def __init__(self, tokens: Tokens, rows: int, context: int, seed: int, runtime: Runtime) -> None:
        super().__init__(tokens, rows, context, seed, runtime)
        within = (len(tokens) - 1) // self.context  # steps, if there were one lane
        self.rows = max(1, min(rows, within // runtime.world_size))
        lanes = self.rows * runtime.world_size
        if lanes > within:
            raise GencliError(f"the training text is too short for {runtime.world_size} processes", "use fewer")
        self.steps = within // lanes
        self.slack = len(tokens) - 1 - lanes * self.steps * self.context

    def __len__(self) -> int:
        return self.steps

    def batch(self, epoch: int, index: int) -> Batch:
        lanes = self.runtime.rank * self.rows + np.arange(self.rows)
        offset = self.draw(epoch, self.slack + 1) + index * self.context
        read = self.read(lanes * self.steps * self.context + offset)
        return Batch(read.inputs, read.targets, fresh=index == 0)


class Windows(TokenBatches):
    """Windows of `context` tokens that begin every `stride` tokens, in random order, each once an epoch.

    `last`: only the token after a window is a target, as the textbook's text generator has it.
    """

    def __init__(
        self, tokens: Tokens, rows: int, context: int, stride: int, seed: int, runtime: Runtime, last: bool = False
    ) -> None:
        super().__init__(tokens, rows, context, seed, runtime)
        self.stride, self.last = stride, last
        self.slack = min(stride, len(tokens) - self.context)  # places the first window may begin at
        self.count = (len(tokens) - 1 - self.context - (self.slack - 1)) // stride + 1
        self.rows = min(rows, max(1, self.count // runtime.world_size))

    def __len__(self) -> int:
        return max(1, self.count // (self.rows * self.runtime.world_size))

    def batch(self, epoch: int, index: int) -> Batch:
        first = (index * self.runtime.world_size + self.runtime.rank) * self.rows
        windows = scattered(np.arange(first, first + self.rows), self.count, generator(self.seed, epoch, 1))
        read = self.read(windows * self.stride + self.draw(epoch, self.slack))
        if not self.last:
            return read
        targets = torch.full_like(read.targets, IGNORED)
        targets[:, -1] = read.targets[:, -1]
        return Batch(read.inputs, targets)


class Documents(TokenBatches):
    """Each document is one row, cut after `context` tokens, in random order, each once an epoch.

    Shorter ones are filled up with `padding`, which is no target.
    """

    def __init__(self, tokens: Tokens, rows: int, context: int, padding: int, seed: int, runtime: Runtime) -> None:
        super().__init__(tokens, rows, context, seed, runtime)
        self.padding = padding
        self.starts = tokens.documents
        self.lengths = np.diff(self.starts, append=len(tokens))
        self.rows = min(rows, max(1, len(self.starts) // runtime.world_size))

    def __len__(self) -> int:
        return max(1, len(self.starts) // (self.rows * self.runtime.world_size))

    def batch(self, epoch: int, index: int) -> Batch:
        first = (index * self.runtime.world_size + self.runtime.rank) * self.rows
        places = np.arange(first, first + self.rows)
        return self.padded(scattered(places, len(self.starts), generator(self.seed, epoch, 1)))

    def padded(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """The documents of these numbers."""
        starts = np.minimum(self.starts[chosen], len(self.tokens) - self.context - 1)  # read whole rows only
        rows = self.tokens.take(starts, self.context + 1).astype(np.int64)
        for row, skipped, length in zip(rows, self.starts[chosen] - starts, self.lengths[chosen], strict=True):
            kept = row[skipped : skipped + length].copy()
            row[: len(kept)], row[len(kept) :] = kept, self.padding
        taken = torch.from_numpy(rows).to(self.runtime.device)
        targets = taken[:, 1:].masked_fill(taken[:, 1:] == self.padding, IGNORED)
        return Batch(taken[:, :-1], targets)


def scattered(places: npt.NDArray[np.int64], count: int, draw: torch.Generator) -> npt.NDArray[np.int64]:
    """Where a shuffle of 0 … count - 1 has put `places`: a + b·i modulo count, with b prime to count.

    It needs no memory, whatever the count, which a list of all numbers would; and neighbours lie far apart.
    """
    shift, factor = (int(torch.randint(count, (), generator=draw)) for _ in range(2))
    factor = max(1, factor)
    while math.gcd(factor, count) > 1:
        factor = factor % count + 1
    return (shift + factor * (places % count)) % count
