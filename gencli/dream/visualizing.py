"""Feature visualisation: what a part of a network would most like to see, grown out of noise (Olah et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.backbones import Backbone
from gencli.core.device import generator
from gencli.core.sitting import Step
from gencli.dream.objective import Objective, Sight
from gencli.dream.options import Visualization

DEVIATION = 0.01  # of the first spectrum, or of the first pixels
BETAS = (0.9, 0.999)
TURN, STRETCH = 10.0, 0.1  # degrees to either side, and share by which a picture is larger or smaller for a step
# The principal axes of the colours of natural pictures, each as long as its deviation (lucid, Olah et al. 2017)
COLOURS = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Canvas:
    """A picture (1, 3, side, side) in (0, 1) made of numbers that can be climbed in.

    `fourier`: a spectrum in which a step changes every frequency by as much as it has in natural pictures; `pixels`:
    the pixels. In both, colours are along the axes in which those of natural pictures do not go together.
    """

    def __init__(self, side: int, parametrize: str, draw: torch.Generator, device: torch.device) -> None:
        self.side, self.fourier = side, parametrize == "fourier"
        frequency = torch.hypot(torch.fft.rfftfreq(side), torch.fft.fftfreq(side)[:, None])
        self.scale = (math.sqrt(side * side) / frequency.clamp_min(1 / side)).to(device)
        shape = (1, 3, *frequency.shape, 2) if self.fourier else (1, 3, side, side)
        self.numbers = (DEVIATION * torch.randn(shape, generator=draw)).to(device).requires_grad_()
        colours = torch.tensor(COLOURS, device=device)
        self.colours = colours / colours.norm(dim=0).max()

    def picture(self) -> Tensor:
        """The picture as the numbers stand."""
        drawn = self.numbers
        if self.fourier:
            drawn = torch.fft.irfft2(torch.view_as_complex(drawn) * self.scale, s=(self.side, self.side)) / 4
        return torch.sigmoid(torch.einsum("ij,njhw->nihw", self.colours, drawn))


def visualize(
    objective: Objective,
    backbone: Backbone,
    options: Visualization | None = None,
    *,
    seed: int = 0,
    on_step: Callable[[Step], None] | None = None,
) -> Image.Image:
    """A picture that fills an objective, from noise: what `gencli dream visualize` draws.

    At each step the picture is moved, turned and stretched a little, for what is only seen in one place is not there
    (Mordvintsev et al. 2015). `on_step` is called after each.

    Raises UsageError for what the network does not have.
    """
    options = options or Visualization()
    draw, device = generator(seed, 0), backbone.mean.device
    canvas = Canvas(options.size, options.parametrize, draw, device)
    climber = torch.optim.Adam([canvas.numbers], options.rate, BETAS, maximize=True)
    sight = Sight(objective, backbone, (options.size, options.size), border=options.border)
    for step in range(1, options.steps + 1):
        drawn = canvas.picture()
        looked_at = wobbled(drawn, options.jitter, draw) if options.wobble else drawn
        value, gradient = sight(looked_at)
        climber.zero_grad()
        looked_at.backward(gradient)
        climber.step()
        if on_step:
            on_step(Step(step / options.steps, step, options.size, float(value), lambda: _drawn(canvas)))
    return _drawn(canvas)


@torch.no_grad()
def _drawn(canvas: Canvas) -> Image.Image:
    return images.to_pillow(canvas.picture())


def wobbled(picture: Tensor, jitter: int, draw: torch.Generator) -> Tensor:
    """A picture (1, 3, H, W) seen from slightly elsewhere: moved by up to `jitter` pixels, turned by up to `TURN`
    degrees and larger or smaller by up to `STRETCH`; what comes in at the edges is mirrored."""
    numbers = 2 * torch.rand(4, generator=draw) - 1
    angle, scale = math.radians(TURN) * float(numbers[0]), 1 + STRETCH * float(numbers[1])
    height, width = picture.shape[-2:]
    across, down = (2 * jitter * float(number) / side for number, side in ((numbers[2], width), (numbers[3], height)))
    cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
    place = picture.new_tensor([[[cos, -sin, across], [sin, cos, down]]])
    grid = F.affine_grid(place, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
