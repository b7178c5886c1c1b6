"""A network small enough for any test, with random weights, through the door every backbone comes through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from gencli.core import backbones, weights
from gencli.core.backbones import Backbone
from gencli.core.networks import IMAGENET_MEAN, IMAGENET_STD, vgg

WIDTHS, DEPTHS = (6, 8, 10), (1, 2, 1)
MakeBackbone = Callable[..., Backbone]


@pytest.fixture
def tiny(tmp_path: Path) -> MakeBackbone:
    """`tiny(pooling=…, padding=…)`: conv1_1, pool1, conv2_1, conv2_2, pool2, conv3_1 in double precision."""

    def make(pooling: str = "max", padding: str = "zeros", dtype: torch.dtype = torch.float64) -> Backbone:
        file = tmp_path / "tiny.safetensors"
        net = Backbone("tiny", vgg(WIDTHS, DEPTHS, classes=2), ("a", "b"))
        draw = torch.Generator().manual_seed(3)
        for parameter in net.parameters():
            nn.init.normal_(parameter, std=0.3, generator=draw)
        built = {"widths": WIDTHS, "depths": DEPTHS, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
        weights.write(file, net.state_dict(), {"kind": "backbone", "vgg": built, "classes": ["a", "b"]})
        return backbones.load(str(file), pooling=pooling, padding=padding).to(dtype)

    return make


@pytest.fixture
def picture() -> Callable[..., torch.Tensor]:
    """`picture(height, width, seed)`: smooth colours with some noise, float64 (1, 3, H, W) in [0, 1]."""

    def draw(height: int, width: int, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(1, 3, 5, 5, generator=generator, dtype=torch.float64)
        noise = torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)
        smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)
        return 0.8 * smooth + 0.2 * noise

    return draw
