"""Muon: orthogonal steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gencli.core.muon import Muon, orthogonal


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1, 20, 20), (3, 8, 40), (2, 40, 8)])
def test_singular_values_come_near_to_one_and_directions_stay(shape: tuple[int, int, int]) -> None:
    matrices = drawn(*shape)
    found = orthogonal(matrices)
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.6 and float(values.max()) < 1.25
    u, _, vh = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ found @ vh.mT  # diagonal where the directions are the same
    off = inner - torch.diag_embed(inner.diagonal(dim1=-2, dim2=-1))
    assert float(off.abs().max()) < 1e-8
    torch.testing.assert_close(orthogonal(1e-4 * matrices), found)


def test_first_step_has_the_length_that_is_written_down() -> None:
    weight = nn.Parameter(torch.zeros(40, 10, dtype=torch.float64))
    weight.grad = drawn(40, 10)
    Muon([{"params": [weight], "parts": 4}], lr=0.1).step()
    gates = weight.detach().view(4, 10, 10)
    torch.testing.assert_close(gates, -0.1 * orthogonal(0.0975 * weight.grad.view(4, 10, 10)))
    tall = nn.Parameter(torch.zeros(40, 10, dtype=torch.float64))
    tall.grad = drawn(40, 10)
    Muon([{"params": [tall]}], lr=0.1).step()
    assert float(torch.linalg.svdvals(tall.detach()).max()) == pytest.approx(0.1 * 2, rel=0.25)


def test_decay_pulls_towards_zero_and_a_zero_gradient_moves_nothing_else() -> None:
    weight = nn.Parameter(drawn(5, 5))
    before = weight.detach().clone()
    weight.grad = torch.zeros(5, 5, dtype=torch.float64)
    Muon([{"params": [weight]}], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(weight.detach(), 0.95 * before)


def test_finds_a_badly_scaled_matrix() -> None:
    wanted, inputs = drawn(12, 12, seed=1), drawn(200, 12, seed=2) * torch.logspace(0, -1, 12, dtype=torch.float64)
    weight = nn.Parameter(torch.zeros(12, 12, dtype=torch.float64))
    optimizer = Muon([{"params": [weight]}], lr=0.1)
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        error = (inputs @ (weight - wanted).mT).square().mean()
        weight.grad = None
        error.backward()
        optimizer.step()
    assert float((weight - wanted).detach().norm() / wanted.norm()) < 0.1


def test_a_convolution_counts_as_a_matrix() -> None:
    draw = torch.Generator().manual_seed(2)
    weight, gradient = torch.randn(6, 4, 3, 3, generator=draw), torch.randn(6, 4, 3, 3, generator=draw)
    convolution, matrix = nn.Parameter(weight.clone()), nn.Parameter(weight.flatten(1).clone())
    spread = nn.Parameter(weight.clone().contiguous(memory_format=torch.channels_last))
    optimizer = Muon([{"params": [convolution, matrix, spread]}], lr=0.1)
    for _ in range(3):
        convolution.grad, matrix.grad, spread.grad = gradient, gradient.flatten(1), gradient.clone()
        optimizer.step()
    assert not torch.allclose(convolution, weight, atol=0.05)
    torch.testing.assert_close(convolution.flatten(1), matrix)
    torch.testing.assert_close(spread, convolution)
