"""Style losses against closed forms in double precision."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gencli.core.images import total_variation
from gencli.core.transport import matrix_root
from gencli.stylize import losses
from gencli.stylize.losses import Moments

SHAPES = [(3, 5, 7), (6, 2, 2), (4, 1, 4), (8, 1, 1)]  # more and fewer positions than channels


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def centred_less(found: Moments) -> Moments:
    """The same moments, known only as sums: those of a picture in tiles."""
    return Moments(found.mean, found.second)


def square_root(matrix: Tensor) -> Tensor:
    """By the Denman-Beavers iteration: no eigenvalues, so independent of the code under test."""
    y, z = matrix.clone(), torch.eye(len(matrix), dtype=matrix.dtype)
    for _ in range(60):
        y, z = (y + torch.linalg.inv(z)) / 2, (z + torch.linalg.inv(y)) / 2
    return y


def test_gram_matrix_by_hand() -> None:
    features = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, -1.0]]], dtype=torch.float64)
    expected = torch.tensor([[30.0, -2.0], [-2.0, 2.0]], dtype=torch.float64) / 4
    torch.testing.assert_close(losses.moments(features).second, expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_moments(shape: tuple[int, int, int]) -> None:
    features = draw(*shape)
    found = losses.moments(features)
    rows = features.flatten(1)
    torch.testing.assert_close(found.mean, rows.mean(1))
    torch.testing.assert_close(found.second, rows @ rows.mT / rows.shape[1])
    if rows.shape[1] > 1:
        torch.testing.assert_close(found.covariance, torch.cov(rows, correction=0))


@pytest.mark.parametrize("shape", SHAPES)
def test_centred_is_a_factor_of_the_covariance(shape: tuple[int, int, int]) -> None:
    share = torch.rand(shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for weights in (None, share / share.sum()):
        found = losses.moments(draw(*shape), weights)
        assert (found.centred is not None) == (shape[1] * shape[2] < shape[0])
        if found.centred is not None:
            torch.testing.assert_close(found.centred @ found.centred.mT, found.covariance)


def test_shares_count_positions() -> None:
    """A share of k/n is the same as the position standing there k times."""
    features = draw(3, 1, 4)
    times = torch.tensor([1, 0, 3, 2])
    repeated = features.repeat_interleave(times, dim=2)
    found = losses.moments(features, (times / times.sum()).double()[None])
    wanted = losses.moments(repeated)
    torch.testing.assert_close(found.mean, wanted.mean)
    torch.testing.assert_close(found.second, wanted.second)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_partial_moments_add_up(height: int, width: int, cut: int) -> None:
    features = draw(4, height, width)
    share = torch.rand(height, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    whole = losses.moments(features, share)
    cut = min(cut, height)
    upper, lower = losses.moments(features[:, :cut], share[:cut]), losses.moments(features[:, cut:], share[cut:])
    torch.testing.assert_close(upper.mean + lower.mean, whole.mean)
    torch.testing.assert_close(upper.second + lower.second, whole.second)


def test_gram_distance_is_the_squared_frobenius_norm() -> None:
    one, other = losses.moments(draw(3, 4, 4)), losses.moments(draw(3, 5, 5, seed=1))
    assert float(losses.gram_distance(one, other)) == pytest.approx(float((one.second - other.second).norm() ** 2))
    assert float(losses.gram_distance(one, one)) == 0


# ------------------------------------------------------------------ Wasserstein-2


def test_wasserstein_in_one_dimension() -> None:
    """Of N(m, s²) and N(n, t²): (m - n)² + (s - t)²."""
    one, other = draw(1, 3, 4), 3 * draw(1, 4, 5, seed=1) + 2
    expected = (one.mean() - other.mean()) ** 2 + (one.std(correction=0) - other.std(correction=0)) ** 2
    found = losses.wasserstein2(losses.moments(one), losses.moments(other))
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_wasserstein_of_diagonal_covariances() -> None:
    s, t = torch.tensor([4.0, 1.0, 9.0]).double(), torch.tensor([1.0, 16.0, 4.0]).double()
    m, n = torch.tensor([0.0, 1.0, 2.0]).double(), torch.tensor([1.0, 1.0, 0.0]).double()
    one = Moments(m, s.diag() + m[:, None] * m)
    other = Moments(n, t.diag() + n[:, None] * n)
    assert float(losses.wasserstein2(one, other)) == pytest.approx(5 + 1 + 9 + 1, rel=1e-5)


@pytest.mark.parametrize("known_root", [False, True])
def test_wasserstein_against_the_formula(known_root: bool) -> None:
    one, other = losses.moments(draw(4, 6, 6)), losses.moments(draw(4, 5, 8, seed=1) + 0.5)
    inner = square_root(other.covariance) @ one.covariance @ square_root(other.covariance)
    expected = (one.mean - other.mean).square().sum() + torch.trace(
        one.covariance + other.covariance - 2 * square_root(inner)
    )
    root = matrix_root(other.covariance) if known_root else None
    assert float(losses.wasserstein2(one, other, root)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("shape", [(6, 2, 2), (8, 1, 3), (12, 2, 5), (24, 3, 3)])
def test_both_ways_to_the_trace_agree(shape: tuple[int, int, int]) -> None:
    """With fewer positions than channels: by the N × N matrix, and by C × C, whose rank is less than full."""
    one, other = losses.moments(draw(*shape)), losses.moments(draw(shape[0], 9, 9, seed=1))
    assert one.centred is not None
    few, many = losses.wasserstein2(one, other), losses.wasserstein2(centred_less(one), other)
    assert float(few) == pytest.approx(float(many), rel=1e-5)


@pytest.mark.parametrize("shape", [(4, 6, 6), (6, 2, 2), (24, 3, 3)])
def test_wasserstein_is_zero_at_equal_moments_and_symmetric(shape: tuple[int, int, int]) -> None:
    one, other = losses.moments(draw(*shape)), losses.moments(2 * draw(*shape, seed=1))
    size = float(losses.wasserstein2(one, other))
    assert size > 1e-2
    assert abs(float(losses.wasserstein2(one, one))) < 1e-4 * size
    assert float(losses.wasserstein2(other, one)) == pytest.approx(size, rel=1e-5)


@pytest.mark.parametrize("shape", [(24, 3, 3), (64, 2, 4), (64, 10, 10)])
def test_wasserstein_in_single_precision(shape: tuple[int, int, int]) -> None:
    """What rounding makes of eigenvalues that are zero must not add up to something."""
    for other_shape in (shape, (shape[0], 2, 3)):
        one, other = losses.moments(draw(*shape)), losses.moments(draw(*other_shape, seed=1))
        exact = float(losses.wasserstein2(one, other))
        singles = [Moments(m.mean.float(), m.second.float()) for m in (one, other)]
        assert float(losses.wasserstein2(*singles)) == pytest.approx(exact, rel=5e-3)


# ------------------------------------------------------------------ gradients


def test_gradients_of_the_style_losses() -> None:
    target = losses.moments(draw(3, 5, 5, seed=1))
    features = draw(3, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: losses.gram_distance(losses.moments(f), target), features)
    assert torch.autograd.gradcheck(lambda f: losses.wasserstein2(losses.moments(f), target), features, rtol=1e-4)


def test_gradient_with_fewer_positions_than_channels() -> None:
    target = losses.moments(draw(6, 5, 5, seed=1))
    features = draw(6, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda f: losses.wasserstein2(losses.moments(f), target), features, eps=1e-3, rtol=1e-3, atol=1e-4
    )
    gradients = []
    for keep in (True, False):
        found = losses.moments(features)
        value = losses.wasserstein2(found if keep else centred_less(found), target)
        gradients += torch.autograd.grad(value, features)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_gradient_stays_finite_where_nothing_varies() -> None:
    features = torch.ones(4, 3, 3, dtype=torch.float64, requires_grad=True)
    target = losses.moments(draw(4, 5, 5))
    (gradient,) = torch.autograd.grad(losses.wasserstein2(losses.moments(features), target), features)
    assert gradient.isfinite().all()


# ------------------------------------------------------------------ smoothness, spread


def test_total_variation_by_hand() -> None:
    picture = torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64).expand(1, 3, 2, 3)
    assert float(total_variation(picture)) == pytest.approx((1 + 4 + 0 + 0) / 4 + (0 + 1 + 9) / 3)
    assert float(total_variation(torch.ones(1, 3, 1, 1))) == 0
    assert float(total_variation(torch.tensor([0.0, 2.0]).view(1, 1, 2, 1).expand(1, 3, 2, 1))) == 4


def test_book_variation_by_hand() -> None:
    picture = torch.tensor([[0.0, 1.0, 9.0], [2.0, 0.0, 9.0]], dtype=torch.float64).expand(1, 3, 2, 3)
    expected = 3 * ((1 + 4) ** 1.25 + (64 + 1) ** 1.25)  # the last row and column have no neighbour
    assert float(losses.book_variation(picture)) == pytest.approx(expected)


@pytest.mark.parametrize("function", [total_variation, losses.book_variation])
def test_gradients_of_variation(function: object) -> None:
    assert torch.autograd.gradcheck(function, draw(1, 3, 4, 5).requires_grad_())


def test_spread() -> None:
    features = torch.tensor([[[0.0, 2.0]], [[1.0, 1.0]]], dtype=torch.float64)
    assert float(losses.spread(features)) == 0.5
    assert math.isclose(float(losses.spread(3 * features + 7)), 9 * 0.5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_of_several_pictures_each_for_itself(shape: tuple[int, int, int], layout: torch.memory_format) -> None:
    """Moments, distances and their gradients of a batch are those of its pictures."""
    batch = draw(3, *shape).contiguous(memory_format=layout).requires_grad_()
    target = losses.moments(draw(*shape, seed=1))
    root = matrix_root(target.covariance)
    for distance in (losses.gram_distance, lambda x, y: losses.wasserstein2(x, y, root)):
        found = distance(losses.moments(batch), target)
        (gradient,) = torch.autograd.grad(found.sum(), batch)
        for index in range(len(batch)):
            alone = batch[index].detach().requires_grad_()
            wanted = distance(losses.moments(alone), target)
            torch.testing.assert_close(found[index], wanted)
            torch.testing.assert_close(gradient[index], torch.autograd.grad(wanted, alone)[0])
    torch.testing.assert_close(losses.spread(batch), torch.stack([losses.spread(one) for one in batch]))
