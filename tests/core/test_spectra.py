"""Changes that are more like those of natural pictures: a linear map, symmetric and positive."""

from __future__ import annotations

import math

import pytest
import torch

from gencli.core.spectra import FALL, LIGHTNESS, towards_natural


def test_natural_direction_is_linear_symmetric_and_downhill() -> None:
    draw = torch.Generator().manual_seed(2)
    a, b = (torch.rand(1, 3, 4, 5, generator=draw, dtype=torch.float64) - 0.5 for _ in range(2))
    assert float((towards_natural(a) * b).sum()) == pytest.approx(float((a * towards_natural(b)).sum()))
    torch.testing.assert_close(towards_natural(2 * a - b), 2 * towards_natural(a) - towards_natural(b))
    assert float((towards_natural(a) * a).sum()) > 0
    torch.testing.assert_close(towards_natural(a[..., :1, :1]).shape, a[..., :1, :1].shape)


def test_natural_direction_weighs_wavelengths_and_lightness() -> None:
    """A wave of four times the length, grey in place of coloured, counts by the factors that are written down."""
    place = torch.arange(32, dtype=torch.float64) * 2 * math.pi
    color = torch.tensor([1.0, -1.0, 0.0], dtype=torch.float64).view(1, 3, 1, 1)
    fine, coarse = (color * torch.cos(place / length).expand(1, 1, 32, 32) for length in (4, 16))
    torch.testing.assert_close(towards_natural(fine) / 4**FALL, fine)
    torch.testing.assert_close(towards_natural(coarse) / 16**FALL, coarse)
    grey = fine[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(towards_natural(grey) / 4**FALL, LIGHTNESS * grey)
    flat = torch.full((1, 3, 32, 32), 0.5, dtype=torch.float64)
    torch.testing.assert_close(towards_natural(flat), LIGHTNESS * 32**FALL * flat)
