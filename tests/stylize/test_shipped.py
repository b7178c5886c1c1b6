"""The painters that ship: they are what their card says, and paint in their styles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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


def test_five_ship_and_take_little_room() -> None:
    assert len(NAMES) == 5
    folders = [model.folder for model in store.built_in("stylize")]
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) <= 10e6


def test_of_those_that_know_a_style_the_one_that_knows_few_is_taken() -> None:
    assert knowing({"swirls": 1.0}, CPU)[0].name == "swirls"
    for style in drawn.STYLES:
        found, _ = knowing({f"@{style}": 1.0}, CPU)
        assert isinstance(found, Trained) and style in found.styles
    found, _ = knowing({"swirls": 2.0, "mosaic": 1.0}, CPU)
    assert isinstance(found, Trained) and {"swirls", "mosaic"} <= {*found.styles}


@pytest.mark.parametrize("style", drawn.STYLES)
def test_they_come_near_to_their_styles(style: str) -> None:
    options = StylizeOptions(size=320)
    comparison = training.Comparison(StyleTraining(), load_backbone(options, CPU), CPU)
    styles = [learning.sized(images.load(f"@{each}", size=512).opaque, 512) for each in (style, other(style))]
    photograph = images.load("@harbour", size=options.size)
    before = learning.sized(photograph.opaque, options.size)
    network, _ = knowing({style: 1.0}, CPU)
    made = images.load(network.look({style: 1.0}, options)(photograph)).rgb
    with torch.no_grad():
        (near, content), (far, _) = (comparison(made, before, comparison.study([each])) for each in styles)
    assert float(near) < 0.3 and float(content) < 1.7
    assert float(far) > 1.5 * float(near)


def test_one_comes_near_to_styles_it_has_not_learnt_on(tmp_path: Path) -> None:
    """A negative of a drawn style, as a picture."""
    options = StylizeOptions(size=320)
    comparison = training.Comparison(StyleTraining(), load_backbone(options, CPU), CPU)
    negative = 1 - images.load("@cubist", size=512).opaque
    images.to_pillow(negative[0]).save(tmp_path / "negative.png")
    network, _ = knowing({"negative": 1.0}, CPU)
    assert network.name == "any"
    photograph = images.load("@harbour", size=options.size)
    made = images.load(network.look({str(tmp_path / "negative.png"): 1.0}, options)(photograph)).rgb
    with torch.no_grad():
        style, content = comparison(made, learning.sized(photograph.opaque, options.size), comparison.study([negative]))
    assert float(style) < 0.5 and float(content) < 1.7


def other(style: str) -> str:
    """The style after that."""
    names = [*drawn.STYLES]
    return names[(names.index(style) + 1) % len(names)]
