"""What dreams through the network that ships promise, on small pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gencli.core import backbones, images
from gencli.core.backbones import Backbone
from gencli.core.names import class_number
from gencli.dream import Layer, dream
from gencli.dream.dreaming import guide_of, objective_of
from gencli.dream.objective import Objective, Sight, total
from gencli.dream.options import DreamOptions

SIDE = 160


@pytest.fixture(scope="module")
def network() -> Backbone:
    return backbones.load("vgg-mini", padding="replicate")


@pytest.fixture(scope="module")
def dreamt(network: Backbone) -> Callable[..., tuple[Any, Any]]:
    """A photograph (1, 3, H, W) and a dream of it as the file holds it."""

    def make(name: str, **options: Any) -> tuple[Any, Any]:
        photograph = images.load(name, size=SIDE)
        made = dream(photograph, None, DreamOptions(size=SIDE, **options), seed=1, backbone=network)
        return photograph.rgb, images.load(made).rgb

    return make


@pytest.mark.parametrize("name", ["goldfish", "teapot", "school bus"])
def test_a_class_is_seen_that_was_not_there(
    network: Backbone, dreamt: Callable[..., tuple[Any, Any]], name: str
) -> None:
    @torch.no_grad()
    def probability(picture: torch.Tensor) -> float:
        assert network.head is not None
        logits = network.head(network(picture, [network.layers[-1]])[network.layers[-1]])
        return float(logits.softmax(1)[0, class_number(name, network.classes, network.name)])

    photograph, picture = dreamt("@lake", class_={name: 1.0})
    assert probability(photograph) < 0.01
    assert probability(picture) > 0.9


def test_a_guided_dream_comes_nearer_to_the_guide(network: Backbone, dreamt: Callable[..., tuple[Any, Any]]) -> None:
    """Each position's features, as directions, to the guide's nearest: nearer than in the photograph, and than in a
    dream of the same layer without a guide."""
    guide = guide_of("@swirls", "conv4_2", network)

    @torch.no_grad()
    def nearness(picture: torch.Tensor) -> float:
        features = network(picture, ["conv4_2"])["conv4_2"][0].flatten(1).T
        alike = torch.nn.functional.normalize(features) @ torch.nn.functional.normalize(guide.vectors).T
        return float(alike.amax(1).mean())

    photograph, guided = dreamt("@lake", guide={"@swirls": 1.0}, guide_layer="conv4_2")
    _, alone = dreamt("@lake", layer={"conv4_2": 1.0})
    assert nearness(guided) > nearness(photograph) + 0.05
    assert nearness(guided) > nearness(alone) + 0.05


def test_what_is_dreamt_of_is_seen_many_times_as_much(
    network: Backbone, dreamt: Callable[..., tuple[Any, Any]]
) -> None:
    layers = [term.layer for _, term in objective_of(DreamOptions(), network).parts]
    energy: Objective = total(Layer(layer, "mean-square") for layer in layers)
    photograph, picture = dreamt("@harbour")
    sight = Sight(energy, network, photograph.shape[-2:])
    for before, after in zip(sight.values(photograph), sight.values(picture), strict=True):
        assert after > 6 * before
