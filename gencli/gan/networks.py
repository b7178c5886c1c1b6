"""Generators and discriminators: gencli's own for pictures of any size, the papers' and the textbooks'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from gencli.core.device import drawing_from
from gencli.core.errors import UsageError

KERAS_EPS = 1e-3  # of its batch norm
COARSEST = 7  # pixels of a side that are no longer halved: 4 to 7 are left
EMBEDDING = 64  # numbers a class becomes beside the latents
GROUP, PAIR = 4, 2  # pictures whose differences a discriminator sees together, and where they are of classes

Module = Callable[..., nn.Module]


@dataclass(frozen=True)
class Form:
    """What makes a pair of networks: enough to build them again.

    `widths` are the generator's units or channels, `d_widths` the discriminator's, from its input on; for `dcgan` and
    `resnet` channels at each side, the finest first. `classes` > 0 makes both conditional, as `condition` says:
    `multiply` (the class's vector times the latents, and times the pixels), or `projection` (its vector beside the
    latents, and along it in the discriminator's features, Miyato & Koyama 2018).
    """

    arch: str
    shape: tuple[int, int, int]
    latent: int
    widths: tuple[int, ...] = ()
    d_widths: tuple[int, ...] = ()
    classes: int = 0
    condition: str = "projection"
    norm: str = "none"
    dropout: float = 0.0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Form:
        """What `dataclasses.asdict` made, and JSON kept."""
        found: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in values.items()}
        return cls(**found)


class Generator(nn.Module):
    """Latents (N, L), normal, → pictures (N, C, H, W) in [0, 1].

    Conditional ones want classes too: (N,), or shares of each (N, K) for what lies between them.
    """

    def __init__(self, form: Form, body: nn.Module, last: Callable[[Tensor], Tensor] = torch.tanh) -> None:
        super().__init__()
        self.form, self.body, self.signed = form, body, last is torch.tanh
        size = form.latent if form.condition == "multiply" else EMBEDDING
        self.embedding = nn.Embedding(form.classes, size) if form.classes else None

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            known = _vectors(self.embedding, labels).to(latents.dtype)
            latents = latents * known if self.form.condition == "multiply" else torch.cat([latents, known], 1)
        drawn = self.body(latents)
        return 0.5 + 0.5 * drawn.tanh() if self.signed else drawn.sigmoid()


class Discriminator(nn.Module):
    """Pictures (N, C, H, W) in [0, 1] → logits (N,), the higher the more real; conditional ones want classes (N,)."""

    def __init__(self, form: Form, body: nn.Module, features: int, *, signed: bool = True) -> None:
        super().__init__()
        self.form, self.body, self.signed = form, body, signed
        self.verdict = nn.Linear(features, 1) if features else nn.Identity()  # 0: the body gives it
        self.embedding: nn.Embedding | None = None
        if form.classes:
            size = math.prod(form.shape) if form.condition == "multiply" else features
            self.embedding = nn.Embedding(form.classes, size)

    def forward(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        pictures = 2 * pictures - 1 if self.signed else pictures
        known = None if self.embedding is None else _vectors(self.embedding, labels).to(pictures.dtype)
        if known is not None and self.form.condition == "multiply":
            pictures = pictures * known.view_as(pictures)
        features = self.body(pictures)
        logits: Tensor = self.verdict(features).flatten()
        if known is not None and self.form.condition == "projection":
            logits = logits + (features * known).sum(1)
        return logits


def _vectors(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """A vector (N, V) for each class, or the mean of several by their shares."""
    if labels is None:
        raise UsageError("this model draws pictures of a class", "say which: --class")
    found: Tensor = labels @ embedding.weight if labels.is_floating_point() else embedding(labels)
    return found


class Residual(nn.Module):
    """x + two 3 × 3 convolutions, an activation before each (He et al. 2016), with batch norm or without."""

    def __init__(self, width: int, activation: Module, *, norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.BatchNorm2d(width)] if norm else []
            layers += [activation(), nn.Conv2d(width, width, 3, padding=1, bias=not norm)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Differences(nn.Module):
    """Adds a channel: how much `group` neighbouring pictures differ, as a number for each (Karras et al. 2018).

    A generator whose pictures are all alike is found out by it; one that draws a single picture of each class, if
    neighbours are of the same class.
    """

    def __init__(self, group: int = GROUP) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        count = len(x)
        group = next(size for size in range(min(self.group, count), 0, -1) if count % size == 0)
        grouped = x.view(count // group, group, *x.shape[1:])
        spread = (grouped.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        return torch.cat([x, spread.repeat_interleave(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)


def build(form: Form) -> tuple[Generator, Discriminator]:
    """Both networks of a form, their weights still to be drawn or loaded.

    `resnet` is gencli's own; `dcgan` that of Radford et al. 2016, for any size; `dense` the textbooks' of dense
    layers. `mnist-book`, `frogs-book` and `celeba-book` are fixed, for 28 × 28, 32 × 32 and 64 × 64.

    Raises UsageError for a size that the architecture cannot make.
    """
    _, height, width = form.shape
    if height != width:
        raise UsageError(f"pictures of {width} × {height} pixels are not square")
    fixed = {"mnist-book": 28, "frogs-book": 32, "celeba-book": 64}.get(form.arch)
    if fixed and height != fixed:
        raise UsageError(f"--arch {form.arch} makes pictures of {fixed} × {fixed}", f"use --size {fixed}")
    made: tuple[Generator, Discriminator] = {
        "resnet": _resnet, "dcgan": _dcgan, "dense": _dense, "mnist-book": _mnist_book, "frogs-book": _frogs_book,
        "celeba-book": _celeba_book,
    }[form.arch](form)  # fmt: skip
    if form.norm == "spectral":
        for module in made[1].modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
                spectral_norm(module)
    return made


def sides(size: int, levels: int) -> tuple[int, ...]:
    """Sides of the levels of a network, the finest first. Raises UsageError for a size that cannot be halved so."""
    if size % 2**levels:
        raise UsageError(
            f"pictures of {size} × {size} pixels cannot be halved {levels} times",
            f"use a --size that {2**levels} divides",
        )
    return tuple(size >> level for level in range(1, levels + 1))


def levels(size: int) -> int:
    """How often a side is halved: down to 4 to 7 pixels, or an odd number of them."""
    count = 0
    while size > COARSEST and size % 2 == 0:
        size, count = size // 2, count + 1
    return count


def _given(form: Form) -> int:
    """Numbers that a generator's body is given."""
    return form.latent + (EMBEDDING if form.classes and form.condition == "projection" else 0)


def _resnet(form: Form) -> tuple[Generator, Discriminator]:
    """Residual blocks at each side from half the picture's on: what is finer is four channels of that (Shi et al.
    2016), which spares the layers that cost most."""
    channels, size, _ = form.shape
    coarsest = sides(size, len(form.widths))[-1]
    top, first = form.widths[-1], form.widths[0]
    body: list[nn.Module] = [nn.Linear(_given(form), top * coarsest**2), nn.Unflatten(1, (top, coarsest, coarsest))]
    for before, after in pairwise([*reversed(form.widths), None]):
        assert before is not None
        body.append(Residual(before, nn.ReLU, norm=True))
        if after is not None:
            body += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1)]
    body += [nn.BatchNorm2d(first), nn.ReLU(), nn.Conv2d(first, 4 * channels, 3, padding=1), nn.PixelShuffle(2)]

    top, first = form.d_widths[-1], form.d_widths[0]
    looks: list[nn.Module] = [nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, first, 3, padding=1)]
    for before, after in pairwise([*form.d_widths, None]):
        assert before is not None
        looks.append(Residual(before, _leaky, norm=form.norm == "batch"))
        if after is not None:
            looks += [_leaky(), nn.Conv2d(before, after, 4, stride=2, padding=1)]
    looks += [
        Differences(PAIR if form.classes else GROUP),
        nn.Conv2d(top + 1, top, 3, padding=1),
        _leaky(),
        nn.Flatten(),
        *_dropped(form),
    ]
    coarsest = sides(size, len(form.d_widths))[-1]
    return Generator(form, nn.Sequential(*body)), Discriminator(form, nn.Sequential(*looks), top * coarsest**2)


