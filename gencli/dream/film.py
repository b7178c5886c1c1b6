"""Dreams that move: an endless zoom, each frame dreamt from the one before; and dreams over the frames of a film."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import color, images, outputs
from gencli.core.clips import Clip
from gencli.core.decode import open_picture
from gencli.core.errors import UsageError
from gencli.core.images import Picture
from gencli.core.stages import Report
from gencli.dream.dreaming import Dreamer, Photograph
from gencli.dream.options import Motion

FPS = 12.0
LATER = 0.4  # of the rate, from the second picture on: with all of it they grow garish
MADE_BY, SEED = "Dream", "Seed"  # the texts of a frame's file that say how it was made


@dataclass
class Frames:
    """Frames kept as files while a film is made, so that an interrupted one can be gone on with.

    `count` of them are there, dreamt with `seed`. `folder` None keeps none.
    """

    folder: Path | None
    made_by: str
    seed: int
    count: int = 0

    @classmethod
    def begin(
        cls,
        folder: Path | None,
        made_by: Mapping[str, Any],
        seed: int | None,
        new_seed: Callable[[], int],
        resume: bool,
    ) -> Frames:
        """Those in a folder, or none yet; what they were not dreamt with is drawn by `new_seed` where it is not given.

        Raises UsageError where there are frames and `resume` is not wanted, or where they were made otherwise.
        """
        frames = cls(folder, json.dumps(made_by, sort_keys=True), 0)
        while folder and frames._path(frames.count + 1).is_file():
            frames.count += 1
        if not frames.count:
            frames.seed = new_seed() if seed is None else seed
            return frames
        if not resume:
            raise UsageError(
                f"{folder} holds {frames.count} frames of a film that was not finished",
                "go on with it: --resume; or remove the folder",
            )
        with Image.open(frames._path(frames.count)) as last:
            frames.seed = int(last.info.get(SEED, 0))
            if last.info.get(MADE_BY) != frames.made_by or seed not in {None, frames.seed}:
                raise UsageError(
                    f"the frames in {folder} were made with other options", "use the same, or remove the folder"
                )
        return frames

    def keep(self, number: int, frame: Image.Image) -> None:
        """Write a frame, from 1."""
        if self.folder:
            outputs.Target(self._path(number), "PNG").write(frame, {MADE_BY: self.made_by, SEED: str(self.seed)})

    def take(self, number: int) -> Image.Image:
        """A frame as it was written. Raises GencliError when it is damaged."""
        return open_picture(self._path(number))

    def clear(self) -> None:
        """The film is finished."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:06}.png"


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
            start = motion.blend * carried(dreamt, earlier.whole, photograph.whole)
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


def carried(dreamt: Tensor, earlier: Tensor, now: Tensor) -> Tensor:
    """A dream (1, 3, H, W) moved as what is seen in one picture has moved to the next; in place without OpenCV."""
    try:
        import cv2
    except ImportError:
        return dreamt
    # dense inverse search (Kroeger et al. 2016): for each pixel of the new picture, where it was in the old one
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = torch.from_numpy(search.calc(_grey(now), _grey(earlier), np.zeros((*now.shape[-2:], 2), np.float32)))
    height, width = dreamt.shape[-2:]
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
    grid = still + 2 * flow[None] / torch.tensor([width, height])
    return F.grid_sample(dreamt, grid.to(dreamt), mode="bilinear", padding_mode="border", align_corners=False)


def _grey(picture: Tensor) -> npt.NDArray[np.uint8]:
    """The lightness of a picture (1, 3, H, W) as OpenCV takes it."""
    return (255 * color.luma(picture)[0, 0]).round().byte().cpu().numpy()


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
