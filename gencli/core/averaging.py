"""The running mean of a network's weights while it trains, which is better than any one of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)

REACH = 9  # steps made for each that the mean reaches back at first


class RunningMean(Generic[N]):
    """`net`, a copy of a network, holds the exponential mean of its weights (Polyak & Juditsky 1992), of which each
    step keeps the share `keep`; in the first steps less, so that it reaches back over about a ninth of those made:
    weights of long ago would spoil it. It is in evaluation mode and is not trained.

    What a resume needs beside `net` is how many steps are in it: so it belongs to a recipe's `extras`, and `net` to
    its `modules`.
    """

    def __init__(self, net: N, keep: float) -> None:
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.keep, self.steps = keep, 0

    @torch.no_grad()
    def update(self, net: N) -> None:
        """Take the network's present weights in. Its buffers are taken over: for batch norms, see `measuring`."""
        self.steps += 1
        share = max(1 - self.keep, (1 + REACH) / (self.steps + REACH))
        torch._foreach_lerp_([*self.net.parameters()], [*net.parameters()], share)
        for kept, buffer in zip(self.net.buffers(), net.buffers(), strict=True):
            kept.copy_(buffer)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps = state_dict["steps"]


@contextmanager
def measuring(net: nn.Module) -> Iterator[bool]:
    """Within, the batch norms of a network in evaluation mode take the statistics of what it is shown, all batches
    counting alike; those they had are forgotten. Gives whether it has any.

    A mean of weights wants them measured anew: those of the weights that were trained do not fit it (Izmailov et
    al. 2018).
    """
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    try:
        yield bool(norms)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval()
            norm.momentum = momentum