def _dcgan(form: Form) -> tuple[Generator, Discriminator]:
    """Radford et al. 2016: 4 × 4 convolutions, transposed ones to draw, each with batch norm but the outermost."""
    channels, size, _ = form.shape
    coarsest = sides(size, len(form.widths))[-1]
    body: list[nn.Module] = [nn.Unflatten(1, (_given(form), 1, 1))]
    body += [nn.ConvTranspose2d(_given(form), form.widths[-1], coarsest, bias=False)]
    for before, after in pairwise([*reversed(form.widths), channels]):
        body += [nn.BatchNorm2d(before), nn.ReLU()]
        body += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False)]
    looks: list[nn.Module] = []
    for index, (before, after) in enumerate(pairwise([channels, *form.d_widths])):
        norm = [nn.BatchNorm2d(after)] if form.norm == "batch" and index else []
        looks += [nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False), *norm, _leaky(), *_dropped(form)]
    coarsest, last = sides(size, len(form.d_widths))[-1], form.d_widths[-1]
    if form.classes and form.condition == "projection":  # the class looks along features: the verdict is dense
        return Generator(form, nn.Sequential(*body)), Discriminator(
            form, nn.Sequential(*looks, nn.Flatten()), last * coarsest**2
        )
    looks.append(nn.Conv2d(last, 1, coarsest, bias=False))
    return Generator(form, nn.Sequential(*body)), Discriminator(form, nn.Sequential(*looks), 0)


