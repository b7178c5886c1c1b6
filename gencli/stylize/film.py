"""Films painted picture by picture: what has not changed stays as it was painted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.clips import Clip
from gencli.core.images import Picture, resize
from gencli.core.kept import Frames
from gencli.core.motion import follow
from gencli.core.stages import Report

TOLERANCE = 0.04  # a pixel that has changed by so much counts as the same by three fifths
AROUND = 5  # pixels a side that are judged together


class Painting:
    """A film as it is painted, and how much it flickers.

    `look` paints a picture. `temporal` is how much of what was painted before stays, where the film has not changed:
    moved along with what it shows, where OpenCV is there to see it move.
    """

    def __init__(self, clip: Clip, look: Callable[[Picture], Image.Image], temporal: float, kept: Frames) -> None:
        self.clip, self.look, self.temporal, self.kept = clip, look, temporal, kept
        self._changed = self._moved = 0.0

    def frames(self, report: Report) -> Iterator[Image.Image]:
        """The painted pictures, those that are kept first."""
        before: tuple[Tensor, Tensor] | None = None
        for number, image in enumerate(self.clip.frames(), 1):
            picture = images.load(image)
            picture = replace(picture, rgb=picture.opaque, alpha=None)
            frame = self.kept.take(number) if number <= self.kept.count else self.look(picture)
            painted = images.load(frame).rgb
            seen = resize(picture.rgb, (painted.shape[-2], painted.shape[-1])).clamp(0, 1)
            if before and number > self.kept.count:
                moved = follow(before[0], seen)
                stays = self.temporal * unchanged(moved(before[0]), seen)
                frame = images.to_pillow(torch.lerp(painted, moved(before[1]), stays))
                painted = images.load(frame).rgb  # as it is written, so that going on later gives the same
            if number > self.kept.count:
                self.kept.keep(number, frame)
            if before:
                self._moved += float((seen - before[0]).abs().mean())
                self._changed += float((painted - before[1]).abs().mean())
            before = seen, painted
            report(number, self.clip.count)
            yield frame

    @property
    def flicker(self) -> float | None:
        """How much neighbouring pictures differ, relative to the film's own; None where those are all the same."""
        return self._changed / self._moved if self._moved else None


def unchanged(earlier: Tensor, now: Tensor) -> Tensor:
    """Where two pictures (1, 3, H, W) show the same: (1, 1, H, W), 1 where they do."""
    apart = (earlier - now).square().mean(1, keepdim=True)
    around = F.avg_pool2d(apart, AROUND, 1, AROUND // 2, count_include_pad=False)
    return torch.exp(-around / (2 * TOLERANCE**2))
