"""The losses against values worked out by hand, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gencli.gan import losses
from gencli.gan.options import LOSSES

REAL, FAKE = (torch.tensor(values, dtype=torch.float64) for values in ([2.0, -0.5], [-1.0, 0.25]))


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


BY_HAND = {  # of the discriminator and the generator
    "ns": (
        (softplus(-2) + softplus(0.5) + softplus(-1) + softplus(0.25)) / 2,
        (softplus(1) + softplus(-0.25)) / 2,
    ),
    "minimax": (
        (softplus(-2) + softplus(0.5) + softplus(-1) + softplus(0.25)) / 2,
        -(softplus(-1) + softplus(0.25)) / 2,
    ),
    "lsgan": ((1 + 2.25 + 1 + 0.0625) / 4, (4 + 0.5625) / 4),
    "hinge": ((0 + 1.5 + 0 + 1.25) / 2, (1 - 0.25) / 2),
    "wgan": (-0.375 - 0.75, 0.375),
    "relativistic": ((softplus(-3) + softplus(0.75)) / 2, (softplus(3) + softplus(-0.75)) / 2),
}


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_are_the_papers(kind: str) -> None:
    discriminator, generator = BY_HAND[kind]
    assert float(losses.discriminator_loss(kind, REAL, FAKE)) == pytest.approx(discriminator, rel=1e-12)
    assert float(losses.generator_loss(kind, FAKE, REAL)) == pytest.approx(generator, rel=1e-12)


@pytest.mark.parametrize("kind", LOSSES)
def test_both_sides_pull_the_right_way(kind: str) -> None:
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    losses.discriminator_loss(kind, real, fake).backward()
    assert real.grad is not None and fake.grad is not None
    if kind != "lsgan":  # it pulls back what is beyond its targets
        assert (real.grad <= 0).all() and (fake.grad >= 0).all()
    fake.grad = None
    losses.generator_loss(kind, fake, REAL).backward()
    assert fake.grad is not None and (fake.grad < 0).all()


def test_targets_can_be_others() -> None:
    ones, zeros = torch.tensor([0.9, 0.8], dtype=torch.float64), torch.tensor([0.1, 0.0], dtype=torch.float64)
    found = losses.discriminator_loss("ns", REAL, FAKE, ones, zeros)
    by_hand = (
        0.9 * softplus(-2) + 0.1 * softplus(2) + 0.8 * softplus(0.5) + 0.2 * softplus(-0.5)
        + 0.1 * softplus(1) + 0.9 * softplus(-1) + softplus(0.25)
    ) / 2  # fmt: skip
    assert float(found) == pytest.approx(by_hand, rel=1e-12)
    found = losses.discriminator_loss("lsgan", REAL, FAKE, ones, zeros)
    assert float(found) == pytest.approx((1.1**2 + 1.3**2 + 1.1**2 + 0.25**2) / 4, rel=1e-12)


def quadratic(x: Tensor) -> Tensor:
    """Σ x² of each: its gradient is 2 x."""
    return x.square().flatten(1).sum(1)


def test_gradient_penalty_lies_between_real_and_fake() -> None:
    real = torch.tensor([[[1.0, 2.0]], [[0.0, 0.0]]], dtype=torch.float64)
    fake = torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]]], dtype=torch.float64)
    shares = torch.tensor([0.5, 0.9], dtype=torch.float64)
    # x̂ = (0.5, 1) and (0.3, 0.4): gradients of lengths 2 √1.25 and 1
    by_hand = ((2 * math.sqrt(1.25) - 1) ** 2 + 0) / 2
    assert losses.gradient_penalty(quadratic, real, fake, shares).item() == pytest.approx(by_hand, rel=1e-12)


def test_r1_is_half_the_square_of_the_gradient() -> None:
    real = torch.tensor([[1.0, 2.0], [0.0, 3.0]], dtype=torch.float64)
    assert losses.r1_penalty(quadratic, real).item() == pytest.approx(0.5 * (4 * 5 + 4 * 9) / 2, rel=1e-12)


@pytest.mark.parametrize("penalty", ["gradient", "r1"])
def test_penalties_reach_the_weights(penalty: str) -> None:
    """A critic w · x has the gradient w: its penalty's own gradient is known."""
    weight = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    real = torch.ones(2, 2, dtype=torch.float64)

    def critic(x: Tensor) -> Tensor:
        return x @ weight

    if penalty == "gradient":
        losses.gradient_penalty(critic, real, -real, torch.full((2,), 0.3, dtype=torch.float64)).backward()
        wanted = 2 * (5 - 1) * weight.detach() / 5
    else:
        losses.r1_penalty(critic, real).backward()
        wanted = weight.detach()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, wanted)


def test_weights_are_held_within_the_limit() -> None:
    net = nn.Linear(2, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -0.005], [0.02, -3.0]]))
    losses.clip_weights(net, 0.01)
    torch.testing.assert_close(net.weight.detach(), torch.tensor([[0.01, -0.005], [0.01, -0.01]]))
    assert float(net.bias.detach().abs().max()) <= 0.01
