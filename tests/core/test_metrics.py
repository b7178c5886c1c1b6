"""The Fréchet distance: closed forms, statistics in pieces, and what it says of damaged pictures."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gencli.core import backbones, metrics, networks
from gencli.core.backbones import Backbone
from gencli.core.drawn.faces import draw_faces
from gencli.core.errors import GencliError
from gencli.core.metrics import Moments, frechet_distance


def moments(*batches: Tensor) -> Moments:
    found = Moments()
    for batch in batches:
        found.add(batch)
    return found


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(normal(size, size, seed=seed))[0]


def spread(deviations: Tensor, mean: float = 0.0) -> Tensor:
    """Rows (2F, F) whose mean is `mean` everywhere, and whose covariance is diagonal with these deviations."""
    side = len(deviations)
    reach = deviations.diag() * math.sqrt((2 * side - 1) / 2)
    return torch.cat([reach, -reach]) + mean


# ------------------------------------------------------------------ moments


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 40), max_size=6),
    offset=st.sampled_from([0.0, 1.0, -1e6]),
    scale=st.sampled_from([1.0, 1e-3, 1e3]),
)
def test_any_split_into_batches_gives_the_moments_of_the_whole(cuts: list[int], offset: float, scale: float) -> None:
    rows = normal(40, 5) @ normal(5, 5, seed=1) * scale + offset
    edges = [0, *sorted(cuts), 40]
    found = moments(*(rows[start:stop] for start, stop in pairwise(edges)))
    size = abs(offset) * 1e-16 + scale * 1e-14
    assert found.count == 40
    np.testing.assert_allclose(found.mean, rows.mean(0), rtol=0, atol=20 * size)
    np.testing.assert_allclose(found.covariance, np.cov(rows.numpy().T), rtol=0, atol=100 * size * scale)


def test_moments_are_of_double_precision_whatever_the_features_are() -> None:
    rows = (1000 + normal(64, 3)).float()
    found = moments(rows[:10], rows[10:])
    assert found.mean.dtype == found.covariance.dtype == torch.float64
    np.testing.assert_allclose(found.covariance, np.cov(rows.double().numpy().T), rtol=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_pictures_have_no_distance(count: int) -> None:
    enough, few = moments(normal(9, 3)), moments(normal(count, 3))
    for one, other in ((enough, few), (few, enough)):
        with pytest.raises(GencliError, match=rf"^{count} picture"):
            frechet_distance(one, other)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_numbers_are_an_error(value: float) -> None:
    with pytest.raises(GencliError, match="no numbers"):
        moments(torch.tensor([[0.0, value], [1.0, 2.0]]))


# ------------------------------------------------------------------ the distance


def test_in_one_dimension() -> None:
    """(μ₁ - μ₂)² + (σ₁ - σ₂)²."""
    one, other = moments(torch.tensor([[1.0], [3.0]])), moments(torch.tensor([[-1.0], [0.0], [1.0]]))
    assert frechet_distance(one, other) == pytest.approx(2**2 + (math.sqrt(2) - 1) ** 2, rel=1e-12)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([1.0, 2.0, 3.0, 0.5], [1.5, 0.1, 3.0, 2.0]),
        ([1.0, 2.0, 0.0, 0.0], [1.5, 0.0, 3.0, 0.0]),  # neither has full rank
        ([1.0, 1e-5, 1e3, 1.0], [1.0, 1e-3, 1.0, 1e3]),
        ([0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]),
        ([0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_of_covariances_that_commute(first: list[float], second: list[float], turned: bool) -> None:
    """|μ₁ - μ₂|² + Σ (σ₁ - σ₂)², in any coordinates."""
    one, other = torch.tensor(first).double(), torch.tensor(second).double()
    turn = rotation(4) if turned else torch.eye(4).double()
    found = frechet_distance(moments(spread(one, 0.5) @ turn), moments(spread(other, -1.0) @ turn))
    expected = 4 * 1.5**2 + float((one - other).square().sum())
    assert found == pytest.approx(expected, rel=1e-9 if turned else 1e-12)


def test_of_covariances_that_do_not_commute() -> None:
    """Of two by two matrices Tr M^½ = √(Tr M + 2 √det M), here of M = Σ₁ Σ₂."""
    one, other = moments(normal(7, 2)), moments(normal(5, 2, seed=1) @ normal(2, 2, seed=2))
    product = one.covariance @ other.covariance
    shared = (product.trace() + 2 * product.det().sqrt()).sqrt()
    expected = (one.mean - other.mean).square().sum() + (one.covariance + other.covariance).trace() - 2 * shared
    assert frechet_distance(one, other) == pytest.approx(float(expected), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(rank=st.integers(1, 12), seed=st.integers(0, 99), size=st.sampled_from([1e-4, 1.0, 1e4]))
def test_nothing_lies_between_equals_and_both_ways_are_as_long(rank: int, seed: int, size: float) -> None:
    rows, others = (
        normal(20, rank, seed=seed + k) @ normal(rank, 8, seed=seed + k + 1) * size + size for k in (0, 200)
    )
    one, other, again = moments(rows), moments(others), moments(rows.flip(0)[:13], rows.flip(0)[13:])
    scale = float(one.covariance.trace() + other.covariance.trace())
    there, back = frechet_distance(one, other), frechet_distance(other, one)
    assert 0 <= frechet_distance(one, one) < 1e-12 * scale
    assert 0 <= frechet_distance(one, again) < 1e-12 * scale
    assert there == pytest.approx(back, abs=1e-12 * scale)
    assert there > 1e-3 * scale


# ------------------------------------------------------------------ pictures


@pytest.fixture(scope="module")
def net() -> Backbone:
    return backbones.load()


def faces(count: int, seed: int, size: int = 64) -> Tensor:
    return torch.from_numpy(draw_faces(count, seed, size)[0]).float() / 255


def blurred(pictures: Tensor, deviation: float) -> Tensor:
    taps = torch.arange(-6, 7)
    kernel = torch.exp(-0.5 * (taps / deviation) ** 2)
    kernel = torch.outer(kernel, kernel).expand(3, 1, 13, 13) / kernel.sum() ** 2
    return F.conv2d(F.pad(pictures, (6, 6, 6, 6), mode="reflect"), kernel, groups=3)


def noisy(pictures: Tensor, deviation: float) -> Tensor:
    return (pictures + deviation * normal(*pictures.shape).float()).clamp(0, 1)


def test_the_more_pictures_are_damaged_the_farther_they_are(net: Backbone) -> None:
    own = metrics.picture_moments(net, faces(100, 0).split(25))
    shown = faces(100, 1)
    for damage, strengths in ((blurred, (0.8, 2.0)), (noisy, (0.05, 0.2))):
        sets = [shown, *(damage(shown, strength) for strength in strengths)]
        found = [frechet_distance(own, metrics.picture_moments(net, pictures.split(25))) for pictures in sets]
        assert found[0] * 1.5 < found[1] and found[1] * 1.5 < found[2], (damage, found)


def test_the_same_pictures_are_at_no_distance_however_they_are_cut(net: Backbone) -> None:
    shown = faces(24, 0)
    one, other = (metrics.picture_moments(net, shown.split(size)) for size in (8, 10))
    assert one.count == other.count == 24
    assert one.mean.shape == (256,)
    assert frechet_distance(one, other) < 1e-6 * float(one.covariance.trace())


def small() -> Backbone:
    """A network of stride 4 at its deepest layer, so that it wants 16 pixels."""
    drawn = Backbone("small", networks.vgg((4, 6, 8), (1, 1, 1))).eval().requires_grad_(False)
    for seed, weight in enumerate(drawn.parameters()):
        weight.copy_(normal(*weight.shape, seed=seed) / 4)
    return drawn


@pytest.mark.parametrize(("height", "width"), [(16, 16), (64, 64), (40, 24), (9, 30)])
@pytest.mark.parametrize("side", [None, 20])
def test_features_are_the_means_of_the_deepest_layer_at_one_size(height: int, width: int, side: int | None) -> None:
    shown = faces(3, 0)[..., :height, :width]
    fitted = F.interpolate(shown, (side or 16, side or 16), mode="bicubic", antialias=True)
    net = small()
    net.side = side
    expected = net(fitted, ["conv3_1"])["conv3_1"].mean((2, 3))
    assert expected.std() > 0.01
    torch.testing.assert_close(metrics.describe(net, shown), expected)


def test_grey_pictures_are_three_equal_channels(net: Backbone) -> None:
    grey = faces(4, 0)[:, :1]
    torch.testing.assert_close(metrics.describe(net, grey), metrics.describe(net, grey.expand(-1, 3, -1, -1)))


def test_the_kernel_distance_is_the_unbiased_sum_over_pairs() -> None:
    draw = torch.Generator().manual_seed(3)
    real, fake = (torch.randn(n, 5, generator=draw, dtype=torch.float64) for n in (7, 6))

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 5 + 1) ** 3)

    def within(rows: torch.Tensor) -> float:
        pairs = [kernel(rows[i], rows[j]) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(pairs) / len(pairs)

    between = [kernel(one, other) for one in real for other in fake]
    wanted = within(real) + within(fake) - 2 * sum(between) / len(between)
    assert metrics.kernel_distance(real, fake) == pytest.approx(wanted, rel=1e-10)
    halves = torch.randn(2, 2000, 5, generator=draw, dtype=torch.float64)
    assert abs(metrics.kernel_distance(*halves)) < 0.02 < metrics.kernel_distance(halves[0], halves[1] + 0.3)


def test_precision_recall_and_coverage_on_a_line() -> None:
    """Real ones at 0, 1, 2, 3; each reaches as far as its nearest. Fake ones at 0.5 and 10."""
    real, fake = (torch.tensor(places)[:, None] for places in ([0.0, 1.0, 2.0, 3.0], [0.5, 10.0]))
    precision, recall = metrics.precision_recall(real, fake, neighbours=1)
    assert (precision, recall) == (0.5, 1.0)  # 10 is far from all; the two fake ones reach 9.5 each
    assert metrics.coverage(real, fake, neighbours=1) == 0.5  # 0 and 1 have 0.5 within reach
    same = metrics.precision_recall(real, real)
    assert same == (1.0, 1.0) and metrics.coverage(real, real) == 1.0
    for measure in (metrics.kernel_distance, metrics.precision_recall, metrics.coverage):
        with pytest.raises(GencliError, match="no spread"):
            measure(real, fake[:1])
