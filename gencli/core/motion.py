"""What moves in a film, from one picture to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core import color

THINNEST = 16  # pixels a side: thinner pictures crash OpenCV's search, whose patches of 8 are laid at half the size


def follow(earlier: Tensor, now: Tensor) -> Callable[[Tensor], Tensor]:
    """What moves a picture (1, C, H, W) as things have moved from one picture (1, 3, H, W) to the next; without OpenCV,
    and in pictures thinner than 16 pixels, it leaves all in place."""
    try:
        import cv2
    except ImportError:
        return lambda picture: picture
    if min(now.shape[-2:]) < THINNEST:
        return lambda picture: picture
    # dense inverse search (Kroeger et al. 2016): for each pixel of the new picture, where it was in the old one
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = torch.from_numpy(search.calc(_grey(now), _grey(earlier), np.zeros((*now.shape[-2:], 2), np.float32)))
    height, width = now.shape[-2:]
    still = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)
    grid = (still + 2 * flow[None] / torch.tensor([width, height])).to(now)
    return lambda picture: F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _grey(picture: Tensor) -> npt.NDArray[np.uint8]:
    """The lightness of a picture (1, 3, H, W) as OpenCV takes it."""
    return (255 * color.luma(picture)[0, 0]).round().byte().cpu().numpy()
