"""What a variational autoencoder minimises (Kingma & Welling 2014): pure functions under the papers' names.

All are in nats a picture, summed over its pixels or over the latent dimensions: (N, …) → (N,).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

STEP = 1 / 255  # between two values of a pixel

LOG_2PI = math.log(2 * math.pi)


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(q ‖ p) of q = N(mean, e^log_var) from the standard normal p, of each latent dimension (N, L).

    Kingma & Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_var.exp() - log_var - 1)


def reparameterize(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """z = mean + σ · ε (N, L), through which gradients flow into both."""
    return mean + (0.5 * log_var).exp() * noise


def negative_log_likelihood(kind: str, logits: Tensor, pictures: Tensor, log_scale: Tensor | None = None) -> Tensor:
    """−log p(picture | z) in nats, (N,), of pictures (N, C, H, W) in [0, 1] and what a decoder put out for them.

    - `bernoulli`: pixels are probabilities, `logits` theirs. For grey values between 0 and 1 this is the
      textbook's binary cross-entropy, no likelihood in the strict sense.
    - `gaussian`: a density with mean sigmoid(logits) and deviation e^log_scale: it may be negative.
    - `logistic`: the probability of a pixel's value out of 256, of a logistic distribution cut into bins with
      mean sigmoid(logits) and scale e^log_scale (Kingma et al. 2016; Salimans et al. 2017).

    `log_scale`, 0-dim or (C, 1, 1), is the last two's.
    """
    if kind == "bernoulli":
        return F.binary_cross_entropy_with_logits(logits, pictures, reduction="none").flatten(1).sum(1)
    assert log_scale is not None
    error = pictures - logits.sigmoid()
    if kind == "gaussian":
        each = 0.5 * (error * (-log_scale).exp()).square() + log_scale + 0.5 * LOG_2PI
        return each.flatten(1).sum(1)
    upper = (error + STEP / 2) * (-log_scale).exp()
    lower = (error - STEP / 2) * (-log_scale).exp()
    # log(σ(upper) − σ(lower)), whose plain form loses all digits in the tails
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(lower - upper))
    each = torch.where(pictures < STEP / 2, F.logsigmoid(upper), inside)
    each = torch.where(pictures > 1 - STEP / 2, F.logsigmoid(-lower), each)
    return -each.flatten(1).sum(1)


def free_bits(divergence: Tensor, least: float) -> Tensor:
    """KL of each latent dimension (N, L) → 0-dim: its mean over the batch, never less than `least` nats a
    dimension, so that none is switched off to save so little (Kingma et al. 2016, eq. 15)."""
    return divergence.mean(0).clamp_min(least).sum()


def log_normal(x: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0) -> Tensor:
    """Log density of a normal distribution with a diagonal covariance, summed over the last dimension."""
    variance = torch.as_tensor(log_var, dtype=x.dtype, device=x.device)
    return -0.5 * ((x - mean).square() / variance.exp() + variance + LOG_2PI).sum(-1)


def log_mean_exp(values: Tensor, dim: int) -> Tensor:
    """log of the mean of e^values along a dimension, which is left out."""
    return values.logsumexp(dim) - math.log(values.shape[dim])


def importance_weighted(log_likelihood: Tensor, latents: Tensor, mean: Tensor, log_var: Tensor, dim: int = 0) -> Tensor:
    """The importance-weighted estimate of log p(picture) (Burda, Grosse & Salakhutdinov 2016, eq. 8).

    Of K latents (K, N, L) drawn from q = N(mean, e^log_var), (N, L), with log p(picture | z), (K, N): log of the
    mean of p(picture, z) / q(z), (N,). With K = 1 it is the ELBO of one draw; it rises with K.
    """
    weights = log_likelihood + log_normal(latents) - log_normal(latents, mean, log_var)
    return log_mean_exp(weights, dim)
