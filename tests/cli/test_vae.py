"""`gencli vae` as people run it, with a model that has hardly learnt anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gencli.app import run
from gencli.core.tensors import read_tensors

Captured = pytest.CaptureFixture[str]
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]
TRAIN = ["--widths", "12", "--batch-size", "16", "--steps", "6", "--seed", "1", "--threads", "1"]

pytestmark = pytest.mark.usefixtures("remembered_layout")


def train(name: str, *more: str, data: str = "@glyphs:40") -> None:
    assert run(["vae", "train", "--data", data, "--name", name, *TRAIN, *more]) == 0


def records(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_train_and_sample_in_processes_of_their_own(run_gencli: RunGencli, here: Path) -> None:
    done = run_gencli("vae", "train", "--data", "@glyphs:40", "--name", "mine", *TRAIN, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"step", "epoch", "seconds", "rate", "loss", "reconstruction", "kl"} <= set(lines[0])
    assert {"negative_elbo", "reconstruction", "kl", "active_units"} == set(lines[-1]["evaluation"])
    sheet, again = here / "sheet.png", here / "again.png"
    made = run_gencli("vae", "--model", "mine", "--count", "6", "--seed", "2", "-o", str(sheet))
    assert made.returncode == 0 and made.stdout == f"{sheet}\n", made.stderr
    repeated = run_gencli("vae", "sample", "--model", "mine", "--count", "6", "--seed", "2", "-o", str(again))
    assert repeated.returncode == 0
    assert Image.open(sheet).size == (3 * 30 - 2, 2 * 30 - 2)
    assert Image.open(sheet).tobytes() == Image.open(again).tobytes()


def test_pictures_in_files_of_their_own(here: Path, capsys: Captured) -> None:
    train("mine", "--latent", "3")
    capsys.readouterr()
    words = ["vae", "sample", "--model", "mine", "--count", "3", "--files", "--seed", "5"]
    assert run([*words, "-o", "one-{i:02}.png", "--json"]) == 0
    made = records(capsys)
    assert [one["output"] for one in made] == ["one-01.png", "one-02.png", "one-03.png"]
    assert {"model", "count", "temperature", "seed", "seconds"} <= set(made[0])
    assert run([*words]) == 0
    assert capsys.readouterr().out.split() == ["mine.png", "mine-2.png", "mine-3.png"]
    assert Image.open("one-02.png").tobytes() == Image.open("mine-2.png").tobytes()


def test_classes_are_drawn_by_name(here: Path, capsys: Captured) -> None:
    train("letters", "--conditional")
    assert run(["vae", "sample", "--model", "letters", "--class", "Q", "--count", "2", "-o", "q.png"]) == 0
    assert run(["vae", "sample", "--model", "letters", "--class", "q", "--count", "2"]) == 0
    assert run(["vae", "sample", "--model", "letters", "--class", "qu"]) == 2
    assert "letters has no class qu" in capsys.readouterr().err
    assert run(["vae", "reconstruct", "@face", "--model", "letters"]) == 2
    assert "reads pictures of a class" in capsys.readouterr().err
    train("plain")
    assert run(["vae", "sample", "--model", "plain", "--class", "Q"]) == 2
    assert "plain has not learnt classes" in capsys.readouterr().err


def test_a_map_as_picture_and_as_page(here: Path, capsys: Captured) -> None:
    train("flat", "--latent", "2")
    train("deep", "--latent", "5")
    capsys.readouterr()
    assert run(["vae", "map", "--model", "flat", "--steps", "4", "--show", "manifold"]) == 0
    assert capsys.readouterr().out == "flat-map.png\n"
    assert Image.open("flat-map.png").size == (4 * 28, 4 * 28)
    assert run(["vae", "map", "--model", "flat", "--steps", "4", "--show", "both", "-o", "both.png"]) == 0
    assert run(["vae", "map", "--model", "flat", "--steps", "4", "--show", "scatter", "-o", "dots.png"]) == 0
    both, dots = Image.open("both.png"), Image.open("dots.png")
    assert both.height >= 1000 and both.width > dots.width >= 1000
    assert run(["vae", "map", "--model", "flat", "--show", "globe"]) == 2
    capsys.readouterr()
    assert run(["vae", "map", "--model", "deep", "--steps", "3", "-o", "deep.html"]) == 0
    page = Path("deep.html").read_text()
    assert "component 1" in page and "deep: a map" in page and len(page) < 3_000_000
    assert run(["vae", "map", "--model", "deep", "--steps", "3", "--axes", "2,5", "--range", "2", "-o", "a.png"]) == 0
    for axes in ("1,9", "2", "one,two"):
        assert run(["vae", "map", "--model", "deep", "--axes", axes]) == 2
        assert f"--axes {axes}" in capsys.readouterr().err


def test_a_map_of_pictures_that_are_gone_is_without_them(here: Path, capsys: Captured) -> None:
    (here / "photos").mkdir()
    for number in range(4):
        Image.new("L", (16, 16), 60 * number).save(here / "photos" / f"{number}.png")
    train("mine", "--size", "16", "--latent", "2", data="photos")
    (here / "photos").rename(here / "elsewhere")
    capsys.readouterr()
    assert run(["vae", "map", "--model", "mine", "--steps", "3", "-o", "map.png"]) == 0
    assert "the map is without pictures" in capsys.readouterr().err
    assert Image.open("map.png").size == (3 * 16, 3 * 16)
    assert run(["vae", "map", "--model", "mine", "--show", "scatter", "-o", "dots.png"]) != 0


def test_evaluate_gives_the_figures_programs_rely_on(here: Path, capsys: Captured) -> None:
    train("mine")
    capsys.readouterr()
    words = ["vae", "evaluate", "--model", "mine", "--samples", "3", "--seed", "1", "--json"]
    assert run(words) == 0
    (found,) = records(capsys)
    assert {"negative_elbo", "reconstruction", "kl", "active_units", "log_likelihood", "frechet"} <= set(found)
    assert found["frechet"] > 0
    assert -found["log_likelihood"] < found["negative_elbo"] + 5
    assert run([*words, "--data", "@glyphs:70"]) == 0
    (other,) = records(capsys)
    assert other["negative_elbo"] != found["negative_elbo"]


@pytest.mark.parametrize(
    ("mode", "size"), [("L", (40, 30)), ("RGBA", (31, 64)), ("P", (28, 28)), ("CMYK", (5, 9)), ("I;16", (50, 50))]
)
def test_any_picture_is_reconstructed(here: Path, capsys: Captured, mode: str, size: tuple[int, int]) -> None:
    train("mine")
    Image.new(mode, size, 1).save("given.tiff")
    capsys.readouterr()
    assert run(["vae", "reconstruct", "given.tiff", "@face", "--model", "mine", "--json"]) == 0
    (made,) = records(capsys)
    assert made["output"] == "mine-reconstructed.png" and set(made["root_mean_square_error"]) == {"given.tiff", "@face"}
    assert Image.open(made["output"]).size == (2 * 30 - 2, 2 * 30 - 2)


def test_pictures_of_all_kinds_are_trained_on(here: Path, capsys: Captured) -> None:
    """Grey, transparent and oblong ones, and one that is none; then a set of two."""
    folder = here / "photos"
    folder.mkdir()
    for number, (mode, size) in enumerate([("L", (20, 30)), ("RGBA", (40, 20)), ("RGB", (16, 16)), ("P", (33, 21))]):
        Image.new(mode, size, 40 * number).save(folder / f"{number}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    train("photos", "--size", "16", "--latent", "512", data=str(folder))
    assert "broken.jpg" in capsys.readouterr().err
    for number in (0, 1):
        (folder / f"{number}.png").unlink()
    train("two", "--size", "16", "--latent", "1", data=str(folder))
    assert run(["vae", "map", "--model", "two", "--steps", "3", "-o", "two.html"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--size", "30", "--arch", "residual", "--widths", "4,4"], "cannot be halved 2 times"),
        (["--deterministic", "--beta", "2"], "has no KL divergence to weigh"),
        (["--likelihood", "poisson"], "--likelihood"),
        (["--preset", "deep"], "there is no such preset"),
    ],
)
def test_what_is_wrong_is_said(here: Path, capsys: Captured, words: list[str], message: str) -> None:
    assert run(["vae", "train", "--data", "@glyphs:40", "--name", "mine", *words]) == 2
    assert message in capsys.readouterr().err


def test_labels_are_needed_for_classes(here: Path, capsys: Captured) -> None:
    words = ["vae", "train", "--data", "@faces:20", "--size", "16", "--name", "mine", "--conditional", "--steps", "1"]
    assert run(words) == 2
    assert "faces has no labels for --conditional" in capsys.readouterr().err


def test_a_training_goes_on_from_another_model(here: Path, capsys: Captured) -> None:
    train("first", "--latent", "3")
    first = Path(capsys.readouterr().out.strip())
    words = ["vae", "train", "--data", "@glyphs:60", "--name", "second", "--from", "first", "--beta", "2"]
    assert run([*words, "--rate", "0", "--steps", "2", "--seed", "4", "--average", "0"]) == 0
    second = Path(capsys.readouterr().out.strip())
    one, other = (json.loads((folder / "config.json").read_text()) for folder in (first, second))
    assert one["architecture"] == other["architecture"] and other["base"] == "first"
    assert other["options"]["beta"] == 2 and other["options"]["latent"] == 3
    for name, weight in read_tensors(first / "model.safetensors")[0].items():  # nothing was learnt at that rate
        assert torch.equal(weight, read_tensors(second / "model.safetensors")[0][name])
    assert run(["vae", "train", "--data", "@glyphs:60", "--name", "second", "--steps", "4", "--resume"]) == 0
    assert run(["vae", "train", "--data", "@glyphs:60", "--name", "third", "--from", "first", "--latent", "5"]) == 2
    assert "--latent cannot be chosen: size and architecture are those of first" in capsys.readouterr().err
