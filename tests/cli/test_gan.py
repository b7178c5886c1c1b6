"""`gencli gan` as people run it, with models that have hardly learnt anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencli.app import run
from gencli.core import weights
from gencli.gan import evaluation

Captured = pytest.CaptureFixture[str]
TRAIN = ["--size", "16", "--latent", "4", "--widths", "8,8", "--d-widths", "8,8", "--batch-size", "8", "--seed", "1"]

pytestmark = pytest.mark.usefixtures("remembered_layout")


def train(name: str, *more: str, data: str = "@glyphs:72", steps: int = 6) -> int:
    words = ["gan", "train", "--data", data, "--name", name, *TRAIN, "--steps", str(steps), "--threads", "1", *more]
    return run(words)


def records(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_generator_is_trained_and_draws(here: Path, capsys: Captured) -> None:
    assert train("mine") == 0
    folder = Path(capsys.readouterr().out.strip())
    config = json.loads((folder / "config.json").read_text())
    assert config["finished"] and config["kind"] == "generator" and config["classes"] == []
    assert list((folder / "samples").glob("*.png"))
    assert config["training"]["best"] == config["training"]["evaluation"]["frechet"] > 0
    assert run(["gan", "sample", "--model", "mine", "--count", "6", "--seed", "2"]) == 0
    assert run(["gan", "--model", "latest", "--count", "6", "--seed", "2", "--json", "-o", "again.png"]) == 0
    path, line = capsys.readouterr().out.splitlines()
    assert path == "mine.png" and Path(path).read_bytes()[-500:] == Path("again.png").read_bytes()[-500:]
    record = json.loads(line)
    assert record["output"] == "again.png" and record["seed"] == 2 and record["seconds"] >= 0
    assert np.asarray(Image.open(path)).std() > 0


def test_files_truncation_and_standard_output(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    train("mine")
    capfdbinary.readouterr()
    words = ["gan", "sample", "--model", "mine", "--count", "3", "--seed", "2", "--truncation", "0.5"]
    assert run([*words, "--files", "-o", "out/{i:02}.png"]) == 0
    assert [Image.open(f"out/{i:02}.png").size for i in (1, 2, 3)] == [(16, 16)] * 3
    capfdbinary.readouterr()
    assert run([*words, "-o", "-"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"\x89PNG")


def test_classes_are_drawn_as_asked(here: Path, capsys: Captured) -> None:
    assert train("letters", "--conditional") == 0
    capsys.readouterr()
    assert run(["gan", "sample", "--model", "letters", "--class", "q,7", "--count", "4", "--seed", "1", "--json"]) == 0
    assert records(capsys)[0]["classes"] == ["q", "7"]
    assert run(["gan", "sample", "--model", "letters", "--class", "ä"]) == 2
    assert "letters has no class ä" in capsys.readouterr().err
    assert run(["gan", "walk", "--model", "letters", "--class", "A,B", "--points", "2", "--frames", "4"]) == 0
    assert Image.open(capsys.readouterr().out.strip()).n_frames == 4
    train("plain")
    capsys.readouterr()
    assert run(["gan", "sample", "--model", "plain", "--class", "A"]) == 2
    assert "has not learnt classes" in capsys.readouterr().err


def test_attributes_make_classes(here: Path, capsys: Captured) -> None:
    assert train("people", "--conditional", "smiling,Hat", "--colors", "grey", data="@faces:40") == 0
    folder = Path(capsys.readouterr().out.strip())
    assert json.loads((folder / "config.json").read_text())["classes"] == ["none", "smiling", "hat", "smiling+hat"]
    assert run(["gan", "sample", "--model", "people", "--class", "Smiling+Hat", "--count", "2", "--seed", "1"]) == 0
    capsys.readouterr()
    assert train("others", "--conditional", "wings", data="@faces:40") == 2
    assert "no attribute wings" in capsys.readouterr().err
    assert train("others", "--conditional", "labels", data="@faces:40") == 2
    assert "no classes for --conditional" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["sphere", "line", "circle"])
def test_a_walk_is_a_film(here: Path, capsys: Captured, path: str) -> None:
    train("mine")
    capsys.readouterr()
    words = ["gan", "walk", "--model", "mine", "--points", "2", "--path", path, "--frames", "6", "--size", "32"]
    assert run([*words, "--seed", "3", "-o", "walk.webp"]) == 0
    film = Image.open("walk.webp")
    assert film.n_frames == 6 and film.size == (32, 32)
    if path == "line":
        assert run([*words[:6], "--path", "spiral"]) == 2


def test_it_is_measured_beside_its_pictures(here: Path, capsys: Captured) -> None:
    assert train("letters", "--conditional", "labels") == 0
    capsys.readouterr()
    words = ["gan", "evaluate", "--model", "letters", "--samples", "72", "--seed", "1"]
    assert run([*words, "--json", "--neighbours", "near.png"]) == 0
    found, sheet = records(capsys)
    assert {"frechet", "kernel", "precision", "recall", "coverage", "memorised", "as_asked"} <= found.keys()
    assert sum(share for name, share in found.items() if name.startswith("class ")) == pytest.approx(1)
    assert found["frechet"] > 0 and 0 <= found["precision"] <= 1
    assert sheet == {"output": "near.png"} and Image.open("near.png").size == (12 * 16 + 11 * 2, 16 * 2 + 2)
    assert run(words) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("frechet\t")
    assert run([*words, "--data", "@faces:30"]) == 2


def test_inception_looks_too_where_it_is_there(here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    train("mine")
    monkeypatch.setattr(evaluation, "INCEPTION", "vgg-mini")  # ships, and so can stand for it
    monkeypatch.setattr(weights, "is_here", lambda name: True)
    capsys.readouterr()
    words = ["gan", "evaluate", "--model", "mine", "--samples", "20", "--seed", "1", "--json"]
    assert run(words) == run([*words, "--backbone", "vgg-mini"]) == 0
    both, alone = records(capsys)
    assert both["inception_frechet"] == both["frechet"] == alone["frechet"]
    assert both["inception_kernel"] == both["kernel"]
    assert "inception_frechet" not in alone


def test_a_run_goes_on_where_it_was(here: Path, capsys: Captured) -> None:
    assert train("mine", steps=4) == 0
    assert run(["gan", "train", "--data", "@glyphs:72", "--name", "mine", "--steps", "8", "--resume"]) == 0
    folder = Path(capsys.readouterr().out.splitlines()[-1])
    assert json.loads((folder / "config.json").read_text())["training"]["steps"] == 8
    assert train("mine") == 2
    assert "--resume" in capsys.readouterr().err


def test_the_previews_become_a_film(here: Path, capsys: Captured) -> None:
    assert train("mine", "--epochs", "60", steps=450) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert Image.open(folder / "samples" / "time-lapse.gif").n_frames >= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--loss", "hinge", "--smoothing", "0.1"], "has no labels to change"),
        (["--arch", "mnist-book"], "makes pictures of 28 × 28"),
        (["--size", "18", "--arch", "dcgan"], "cannot be halved"),
        (["--size", "512"], "generators draw up to 256 pixels"),
    ],
)
def test_what_does_not_fit_is_said(here: Path, capsys: Captured, words: list[str], message: str) -> None:
    assert train("mine", *words) == 2
    assert message in capsys.readouterr().err
