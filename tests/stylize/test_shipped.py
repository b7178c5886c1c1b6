"""The painters that ship: they are what their card says, and paint in their styles."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from gencli.core import drawn, images, store
from gencli.core.device import Runtime
from gencli.stylize import StyleTraining, StylizeOptions, learning, training
from gencli.stylize.optimize import load_backbone
from gencli.stylize.painting import Trained, knowing, load

CPU = Runtime(torch.device("cpu"))
NAMES = [model.name for model in store.built_in("stylize")]


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_the_file(name: str, card: Callable[[str, str], str]) -> None:
    network = load(name, CPU)
    assert f"| {sum(weight.numel() for weight in network.net.parameters()):,} |" in card("stylize", name)


def test_four_ship_and_take_little_room() -> None:
    assert len(NAMES) >= 4
    folders = [model.folder for model in store.built_in("stylize")]
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) <= 10e6


def test_of_those_that_know_a_style_the_one_that_knows_few_is_taken() -> None:
    assert knowing(["swirls"], CPU).name == "swirls"
    for style in drawn.STYLES:
        found = knowing([style], CPU)
        assert isinstance(found, Trained) and style in found.styles
    found = knowing(["swirls", "mosaic"], CPU)
    assert isinstance(found, Trained) and {"swirls", "mosaic"} <= {*found.styles}


@pytest.mark.parametrize("style", drawn.STYLES)
def test_they_come_near_to_their_styles(style: str) -> None:
    options = StylizeOptions(size=320)
    comparison = training.Comparison(StyleTraining(), load_backbone(options, CPU), CPU)
    styles = [learning.sized(images.load(f"@{each}", size=512).opaque, 512) for each in (style, other(style))]
    photograph = images.load("@harbour", size=options.size)
    before = learning.sized(photograph.opaque, options.size)
    network = knowing([style], CPU)
    made = images.load(network.look({style: 1.0}, options)(photograph)).rgb
    with torch.no_grad():
        (near, content), (far, _) = (comparison(made, before, comparison.study([each])) for each in styles)
    assert float(near) < 0.3 and float(content) < 1.7
    assert float(far) > 1.5 * float(near)


def other(style: str) -> str:
    """The style after that."""
    names = [*drawn.STYLES]
    return names[(names.index(style) + 1) % len(names)]
