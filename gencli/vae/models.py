"""Variational autoencoders: encoders and decoders for pictures of any size, and the textbooks'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.errors import UsageError
from gencli.vae import losses

FREQUENCY = 2.0  # deviation of the random frequencies of latents, which are about 1 apart
LARGEST = 10.0  # of a log variance, to which it bends below: early steps at a high rate must not overflow
START_SCALE = math.log(0.1)  # of a Gaussian or logistic likelihood: about the error of a blurred picture


Parts: TypeAlias = tuple[nn.Module, int, nn.Module]  # encoder, the features it puts out, decoder


class Autoencoder(nn.Module):
    """An encoder from pictures to a normal distribution of latents, and a decoder back.

    `classes` > 0 makes both conditional: the class, one-hot, joins the encoder's features and the latents.
    `log_scale`, of a Gaussian or logistic likelihood, is learnt, one for each channel.
    """

    log_scale: Tensor | None

    def __init__(
        self, shape: Sequence[int], latent: int, parts: Parts, classes: int = 0, likelihood: str = "bernoulli"
    ) -> None:
        super().__init__()
        self.shape, self.latent, self.classes, self.likelihood = tuple(shape), latent, classes, likelihood
        self.encoder, features, self.decoder = parts
        self.mean = nn.Linear(features + classes, latent)
        self.log_var = nn.Linear(features + classes, latent)
        scale = None if likelihood == "bernoulli" else nn.Parameter(torch.full((self.shape[0], 1, 1), START_SCALE))
        self.register_parameter("log_scale", scale)

    def encode(self, pictures: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pictures (N, C, H, W) in [0, 1] → mean and log variance (N, latent) of q(z | picture)."""
        features = self._with_class(self.encoder(pictures), labels)
        return self.mean(features), LARGEST - F.softplus(LARGEST - self.log_var(features))

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent) → logits (N, C, H, W); their sigmoid is a picture in [0, 1]."""
        logits: Tensor = self.decoder(self._with_class(latents, labels))
        return logits

    def negative_log_likelihood(self, logits: Tensor, pictures: Tensor) -> Tensor:
        """−log p(picture | z) in nats, (N,), by what `decode` gave."""
        return losses.negative_log_likelihood(self.likelihood, logits, pictures, self.log_scale)

    def _with_class(self, vectors: Tensor, labels: Tensor | None) -> Tensor:
        if not self.classes:
            return vectors
        if labels is None:
            raise UsageError("this model draws pictures of a class", "say which: --class")
        return torch.cat([vectors, F.one_hot(labels, self.classes).to(vectors.dtype)], 1)


class Residual(nn.Module):
    """x + two 3 × 3 convolutions with batch norm and SiLU before each (He et al. 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class FourierFeatures(nn.Module):
    """Latents (N, L) → themselves with the sines and cosines of random combinations of them, (N, L + 2 · count).

    A network of plain numbers changes slowly from place to place (Tancik et al. 2020); with few latents much has to
    lie close together. `frequencies` (L, count), normal of deviation FREQUENCY, are drawn by `initialise`.
    """

    frequencies: Tensor

    def __init__(self, latent: int, count: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(latent, count))

    def forward(self, latents: Tensor) -> Tensor:
        angles = latents @ self.frequencies
        return torch.cat([latents, angles.sin(), angles.cos()], 1)


def build(
    arch: str,
    shape: Sequence[int],
    latent: int,
    widths: Sequence[int],
    blocks: int = 1,
    classes: int = 0,
    likelihood: str = "bernoulli",
    fourier: int = 0,
) -> Autoencoder:
    """An autoencoder of pictures (C, H, W), its weights still to be drawn or loaded.

    `dense`: layers of `widths` units and SiLU, in the decoder in reverse order, after `fourier` random frequencies of
    the latents; `dense-book`: with ReLU.
    `residual`: `widths` channels, each half as fine as the one before, with `blocks` residual blocks. `faces`:
    strided convolutions of `widths` channels with batch norm. `conv-book` and `wide-book` are the textbooks', whose
    widths are fixed.

    Raises UsageError for a size that cannot be halved so often.
    """
    channels, height, width = shape
    halvings = {"residual": len(widths), "faces": len(widths), "conv-book": 2, "wide-book": 1}.get(arch, 0)
    if height % 2**halvings or width % 2**halvings:
        raise UsageError(
            f"pictures of {width} × {height} pixels cannot be halved {halvings} times",
            f"use a --size that {2**halvings} divides, or fewer --widths",
        )
    small, given = (height >> halvings, width >> halvings), latent + classes
    if arch.startswith("dense"):
        parts = _dense(shape, given, widths, nn.ReLU if arch == "dense-book" else nn.SiLU, fourier)
    elif arch == "residual":
        parts = _residual(channels, small, given, widths, blocks)
    elif arch == "faces":
        parts = _faces(channels, small, given, widths)
    else:
        parts = (_conv_book if arch == "conv-book" else _wide_book)(channels, small, given)
    return Autoencoder(shape, latent, parts, classes, likelihood)


def _dense(
    shape: Sequence[int], latent: int, widths: Sequence[int], activation: type[nn.Module], fourier: int
) -> Parts:
    pixels = math.prod(shape)
    inward, outward = [pixels, *widths], [latent + 2 * fourier, *reversed(widths)]
    encoder: list[nn.Module] = [nn.Flatten()]
    decoder: list[nn.Module] = [FourierFeatures(latent, fourier)] if fourier else []
    for layers, sizes in ((encoder, inward), (decoder, outward)):
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), activation()]
    decoder += [nn.Linear(outward[-1], pixels), nn.Unflatten(1, tuple(shape))]
    return nn.Sequential(*encoder), widths[-1], nn.Sequential(*decoder)


