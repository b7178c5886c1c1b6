"""The styles a network for any style learns on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gencli.core import backbones
from gencli.core.errors import UsageError
from gencli.stylize import variety
from gencli.stylize.options import StyleTraining

Draw = Callable[..., Tensor]
ANY = StyleTraining.build({}, "any")


def test_parts_are_squares_of_the_style(picture: Draw) -> None:
    style = picture(60, 40)
    torch.testing.assert_close(variety.part(style, 40, [1.0, 0.0, 0.7]), style[..., :40, :])
    torch.testing.assert_close(variety.part(style, 40, [1.0, 1.0, 0.7]), style[..., 20:, :])
    small = variety.part(style, 16, [0.0, 0.5, 0.5])
    torch.testing.assert_close(small, style[..., 22:38, 12:28])
    assert variety.part(style, 50, [0.4, 0.2, 0.9]).shape == (1, 3, 50, 50)


def test_colours_are_changed_within_bounds(picture: Draw) -> None:
    style = picture(20, 20)
    torch.testing.assert_close(variety.recolored(style, [0.5, 0.5]), style)
    torch.testing.assert_close(variety.recolored(style, [0.2, 0.5]), 1 - style)
    torch.testing.assert_close(variety.recolored(style, [0.5, 1.0]), style**torch.e)
    pale = variety.recolored(style, [1.0, 0.5])
    torch.testing.assert_close(pale.mean(1), style.mean(1))
    assert pale.var(1).mean() < 0.3 * style.var(1).mean()
    # what resizing left a little outside of the range does no harm
    assert variety.recolored(1.02 * style - 0.01, [0.5, 0.8]).isfinite().all()


def test_a_plan_follows_the_encoder(tiny: Any, picture: Draw) -> None:
    """As many levels as it has layers for; each counts alike."""
    encoder, styles = tiny("average"), [picture(40, 40), picture(40, 40, 1)]
    plan = variety.plan(encoder, styles, ANY.replace(width=8))
    assert plan.layers == ("input", "conv2_1", "conv3_1") and plan.channels == (3, 8, 10) and plan.widths == (8, 16, 32)
    for layer, unit in zip(plan.layers, plan.units, strict=True):
        squares = torch.stack([encoder(style, [layer])[layer].square().mean() for style in styles])
        assert float(unit**2 * squares.mean()) == pytest.approx(1)
    full = variety.plan(backbones.load("vgg-mini", pooling="average"), [picture(64, 64).float()], ANY)
    assert full.layers == ("input", "conv2_1", "conv3_1", "conv4_1", "conv5_1") and full.widths == (16, 32, 64, 96, 64)


def test_an_encoder_without_the_layers_is_refused(tiny: Any, picture: Draw) -> None:
    encoder = tiny("average")
    del encoder.stages["conv2_1"]
    with pytest.raises(UsageError, match="does not have the layers"):
        variety.plan(encoder, [picture(40, 40)], ANY)
