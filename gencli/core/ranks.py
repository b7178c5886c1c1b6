"""Several processes that train one model together, as torchrun starts them: one rank each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from gencli.core.device import Runtime


class Ranks:
    """What the ranks tell each other. With one process every method is the identity.

    Gradients and weights travel over the device's own backend (NCCL, Gloo), messages over Gloo on the
    CPU, so that agreeing on something never waits for the GPU.
    """

    def __init__(self, runtime: Runtime, messages: Any = None) -> None:
        self.rank, self.world_size = runtime.rank, runtime.world_size
        self._messages = messages
        self._hooks: list[RemovableHandle] = []

    @property
    def alone(self) -> bool:
        return self.world_size == 1

    def highest(self, *values: float) -> list[float]:
        """The maximum over the ranks of each value."""
        if self.alone:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(message, dist.ReduceOp.MAX, group=self._messages)
        return [float(value) for value in message]

    def mean(self, values: Sequence[float]) -> list[float]:
        """The mean over the ranks of each value; all ranks give equally many."""
        if self.alone:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(message, group=self._messages)
        return [float(value) / self.world_size for value in message]

    def gather(self, value: Tensor) -> list[Tensor]:
        """A CPU tensor of each rank, in their order; of one shape everywhere but for how long it is."""
        if self.alone:
            return [value]
        if not value.dim():
            return [one[0] for one in self.gather(value[None])]
        lengths = [torch.empty(1, dtype=torch.int64) for _ in range(self.world_size)]
        dist.all_gather(lengths, torch.tensor([len(value)]), group=self._messages)
        longest = int(max(lengths))
        padded = torch.cat([value, value.new_zeros(longest - len(value), *value.shape[1:])])
        everyone = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(everyone, padded, group=self._messages)
        return [one[: int(length)] for one, length in zip(everyone, lengths, strict=True)]

    def share_weights(self, modules: Iterable[nn.Module]) -> None:
        """Give every rank rank 0's parameters and buffers."""
        if self.alone:
            return
        for module in modules:
            for tensor in [*module.parameters(), *module.buffers()]:
                whole = tensor.detach().contiguous()
                dist.broadcast(whole, 0)
                tensor.detach().copy_(whole)

    def average_gradients(self, optimizers: Iterable[Optimizer]) -> None:
        """Until `join` ends, let every `optimizer.step()` use the mean of the ranks' gradients."""
        if not self.alone:
            self._hooks += [optimizer.register_step_pre_hook(self._average) for optimizer in optimizers]

    def leave(self) -> None:
        """Give the optimizers back as they were."""
        for hook in self._hooks:
            hook.remove()

    def _average(self, optimizer: Optimizer, *_: Any) -> None:
        parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not gradients:
            return
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])  # one message instead of hundreds
        dist.all_reduce(flat)
        flat /= self.world_size
        means = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))


@contextmanager
def join(runtime: Runtime) -> Iterator[Ranks]:
    """Join the other ranks for the time of this context: the process group is started and ended here,
    unless the caller has started it. With one process nothing happens."""
    if runtime.world_size == 1:
        yield Ranks(runtime)
        return
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("nccl" if runtime.device.type == "cuda" else "gloo")
    try:
        patient = timedelta(days=1)  # the others wait here while rank 0 evaluates
        ranks = Ranks(runtime, dist.new_group(backend="gloo", timeout=patient))
        try:
            yield ranks
        finally:
            ranks.leave()
    finally:
        if started:
            dist.destroy_process_group()
