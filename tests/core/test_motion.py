"""What is painted on one picture of a film moves with it to the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gencli.core.motion import follow

Draw = Callable[..., Tensor]


def test_what_is_painted_moves_along(picture: Draw) -> None:
    pytest.importorskip("cv2")
    scene = picture(96, 128, seed=3).float()
    scene = torch.nn.functional.avg_pool2d(scene, 5, 1, 2)
    dream = torch.zeros(1, 3, 96, 128)
    dream[..., 40:50, 50:60] = 1
    moved = follow(scene, scene.roll(6, -1))(dream)
    assert float(moved[..., 42:48, 58:64].mean()) > 0.9
    assert float(moved[..., 42:48, 48:54].mean()) < 0.1


def test_without_opencv_it_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    dream = torch.rand(1, 3, 8, 8)
    assert follow(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))(dream) is dream


@pytest.mark.parametrize("size", [(1, 1), (4, 40), (15, 200), (200, 8)])
def test_thin_pictures_stay_in_place(size: tuple[int, int], picture: Draw) -> None:
    earlier, now = picture(*size), picture(*size, seed=2)
    assert torch.equal(follow(earlier, now)(earlier), earlier)