def _dense(form: Form) -> tuple[Generator, Discriminator]:
    """The textbooks': dense layers, leaky ReLUs, in the generator each followed by batch norm."""
    pixels = math.prod(form.shape)
    body: list[nn.Module] = []
    for before, after in pairwise([_given(form), *form.widths]):
        body += [nn.Linear(before, after), _leaky(), nn.BatchNorm1d(after, KERAS_EPS, momentum=0.2)]
    body += [nn.Linear(form.widths[-1], pixels), nn.Unflatten(1, form.shape)]
    looks: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise([pixels, *form.d_widths]):
        norm = [nn.BatchNorm1d(after)] if form.norm == "batch" else []
        looks += [nn.Linear(before, after), *norm, _leaky(), *_dropped(form)]
    return Generator(form, nn.Sequential(*body)), Discriminator(form, nn.Sequential(*looks), form.d_widths[-1])


def _mnist_book(form: Form) -> tuple[Generator, Discriminator]:
    """TensorFlow's tutorial on DCGAN: transposed 5 × 5 convolutions without biases."""

    def normed(norm: Module, width: int) -> list[nn.Module]:
        return [norm(width, KERAS_EPS, 0.01), nn.LeakyReLU(0.3)]

    channels = form.shape[0]
    body = [nn.Linear(_given(form), 7 * 7 * 256, bias=False), *normed(nn.BatchNorm1d, 7 * 7 * 256)]
    body += [nn.Unflatten(1, (256, 7, 7)), nn.ConvTranspose2d(256, 128, 5, 1, 2, bias=False)]
    body += [*normed(nn.BatchNorm2d, 128), nn.ConvTranspose2d(128, 64, 5, 2, 2, 1, bias=False)]
    body += [*normed(nn.BatchNorm2d, 64), nn.ConvTranspose2d(64, channels, 5, 2, 2, 1, bias=False)]
    looks: list[nn.Module] = []
    for before, after in pairwise([channels, 64, 128]):
        looks += [nn.Conv2d(before, after, 5, 2, 2), nn.LeakyReLU(0.3), *_dropped(form)]
    looks.append(nn.Flatten())
    return Generator(form, nn.Sequential(*body)), Discriminator(form, nn.Sequential(*looks), 7 * 7 * 128)


