"""Soft labels: out of fold, kept, one row a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencli.core import backbones, weights
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime
from gencli.core.networks import IMAGENET_MEAN, IMAGENET_STD, vgg
from gencli.core.pictures import PictureSet
from gencli.dream import teacher

pytestmark = pytest.mark.usefixtures("remembered_layout")
CPU = Runtime(torch.device("cpu"))


def clusters(count: int, classes: int, distance: float) -> tuple[Tensor, Tensor]:
    """Points around a centre of their class, standardised, and their labels."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    centres = torch.randn(classes, 12, generator=draw)
    rows = distance * centres[labels] + torch.randn(count, 12, generator=draw)
    return (rows - rows.mean(0)) / rows.std(0), labels


def test_probabilities_are_sane() -> None:
    rows, labels = clusters(400, 5, 3.0)
    soft = teacher.cross_fitted(rows, labels, 5)
    assert soft.shape == (400, 5) and float(soft.min()) >= 0
    torch.testing.assert_close(soft.sum(1), torch.ones(400))
    assert float((soft.argmax(1) == labels).float().mean()) > 0.9


def test_no_label_of_a_picture_reaches_its_own_target() -> None:
    """Out of fold: a wrong label is not believed, and where labels are drawn by lot nothing is known."""
    rows, labels = clusters(400, 5, 3.0)
    wrong = labels.clone()
    wrong[7] = (wrong[7] + 1) % 5
    soft = teacher.cross_fitted(rows, wrong, 5)
    assert int(soft[7].argmax()) == int(labels[7])
    torch.testing.assert_close(soft[7], teacher.cross_fitted(rows, labels, 5)[7])
    lot = labels[torch.randperm(400, generator=torch.Generator().manual_seed(1))]
    guessed = (teacher.cross_fitted(rows, lot, 5).argmax(1) == lot).float().mean()
    assert float(guessed) < 0.35


def test_deterministic() -> None:
    rows, labels = clusters(60, 3, 1.0)
    before = torch.random.get_rng_state()
    assert torch.equal(teacher.cross_fitted(rows, labels, 3), teacher.cross_fitted(rows, labels, 3))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture
def small_set() -> PictureSet:
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(24) % 2
    pictures = torch.randint(0, 100, (24, 3, 32, 32), generator=draw) + 120 * labels[:, None, None, None]
    return PictureSet(pictures.byte(), labels, ("dark", "light"), fingerprint="small", name="small")


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A random network that answers to a path."""
    file = tmp_path / "teacher.safetensors"
    net = Backbone("teacher", vgg((4, 8), (1, 1), classes=2), ("a", "b"))
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    built = {"widths": (4, 8), "depths": (1, 1), "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    weights.write(file, net.state_dict(), {"kind": "backbone", "vgg": built, "classes": ["a", "b"]})
    return str(file)


def test_soft_targets_are_kept(small_set: PictureSet, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    soft = teacher.soft_targets(small_set, network, 32, CPU, lambda *counts: seen.append(counts))
    assert soft.shape == (24, 2) and soft.dtype == torch.float16
    assert seen[-1] == (24, 24)
    assert small_set.labels is not None
    assert float((soft.argmax(1) == small_set.labels).float().mean()) > 0.9

    def fail(*_: Any) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(teacher, "features", fail)
    assert torch.equal(teacher.soft_targets(small_set, network, 32, CPU), soft)
    for changed in (small_set.subset(range(20)), small_set):  # other pictures, another size
        with pytest.raises(AssertionError, match="asked again"):
            teacher.soft_targets(changed, network, 32 if changed is not small_set else 40, CPU)


def test_features_are_standardised(small_set: PictureSet, network: str) -> None:
    rows = teacher.features(small_set, backbones.load(network), 32, CPU, None)
    assert rows.shape == (24, 8)
    torch.testing.assert_close(rows.mean(0), torch.zeros(8), atol=1e-5, rtol=0)
    spread = rows.std(0)
    assert float(spread.max()) <= 1 and float(spread[spread > 0.01].min()) > 0.9
