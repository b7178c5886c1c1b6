"""Networks that make one kind of picture of another, and those that judge them.

Both take and give pictures (N, 3, H, W) in [0, 1]. A translator's H and W are multiples of its `stride`, and not below
its `least`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from gencli.core.enlarging import LargerConv2d

Norm = Callable[[int], nn.Module]

DEVIATION = 0.02  # of the weights in the beginning (Isola et al. 2017)
ALIKE = 1.3  # tanh of so many times a value in [-1, 1] is nearly that value
BLOCKS = 3  # of a quick translator, where the picture is smallest


@dataclass(frozen=True)
class Translation:
    """How a translator and its judge are built: which `kind`; `widths`, channels by depth, of a `quick` one; channels
    that come in and go out; the judge's first `judge_width` and how often it halves pictures, `judge_depth`; whether
    it sees what a picture was made from beside it, `paired`."""

    kind: str
    before: int = 3
    after: int = 3
    widths: tuple[int, ...] = ()
    judge_width: int = 64
    judge_depth: int = 3
    paired: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Translation:
        """What `dataclasses.asdict` made, and JSON kept."""
        return cls(**{**values, "widths": tuple(values["widths"])})

    def reversed(self) -> Translation:
        """The other way."""
        return replace(self, before=self.after, after=self.before)


class Translator(nn.Module):
    """Pictures to pictures. What its `body` takes and gives lies in [-1, 1]."""

    def __init__(self, form: Translation, body: nn.Module) -> None:
        super().__init__()
        self.form, self.body = form, body
        self.stride, self.least = stride(form), least(form)

    def forward(self, pictures: Tensor) -> Tensor:
        made: Tensor = 0.5 + 0.5 * self.body(2 * pictures - 1).tanh()
        return made


def build(form: Translation) -> Translator:
    """A translator, its weights still to be drawn or loaded."""
    body = {
        "quick": lambda: Quick(form.before, form.after, form.widths),
        "unet": lambda: BookUNet(form.before, form.after),
        "unet-256": lambda: UNet256(form.before, form.after),
        "resnet-6": lambda: ResNet(form.before, form.after, 6),
        "resnet-9": lambda: ResNet(form.before, form.after, 9),
    }[form.kind]()
    return Translator(form, body)


def stride(form: Translation) -> int:
    """How many pixels of a side become one where a translator makes the picture smallest."""
    return {"quick": 1 << len(form.widths), "unet": 16, "unet-256": 256}.get(form.kind, 4)


def least(form: Translation) -> int:
    """The shortest side a translator takes: where the picture is smallest, norms and reflected edges want two pixels.
    The deepest layer of `unet-256` has neither."""
    return stride(form) * (1 if form.kind == "unet-256" else 2)


def judge(form: Translation) -> nn.Module:
    """Who tells what a translator makes from real pictures, patch by patch."""
    return Patches(form.after + (form.before if form.paired else 0), form.judge_width, form.judge_depth)


def instance_norm(channels: int) -> nn.Module:
    """Each map by its own mean and variance, with a scale and a shift that are learnt."""
    return nn.InstanceNorm2d(channels, affine=True)


class Patches(nn.Module):
    """A PatchGAN (Isola et al. 2017): pictures (N, C, H, W) in [0, 1] to logits of their patches (N, 1, h, w), one
    patch in 2^`depth` pixels a side; three times halved, a patch is 70 pixels."""

    def __init__(self, seen: int, width: int, depth: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(seen, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        widths = [min(width << level, 8 * width) for level in range(depth + 1)]
        for level, (before, after) in enumerate(pairwise(widths), 1):
            halving = [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
            layers += halving if level < depth else _same(before, after, bias=False)
            layers += [instance_norm(after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, *_same(widths[-1], 1))

    def forward(self, pictures: Tensor) -> Tensor:
        found: Tensor = self.layers(2 * pictures - 1)
        return found


def _same(before: int, after: int, *, bias: bool = True) -> list[nn.Module]:
    """A 4 × 4 convolution that keeps the size: it sees one row and column more below and right."""
    return [nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(before, after, 4, bias=bias)]


class Quick(nn.Module):
    """gencli's own: works at half the size, four channels of which are one of the picture (Shi et al. 2016), and at
    half of that and so on; what was seen on the way down is added on the way up. The picture itself comes in once more
    at the end, for what is finer."""

    def __init__(self, before: int, after: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.PixelUnshuffle(2), nn.ReflectionPad2d(1), nn.Conv2d(4 * before, widths[0], 3), instance_norm(widths[0])
        )
        self.down = nn.ModuleList(
            nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(a, b, 4, 2, 1), instance_norm(b)) for a, b in pairwise(widths)
        )
        self.blocks = nn.Sequential(*(Changed(widths[-1], instance_norm) for _ in range(BLOCKS)))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ReLU(), LargerConv2d(b, a, 3, edges="reflect"), instance_norm(a))
            for a, b in pairwise(widths)
        )
        self.last = nn.Sequential(nn.ReLU(), LargerConv2d(widths[0], after, 3, edges="reflect"))
        self.fine = nn.Conv2d(before, after, 3, padding=1, padding_mode="reflect", bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.first(x)]
        for layer in self.down:
            seen.append(layer(seen[-1]))
        made = self.blocks(seen.pop())
        for layer in reversed(self.up):
            made = layer(made) + seen.pop()
        found: Tensor = self.last(made) + self.fine(x)
        return found


class BookUNet(nn.Module):
    """The textbook's (Foster 2019): 4 × 4 convolutions halve the picture four times; on the way back it is enlarged,
    convolved, and what was seen at that size put beside it."""

    def __init__(self, before: int, after: int, widths: Sequence[int] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 4, 2, 1), instance_norm(b), nn.LeakyReLU(0.2))
            for a, b in pairwise([before, *widths])
        )
        ups = []
        entering = widths[-1]
        for width in reversed(widths[:-1]):
            ups.append(nn.Sequential(LargerConv2d(entering, width, 4), nn.ReLU(), instance_norm(width)))
            entering = 2 * width
        self.up = nn.ModuleList(ups)
        self.last = LargerConv2d(entering, after, 4)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        for layer, there in zip(self.up, reversed(seen[:-1]), strict=True):
            x = torch.cat([layer(x), there], 1)
        found: Tensor = self.last(x)
        return found


class UNet256(nn.Module):
    """Isola et al. 2017: halves the picture eight times, and back, what was seen beside what is made at each size.

    Norms are of each picture alone, as the paper's batch norms are with batches of one. Half of the features of the
    deepest ways up are dropped, in training only.
    """

    def __init__(self, before: int, after: int, width: int = 64, depth: int = 8) -> None:
        super().__init__()
        widths = [min(width << level, 8 * width) for level in range(depth)]
        down, up = [], []
        for level, (a, b) in enumerate(pairwise([before, *widths])):
            first, last = level == 0, level == depth - 1
            layers: list[nn.Module] = [] if first else [nn.LeakyReLU(0.2)]
            layers.append(nn.Conv2d(a, b, 4, 2, 1, bias=False))
            layers += [] if first or last else [instance_norm(b)]
            down.append(nn.Sequential(*layers))
            entering = b if last else 2 * b
            back: list[nn.Module] = [
                nn.ReLU(),
                nn.ConvTranspose2d(entering, after if first else a, 4, 2, 1, bias=first),
            ]
            back += [] if first else [instance_norm(a)]
            back += [nn.Dropout(0.5)] if depth - 4 <= level < depth - 1 else []
            up.append(nn.Sequential(*back))
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        made = self.up[-1](seen[-1])
        for layer, there in zip(reversed(self.up[:-1]), reversed(seen[:-1]), strict=True):
            made = layer(torch.cat([there, made], 1))
        found: Tensor = made
        return found


class ResNet(nn.Module):
    """Zhu et al. 2017, after Johnson et al. 2016: halves the picture twice, changes it there, and enlarges it again."""

    def __init__(self, before: int, after: int, blocks: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(before, width, 7)]
        layers += [nn.InstanceNorm2d(width), nn.ReLU()]
        for a, b in ((width, 2 * width), (2 * width, 4 * width)):
            layers += [nn.Conv2d(a, b, 3, 2, 1), nn.InstanceNorm2d(b), nn.ReLU()]
        layers += [Changed(4 * width, nn.InstanceNorm2d) for _ in range(blocks)]
        for a, b in ((4 * width, 2 * width), (2 * width, width)):
            layers += [nn.ConvTranspose2d(a, b, 3, 2, 1, 1), nn.InstanceNorm2d(b), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, after, 7)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layers(x)
        return found


class Changed(nn.Module):
    """x + two 3 × 3 convolutions of it, edges reflected."""

    def __init__(self, width: int, norm: Norm) -> None:
        super().__init__()
        one: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width), nn.ReLU()]
        two: list[nn.Module] = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), norm(width)]
        self.layers = nn.Sequential(*one, *two)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.layers(x)
        return found


@torch.no_grad()
def begin_alike(net: Translator) -> None:
    """Let a quick translator make nearly the picture that it is given, to begin with: without pairs nothing else says
    which colours are to stay."""
    if isinstance(net.body, Quick):
        nn.init.dirac_(net.body.fine.weight).mul_(ALIKE)


@torch.no_grad()
def initialise(net: nn.Module, draw: torch.Generator) -> None:
    """Normal weights of a small deviation, and no biases, as in the papers."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.weight.normal_(0, DEVIATION, generator=draw)
            if module.bias is not None:
                module.bias.zero_()
