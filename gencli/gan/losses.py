"""What a discriminator and a generator minimise: pure functions under the papers' names.

Logits are a discriminator's verdicts (N,), the higher the more real; of a critic (wgan) they are its values. All
losses are means over the batch, 0-dim. A generator's `real` logits, of pictures it is compared with, are needed by
the relativistic loss only.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.gan.options import WITH_TARGETS

Critic = Callable[[Tensor], Tensor]


def discriminator_loss(
    kind: str, real: Tensor, fake: Tensor, real_target: Tensor | None = None, fake_target: Tensor | None = None
) -> Tensor:
    """How badly a discriminator tells real pictures from fake ones, by its logits for both.

    - `ns`, `minimax`: −log σ(real) − log(1 − σ(fake)) (Goodfellow et al. 2014).
    - `lsgan`: ½ (real − 1)² + ½ fake² (Mao et al. 2017).
    - `hinge`: max(0, 1 − real) + max(0, 1 + fake) (Lim & Ye 2017).
    - `wgan`: fake − real (Arjovsky et al. 2017).
    - `relativistic`: −log σ(real − fake), in pairs (Jolicoeur-Martineau 2019).

    `WITH_TARGETS` may be given others than 1 and 0: (N,).
    """
    if kind in WITH_TARGETS:
        ones = torch.ones_like(real) if real_target is None else real_target
        zeros = torch.zeros_like(fake) if fake_target is None else fake_target
        if kind == "lsgan":
            return 0.5 * (F.mse_loss(real, ones) + F.mse_loss(fake, zeros))
        cross_entropy = F.binary_cross_entropy_with_logits
        return cross_entropy(real, ones) + cross_entropy(fake, zeros)
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return fake.mean() - real.mean() if kind == "wgan" else F.softplus(fake - real).mean()


def generator_loss(kind: str, fake: Tensor, real: Tensor | None = None) -> Tensor:
    """How badly a generator deceives, by the logits of what it made.

    - `ns`: −log σ(fake), which does not saturate; `minimax`: log(1 − σ(fake)), which does (Goodfellow et al. 2014).
    - `lsgan`: ½ (fake − 1)².
    - `hinge`, `wgan`: −fake.
    - `relativistic`: −log σ(fake − real).
    """
    if kind == "ns":
        return F.softplus(-fake).mean()
    if kind == "minimax":
        return -F.softplus(fake).mean()
    if kind == "lsgan":
        return 0.5 * (fake - 1).square().mean()
    if kind == "relativistic":
        assert real is not None
        return F.softplus(real - fake).mean()
    return -fake.mean()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, shares: Tensor) -> Tensor:
    """(‖∇ critic(x̂)‖ − 1)² at x̂ = share · real + (1 − share) · fake, the mean over (N, …) (Gulrajani et al. 2017).

    `shares` (N,) in [0, 1] say where between the two each x̂ lies.
    """
    between = torch.lerp(fake.detach(), real, shares.view(-1, *[1] * (real.dim() - 1))).requires_grad_()
    return (_gradients(critic, between).norm(dim=1) - 1).square().mean()


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """½ ‖∇ critic(real)‖², the mean over (N, …) (Mescheder et al. 2018)."""
    return 0.5 * _gradients(critic, real.detach().requires_grad_()).square().sum(1).mean()


def _gradients(critic: Critic, pictures: Tensor) -> Tensor:
    """Of each picture's value by its pixels: (N, pixels), to be differentiated again."""
    (gradients,) = torch.autograd.grad(critic(pictures).sum(), pictures, create_graph=True)
    return gradients.flatten(1)


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float) -> None:
    """Hold every weight in [−limit, limit] (Arjovsky et al. 2017)."""
    for weight in critic.parameters():
        weight.clamp_(-limit, limit)
