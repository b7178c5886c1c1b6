"""The autoencoders that ship: they are what their card says, and draw faces and digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from gencli.app import run
from gencli.core import store
from gencli.core.device import Runtime
from gencli.core.drawn.faces import ATTRIBUTES, draw_variations
from gencli.vae import concepts, trained

CPU = Runtime(torch.device("cpu"))


@pytest.mark.parametrize("name", ["faces", "digits"])
def test_the_card_tells_the_file(name: str, card: Callable[[str, str], str]) -> None:
    told = card("vae", name)
    count = sum(weight.numel() for weight in trained.load(name, CPU).net.parameters())
    assert f"| parameters | {count:,} |" in told
    assert f"**{store.find('vae', name).config['training']['best']:.1f} nats**" in told


def test_together_they_are_small() -> None:
    assert sum(file.stat().st_size for model in store.built_in("vae") for file in model.folder.iterdir()) < 4e6


def test_everything_works_from_a_bare_install(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["sample", "--count", "4", "--seed", "1"],
        ["sample", "--count", "1", "--files", "--seed", "2", "-o", "me.png"],
        ["sample", "--model", "digits", "--seed", "1"],
        ["reconstruct", "me.png"],
        ["map", "--steps", "8", "--show", "manifold"],
        ["walk", "--frames", "4", "--seed", "1"],
        ["edit", "me.png", "--attribute", "smiling=2"],
        ["edit", "--list"],
    ):
        assert run(["vae", *words]) == 0, words
    found = capsys.readouterr().out.splitlines()
    assert found[:7] == [
        *("faces.png", "me.png", "digits.png", "faces-reconstructed.png"),
        *("digits-map.png", "faces-walk.gif", "me-edit.png"),
    ]  # fmt: skip
    assert {line.split("\t")[0] for line in found[7:]} == set(ATTRIBUTES)
    assert Image.open("me.png").size == (64, 64)


def test_faces_come_back_as_they_were() -> None:
    """Drawn faces it has not seen: nearer to themselves than to any other."""
    loaded = trained.load("faces", CPU)
    pictures = torch.from_numpy(draw_variations(20, 5, "smiling")[0]).float() / 255
    returned = loaded.decode(loaded.encode(pictures))
    errors = (returned[:, None] - pictures).square().mean((2, 3, 4)).sqrt()
    assert errors.argmin(1).tolist() == [*range(20)]
    assert float(errors.diagonal().mean()) < 0.1


@pytest.mark.parametrize("attribute", ["smiling", "glasses", "dark-skin", "hat"])
def test_an_edit_does_what_drawing_it_otherwise_does(attribute: str) -> None:
    """The change is more like that of the same attribute in the drawing than like that of any other."""
    loaded = trained.load("faces", CPU)
    known = concepts.load(loaded.folder)
    assert [*known] == [*ATTRIBUTES]
    without = torch.from_numpy(draw_variations(40, 6, attribute)[0]).float() / 255
    latents = loaded.encode(without)
    change = (loaded.decode(latents + known[attribute].vector) - loaded.decode(latents)).flatten()
    alike = {}
    for other in ATTRIBUTES:
        before, after = (torch.from_numpy(faces).float() / 255 for faces in draw_variations(40, 6, other))
        alike[other] = float(torch.corrcoef(torch.stack([change, (after - before).flatten()]))[0, 1])
    assert max(alike, key=lambda name: alike[name]) == attribute, alike


def test_digits_lie_in_the_plane_by_kind() -> None:
    """Two latents are enough to find most digits' like among their neighbours."""
    loaded = trained.load("digits", CPU)
    held = trained.held_out(loaded, ["@digits:3000"], None, None)
    assert held.labels is not None
    points = loaded.encode_all(held)
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    found = held.labels[distances.argmin(1)]
    assert float((found == held.labels).float().mean()) > 0.9
