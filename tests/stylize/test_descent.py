"""Ways down: minima, the size of moves, going back, plateaus, averages, rates, held pixels."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from gencli.stylize import descent
from gencli.stylize.descent import LBFGS, SGD, Adam, Function, Method, descend

SHAPE = (1, 3, 4, 5)


def draw(seed: int = 0) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def nothing(step: int, loss: float, best: Tensor) -> None:
    pass


def of(function: Callable[[Tensor], Tensor]) -> Function:
    """An objective from a differentiable function."""

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = x.detach().requires_grad_()
        value = function(leaf)
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    return objective


def bowl(conditioning: float, floor: float = 0.0) -> tuple[Function, Tensor]:
    """A quadratic in turned axes whose curvatures differ by `conditioning`; and where it is lowest."""
    generator = torch.Generator().manual_seed(7)
    count = math.prod(SHAPE)
    axes, _ = torch.linalg.qr(torch.randn(count, count, generator=generator, dtype=torch.float64))
    curvature = torch.logspace(0, math.log10(conditioning), count, dtype=torch.float64)
    matrix, lowest = axes @ curvature.diag() @ axes.mT, draw(1)

    def function(x: Tensor) -> Tensor:
        away = (x - lowest).flatten()
        return away @ matrix @ away / 2 + floor

    return of(function), lowest


def rosenbrock(x: Tensor) -> Tensor:
    """Its lowest point is at 1/2."""
    flat = 2 * x.flatten()
    return (100 * (flat[1:] - flat[:-1] ** 2) ** 2 + (1 - flat[:-1]) ** 2).sum()


class Faulty:
    """An objective that is not a number at some evaluations, or beyond a place."""

    def __init__(self, objective: Function, at: set[int] | None = None, gradient_only: bool = False) -> None:
        self.objective, self.at, self.gradient_only = objective, at, gradient_only
        self.asked: list[Tensor] = []

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.asked.append(x)
        value, gradient = self.objective(x)
        if self.at is None or len(self.asked) in self.at:
            gradient = gradient.clone()
            gradient[0, 0, 0, 0] = math.nan
            if not self.gradient_only:
                value = value * math.inf
        return value, gradient


# ------------------------------------------------------------------ minima


@pytest.mark.parametrize("conditioning", [1, 100, 1e4])
def test_lbfgs_finds_the_lowest_point_of_quadratics(conditioning: float) -> None:
    objective, lowest = bowl(conditioning)
    found = descend(objective, draw(), 400, LBFGS, nothing)
    assert float((found - lowest).abs().max()) < 1e-3


def test_lbfgs_on_rosenbrock() -> None:
    start = 0.25 + 0.5 * draw()  # around the global minimum; from afar there is a local one too
    found = descend(of(rosenbrock), start, 1500, LBFGS, nothing)
    torch.testing.assert_close(found, torch.full(SHAPE, 0.5, dtype=torch.float64), atol=1e-3, rtol=0)


def test_lbfgs_is_soon_at_the_bottom_of_a_quadratic_it_has_seen() -> None:
    """With as many pairs as dimensions the remembered curvature is the whole Hessian's."""
    curvature = torch.tensor([1.0, 4.0, 25.0], dtype=torch.float64).view(1, 3, 1, 1)
    way, x = LBFGS(), torch.full((1, 3, 1, 1), 0.55, dtype=torch.float64)
    for _ in range(16):
        x = way.step(x, curvature * (x - 0.5))
    assert float((x - 0.5).abs().max()) < 1e-6


def test_lbfgs_stays_in_gamut() -> None:
    """The lowest point lies outside: what is found is the nearest the gamut has."""
    wanted = 3 * draw() - 1
    seen: list[Tensor] = []

    def objective(x: Tensor) -> tuple[Tensor, Tensor]:
        seen.append(x)
        return (x - wanted).square().sum(), 2 * (x - wanted)

    found = descend(objective, draw(1), 60, LBFGS, nothing)
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for x in seen)
    torch.testing.assert_close(found, wanted.clamp(0, 1), atol=1e-3, rtol=0)


def test_adam_and_sgd_go_down() -> None:
    objective, lowest = bowl(10)
    before = float(objective(draw())[0])
    for method in (Adam, SGD):
        found = descend(objective, draw(), 300, method, nothing)
        assert float(objective(found)[0]) < 0.05 * before, method
        assert float((found - lowest).abs().mean()) < 0.1


