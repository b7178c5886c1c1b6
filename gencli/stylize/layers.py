"""What networks that paint are made of: convolutions with edges reflected, norms that know styles, residual blocks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.enlarging import convolved_larger

EPSILON = 1e-5  # of a norm


class StyleNorm(nn.Module):
    """Instance norm with several scales and shifts, or the mixture of them.

    `known` are the mean and the variance (C,) of the whole picture, where the norm sees only a part of it.
    """

    known: tuple[Tensor, Tensor] | None = None

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(rows, channels))
        self.shift = nn.Parameter(torch.zeros(rows, channels))

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        """(N, C, h, w), of each picture such shares of the rows (N, R)."""
        scale, shift = ((mixture @ table).flatten() for table in (self.scale, self.shift))
        mean, variance = self.known or _moments(x) or (None, None)
        if mean is not None:
            scale, shift = scale.to(mean), shift.to(mean)
        # with a channel of its own for each picture's, batch norm is instance norm
        apart = x.reshape(1, -1, *x.shape[2:])
        return F.batch_norm(apart, mean, variance, scale, shift, mean is None, eps=EPSILON).view_as(x)


def _moments(x: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mean and variance (C,) of a single picture's features (1, C, h, w) on a CPU, where it is worth while to find them
    apart from the norm: with channels last, and few of them.

    PyTorch's kernel is slow at numbers of channels that are no multiple of 16. So neighbours are taken for channels of
    their own, as many as it takes, and their moments put together.
    """
    rows, channels = x.movedim(1, -1), x.shape[1]
    apart = 16 // math.gcd(16, channels)
    slow = apart > 1 and x.device.type == "cpu" and x.dtype == torch.float32 and rows.is_contiguous()
    if not slow or torch.is_grad_enabled() or len(x) > 1 or rows.shape[1] * rows.shape[2] % apart:
        return None
    rows = rows.reshape(-1, apart * channels)
    _, mean, inverse = torch.native_batch_norm(rows, None, None, None, None, True, 0.0, EPSILON)
    means, variances = mean.view(apart, channels), inverse.view(apart, channels) ** -2 - EPSILON
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0).clamp_min(0)


class Layer(nn.Module):
    """Convolution, norm, ReLU; with `larger` twice as large before it, or one in `down` positions of it."""

    def __init__(
        self,
        rows: int,
        before: int,
        after: int,
        side: int = 3,
        *,
        larger: bool = False,
        down: int = 1,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(before, after, side, down, side // 2, padding_mode="reflect", bias=False)
        self.norm = StyleNorm(rows, after)
        self.larger, self.relu = larger, relu

    def seen(self, x: Tensor) -> Tensor:
        """What comes to the norm."""
        if self.larger:
            return convolved_larger(x, self.convolution.weight, edges="reflect")
        found: Tensor = self.convolution(x)
        return found

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        found: Tensor = self.norm(self.seen(x), mixture)
        return found.relu_() if self.relu else found


class Block(nn.Module):
    """A residual block: what it finds is added to what it was given."""

    def __init__(self, rows: int, channels: int) -> None:
        super().__init__()
        self.first = Layer(rows, channels, channels)
        self.second = Layer(rows, channels, channels, relu=False)

    def forward(self, x: Tensor, mixture: Tensor) -> Tensor:
        found: Tensor = x + self.second(self.first(x, mixture), mixture)
        return found
