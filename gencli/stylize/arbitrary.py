"""A network that paints in any style at one look (Huang & Belongie 2017), by looking at what it has painted.

An encoder, the backbone, sees a picture and its style. At each of its levels there is a map of least change that gives
the picture's features the mean and the covariance they have in the style (whitening and colouring: Li et al. 2017; the
map: Lu et al. 2019). How far features are from where it takes them is how wrong the picture is, as seen there; it is,
but for a factor, the gradient of what `stylize` minimises. A decoder, trained once on many styles, makes of that a
change of the picture, from the deepest level up: a step of a descent that was learnt (Andrychowicz et al. 2016).

What strokes a style has the errors do not say. So the norms' scales and shifts depend on the style, by a code that is
predicted from its statistics (Ghiasi et al. 2017).

There are several such passes, from small pictures to large ones. Each begins with what the one before has painted, the
first with the photograph in the style's colours. Noise is mixed in, for strokes must come from somewhere in a clear
sky.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core.backbones import INPUT, Backbone
from gencli.core.device import Runtime, generator
from gencli.core.images import resize
from gencli.stylize.decoder import Decoder, Level, Pass, Plan
from gencli.stylize.feedforward import SEED, Block, StyleNorm
from gencli.stylize.whitening import Looks, Wish, even, maps_of, moments_of, moved

LEAST = 0.2  # statistics of styles are taken to vary by so much at least
OWN = 0.7  # how much styles differ in their norms in the beginning
SMALLEST = 16  # pixels a side of the smallest picture that is painted
DARKEST = 0.02  # a canvas is kept so far from black and white that changes of its logit show


class AnyStyle(nn.Module):
    """Photographs (N, 3, H, W) in [0, 1] to paintings in the styles that are wished for.

    `usual` and `vary` are the mean and the deviation of styles' statistics.
    """

    usual: Tensor
    vary: Tensor

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        statistics = 2 * sum(plan.channels)
        self.register_buffer("usual", torch.zeros(statistics))
        self.register_buffer("vary", torch.ones(statistics))
        self.code = nn.Linear(statistics, plan.code)
        self.decoders = nn.ModuleList(Decoder(plan, blocks) for blocks in plan.blocks)

    def forward(
        self,
        encoder: Backbone,
        pictures: Tensor,
        wish: Wish,
        runtime: Runtime,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Tensor:
        *_, (_, painted) = self.stages(encoder, pictures, wish, runtime, draw, tile)
        return painted

    def stages(
        self,
        encoder: Backbone,
        pictures: Tensor,
        wish: Wish,
        runtime: Runtime,
        draw: torch.Generator | None = None,
        tile: int | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each pass the photographs at its size, and what is painted then.

        Without `draw` the noise is always the same. In tiles of a side of `tile` pixels pictures are the same, and need
        less memory; there are no gradients then.
        """
        draw = draw or generator(SEED)
        with torch.no_grad():
            whole = (pictures + self._recoloring(pictures, wish)).clamp(0, 1)
        before: tuple[Tensor, Tensor] | None = None
        code = self.codes(wish)
        for decoder, times in zip(self.decoders, self.plan.passes, strict=True):
            size = shrunk(pictures.shape, times)
            photographs, there = (resize(each, size).clamp(0, 1) for each in (pictures, whole))
            plain = there
            if before is not None:
                # the photograph's detail, which a smaller picture had not
                detail = (1 - wish.strengths)[:, None, None, None] * (there - resize(before[0], size))
                there = (resize(before[1], size) + detail).clamp(0, 1)
            change = Pass(self.plan, cast("Decoder", decoder), encoder, wish, code, runtime, draw, tile)(
                there, photographs
            )
            before = plain, torch.sigmoid(change + torch.logit(there, DARKEST))
            yield photographs, before[1]

    def codes(self, wish: Wish) -> Tensor:
        """A 1, and the codes of the styles that are wished for, or the mixture of theirs: (N, 1 + `code`)."""
        found = (self.statistics(wish.looks).to(self.vary) - self.usual) / self.vary
        of_styles = torch.tanh(self.code(found)) / self.plan.code**0.5  # or its rows together would learn too fast
        mixed = torch.einsum("ns,nsk->nk", wish.mixture().to(of_styles), of_styles)
        return F.pad(mixed, (1, 0), value=1.0)

    def statistics(self, looks: Looks) -> Tensor:
        """Of styles (N, S, …) the means and the deviations of the features at each level, each in its unit."""
        numbers = []
        for layer, unit in zip(self.plan.layers, self.plan.units, strict=True):
            deviation = looks.root[layer].square().sum(-1).sqrt()
            numbers += [unit * looks.mean[layer], unit * deviation]
        return torch.cat(numbers, -1)

    def _recoloring(self, pictures: Tensor, wish: Wish) -> Tensor:
        """What is to be added to photographs so that they have the styles' colours, as far as they are to come."""
        colors, regions = pictures.double(), wish.at(pictures.shape[-2:])
        maps = maps_of(moments_of(colors, None if regions is None else even(regions)), INPUT, wish)
        return moved(colors, maps, regions).to(pictures)


def shrunk(shape: Sequence[int], times: int) -> tuple[int, int]:
    """Height and width of pictures (…, H, W) made half as large so often."""
    height, width = (max(min(side, SMALLEST), round(side / (1 << times))) for side in shape[-2:])
    return height, width


def initialise(net: AnyStyle, draw: torch.Generator, styles: Looks) -> None:
    """Normal weights after He et al. 2015; of the last layers zeros: no change to begin with. `styles` (1, S, …) are
    examples."""
    with torch.no_grad():
        # what styles have in common says nothing: codes of raw statistics are all alike, and so would be the strokes
        found = net.statistics(styles)[0]
        net.usual.copy_(found.mean(0))
        net.vary.copy_(found.std(0, correction=0).clamp_min(LEAST))
        net.code.weight.normal_(0, net.code.in_features**-0.5, generator=draw)
        net.code.bias.zero_()
        for module in net.modules():
            if isinstance(module, StyleNorm):
                module.scale[1:].normal_(0, OWN, generator=draw)
                module.shift[1:].normal_(0, OWN, generator=draw)
            if isinstance(module, Level):
                fan_in = module.errors[0].numel() + module.rest.weight[0].numel()
                module.errors.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
                module.rest.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, Block):
                for layer in (module.first, module.second):
                    fan_in = layer.convolution.weight[0].numel()
                    layer.convolution.weight.normal_(0, (2 / fan_in) ** 0.5, generator=draw)
            elif isinstance(module, Decoder):
                for weight in module.last.parameters():
                    weight.zero_()
