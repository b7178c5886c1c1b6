"""The losses against closed forms, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from gencli.vae import losses

DRAW = torch.Generator().manual_seed(2)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


def test_kl_is_that_of_normal_distributions() -> None:
    mean, log_var = random(5, 7), random(5, 7)
    wanted = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(losses.kl_divergence(mean, log_var), wanted)
    assert losses.kl_divergence(torch.zeros(1), torch.zeros(1)).item() == 0


def test_samples_have_the_mean_and_the_deviation() -> None:
    mean, log_var = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 2 * math.log(3)]])
    found = losses.reparameterize(mean, log_var, random(100_000, 2).float())
    torch.testing.assert_close(found.mean(0), mean[0], atol=0.05, rtol=0)
    torch.testing.assert_close(found.std(0), torch.tensor([1.0, 3.0]), atol=0.05, rtol=0)


def test_bernoulli_and_gaussian_are_the_definitions() -> None:
    logits, pictures = random(3, 2, 4, 5), torch.rand(3, 2, 4, 5, generator=DRAW, dtype=torch.float64)
    found = losses.negative_log_likelihood("bernoulli", logits, pictures.round())
    torch.testing.assert_close(found, -Bernoulli(logits=logits).log_prob(pictures.round()).sum((1, 2, 3)))
    log_scale = random(2, 1, 1)
    found = losses.negative_log_likelihood("gaussian", logits, pictures, log_scale)
    torch.testing.assert_close(found, -Normal(logits.sigmoid(), log_scale.exp()).log_prob(pictures).sum((1, 2, 3)))


@pytest.mark.parametrize("log_scale", [-4.0, -1.0, 1.0])
def test_the_logistic_gives_all_values_of_a_pixel_one_in_all(log_scale: float) -> None:
    """256 values, whose probabilities add up to one; each is the logistic distribution's share of its bin."""
    values = (torch.arange(256, dtype=torch.float64) / 255).view(256, 1, 1, 1)
    logits, scale = torch.full_like(values, 0.7), torch.tensor(log_scale, dtype=torch.float64)
    found = (-losses.negative_log_likelihood("logistic", logits, values, scale)).exp()
    assert float(found.sum()) == pytest.approx(1, abs=1e-9)
    mean, step = torch.sigmoid(torch.tensor(0.7, dtype=torch.float64)), 1 / 255

    def below(x: float) -> float:
        return float(torch.sigmoid((x - mean) / scale.exp()))

    assert float(found[100]) == pytest.approx(below(100.5 * step) - below(99.5 * step))
    assert float(found[0]) == pytest.approx(below(0.5 * step))
    assert float(found[255]) == pytest.approx(1 - below(254.5 * step))


def test_the_logistic_stays_finite_far_from_its_mean() -> None:
    logits = torch.tensor([[[[20.0]]]], requires_grad=True)
    loss = losses.negative_log_likelihood("logistic", logits, torch.full((1, 1, 1, 1), 0.5), torch.tensor(-7.0))
    loss.sum().backward()
    assert loss.isfinite().all() and loss.item() > 100
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_free_bits_leave_small_divergences_alone() -> None:
    divergence = torch.tensor([[0.1, 3.0, 0.5], [0.3, 1.0, 0.9]], requires_grad=True)
    found = losses.free_bits(divergence, 0.5)
    assert found.item() == pytest.approx(0.5 + 2.0 + 0.7)
    found.backward()
    assert divergence.grad is not None and divergence.grad[:, 0].tolist() == [0, 0]


def test_importance_weights_against_a_model_whose_likelihood_is_known() -> None:
    """p(z) = N(0, 1), p(x | z) = N(z, s²): then p(x) = N(0, 1 + s²), and the posterior is normal too. With the true
    posterior as q one sample gives p(x) exactly; with another q many samples come near, one is the ELBO."""
    x, s = random(6, 1), 0.5
    exact = Normal(0.0, math.sqrt(1 + s * s)).log_prob(x[:, 0])

    def estimate(mean: torch.Tensor, variance: float, samples: int) -> torch.Tensor:
        log_var = torch.full_like(mean, math.log(variance))
        latents = losses.reparameterize(mean, log_var, random(samples, *mean.shape))
        likelihood = Normal(latents, s).log_prob(x).sum(-1)  # (K, N)
        return losses.importance_weighted(likelihood, latents, mean, log_var)

    posterior, variance = x / (1 + s * s), s * s / (1 + s * s)
    torch.testing.assert_close(estimate(posterior, variance, 1), exact)
    torch.testing.assert_close(estimate(posterior + 0.3, 0.4, 50_000), exact, atol=0.02, rtol=0)
    elbos = torch.stack([estimate(posterior + 0.3, 0.4, 1) for _ in range(3000)]).mean(0)
    gap = kl_divergence(Normal(posterior + 0.3, 0.4**0.5), Normal(posterior, variance**0.5))[:, 0]
    torch.testing.assert_close(elbos, exact - gap, atol=0.06, rtol=0)
