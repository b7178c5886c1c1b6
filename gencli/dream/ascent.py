"""Gradient ascent on a picture, from small to large (DeepDream: Mordvintsev et al. 2015).

At each size, an octave, the picture is the photograph at that size and what was dreamt so far. Only the dream is
enlarged for the next, so the photograph's detail is all there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.images import resize
from gencli.core.spectra import towards_natural
from gencli.dream.options import DreamOptions

SMALLEST = 180  # longest side in pixels of the first octave, where their number is left open
THINNEST = 32  # of the shorter side
ROOM = 0.1  # from an end of the range; nearer to it, values move the less towards it
TINY = 1e-12

Function = Callable[[Tensor], tuple[Tensor, Tensor]]


def sizes(height: int, width: int, options: DreamOptions) -> list[tuple[int, int]]:
    """(height, width) of each octave, from the smallest up to the picture's own; none is too thin to be looked at."""
    count = options.octaves
    if count is None:
        count = 1 + max(0, round(_powers(max(height, width) / SMALLEST, options.octave_scale)))
    most = 1 + max(0, int(_powers(min(height, width) / THINNEST, options.octave_scale)))
    scales = (options.octave_scale**power for power in reversed(range(min(count, most))))
    return [(int(height / scale), int(width / scale)) for scale in scales]


def _powers(ratio: float, scale: float) -> float:
    return math.log(ratio) / math.log(scale)


def climb(
    objective: Function,
    picture: Tensor,
    options: DreamOptions,
    draw: torch.Generator,
    free: Tensor | None = None,
    report: Callable[[int, float, Tensor], None] = lambda step, value, picture: None,
) -> Tensor:
    """A picture (1, 3, H, W) after `options.steps` steps up an objective, or fewer: see `--max-loss`.

    For each step the picture is moved by up to `options.jitter` pixels around its edges, so that the network's grid
    lies elsewhere. Where `free` (1, 1, H, W) is 0 it is held. `report(step, value, picture)` is called after each.
    """
    height, width = picture.shape[-2:]
    across, down = min(options.jitter, width // 2), min(options.jitter, height // 2)
    for step in range(1, options.steps + 1):
        move = [int(torch.randint(-most, most + 1, (), generator=draw)) for most in (down, across)]
        value, gradient = objective(picture.roll(move, (-2, -1)))
        gradient = gradient.roll([-part for part in move], (-2, -1))
        if options.max_loss is not None and float(value) > options.max_loss:
            break
        rate = options.rate * (1 - options.fall * (step - 1) / max(1, options.steps - 1))
        change = direction(gradient, options).mul_(rate if free is None else rate * free)
        picture = within(picture, change, options.gamut)
        del gradient, change  # as large as the picture, and not needed while the network looks at the next
        report(step, float(value), picture)
    return picture


def direction(gradient: Tensor, options: DreamOptions) -> Tensor:
    """A gradient (1, 3, H, W) as the change of a step at rate 1."""
    unit = _UNITS[options.normalize]
    found = plain = gradient / unit(gradient).clamp_min(TINY)
    if options.parametrize == "fourier":
        found = towards_natural(found)
    if any(options.smooth):
        found = reduce(torch.add, (blurred(found, sigma) for sigma in options.smooth))
    if options.color != 1:
        grey = found.mean(1, keepdim=True)
        found = torch.lerp(grey, found, options.color)
    return found if found is plain else found / unit(found).clamp_min(TINY)


_UNITS: dict[str, Callable[[Tensor], Tensor]] = {
    "deviation": partial(torch.std, correction=0),
    "mean": lambda gradient: gradient.abs().mean(),
    "norm": torch.linalg.vector_norm,
}


def within(picture: Tensor, change: Tensor, gamut: str) -> Tensor:
    """A picture after a change, its values in [0, 1] but where `gamut` is `late`.

    `soft`: the nearer a value is to the end it moves to, the shorter its way. So light and dark parts keep their
    drawing, where cutting off leaves them flat.
    """
    if gamut == "late":
        return picture + change
    if gamut == "soft":
        room = torch.where(change > 0, 1 - picture, picture)
        change = change * (room / ROOM).clamp(max=1)
    return (picture + change).clamp(0, 1)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) blurred by a Gaussian of deviation `sigma` in pixels, the edges going on as they are.

    One channel after another, for a convolution takes the memory of several pictures.
    """
    radius = math.ceil(3 * sigma)
    if not radius:
        return pictures
    places = torch.arange(-radius, radius + 1, dtype=pictures.dtype, device=pictures.device)
    kernel = torch.exp(-0.5 * (places / sigma).square())
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)

    def one(channel: Tensor) -> Tensor:
        for kernel_1d, pad in ((kernel, (radius, radius, 0, 0)), (kernel.mT, (0, 0, radius, radius))):
            channel = F.conv2d(F.pad(channel, pad, mode="replicate"), kernel_1d)
        return channel

    return torch.cat([one(channel) for channel in pictures.split(1, 1)], 1)


def through_octaves(
    photographs: Sequence[Tensor],
    at_size: Callable[[Tensor], Function],
    options: DreamOptions,
    draw: torch.Generator,
    before: Tensor | None = None,
    free: Sequence[Tensor] | None = None,
    report: Callable[[int, int, float, Tensor], None] = lambda octave, step, value, dream: None,
    ended: Callable[[Tensor], None] = lambda dream: None,
) -> Tensor:
    """The dream (1, 3, H, W), to be added to the last of `photographs`, which are one at all sizes from the smallest.

    `at_size(photograph)` is what to climb there; `free` says where, at each size; `before` is a dream to begin with.
    `report(octave, step, value, dream)` is called after each step, octaves counted from 0; `ended(dream)` after
    each octave.
    """
    dream = photographs[0].new_zeros(1, 3, 1, 1) if before is None else before
    for octave, photograph in enumerate(photographs):
        size = (photograph.shape[-2], photograph.shape[-1])
        ground = photograph
        if options.detail == "book":
            ground = enlarged(photographs[max(octave - 1, 0)], size)
        start = ground + (enlarged(dream, size) if octave else resize(dream, size))

        def told(step: int, value: float, picture: Tensor, octave: int = octave, ground: Tensor = ground) -> None:
            report(octave, step, value, picture - ground)

        start = start if options.gamut == "late" else start.clamp(0, 1)
        area = None if free is None else free[octave]
        rate = options.rate * options.rate_scale ** (len(photographs) - 1 - octave)
        dream = climb(at_size(photograph), start, options.replace(rate=rate), draw, area, told) - ground
        ended(dream)
    return dream


def enlarged(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, H, W) at `size` (height, width), bilinear: smooth, without rings around what was dreamt."""
    return F.interpolate(picture, size, mode="bilinear", align_corners=False)