def _residual(channels: int, small: tuple[int, int], latent: int, widths: Sequence[int], blocks: int) -> Parts:
    """Down by strided 4 × 4 convolutions, up by nearest neighbours and 3 × 3: neither leaves a chequered pattern."""
    first, last, area = widths[0], widths[-1], small[0] * small[1]
    encoder: list[nn.Module] = []
    for before, after in pairwise([channels, *widths]):
        encoder += [nn.Conv2d(before, after, 4, stride=2, padding=1), *(Residual(after) for _ in range(blocks))]
    encoder += [nn.BatchNorm2d(last), nn.SiLU(), nn.Flatten()]
    decoder: list[nn.Module] = [nn.Linear(latent, last * area), nn.Unflatten(1, (last, *small))]
    for before, after in pairwise([*reversed(widths), first]):
        decoder += [*(Residual(before) for _ in range(blocks)), nn.Upsample(scale_factor=2)]
        decoder += [nn.Conv2d(before, after, 3, padding=1)]
    decoder += [nn.BatchNorm2d(first), nn.SiLU(), nn.Conv2d(first, channels, 3, padding=1)]
    return nn.Sequential(*encoder), last * area, nn.Sequential(*decoder)


def _faces(channels: int, small: tuple[int, int], latent: int, widths: Sequence[int]) -> Parts:
    """Foster 2023: strided convolutions, each with batch norm and a leaky ReLU, and their mirror image."""
    last, area = widths[-1], small[0] * small[1]
    encoder: list[nn.Module] = []
    for before, after in pairwise([channels, *widths]):
        encoder += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.LeakyReLU(0.01)]
    decoder: list[nn.Module] = [nn.Linear(latent, last * area), nn.BatchNorm1d(last * area), nn.LeakyReLU(0.01)]
    decoder += [nn.Unflatten(1, (last, *small))]
    for before, after in pairwise([*reversed(widths), widths[0]]):
        decoder += [_up(before, after), nn.BatchNorm2d(after), nn.LeakyReLU(0.01)]
    decoder += [nn.Conv2d(widths[0], channels, 3, padding=1)]
    return nn.Sequential(*encoder, nn.Flatten()), last * area, nn.Sequential(*decoder)


def _conv_book(channels: int, small: tuple[int, int], latent: int) -> Parts:
    """Chollet 2021, listing 12.24 ff."""
    area = small[0] * small[1]
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * area, 16), nn.ReLU(),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent, 64 * area), nn.ReLU(), nn.Unflatten(1, (64, *small)),
        _up(64, 64), nn.ReLU(), _up(64, 32), nn.ReLU(), nn.Conv2d(32, channels, 3, padding=1),
    )  # fmt: skip
    return encoder, 16, decoder


def _wide_book(channels: int, small: tuple[int, int], latent: int) -> Parts:
    """Chollet 2017, listing 8.23 ff."""
    area = small[0] * small[1]
    encoder = nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(64 * area, 32), nn.ReLU(),
    )  # fmt: skip
    decoder = nn.Sequential(
        nn.Linear(latent, 64 * area), nn.ReLU(), nn.Unflatten(1, (64, *small)),
        _up(64, 32), nn.ReLU(), nn.Conv2d(32, channels, 3, padding=1),
    )  # fmt: skip
    return encoder, 32, decoder


def _up(before: int, after: int) -> nn.Module:
    """A transposed 3 × 3 convolution that doubles height and width exactly."""
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)


@torch.no_grad()
def initialise(model: nn.Module, draw: torch.Generator) -> None:
    """Uniform weights after Glorot & Bengio 2010 and no biases, as the textbooks' Keras has it; and frequencies."""
    for module in model.modules():
        if isinstance(module, FourierFeatures):
            module.frequencies.normal_(0, FREQUENCY, generator=draw)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(module.weight, generator=draw)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
