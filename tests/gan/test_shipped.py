"""The generators that ship: they are what their card says, and draw digits that are asked for, and faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from gencli.app import run
from gencli.core import backbones, datasets, store
from gencli.core.device import Runtime
from gencli.core.metrics import Likeness
from gencli.gan import evaluation, trained
from gencli.gan.options import BACKBONE
from gencli.gan.translation import evaluation as evaluation_of_translators
from gencli.gan.translation import trained as translators
from gencli.gan.translation.options import SKETCH
from gencli.gan.translation.pairs import Kinds

CPU = Runtime(torch.device("cpu"))


@pytest.mark.parametrize("name", ["faces", "digits"])
def test_the_card_tells_the_file(name: str, card: Callable[[str, str], str]) -> None:
    told = card("gan", name)
    count = sum(weight.numel() for weight in trained.load(name, CPU).net.parameters())
    assert f"| parameters | {count:,} |" in told


def test_the_translators_card_tells_its_file(card: Callable[[str, str], str]) -> None:
    told = card("gan", SKETCH)
    net = translators.load(SKETCH, CPU).way(reverse=False)
    assert f"| parameters | {sum(weight.numel() for weight in net.parameters()):,} |" in told
    assert sum(file.stat().st_size for file in store.find("gan", SKETCH).folder.iterdir()) < 4e6


def test_lines_become_faces() -> None:
    """Nearer to those whose lines they are than the mean of all, and alike them as a whole."""
    faces = datasets.load("@faces:60", size=128)
    kinds = Kinds(None, faces.subset(range(30)), None, faces.subset(range(30, 60)), ("inputs", "faces"))
    found = evaluation_of_translators.evaluate(translators.load(SKETCH, CPU), kinds, 30, 1)
    for figure in ("l1", "perceptual"):
        assert found[figure] < 0.8 * found[f"{figure} of the mean"]
        assert found[figure] < 0.6 * found[f"{figure} of the input"]


def test_together_they_are_small() -> None:
    assert sum(file.stat().st_size for model in store.built_in("gan") for file in model.folder.iterdir()) < 7e6


def test_everything_works_from_a_bare_install(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["--count", "4", "--seed", "1", "-o", "faces.png"],
        ["sample", "--count", "1", "--files", "--seed", "2", "-o", "face.png"],
        ["sample", "--model", "digits", "--class", "3,8", "--seed", "1"],
        ["walk", "--frames", "4", "--seed", "1"],
        ["walk", "--model", "digits", "--points", "10", "--frames", "20", "--seed", "1"],
        ["translate", "face.png", "--from-target", "--size", "96"],
        ["face-sketch.png"],
    ):
        assert run(["gan", *words]) == 0, words
    assert capsys.readouterr().out.split() == [
        "faces.png",
        "face.png",
        "digits.png",
        "faces-walk.gif",
        "digits-walk.gif",
        "face-sketch.png",
        "face-sketch-sketch.png",
    ]
    assert Image.open("face.png").size == (64, 64)


@pytest.mark.parametrize("name", ["faces", "digits"])
def test_what_they_draw_is_near_to_what_they_learnt(name: str) -> None:
    """In what a network sees, and new: not by heart."""
    loaded = trained.load(name, CPU)
    channels, size, _ = loaded.net.form.shape
    pictures = datasets.load(f"@{name}:600", size=size, channels=channels)
    judged = evaluation.evaluate(loaded, pictures, 600, 1, BACKBONE)
    noise = torch.rand(600, 3, size, size, generator=torch.Generator().manual_seed(1))
    assert judged.figures["frechet"] < 0.1 * Likeness(backbones.load(BACKBONE), pictures).distance(noise)
    assert judged.figures["precision"] > 0.3 and judged.figures["recall"] > 0.15
    assert judged.figures["memorised"] < 0.01


def test_digits_are_those_that_were_asked_for() -> None:
    loaded = trained.load("digits", CPU)
    pictures = datasets.load("@digits:2000", size=28, channels=1)
    judged = evaluation.evaluate(loaded, pictures, 500, 1, BACKBONE)
    assert judged.figures["as_asked"] > 0.9
    assert all(0.05 < share < 0.15 for share in judged.classes.values())