# ------------------------------------------------------------------ moves


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_first_move_is_of_a_known_size_whatever_the_loss_is_measured_in(scale: float) -> None:
    objective, _ = bowl(100)
    x = draw()
    gradient = scale * objective(x)[1]
    for method in (LBFGS, SGD):
        move = method(1.0).step(x, gradient) - x
        assert float(move.square().mean().sqrt()) == pytest.approx(descent.FIRST_MOVE)
        half = method(0.5).step(x, gradient) - x
        torch.testing.assert_close(half, move / 2)
        assert float((move * gradient).sum()) < 0


def test_no_move_of_lbfgs_is_longer_than_allowed() -> None:
    way, x = LBFGS(), draw()
    objective = of(lambda p: (p - 50).abs().pow(1.1).sum())  # far away, and nearly flat: wants giant steps
    for _ in range(20):
        after = way.step(x, objective(x)[1])
        assert float((after - x).square().mean().sqrt()) <= descent.LONGEST_MOVE * (1 + 1e-9)
        x = after


def test_lbfgs_leaves_out_pairs_that_say_nothing_of_curvature() -> None:
    way, x = LBFGS(), 0.2 + 0.6 * draw()
    gradient = torch.ones_like(x)
    for _ in range(3):
        x = way.step(x, gradient)  # the same slope everywhere
    assert not way.pairs
    way.step(x, 2 * gradient)  # steeper downhill: negative curvature
    assert not way.pairs


def test_zero_gradient_stays() -> None:
    x = draw()
    for method in (LBFGS, SGD, Adam):
        torch.testing.assert_close(method(1.0).step(x, torch.zeros_like(x)), x)


def test_sgd_slows_by_four_per_cent_every_hundred_steps() -> None:
    way, gradient, x = SGD(rate=0.5), torch.ones(SHAPE, dtype=torch.float64), draw()
    moves = []
    for _ in range(301):
        after = way.step(x, gradient)
        moves.append(float((x - after).mean()))
        x = after
    assert moves[0] == pytest.approx(0.5)
    for hundreds in (1, 2, 3):
        assert moves[100 * hundreds] == pytest.approx(0.5 * 0.96**hundreds)
    assert moves[50] == pytest.approx(0.5 * 0.96**0.5)


def test_book_rate_is_the_textbooks() -> None:
    """100 on pixels in 0 … 255: the same step as BOOK_RATE on [0, 1]."""
    pixels = (255 * draw()).requires_grad_()
    target = 255 * draw(1)
    (slope,) = torch.autograd.grad(1e-4 * (pixels - target).square().sum(), pixels)
    wanted = (pixels - 100 * slope).detach() / 255
    objective = of(lambda x: 1e-4 * (255 * x - target).square().sum())
    found = SGD(rate=descent.BOOK_RATE).step(draw(), objective(draw())[1])
    torch.testing.assert_close(found, wanted)


def test_adam_moves_by_its_rate_and_stays_in_range() -> None:
    x, gradient = 0.5 + 0.01 * draw(), 1e-3 * draw(1) + 1e-4
    moves = []
    way = Adam(steps=4)
    for _ in range(6):  # the same slope everywhere: only the rate tells the steps apart
        after = way.step(x, gradient)
        moves.append(float((after - x).square().mean().sqrt()))
    falling = [0.5 + 0.5 * math.cos(math.pi * min(count / 4, 1)) for count in range(1, 7)]
    last = descent.ADAM_LAST
    assert moves == pytest.approx([descent.ADAM_RATE * (last + (1 - last) * share) for share in falling])
    x = torch.zeros(SHAPE, dtype=torch.float64)
    way = Adam()
    for _ in range(5):
        x = way.step(x, gradient)
    assert float(x.min()) == 0


def test_adam_gives_the_average_of_its_iterates() -> None:
    way, x, iterates = Adam(), draw(), []
    for seed in range(6):
        x = way.step(x, draw(seed) - 0.5)
        iterates.append(x)
    weights = torch.tensor([0.9 ** (5 - i) for i in range(6)], dtype=torch.float64)
    expected = sum(w * iterate for w, iterate in zip(weights / weights.sum(), iterates, strict=True))
    torch.testing.assert_close(way.result(draw(9)), expected)


# ------------------------------------------------------------------ going back


