"""The map between two normal distributions that changes least."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gencli.core.transport import matrix_root, spread, trace_of_root, transport


def covariance(size: int, seed: int, rank: int | None = None) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    rows = torch.randn(size, rank or 3 * size, generator=draw, dtype=torch.float64)
    return rows @ rows.mT / rows.shape[1]


def test_matrix_root() -> None:
    matrix = covariance(5, 0)
    root = matrix_root(matrix)
    torch.testing.assert_close(root, root.mT)
    torch.testing.assert_close(root @ root, matrix)
    assert (torch.linalg.eigvalsh(root) > 0).all()


@pytest.mark.parametrize("by_products", [False, True])
def test_trace_of_root(by_products: bool) -> None:
    known = torch.diag(torch.tensor([4.0, 9.0, 0.25, 0.0], dtype=torch.float64))
    assert float(trace_of_root(known, by_products)) == pytest.approx(5.5, rel=1e-7)
    several = torch.stack([covariance(7, seed, rank) for seed, rank in ((0, None), (1, 3))])
    singular = torch.linalg.svdvals(matrix_root(several)).sum(-1)
    torch.testing.assert_close(trace_of_root(several, by_products), singular, rtol=1e-6, atol=0)
    assert torch.autograd.gradcheck(
        lambda m: trace_of_root(m @ m.mT, by_products), matrix_root(several[:1]).requires_grad_()
    )
    nothing = torch.zeros(2, 5, 5, requires_grad=True)
    value = trace_of_root(nothing, by_products)
    (slope,) = torch.autograd.grad(value.sum(), nothing)
    assert not value.any() and slope.isfinite().all()


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 48), rank=st.integers(1, 60), seed=st.integers(0, 10**6), steep=st.floats(0, 6))
def test_both_ways_to_the_trace_of_a_root_agree(size: int, rank: int, seed: int, steep: float) -> None:
    """In single precision, of matrices with eigenvalues of very different sizes, or of none."""
    shrinking = torch.logspace(0, -steep, size, dtype=torch.float64)
    matrix = (covariance(size, seed, rank) * shrinking * shrinking[:, None]).float()
    values, slopes = [], []
    for by_products in (False, True):
        given_ = matrix.clone().requires_grad_()
        values.append(trace_of_root(given_, by_products))
        slopes += torch.autograd.grad(values[-1], given_)
        values[-1] = values[-1].detach()
    exact = float(trace_of_root(matrix.double(), False))
    assert float(values[1]) == pytest.approx(float(values[0]), rel=2e-3)
    assert float(values[1]) == pytest.approx(exact, rel=5e-3)
    # as matrices that change a little see it
    assert float((slopes[1] * matrix).sum()) == pytest.approx(float((slopes[0] * matrix).sum()), rel=5e-3)


@pytest.mark.parametrize("size", [1, 3, 12])
def test_what_is_moved_has_the_covariance_that_was_wanted(size: int) -> None:
    own, wanted = covariance(size, 1), covariance(size, 2)
    map_ = transport(own, matrix_root(wanted))
    torch.testing.assert_close(map_ @ own @ map_.mT, wanted, rtol=1e-6, atol=1e-8)
    # of all such maps the symmetric one without negative eigenvalues moves least (Brenier 1991)
    torch.testing.assert_close(map_, map_.mT)
    assert (torch.linalg.eigvalsh(map_) > 0).all()
    torch.testing.assert_close(transport(wanted, matrix_root(wanted)), torch.eye(size).double(), rtol=1e-6, atol=1e-7)


def test_each_of_several() -> None:
    owns, roots = torch.stack([covariance(4, 1), covariance(4, 2)]), matrix_root(covariance(4, 3)).expand(2, 4, 4)
    both = transport(owns, roots)
    for index in range(2):
        torch.testing.assert_close(both[index], transport(owns[index], roots[index]))


def test_what_does_not_vary_is_not_blown_up() -> None:
    nothing, wanted = torch.zeros(3, 3).double(), torch.diag(torch.tensor([4.0, 1.0, 0.25])).double()
    map_ = transport(nothing, matrix_root(wanted), least=0.01)
    # as if it varied by a hundredth of the mean of 4, 1 and 0.25
    expected = (torch.diagonal(wanted) / (0.01 * 1.75)).sqrt()
    torch.testing.assert_close(map_.diagonal(), expected)
    for dtype in (torch.float32, torch.float64):
        for own, root in ((nothing, nothing), (nothing, wanted), (wanted, nothing), (covariance(3, 1, 1), wanted)):
            assert transport(own.to(dtype), root.to(dtype)).isfinite().all()


def test_spread_by_hand() -> None:
    mean, found = spread(torch.tensor([[[1.0, 3.0], [0.0, 4.0]]]))
    assert mean.tolist() == [[[2.0], [2.0]]] and found.tolist() == [[[1.0, 2.0], [2.0, 4.0]]]
