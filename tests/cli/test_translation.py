"""Translators as people train and use them, with such that have hardly learnt anything."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gencli.app import run
from gencli.core import images, tiles
from gencli.gan.translation import tasks

Captured = pytest.CaptureFixture[str]
TRAIN = [
    *("--size", "32", "--judge-width", "4", "--judge-depth", "2"),
    *("--batch-size", "2", "--seed", "1", "--threads", "1"),
]

pytestmark = pytest.mark.usefixtures("remembered_layout")


@pytest.fixture
def kinds(here: Path) -> Path:
    """Red and blue pictures, in pairs."""
    draw = np.random.default_rng(1)
    for number in range(8):
        noise = draw.integers(0, 200, (40, 40, 3), np.uint8)
        for folder, channel in (("A", 0), ("B", 2)):
            pixels = noise.copy()
            pixels[..., channel] = 255
            (here / "kinds" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(here / "kinds" / folder / f"{number}.png")
    return here


def train(name: str, *more: str, arch: str = "pix2pix", steps: int = 3) -> int:
    words = ["gan", "train", "--arch", arch, "--data", "kinds", "--name", name, *TRAIN, "--steps", str(steps), *more]
    return run(words)


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path), np.int64)


def test_a_translator_is_trained_and_used(kinds: Path, capsys: Captured) -> None:
    assert train("mine") == 0
    folder = Path(capsys.readouterr().out.strip())
    config = json.loads((folder / "config.json").read_text())
    assert config["finished"] and config["kind"] == "translator" and config["kinds"] == ["A", "B"]
    assert {"l1", "perceptual"} == {*config["training"]["evaluation"]}
    assert list((folder / "samples").glob("*.png"))
    # any size, its ratio and its transparency
    Image.new("RGBA", (61, 47), (200, 20, 20, 120)).save("odd.png")
    assert run(["gan", "translate", "odd.png", "--model", "mine", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    made = Image.open(record["output"])
    assert made.size == (61, 47) and made.mode == "RGBA" and set(made.getchannel("A").tobytes()) == {120}
    assert run(["gan", "kinds/A/1.png", "--model", "latest", "-o", "again.png"]) == 0
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "mine", "--size", "20", "-o", "small.png"]) == 0
    assert Image.open("again.png").size == (40, 40) and Image.open("small.png").size == (20, 20)
    capsys.readouterr()
    assert run(["gan", "translate", "odd.png", "--model", "mine", "--reverse"]) == 2
    assert "one way only" in capsys.readouterr().err
    for more in (["--count", "2"], ["--files"], ["--grid"], ["--truncation", "1"], ["--class", "3"]):
        assert run(["gan", "sample", "odd.png", "--model", "mine", *more]) == 2
        assert f"{more[0]} is for generators" in capsys.readouterr().err
    assert run(["gan", "sample", "--model", "mine"]) == 1
    assert "gencli gan translate" in capsys.readouterr().err
    assert run(["gan", "translate", "odd.png", "--model", "faces"]) == 1
    assert "random numbers" in capsys.readouterr().err


def test_both_ways_folders_and_what_is_there_already(kinds: Path, capsys: Captured) -> None:
    assert train("both", arch="cyclegan") == 0
    (kinds / "kinds" / "A" / "broken.png").write_bytes(b"no picture")
    words = ["gan", "translate", "kinds/A", "--model", "both", "-o", "out/"]
    capsys.readouterr()
    assert run(words) == 0
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 8 and "broken.png" in told.err
    (kinds / "kinds" / "A" / "deep").mkdir()
    Image.new("RGB", (40, 40)).save(kinds / "kinds" / "A" / "deep" / "3.png")
    kept = Path("out/3-both.png")
    before = kept.stat().st_mtime_ns
    Path("out/5-both.png").unlink()
    assert run([*words, "--skip-existing", "--strict"]) == 1
    assert kept.stat().st_mtime_ns == before and Path("out/5-both.png").is_file()
    assert {path.name for path in Path("out").iterdir() if "3" in path.name} == {"3-both.png", "deep-3-both.png"}
    assert run(["gan", "translate", "kinds/A/3.png", "--model", "both", "--reverse", "-o", "back.png"]) == 0
    assert np.abs(pixels("back.png") - pixels(kept)).max() > 0


def test_a_task_a_pipe_and_a_film(kinds: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    words = ["gan", "train", "--arch", "pix2pix", "--task", "superres=2", "--data", "kinds/A", "--name", "large"]
    assert run([*words, *TRAIN, "--steps", "2"]) == 0
    capfdbinary.readouterr()
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "large", "-o", "-"]) == 0
    made = Image.open(io.BytesIO(capfdbinary.readouterr().out))
    assert made.size == (80, 80)
    frames = [Image.open(f"kinds/A/{number}.png") for number in range(3)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:], duration=100)
    assert run(["gan", "translate", "film.gif", "--model", "large", "-o", "large.gif"]) == 0
    film = Image.open("large.gif")
    assert getattr(film, "n_frames", 1) == 3 and film.size == (80, 80)


def test_what_was_held_out_measures_a_translator(kinds: Path, capsys: Captured) -> None:
    assert train("mine", "--held-out", "0.5") == 0
    capsys.readouterr()
    assert run(["gan", "evaluate", "--model", "mine", "--json", "--seed", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 4 and {"frechet", "kernel", "precision", "recall"} <= {*found}
    # red and blue lie apart in two channels, and targets differ by their noise
    assert found["l1 of the input"] > found["l1 of the mean"] > 0.05
    assert train("both", "--held-out", "0.5", arch="cyclegan") == 0
    capsys.readouterr()
    assert run(["gan", "evaluate", "--model", "both", "--json", "--sheet", "sheet.png"]) == 0
    found, made = map(json.loads, capsys.readouterr().out.splitlines())
    assert made["output"] == "sheet.png" and Image.open("sheet.png").size == (4 * 34 - 2, 6 * 34 - 2)
    assert 0 < found["cycle"] < 1 and {"frechet", "back frechet"} <= {*found} and "l1" not in found
    assert run(["gan", "evaluate", "--model", "mine", "--neighbours", "x.png"]) == 2
    assert "--neighbours is for generators" in capsys.readouterr().err
    assert run(["gan", "evaluate", "--model", "digits", "--sheet", "x.png"]) == 2
    assert "--sheet is for translators" in capsys.readouterr().err


@pytest.mark.usefixtures("here")
def test_an_attribute_of_one_set_is_learnt_and_measured(capsys: Captured) -> None:
    words = ["gan", "train", "--arch", "cyclegan", "--data", "@faces:60", *TRAIN, "--steps", "2", "--name"]
    assert run([*words, "looks", "--split", "Glasses", "--direction", "BtoA"]) == 0
    assert "with glasses to without glasses" in capsys.readouterr().err
    assert run(["gan", "evaluate", "--model", "looks", "--json"]) == 0
    assert 0 < json.loads(capsys.readouterr().out)["cycle"] < 1
    assert run([*words, "others"]) == 2
    told = capsys.readouterr().err
    assert "cannot be told apart" in told and "rosy-cheeks" in told


def test_chance_has_its_part_by_the_seed(kinds: Path, capsys: Captured) -> None:
    words = ["gan", "train", "--arch", "pix2pix", "--task", "denoise=0.3", "--data", "kinds/A", "--name", "noisy"]
    assert run([*words, *TRAIN, "--steps", "1"]) == 0
    capsys.readouterr()
    for name, seed in (("one", "1"), ("same", "1"), ("other", "2")):
        words = ["gan", "translate", "kinds/A/1.png", "--model", "noisy", "--from-target", "--json"]
        assert run([*words, "--seed", seed, "-o", f"{name}.png"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert record["seed"] == int(seed) and record["seconds"] >= 0
    assert np.array_equal(pixels("one.png"), pixels("same.png"))
    assert not np.array_equal(pixels("one.png"), pixels("other.png"))
    # other pictures than it has learnt from are measured all
    assert run(["gan", "evaluate", "--model", "noisy", "--data", "kinds/B", "--json", "--seed", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 8
    (kinds / "kinds" / "A" / "7.png").unlink()
    capsys.readouterr()
    run(["gan", "evaluate", "--model", "noisy"])
    assert "are others now" in capsys.readouterr().err


def test_what_does_not_fit_into_the_memory_is_refused(
    kinds: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "free_memory", lambda device: 1 << 20)
    assert run(["gan", "translate", "kinds/A/1.png", "--size", "400"]) == 1
    assert "a picture of 400 × 400 pixels needs about" in capsys.readouterr().err


def test_holes_are_filled_where_a_mask_is_white(kinds: Path, capsys: Captured) -> None:
    words = ["gan", "train", "--arch", "pix2pix", "--task", "inpaint", "--data", "kinds/A", "--name", "fill"]
    assert run([*words, *TRAIN, "--steps", "2"]) == 0
    mask = Image.new("L", (80, 80), 0)
    mask.paste(255, (20, 40, 60, 80))
    mask.save("mask.png")
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "fill", "--mask", "mask.png", "-o", "full.png"]) == 0
    changed = np.abs(pixels("full.png") - pixels("kinds/A/1.png")).max(2) > 0
    assert changed[22:38, 12:28].any() and not changed[:18].any() and not changed[:, :8].any()
    capsys.readouterr()
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "fill", "--mask", "mask.png", "--from-target"]) == 2
    assert "--mask says where they are" in capsys.readouterr().err
    assert train("mine") == 0
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "mine", "--mask", "mask.png"]) == 2
    assert "--task inpaint" in capsys.readouterr().err
    assert run(["gan", "translate", "kinds/A/1.png", "--model", "mine", "--from-target"]) == 2
    assert "--from-target" in capsys.readouterr().err


def test_what_a_translator_starts_from_is_made_of_a_picture(kinds: Path) -> None:
    words = ["gan", "train", "--arch", "pix2pix", "--task", "edges", "--data", "kinds/A", "--name", "lines"]
    assert run([*words, *TRAIN, "--steps", "2"]) == 0
    picture = tasks.edges(images.load("kinds/A/2.png").rgb)
    images.to_pillow(picture).save("drawing.png")
    for source, more in (("kinds/A/2.png", ["--from-target"]), ("drawing.png", []), ("kinds/A/2.png", [])):
        name = f"{Path(source).stem}{len(more)}.png"
        assert run(["gan", "translate", source, "--model", "lines", *more, "-o", name]) == 0
    # a file's levels lie between, which such a network may enlarge
    assert np.abs(pixels("21.png") - pixels("drawing0.png")).mean() < 1
    assert np.abs(pixels("21.png") - pixels("20.png")).mean() > 4


def test_a_stopped_training_goes_on_exactly(kinds: Path, capsys: Captured) -> None:
    assert train("whole", arch="cyclegan", steps=4) == 0
    assert train("parts", arch="cyclegan", steps=2) == 0
    folders = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert (
        run(["gan", "train", "--data", "kinds", "--name", "parts", "--resume", "--steps", "4", "--threads", "1"]) == 0
    )
    whole, parts = ((folder / "model.safetensors").read_bytes()[-4000:] for folder in folders)
    assert whole == parts


def test_options_are_told_apart(kinds: Path, capsys: Captured) -> None:
    assert train("mine", "--latent", "4") == 2
    assert "--latent is not for --arch pix2pix" in capsys.readouterr().err
    assert run(["gan", "train", "--data", "kinds", "--name", "mine", "--cycle", "3"]) == 2
    assert "--cycle is for translators" in capsys.readouterr().err
    assert run(["gan", "sample", "kinds/A/1.png", "--class", "3"]) == 2
    assert "--class is for generators" in capsys.readouterr().err
    assert train("mine", "--task", "colourise") == 2
    assert "there is no such task" in capsys.readouterr().err


def test_large_pictures_are_translated_tile_by_tile(kinds: Path, capsys: Captured) -> None:
    assert train("tiler") == 0
    large = Image.effect_noise((700, 300), 60).convert("RGB")
    large.save("large.png")
    large.crop((0, 0, 256, 256)).save("corner.png")
    assert run(["gan", "translate", "corner.png", "--model", "tiler", "--size", "128", "-o", "small.png"]) == 0
    assert "--size" not in capsys.readouterr().err
    assert run(["gan", "translate", "large.png", "--model", "tiler", "--tile", "256", "-o", "tiles.png"]) == 0
    assert run(["gan", "translate", "corner.png", "--model", "tiler", "-o", "alone.png"]) == 0
    assert capsys.readouterr().err.count("try --size 64") == 1  # it learnt from 32 pixels; once is enough
    made, alone = pixels("tiles.png"), pixels("alone.png")
    assert made.shape == (300, 700, 3)
    assert np.abs(made[:40, :100] - alone[:40, :100]).max() <= 1  # where no other tile comes
    assert np.abs(made[:40, 120:250] - alone[:40, 120:250]).max() > 1
