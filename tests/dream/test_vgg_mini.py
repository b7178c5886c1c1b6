"""The network that ships is the one its card describes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import pytest
import torch

from gencli.core import backbones, datasets, files, images, weights
from gencli.core.pictures import in_order

CARD = files.built_in_folder() / "README.md"
FIGURES = Path(__file__).with_name("vgg_mini_figures.json")
DATA_ROOT = os.environ.get("GENCLI_TEST_DATA")


def test_the_file_is_the_one_of_the_card() -> None:
    file = weights.built_in()["vgg-mini"]
    assert hashlib.sha256(file.read_bytes()).hexdigest() in CARD.read_text(encoding="utf-8")
    assert file.stat().st_size < 8_000_000


def test_it_sees_in_the_drawn_pictures_what_it_saw_when_it_was_made() -> None:
    """Mean activations of every layer on the drawn photographs, and the class it takes each for."""
    net = backbones.load("vgg-mini")
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    assert sum(weight.numel() for weight in net.parameters()) == figures["parameters"]
    for name, expected in figures["pictures"].items():
        picture = images.load(f"@{name}", size=96).rgb
        with torch.inference_mode():
            found = net(picture, net.layers)
            guess = int(net.logits(picture).argmax())
        assert net.classes[guess] == expected["class"]
        means = {layer: float(features.mean()) for layer, features in found.items()}
        assert means == pytest.approx(expected["means"], rel=1e-3)


@pytest.mark.skipif(DATA_ROOT is None, reason="set GENCLI_TEST_DATA to a data root with tiny-imagenet")
def test_it_names_the_held_out_pictures_as_often_as_the_card_says() -> None:
    net = backbones.load("vgg-mini")
    assert DATA_ROOT is not None
    pictures = datasets.load("tiny-imagenet", size=64, split="test", root=Path(DATA_ROOT))
    right = 0
    with torch.inference_mode():
        for batch in in_order(pictures, 250):
            right += int((net.logits(batch.pictures).argmax(1) == batch.labels).sum())
    claimed = re.search(r"\*\*([\d.]+) %\*\* top-1", CARD.read_text(encoding="utf-8"))
    assert claimed
    assert right / len(pictures) == pytest.approx(float(claimed[1]) / 100, abs=0.002)
