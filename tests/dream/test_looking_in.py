"""What there is to dream of: layers, settings tried at random, and what parts of a network would like to see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gencli.core.device import Runtime, generator
from gencli.core.errors import UsageError
from gencli.core.images import Picture
from gencli.dream import dreaming, exploring
from gencli.dream.objective import Channel, Layer, Sight, category
from gencli.dream.options import DreamOptions, Exploration, Seeing, Visualization
from gencli.dream.visualizing import Canvas, visualize, wobbled

Draw = Callable[..., Tensor]
CPU = Runtime(torch.device("cpu"))


@pytest.fixture
def backbone(tiny: Any) -> Any:
    return tiny(padding="replicate", dtype=torch.float32)


def test_layers_and_what_is_strongest_in_a_picture(backbone: Any, picture: Draw) -> None:
    seen = Picture(picture(40, 60).float(), None, "x")
    found = {one.layer: one for one in exploring.layers(backbone, seen)}
    assert [*found] == [*backbone.layers]
    features = backbone(seen.rgb, ["conv2_2"])["conv2_2"]
    assert (found["conv2_2"].channels, found["conv2_2"].stride, found["conv2_2"].radius) == (8, 2, 6)
    means = features.mean((0, 2, 3))
    order = means.argsort(descending=True)[: exploring.STRONGEST]
    assert [index for index, _ in found["conv2_2"].strongest] == order.tolist()
    assert [mean for _, mean in found["conv2_2"].strongest] == pytest.approx(means[order].tolist())
    assert exploring.layers(backbone)[0].strongest == ()


def test_settings_are_drawn_from_the_seed(backbone: Any) -> None:
    def drawn(seed: int, **given: Any) -> list[exploring.Setting]:
        return exploring.settings(backbone, Exploration(**given), seed)

    assert drawn(1, count=8) == drawn(1, count=8) != drawn(2, count=8)
    parts = [frozenset({**setting.layer, **setting.channel}) for setting in drawn(1, count=12)]
    assert len(set(parts)) == 12  # what is dreamt of alone, whatever its weight, is there once
    for setting in drawn(3, count=30):
        parts = {**setting.layer, **setting.channel}
        assert 1 <= len(parts) <= exploring.MOST_PARTS
        assert all(0.1 <= weight <= exploring.LOUDEST for weight in parts.values())
        assert all(name.startswith("conv") for name in parts)
    every = drawn(4, systematic=True)
    assert [setting.layer for setting in every] == [{name: 1.0} for name in dreaming.makers(backbone)]
    assert every[0].flags == "--layer conv1_1 --seed 4"


def test_what_is_tried_is_what_the_flags_make(backbone: Any, picture: Draw) -> None:
    seen, options = Picture(picture(40, 60).float(), None, "x"), Exploration(side=48, steps=2)
    setting = exploring.Setting({"conv2_2": 0.7}, 9)
    (tried,) = exploring.tried(seen, [setting], options, backbone, CPU)
    made = dreaming.dream(
        seen, options=DreamOptions(layer={"conv2_2": 0.7}, size=48, steps=2), seed=9, backbone=backbone
    )
    assert tried.tobytes() == made.tobytes()


def test_terms_by_their_names(backbone: Any, picture: Draw) -> None:
    guide = Picture(picture(40, 60).float(), None, "guide")
    terms = dreaming.terms_of(
        Seeing(layer={"relu2_2": 2.0}, channel={"conv3_1:4": -1.0}, class_={"B": 0.5}, energy="l2"), backbone
    )
    assert terms["relu2_2"].parts == ((2.0, Layer("conv2_2", "l2")),)
    assert terms["conv3_1:4"].parts == ((-1.0, Channel("conv3_1", 4)),)
    assert [(weight, term.index) for weight, term in terms["B"].parts] == [(0.5, 1)]  # type: ignore[attr-defined]
    assert [*dreaming.terms_of(Seeing(), backbone)] == [*dreaming.default_layers(backbone)]
    assert dreaming.guide_of(guide, "conv2_1", backbone).vectors.shape == (600, 8)
    for name in ("conv3_1", "conv3_1:x", ":4", "conv3_1:10"):
        with pytest.raises(UsageError, match="--channel"):
            dreaming.channel(name, backbone)


@pytest.mark.parametrize(("parametrize", "term"), [("fourier", "channel"), ("pixels", "channel"), ("fourier", "class")])
def test_out_of_noise_grows_what_is_wanted(backbone: Any, parametrize: str, term: str) -> None:
    wanted = Channel("conv2_2", 3) if term == "channel" else category("b", backbone)
    options = Visualization(size=32, steps=40, parametrize=parametrize)
    noise = Canvas(32, parametrize, generator(2, 0), torch.device("cpu")).picture().detach()
    made = visualize(wanted, backbone, options, seed=2)
    assert made.size == (32, 32)
    grown = torch.frombuffer(bytearray(made.tobytes()), dtype=torch.uint8).view(1, 32, 32, 3).permute(0, 3, 1, 2) / 255
    (before,), (after,) = (Sight(wanted, backbone, (32, 32)).values(one) for one in (noise, grown))
    assert after > before + (0.3 if term == "channel" else 0.05)
    assert made.tobytes() == visualize(wanted, backbone, options, seed=2).tobytes()
    assert made.tobytes() != visualize(wanted, backbone, options, seed=3).tobytes()


def test_wobbling_keeps_the_middle_and_the_colours(picture: Draw) -> None:
    flat = torch.full((1, 3, 20, 20), 0.4)
    draw = generator(1)
    assert torch.allclose(wobbled(flat, 4, draw), flat, atol=1e-6)
    seen = picture(40, 40)
    assert not torch.allclose(wobbled(seen, 4, draw), wobbled(seen, 4, draw))
    assert float(wobbled(seen, 4, draw).min()) >= 0 and float(wobbled(seen, 4, draw).max()) <= 1


def test_the_first_picture_is_grey_noise() -> None:
    for parametrize in ("fourier", "pixels"):
        drawn = Canvas(64, parametrize, generator(1), torch.device("cpu")).picture()
        assert float(drawn.detach().mean()) == pytest.approx(0.5, abs=0.05)
        assert 0 < float(drawn.detach().std()) < 0.2
