"""Dreams that move: an endless zoom, each frame dreamt from the one before; and dreams over the frames of a film."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.clips import Clip
from gencli.core.images import Picture
from gencli.core.kept import Frames
from gencli.core.motion import follow
from gencli.core.stages import Report
from gencli.dream.dreaming import Dreamer, Photograph
from gencli.dream.options import Motion

FPS = 12.0
LATER = 0.4  # of the rate, from the second picture on: with all of it they grow garish


def zoom(dreamer: Dreamer, picture: Picture, motion: Motion, kept: Frames, report: Report) -> Iterator[Image.Image]:
    """The frames of an endless zoom into a photograph, those that are kept first."""
    assert motion.frames is not None
    later, seed = _quicker(dreamer, motion), kept.seed
    frame: Image.Image | None = None
    for number in range(1, motion.frames + 1):
        if number <= kept.count:
            frame = kept.take(number)
        elif frame is None:
            frame = dreamer.paint(dreamer.look_at(replace(picture, rgb=picture.opaque, alpha=None)), seed)
        else:
            moved = Picture(shown_through(images.load(frame).rgb, motion), None, picture.name)
            frame = later.paint(later.look_at(moved), seed + number)
        if number > kept.count:
            kept.keep(number, frame)
        report(number, motion.frames)
        yield frame


def over(
    dreamer: Dreamer, clip: Clip, mask: Picture | None, motion: Motion, kept: Frames, report: Report
) -> Iterator[Image.Image]:
    """The frames of a film dreamt over, those that are kept first. Each begins with the dream of the one before, moved
    along with what it shows where OpenCV is there to see it move."""
    later, seed = _quicker(dreamer, motion), kept.seed
    before: tuple[Photograph, Tensor] | None = None
    for number, image in enumerate(clip.frames(), 1):
        picture = images.load(image)
        photograph = dreamer.look_at(replace(picture, rgb=picture.opaque, alpha=None), mask)
        if number <= kept.count:
            frame = kept.take(number)
        elif before is None:
            frame = dreamer.paint(photograph, seed)
        else:
            earlier, dreamt = before
            start = motion.blend * follow(earlier.whole, photograph.whole)(dreamt)
            frame = later.paint(photograph, seed, before=start)
        if number > kept.count:
            kept.keep(number, frame)
        # taken from the frame as it is written, so that going on later gives the same
        before = photograph, images.load(frame).rgb.to(photograph.whole) - photograph.whole
        report(number, clip.count)
        yield frame


def _quicker(dreamer: Dreamer, motion: Motion) -> Dreamer:
    """The same for pictures that have a dream to begin with."""
    options = dreamer.options.replace(steps=motion.frame_steps, rate=LATER * dreamer.options.rate)
    return Dreamer(options, dreamer.objective, dreamer.runtime, dreamer.backbone)


def shown_through(picture: Tensor, motion: Motion) -> Tensor:
    """A picture (1, 3, H, W) one frame later: nearer, turned and moved; what comes in at the edges is mirrored."""
    height, width = picture.shape[-2:]
    angle = math.radians(motion.rotate)
    cos, sin = math.cos(angle) / motion.zoom, math.sin(angle) / motion.zoom
    right, down = motion.shift
    # places are in halves of a side, so a turn of a picture that is not square must be put into pixels and back
    place = picture.new_tensor(
        [[[cos, sin * height / width, -2 * right / width], [-sin * width / height, cos, -2 * down / height]]]
    )
    grid = F.affine_grid(place, list(picture.shape), align_corners=False)
    moved = F.grid_sample(picture, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return moved.clamp(0, 1)
