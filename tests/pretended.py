"""A GPU that is not there, for tests of what lies where.

PyTorch's fake tensors compute shapes, kinds and devices, and no values. They complain where tensors meet that lie on
different devices, and where a number is asked for, for which a program would have to wait for a GPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gencli.core import device
from gencli.core.device import Runtime


class Generator(torch.Generator):
    """One that says it belongs to any device."""

    def __new__(cls, device: torch.device | str = "cpu") -> Generator:
        return super().__new__(cls, "cpu")

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.belongs_to = torch.device(device)

    @property
    def device(self) -> torch.device:
        return self.belongs_to


def _to(net: nn.Module, where: Any = None, *args: Any, **kinds: Any) -> nn.Module:
    """`Module.to`, which cannot change what fake tensors are in place."""
    if isinstance(where, (torch.device, str)):
        for module in net.modules():
            for name, weight in module._parameters.items():
                if weight is not None:
                    module._parameters[name] = nn.Parameter(weight.detach().to(where), weight.requires_grad)
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(where)
    return net


def _backward(loss: Tensor, *args: Any, **kinds: Any) -> None:
    """The engine wants a real GPU."""
    assert loss.requires_grad and loss.dim() == 0


def _grad(outputs: Any, inputs: Any, *args: Any, create_graph: bool = False, **kinds: Any) -> tuple[Tensor, ...]:
    each = [inputs] if isinstance(inputs, Tensor) else inputs
    return tuple(torch.zeros_like(one).requires_grad_(create_graph) for one in each)


@contextmanager
def pretended_gpu() -> Iterator[Runtime]:
    """Within, what is computed on the runtime that is given is computed on no GPU."""
    with ExitStack() as stack:
        for owner, name, instead in (
            (torch, "Generator", Generator),
            (nn.Module, "to", _to),
            (Tensor, "backward", _backward),
            (torch.autograd, "grad", _grad),
            (Tensor, "pin_memory", lambda values: values),
            (Tensor, "numpy", lambda values: np.zeros(values.shape)),
            (device, "_channels_last_is_faster", lambda where: True),
            (device, "_shared_generator", Generator),
        ):
            stack.enter_context(patch.object(owner, name, instead))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield Runtime(torch.device("cuda", 0))