@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("method", [LBFGS, SGD, Adam])
def test_goes_back_to_the_best_with_half_the_step(method: Callable[[float], Method], gradient_only: bool) -> None:
    bowl_of, _ = bowl(10)
    faulty = Faulty(bowl_of, {4}, gradient_only)
    losses: list[float] = []
    found = descend(faulty, draw(), 12, method, lambda step, loss, best: losses.append(loss))
    values = [float(bowl_of(x)[0]) for x in faulty.asked[:3]]
    best = faulty.asked[values.index(min(values))]
    assert torch.equal(faulty.asked[4], best)
    first = (faulty.asked[1] - faulty.asked[0]).square().mean().sqrt()
    again = (faulty.asked[5] - faulty.asked[4]).square().mean().sqrt()
    if method is not Adam:
        assert float(again) == pytest.approx(float(first) / 2, rel=1e-6)
    else:
        assert float(again) < 0.6 * float(first)
    assert len(losses) == 11 and all(map(math.isfinite, losses))
    assert found.isfinite().all()
    assert float(bowl_of(found)[0]) < values[0]


@pytest.mark.parametrize("method", [LBFGS, SGD, Adam])
def test_gives_up_after_three_times_and_keeps_the_best(
    method: Callable[[float], Method], caplog: pytest.LogCaptureFixture
) -> None:
    start = draw()
    bowl_of, _ = bowl(10)

    def cliff(x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = bowl_of(x)
        asked.append(x)
        return (value if torch.equal(x, start) else value * math.nan), gradient

    asked: list[Tensor] = []
    with caplog.at_level(logging.WARNING, logger="gencli"):
        found = descend(cliff, start, 100, method, nothing)
    assert torch.equal(found, start)
    # out and back three times, out a fourth time with an eighth of the step
    assert [torch.equal(x, start) for x in asked] == [True, False] * 4
    sizes = [float((x - start).square().mean().sqrt()) for x in asked[1::2]]
    assert sizes[3] == pytest.approx(sizes[0] / 8, rel=0.2)
    assert "not a number" in caplog.text


def test_a_start_that_is_not_a_number_comes_back() -> None:
    faulty = Faulty(bowl(10)[0])
    assert torch.equal(descend(faulty, draw(), 100, LBFGS, nothing), draw())
    assert len(faulty.asked) == descent.MOST_FAULTS + 1


# ------------------------------------------------------------------ the end, the report


def test_stops_on_a_plateau() -> None:
    steps: list[int] = []
    objective, _ = bowl(2, floor=1.0)
    descend(objective, draw(), 1000, LBFGS, lambda step, loss, best: steps.append(step))
    assert descent.PATIENCE < len(steps) < 60
    assert steps == list(range(1, len(steps) + 1))


def test_does_not_stop_while_it_gains() -> None:
    steps: list[int] = []
    slope = of(lambda x: (10 + x).sum())  # SGD gains 2 % of the first loss in ten steps, for ever
    descend(slope, draw(), 60, partial(SGD, rate=0.02), lambda step, loss, best: steps.append(step))
    assert len(steps) == 60


def test_returns_the_lowest_not_the_last() -> None:
    objective, lowest = bowl(1)
    values: list[float] = []
    found = descend(objective, draw(), 30, partial(SGD, rate=1.95), lambda step, loss, best: values.append(loss))
    assert float(objective(found)[0]) == pytest.approx(min(values))
    away = of(lambda x: -(x - lowest).square().sum())
    wrong_way = Faulty(lambda x: (-away(x)[0], away(x)[1]), set())  # a gradient with the wrong sign
    assert torch.equal(descend(wrong_way, draw(), 20, partial(SGD, rate=0.1), nothing), draw())


@pytest.mark.parametrize("method", [LBFGS, SGD, Adam])
def test_as_many_evaluations_as_steps(method: Callable[[float], Method]) -> None:
    for steps in (1, 2, 7):
        counted = Faulty(bowl(1000)[0], set())
        losses: list[float] = []
        numbers: list[int] = []

        def report(
            step: int, loss: float, best: Tensor, losses: list[float] = losses, numbers: list[int] = numbers
        ) -> None:
            losses.append(loss)
            numbers.append(step)

        descend(counted, draw(), steps, method, report)
        assert len(counted.asked) == steps
        assert numbers == list(range(1, steps + 1))
        assert losses == pytest.approx([float(bowl(1000)[0](x)[0]) for x in counted.asked])


@pytest.mark.parametrize("method", [LBFGS, SGD, Adam])
def test_held_pixels_do_not_move(method: Callable[[float], Method]) -> None:
    free = torch.zeros(1, 1, *SHAPE[2:], dtype=torch.float64)
    free[..., 2:] = 1
    start = draw()
    found = descend(bowl(10)[0], start, 20, method, nothing, free)
    torch.testing.assert_close(found[..., :2], start[..., :2], rtol=0, atol=1e-12)
    assert float((found - start)[..., 2:].abs().mean()) > 1e-3
