"""What a dream strives for: values by hand, in double precision; tiles see what the whole sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gencli.core.errors import UsageError
from gencli.dream.objective import Category, Channel, Layer, Objective, Sight, category, guide

Draw = Callable[..., Tensor]


def value(objective: Objective, backbone: Any, picture: Tensor, **given: Any) -> float:
    found, _ = Sight(objective, backbone, picture.shape[-2:], **given)(picture)
    return float(found)


@pytest.mark.parametrize("border", [0, 2])
def test_layers_by_hand(tiny: Any, picture: Draw, border: int) -> None:
    backbone, seen = tiny(), picture(37, 50)
    features = backbone(seen, ["conv2_2"])["conv2_2"][0]
    inner = features[:, border : features.shape[1] - border, border : features.shape[2] - border]
    expected = {
        "contrast": 2 * inner.std((1, 2), correction=0).mean().log(),
        "mean-square": inner.square().mean(),
        "l2": inner.square().mean().sqrt(),
    }
    for energy, figure in expected.items():
        assert value(Layer("conv2_2", energy), backbone, seen, border=border) == pytest.approx(float(figure))


def test_a_channel_a_class_and_a_guide_by_hand(tiny: Any, picture: Draw) -> None:
    backbone, seen, other = tiny(), picture(32, 40), picture(24, 24, seed=1)
    features = backbone(seen, ["conv2_1"])["conv2_1"][0]
    assert value(Channel("conv2_1", 3), backbone, seen) == pytest.approx(float(features[3].mean().log()))

    logits = backbone.logits(seen)[0]
    assert value(category("b", backbone), backbone, seen) == pytest.approx(float(logits[1] - logits[0]))

    wanted = backbone(other, ["conv2_1"])["conv2_1"][0].flatten(1)
    dots = features.flatten(1).T @ wanted
    found = value(guide(other, "conv2_1", backbone, "l2"), backbone, seen)
    assert found == pytest.approx(float(dots.max(1).values.mean().log()))

    beside = (features.flatten(1) - wanted.mean(1, keepdim=True)).T, wanted - wanted.mean(1, keepdim=True)
    cosines = beside[0] @ beside[1] / (beside[0].norm(dim=1)[:, None] * beside[1].norm(dim=0))
    found = value(guide(other, "conv2_1", backbone), backbone, seen)
    assert found == pytest.approx(float(-(1 - cosines.max(1).values.mean()).log()))


def test_terms_add_and_scale_like_numbers(tiny: Any, picture: Draw) -> None:
    backbone, seen = tiny(), picture(32, 40)
    one, other = Layer("conv1_1", "l2"), Channel("conv2_2", 1)
    a, b = (value(term, backbone, seen) for term in (one, other))
    for objective, figure in (
        (one + other, a + b),
        (one - other, a - b),
        (2 * one, 2 * a),
        (one * 2 - 0.5 * (one + other), 1.5 * a - 0.5 * b),
        (-one, -a),
        (0 * one, 0),
    ):
        assert value(objective, backbone, seen) == pytest.approx(figure)


@pytest.mark.parametrize("size", [(64, 96), (75, 90)])
@pytest.mark.parametrize("border", [0, 3])
def test_tiles_see_what_the_whole_sees(tiny: Any, picture: Draw, size: tuple[int, int], border: int) -> None:
    backbone, seen = tiny(padding="replicate"), picture(*size)
    objective = (
        Layer("conv2_2")
        + 0.5 * Layer("pool1", "mean-square")
        - 0.2 * Layer("conv1_1", "l2")
        + Channel("conv2_1", 2)
        + category("a", backbone)
        + guide(picture(30, 30, seed=2), "conv2_1", backbone)
    )
    whole, tiled = (Sight(objective, backbone, size, tile, border) for tile in (None, 32))
    assert len(whole.tiling.windows) == 1 < len(tiled.tiling.windows)
    for found, expected in zip(tiled(seen), whole(seen), strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_the_gradient_is_the_value_s(tiny: Any, picture: Draw) -> None:
    backbone, seen = tiny(), picture(24, 24)
    sight = Sight(Layer("conv2_2") + category("a", backbone), backbone, (24, 24))
    way = torch.randn(seen.shape, generator=torch.Generator().manual_seed(1), dtype=seen.dtype)
    slope = (sight(seen + 1e-6 * way)[0] - sight(seen - 1e-6 * way)[0]) / 2e-6
    assert float((sight(seen)[1] * way).sum()) == pytest.approx(float(slope), rel=1e-5)


def test_nothing_wanted_is_worth_nothing(tiny: Any, picture: Draw) -> None:
    found, gradient = Sight(0 * Layer("conv1_1"), tiny(), (16, 16))(picture(16, 16))
    assert float(found) == 0 and not gradient.any()


def test_what_a_network_has_not(tiny: Any) -> None:
    backbone = tiny()
    with pytest.raises(UsageError, match="no layer conv9_1"):
        Sight(Layer("conv9_1"), backbone, (16, 16))
    with pytest.raises(UsageError, match="no class c"):
        category("c", backbone)
    assert isinstance(category(1, backbone), Category)
    backbone.head = None
    with pytest.raises(UsageError, match="no classifier"):
        category("a", backbone)
