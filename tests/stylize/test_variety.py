"""The styles a network for any style learns on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gencli.stylize import variety

Draw = Callable[..., Tensor]


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
