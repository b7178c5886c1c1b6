"""The autoencoder that ships: it is what its card says, and draws digits."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from gencli.app import run
from gencli.core import files, store
from gencli.core.device import Runtime
from gencli.vae import trained

CPU = Runtime(torch.device("cpu"))
CARD = files.built_in_folder() / "README.md"


@pytest.mark.parametrize("name", ["digits"])
def test_the_card_tells_the_file(name: str) -> None:
    model = store.find("vae", name)
    assert model.state == "built in"
    card = CARD.read_text(encoding="utf-8").partition(f"## {name}")[2].partition("\n## ")[0]
    data = model.weights.read_bytes()
    assert hashlib.sha256(data).hexdigest() in card
    assert f"{len(data):,} bytes" in card
    count = sum(weight.numel() for weight in trained.load(name, CPU).net.parameters())
    assert f"| parameters | {count:,} |" in card
    assert f"**{model.config['training']['best']:.1f} nats**" in card


def test_together_they_are_small() -> None:
    assert sum(file.stat().st_size for model in store.built_in("vae") for file in model.folder.iterdir()) < 4e6


def test_everything_works_from_a_bare_install(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["sample", "--count", "4", "--seed", "1"],
        ["sample", "--count", "1", "--files", "--seed", "2", "-o", "me.png"],
        ["reconstruct", "me.png"],
        ["map", "--steps", "8", "--show", "manifold"],
        ["walk", "--frames", "4", "--seed", "1"],
        ["edit", "me.png", "--attribute", "6=2"],
        ["edit", "--list"],
    ):
        assert run(["vae", *words]) == 0, words
    found = capsys.readouterr().out.splitlines()
    assert found[:6] == [
        *("digits.png", "me.png", "digits-reconstructed.png", "digits-map.png", "digits-walk.gif", "me-edit.png"),
    ]
    assert {line.split("\t")[0] for line in found[6:]} == set("0123456789")
    assert Image.open("me.png").size == (28, 28)


def test_digits_lie_in_the_plane_by_kind() -> None:
    """Two latents are enough to find most digits' like among their neighbours."""
    loaded = trained.load("digits", CPU)
    held = trained.held_out(loaded, ["@digits:3000"], None, None)
    assert held.labels is not None
    points = loaded.encode_all(held)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    found = held.labels[distances.argmin(1)]
    assert float((found == held.labels).float().mean()) > 0.9
