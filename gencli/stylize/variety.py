"""Training a network that paints in any style: each picture in a style of its own, drawn anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gencli.core.backbones import Backbone
from gencli.core.device import Runtime
from gencli.core.images import resize
from gencli.core.pictures import Batch, PictureSet
from gencli.stylize.arbitrary import AnyStyle
from gencli.stylize.options import StyleTraining
from gencli.stylize.training import USUAL, PaintingRecipe, Styles
from gencli.stylize.whitening import Looks, Wish, look_at

Style: TypeAlias = tuple[Styles, Looks]

AS_THEY_ARE, EASY = 0.6, 0.3  # share of the steps with a style as it was given, which are all in the first part
LEAST_PART = 0.4  # side of the smallest square cut out of a style, in sides of the whole
PART = 0.75  # side of such squares when they are looked at, in sides of the style pictures


class AnyStyleRecipe(PaintingRecipe):
    """A network for any style. It learns on `pictures` (1, 3, h, w), and by and by on parts of them in
    other colours."""

    net: AnyStyle

    def __init__(
        self,
        net: AnyStyle,
        options: StyleTraining,
        encoder: Backbone,
        pictures: Sequence[Tensor],
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
    ) -> None:
        super().__init__(net, options, encoder, held_out, runtime, seed)
        self.encoder, self.pictures = encoder, pictures
        self.given = [self.study(picture) for picture in pictures]
        self.progress = 0.0
        self.shown_styles = [self.given[index % len(pictures)] for index in range(len(self.shown))]

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        self.progress = progress
        return super().step(batch, progress)

    @property
    def architecture(self) -> dict[str, Any]:
        return asdict(self.net.form)

    def study(self, picture: Tensor) -> Style:
        """A style as it is compared with, and as the network is to see it."""
        looks = look_at(self.encoder, [picture], self.net.layers, self.runtime)
        return self.comparison.study([picture]), looks

    def parts(self, photographs: Tensor) -> dict[str, Tensor]:
        strengths = self.strengths(len(photographs))
        styles, wanted = wish([self.drawn() for _ in photographs], strengths)
        with self.runtime.autocast():
            painted = self.net(self.encoder, photographs, wanted, self.luck)
        return self.weighed(painted, *self.comparison(painted, photographs, styles), strengths)

    def drawn(self) -> Style:
        """A style by chance."""
        numbers = torch.rand(7, generator=self.luck, device=self.luck.device).tolist()
        which = int(numbers[1] * len(self.pictures))
        if numbers[0] < 1 - (1 - AS_THEY_ARE) * min(1.0, self.progress / EASY):
            return self.given[which]
        picture = part(self.pictures[which], round(PART * self.options.style_size), numbers[2:5])
        order = torch.randperm(3, generator=self.luck, device=self.luck.device)
        return self.study(recolored(picture[:, order], numbers[5:7]))

    @torch.no_grad()
    def of_shown(self) -> tuple[Tensor, Tensor, Tensor]:
        usual = torch.full((len(self.shown),), USUAL, device=self.shown.device)
        styles, wanted = wish(self.shown_styles, usual)
        with self.runtime.autocast():
            painted: Tensor = self.best(self.encoder, self.shown, wanted)
        return painted, *self.comparison(painted, self.shown, styles)


def wish(each: Sequence[Style], strengths: Tensor) -> tuple[Styles, Wish]:
    """Each of N pictures in one of N styles, so strongly (N,)."""
    styles, looks = zip(*each, strict=True)
    return Styles.together(styles), Wish(Looks.together(looks), strengths, strengths.new_ones(len(strengths), 1))


def part(picture: Tensor, side: int, numbers: Sequence[float]) -> Tensor:
    """A square of a picture (1, 3, h, w), with so many pixels a side. Three `numbers` in [0, 1) say which."""
    height, width = picture.shape[-2:]
    length = round((LEAST_PART + (1 - LEAST_PART) * numbers[0]) * min(height, width))
    top, left = round(numbers[1] * (height - length)), round(numbers[2] * (width - length))
    return resize(picture[..., top : top + length, left : left + length], (side, side)).clamp(0, 1)


def recolored(picture: Tensor, numbers: Sequence[float]) -> Tensor:
    """A picture (…, 3, h, w) brighter or darker, paler, or as a negative, as two `numbers` in [0, 1) say."""
    if numbers[0] < 0.3:
        picture = 1 - picture
    picture = picture.clamp(0, 1) ** math.exp(2 * (numbers[1] - 0.5))
    pale = max(0.0, 1.5 * numbers[0] - 0.9)
    return torch.lerp(picture, picture.mean(-3, keepdim=True), pale)
