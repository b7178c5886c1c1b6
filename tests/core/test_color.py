"""Colours kept through style transfer: what is matched is matched, in numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gencli.core import color

Draw = Callable[..., Tensor]
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)


def colours(picture: Tensor) -> tuple[Tensor, Tensor]:
    rows = picture[0].flatten(1)
    return rows.mean(1), torch.cov(rows, correction=0)


def test_covariance_gives_the_contents_mean_and_covariance(picture: Draw) -> None:
    content, style = picture(24, 30), picture(20, 18, seed=1)
    matched = color.match_color(style, content, "covariance")
    assert matched.shape == style.shape and matched.dtype == style.dtype
    for found, wanted in zip(colours(matched), colours(content), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)


def test_covariance_changes_least(picture: Draw) -> None:
    """A picture that has the colours already stays; between grey pictures it is the affine map of the luma."""
    style = picture(20, 18, seed=1)
    torch.testing.assert_close(color.match_color(style, style, "covariance"), style, rtol=1e-6, atol=1e-8)
    darker = 0.5 * style + 0.1
    torch.testing.assert_close(color.match_color(style, darker, "covariance"), darker, rtol=1e-6, atol=1e-8)


def test_covariance_of_a_picture_of_one_colour_is_finite(picture: Draw) -> None:
    flat = torch.full((1, 3, 8, 8), 0.3, dtype=torch.float64)
    assert color.match_color(flat, picture(9, 9), "covariance").isfinite().all()
    matched = color.match_color(picture(9, 9), flat, "covariance")
    torch.testing.assert_close(matched, torch.full_like(matched, 0.3), atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(24, 30), (20, 18), (7, 9)])
def test_histogram_gives_the_contents_distribution(picture: Draw, size: tuple[int, int]) -> None:
    content, style = picture(*size), picture(20, 18, seed=1)
    matched = color.match_color(style, content, "histogram")
    levels = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for channel in range(3):
        found, wanted = (x[0, channel].flatten().quantile(levels) for x in (matched, content))
        torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
        order = style[0, channel].flatten().argsort()
        assert (matched[0, channel].flatten()[order].diff() >= 0).all()  # order of brightness kept


def test_histogram_of_equal_size_has_the_very_values(picture: Draw) -> None:
    content, style = picture(12, 10), picture(10, 12, seed=1)
    matched = color.match_color(style, content, "histogram")
    for channel in range(3):
        found, wanted = (x[0, channel].flatten().sort().values for x in (matched, content))
        assert torch.equal(found, wanted)


def test_luminance_matches_mean_and_deviation_of_luma(picture: Draw) -> None:
    content, style = picture(24, 30), 0.3 * picture(20, 18, seed=1)
    matched = color.match_color(style, content, "luminance")
    assert matched.shape == style.shape
    assert torch.equal(matched[:, :1].expand(-1, 3, -1, -1), matched)  # grey
    found, wanted = color.luma(matched), color.luma(content)
    assert float(found.mean()) == pytest.approx(float(wanted.mean()))
    assert float(found.std(correction=0)) == pytest.approx(float(wanted.std(correction=0)))


def test_luma_is_that_of_bt601(picture: Draw) -> None:
    content = picture(6, 5)
    torch.testing.assert_close(color.luma(content), (content * LUMA).sum(1, keepdim=True), rtol=1e-6, atol=0)


def test_with_color_of(picture: Draw) -> None:
    content, painted = picture(12, 10), picture(12, 10, seed=1)
    mixed = color.with_color_of(painted, content)
    torch.testing.assert_close(color.luma(mixed), color.luma(painted), atol=1e-5, rtol=0)
    for channel in (0, 2):  # red and blue less the luma: the colour differences
        found, wanted = (x[:, channel] - color.luma(x)[:, 0] for x in (mixed, content))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(color.with_color_of(content, content), content, atol=1e-5, rtol=0)