def _frogs_book(form: Form) -> tuple[Generator, Discriminator]:
    """Chollet 2017, listings 8.29 f."""
    channels = form.shape[0]

    def leaky() -> nn.Module:
        return nn.LeakyReLU(0.3)

    body: list[nn.Module] = [nn.Linear(_given(form), 128 * 16 * 16), leaky(), nn.Unflatten(1, (128, 16, 16))]
    body += [nn.Conv2d(128, 256, 5, padding=2), leaky(), nn.ConvTranspose2d(256, 256, 4, 2, 1), leaky()]
    body += [nn.Conv2d(256, 256, 5, padding=2), leaky(), nn.Conv2d(256, 256, 5, padding=2), leaky()]
    body += [nn.Conv2d(256, channels, 7, padding=3)]
    looks: list[nn.Module] = [nn.Conv2d(channels, 128, 3), leaky()]
    for _ in range(3):
        looks += [nn.Conv2d(128, 128, 4, 2), leaky()]
    looks += [nn.Flatten(), *_dropped(form)]
    return Generator(form, nn.Sequential(*body)), Discriminator(form, nn.Sequential(*looks), 128 * 2 * 2)


def _celeba_book(form: Form) -> tuple[Generator, Discriminator]:
    """Chollet 2021, listings 12.32 f.: pictures from a sigmoid, and looked at as they are."""
    channels = form.shape[0]
    body: list[nn.Module] = [nn.Linear(_given(form), 8 * 8 * 128), nn.Unflatten(1, (128, 8, 8))]
    for before, after in pairwise([128, 128, 256, 512]):
        body += [nn.ConvTranspose2d(before, after, 4, 2, 1), _leaky()]
    body.append(nn.Conv2d(512, channels, 5, padding=2))
    looks: list[nn.Module] = []
    for before, after in pairwise([channels, 64, 128, 128]):
        looks += [nn.Conv2d(before, after, 4, 2, 1), _leaky()]
    looks += [nn.Flatten(), *_dropped(form)]
    return (
        Generator(form, nn.Sequential(*body), torch.sigmoid),
        Discriminator(form, nn.Sequential(*looks), 8 * 8 * 128, signed=False),
    )


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2)


def _dropped(form: Form) -> list[nn.Module]:
    return [nn.Dropout(form.dropout)] if form.dropout else []


@torch.no_grad()
def initialise(net: nn.Module, draw: torch.Generator, deviation: float | None = None) -> None:
    """Uniform weights after Glorot & Bengio 2010, or normal ones of a `deviation`; no biases.

    Batch norms begin at 1, or with a `deviation` about 1. A class's vector is normal, as the latents are; but one along
    which a discriminator looks is as small as its other weights: or else its class would be all it sees of a picture,
    and a generator would draw one of each.
    """
    with drawing_from(draw):
        for module in net.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                weight = _plain(module)
                if deviation is None:
                    nn.init.xavier_uniform_(weight)
                else:
                    nn.init.normal_(weight, 0, deviation)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and deviation is not None:
                nn.init.normal_(module.weight, 1, deviation)
            elif isinstance(module, nn.Embedding):
                looked_along = isinstance(net, Discriminator) and net.form.condition == "projection"
                (nn.init.xavier_uniform_ if looked_along else nn.init.normal_)(_plain(module))


def _plain(module: nn.Module) -> Tensor:
    """A layer's weights, as they are before spectral norm."""
    found = module.parametrizations["weight"].original if is_parametrized(module) else module.weight  # type: ignore
    assert isinstance(found, Tensor)
    return found
