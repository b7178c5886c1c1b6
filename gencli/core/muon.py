"""Muon: steps for matrices whose singular values are all alike (Jordan et al. 2024).

A gradient's matrix is mostly made of few directions; made orthogonal, a step moves along all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the paper's quintic: singular values to 0.7 … 1.2 in five rounds
ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, with decoupled weight decay.

    A group's `parts` says how many matrices stand one below the other in each of its own (the gates of an
    LSTM): each is made orthogonal by itself. A change of a matrix (m, n) has the spectral norm
    lr · max(1, m / n)^½. A convolution's weights count as the matrix (outputs, inputs · height · width).
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": weight_decay, "parts": 1})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is not None:
                    self._change(matrix, matrix.grad, group)

    def _change(self, matrix: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[matrix]
        if not state:
            state["momentum"] = torch.zeros_like(matrix)
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(state["momentum"], MOMENTUM)  # Nesterov's
        rows = ahead.flatten(1)
        stacked = rows.view(group["parts"], -1, rows.shape[-1])
        scale = max(1.0, stacked.shape[1] / stacked.shape[2]) ** 0.5
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(orthogonal(stacked).reshape(matrix.shape), alpha=-group["lr"] * scale)


def orthogonal(matrices: Tensor) -> Tensor:
    """About the nearest orthogonal matrices to (N, m, n): U Vᵀ of their singular value decompositions U S Vᵀ.

    Newton–Schulz iterations with a polynomial that is steep at 0; singular values come out between 0.7 and 1.2.
    """
    a, b, c = COEFFICIENTS
    x = matrices / (matrices.norm(dim=(-2, -1), keepdim=True) + 1e-20)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
