"""Differentiable augmentation: what changes, how often, and that gradients find their way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gencli.gan import augment as changes

Change = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 400, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=draw(7))


@pytest.mark.parametrize("change", [changes.colours, changes.shifted, changes.cut])
def test_only_the_chosen_are_changed(change: Change) -> None:
    given = pictures()
    chosen = (torch.arange(len(given)) % 2 == 0).view(-1, 1, 1, 1)
    found = change(given, chosen, draw())
    different = (found - given).abs().amax((1, 2, 3)) > 1e-5
    assert not different[1::2].any()
    assert float(different[::2].float().mean()) > 0.9


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_flow_to_every_picture(channels: int) -> None:
    given = pictures(64, channels).requires_grad_()
    changes.augment(given, 1.0, draw()).square().sum().backward()
    assert given.grad is not None and given.grad.isfinite().all()
    assert (given.grad.abs().amax((1, 2, 3)) > 0).all()


def test_pictures_move_by_whole_pixels_up_to_an_eighth() -> None:
    given = torch.zeros(500, 1, 16, 16)
    given[:, :, 8, 8] = 1
    found = changes.shifted(given, torch.ones(500, 1, 1, 1, dtype=torch.bool), draw())
    places = (found == 1).flatten(1).float().argmax(1)
    rows, columns = places // 16 - 8, places % 16 - 8
    assert {*rows.tolist()} == {*columns.tolist()} == {-2, -1, 0, 1, 2}
    assert set(found.unique().tolist()) == {0.0, 0.5, 1.0}


def test_holes_are_squares_of_half_a_side_or_cut_off_by_the_edge() -> None:
    found = changes.cut(torch.zeros(300, 1, 16, 16), torch.ones(300, 1, 1, 1, dtype=torch.bool), draw())
    areas = (found == 0.5).sum((1, 2, 3))
    assert int(areas.max()) == 64 and int(areas.min()) >= 16
    heights = (found == 0.5).any(3).sum((1, 2))
    assert {*heights.tolist()} <= {4, 5, 6, 7, 8}


def test_without_strength_pictures_stay_as_they_are() -> None:
    given = pictures(4)
    assert changes.augment(given, 0.0, draw()) is given
    some = changes.augment(pictures(2000, 1, 8), 0.3, draw())
    same = ((some - pictures(2000, 1, 8)).abs().amax((1, 2, 3)) < 1e-6).float().mean()
    assert float(same) == pytest.approx(0.7**3, abs=0.06)


@pytest.mark.parametrize(("count", "wanted"), [(10, 1.0), (1_000, 1.0), (10_000, 0.5), (100_000, 0.0), (10**6, 0.0)])
def test_the_fewer_pictures_the_stronger(count: int, wanted: float) -> None:
    assert changes.strength(count) == pytest.approx(wanted)


def test_brightness_is_the_papers() -> None:
    """Half of what lies between -1 and 1 in Zhao et al.'s pictures: a quarter of our range."""
    grey = torch.full((4000, 3, 2, 2), 0.5)
    found = changes.colours(grey, torch.ones(4000, 1, 1, 1, dtype=torch.bool), draw(1))
    assert 0.25 <= float(found.min()) < 0.26 and 0.74 < float(found.max()) <= 0.75
