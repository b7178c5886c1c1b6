"""`gencli stylize train`, and painting at one look, through real processes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencli.app import run
from gencli.core import store

RunGencli = Callable[..., Any]
QUICK = ("--backbone", "tiny", "--content-layer", "conv2_1", "--style-layer", "conv1_1", "--style-layer", "conv3_1")
SMALL = (*QUICK, "--size", "64", "--style-size", "64", "--width", "4", "--blocks", "0,1,1", "--ends", "3")


@pytest.fixture
def pictures(tmp_path: Path, blots: Callable[..., Image.Image]) -> Path:
    blots(60, 44, 1).save(tmp_path / "painting.png")
    blots(50, 50, 2).save(tmp_path / "other.png")
    (tmp_path / "photos").mkdir()
    for index in range(12):
        blots(110, 100, 10 + index).save(tmp_path / "photos" / f"p{index:02}.jpg")
    return tmp_path


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a painter is kept that several tests use: each in a home of its own."""
    return tmp_path_factory.mktemp("kept") / "both"


@pytest.fixture
def trained(tiny_network: None, pictures: Path, kept: Path, run_gencli: RunGencli) -> Path:
    """A painter of two styles, `both`."""
    model = store.folder("stylize", "both")
    if not kept.exists():
        done = run_gencli(
            "stylize", "train", "painting.png", "other.png", "--data", "photos", "--name", "both", *SMALL,
            "--steps", "6", "--batch-size", "2", "--seed", "1",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        shutil.copytree(model, kept)
    else:
        shutil.copytree(kept, model)
    return pictures


def pixels(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(float)


def test_a_painter_paints_folders_and_skips_what_is_there(trained: Path, run_gencli: RunGencli) -> None:
    folder = trained / "photos"
    (folder / "p03.jpg").write_bytes(b"no picture")
    (folder / "p07.jpg").write_bytes((folder / "p08.jpg").read_bytes()[:300])
    command = ("stylize", "photos", "--model", "both", "--style", "painting=3", "--style", "other", "--size", "48")
    done = run_gencli(*command, "-o", "out/")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10 == len([*(trained / "out").iterdir()])
    assert {name for name in ("p03.jpg", "p07.jpg", "p05.jpg") if name in done.stderr} == {"p03.jpg", "p07.jpg"}
    with Image.open(trained / "out" / "p00-painting-other.png") as first:
        assert first.size == (48, 44)

    (trained / "out" / "p05-painting-other.png").unlink()
    again = run_gencli(*command, "-o", "out/", "--skip-existing", "--strict")
    assert again.returncode == 1
    assert [Path(line).name for line in again.stdout.splitlines()] == ["p05-painting-other.png"]
    assert "2 of 3 pictures could not be made" in again.stderr
    # what is left over cannot be made, and that is no failure; results are no photographs
    inside = ("--size", "24", "-o", "photos/painted/", "--skip-existing")
    for expected in (10, 0):
        done = run_gencli(*command[:-2], *inside)
        assert done.returncode == 0 and len(done.stdout.splitlines()) == expected, done.stderr
        assert done.stderr.count("p03.jpg") == 1


def test_strength_mixture_and_tiles(trained: Path, run_gencli: RunGencli) -> None:
    def painted(name: str, *options: str) -> Any:
        done = run_gencli("stylize", "photos/p00.jpg", "--model", "both", *options, "-o", name, "--size", "110")
        assert done.returncode == 0, done.stderr
        return pixels(trained / name)

    photograph = pixels(trained / "photos" / "p00.jpg")
    one = painted("one.png", "--style", "painting")
    assert np.abs(painted("none.png", "--style", "painting", "--strength", "0") - photograph).max() <= 1
    assert np.abs(one - photograph).mean() > 0.5
    assert np.abs(painted("other.png", "--style", "other") - one).max() > 0
    assert np.abs(painted("tiles.png", "--style", "painting", "--tile", "64") - one).max() <= 1


@pytest.mark.parametrize("wish", ["@painting", "kept.png"])
def test_the_painter_that_knows_a_style_is_found(trained: Path, run_gencli: RunGencli, wish: str) -> None:
    """By the style's name, or as the picture that it was trained on, wherever that is now."""
    (trained / "painting.png").rename(trained / "kept.png")
    done = run_gencli("stylize", "photos/p00.jpg", wish, "--fast", "--size", "48", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["model"] == "both"
    assert record["styles"] == {"painting": 1.0}
    assert Path(record["output"]).name == "p00-painting.png"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photos", "--model", "both"], "both knows several styles"),
        (["photos", "--model", "both", "--style", "fog"], "both does not know the style fog"),
        (["photos/p00.jpg", "@fog", "--fast"], "@fog"),
        (
            ["photos", "--model", "both", "--style", "other", "--iterations", "3"],
            "--iterations is not for painting at one look",
        ),
        (["photos", "--model", "both", "--style", "other", "--style-weight", "2"], "write --style NAME=WEIGHT"),
        (["photos/p00.jpg", "painting.png", "--strict"], "--strict is for painting at one look"),
        (["photos/p00.jpg", "@swirls", "--fast", "--save-every", "2"], "--save-every is not for painting at one look"),
        (["-", "-", "--fast"], "standard input can be read once only"),
        (["empty", "--model", "both", "--style", "other"], "there are no pictures in empty"),
        (["photos/p00.jpg", "none.jpg", "--model", "both", "--style", "other"], "there is no file none.jpg"),
    ],
)
def test_what_cannot_be_painted(trained: Path, run_gencli: RunGencli, arguments: list[str], words: str) -> None:
    (trained / "empty").mkdir()
    done = run_gencli("stylize", *arguments)
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_is_gone_on_with_by_its_name_and_photographs(
    tiny_network: None, pictures: Path, run_gencli: RunGencli
) -> None:
    first = run_gencli(
        "stylize", "train", "painting.png", "--data", "photos", "--name", "one", *SMALL, "--steps", "2", "--seed", "1"
    )
    more = run_gencli("stylize", "train", "--data", "photos", "--name", "one", "--resume", "--steps", "4")
    assert (first.returncode, more.returncode) == (0, 0), more.stderr
    elsewhere = pictures / "elsewhere"
    elsewhere.mkdir()
    data = ("--data", str(pictures / "photos"))
    again = run_gencli("stylize", "train", *data, "--name", "one", "--resume", "--steps", "5", cwd=elsewhere)
    assert again.returncode == 0, again.stderr
    done = run_gencli("stylize", "photos/p00.jpg", "--model", "one", "--size", "64")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == "p00-painting.png"


def test_a_training_goes_on_from_another_network(trained: Path, run_gencli: RunGencli) -> None:
    train = ("stylize", "train", "other.png", "--data", "photos", "--name", "more", "--from", "both")
    clash = run_gencli(*train, "--width", "8")
    assert clash.returncode == 2 and "--width cannot be chosen" in clash.stderr
    # at a rate of 0 it stays what it was, of the style that it has
    done = run_gencli(
        *train, *QUICK[2:], "--size", "64", "--style-size", "64", "--rate", "0", "--average", "0", "--steps", "1"
    )
    assert done.returncode == 0, done.stderr
    for name, style in (("both", ("--style", "other")), ("more", ())):
        done = run_gencli("stylize", "photos/p00.jpg", "--model", name, *style, "-o", f"{name}.png", "--size", "64")
        assert done.returncode == 0, done.stderr
    assert np.abs(pixels(trained / "both.png") - pixels(trained / "more.png")).max() <= 1
    any_style = ("--any-style", "--name", "any", *QUICK[2:], "--size", "64", "--style-size", "64", "--steps", "1")
    done = run_gencli(*train, *any_style)
    assert done.returncode == 0, done.stderr
    done = run_gencli("stylize", "photos/p00.jpg", "other.png", "--model", "any", "-o", "any.png", "--size", "64")
    assert done.returncode == 0, done.stderr


def test_without_photographs_it_learns_on_the_drawn_ones(
    tiny_network: None, pictures: Path, run_gencli: RunGencli
) -> None:
    done = run_gencli("stylize", "train", "painting.png", "--name", "one", *SMALL, "--steps", "1", "--seed", "1")
    assert done.returncode == 0, done.stderr
    none = run_gencli("stylize", "train", "--name", "two", *SMALL, "--steps", "1")
    assert none.returncode == 2 and "no style was given" in none.stderr


def test_films_are_painted_picture_by_picture(trained: Path, run_gencli: RunGencli) -> None:
    frames = [Image.open(trained / "photos" / f"p{index:02}.jpg").convert("RGB") for index in range(4)]
    frames[0].save(trained / "film.gif", save_all=True, append_images=frames[1:], duration=100)
    command = ("stylize", "film.gif", "--model", "both", "--style", "painting", "--size", "48")
    done = run_gencli(*command, "--json")
    assert done.returncode == 0, done.stderr
    (record,) = (json.loads(line) for line in done.stdout.splitlines())
    assert Path(record["output"]).name == "film-painting.gif" and record["fps"] == 10 and record["flicker"] > 0
    with Image.open(trained / "film-painting.gif") as film:
        assert (film.size, film.n_frames) == ((48, 44), 4)
    assert [path.name for path in trained.iterdir() if path.name.endswith(".frames")] == []

    # a folder is a film where one is wanted, and else it is pictures
    done = run_gencli("stylize", "photos", *command[2:], "-o", "out.gif", "--fps", "5", "--temporal", "0")
    assert done.returncode == 0, done.stderr
    with Image.open(trained / "out.gif") as film:
        assert (film.n_frames, film.info["duration"]) == (12, 200)
    assert "times as much as the film's own" in done.stderr
    steady = run_gencli("stylize", "photos", *command[2:], "-o", "frames/{i:02}.png", "--temporal", "1")
    assert steady.returncode == 0, steady.stderr
    assert len([*(trained / "frames").iterdir()]) == 12


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("photos/p00.jpg", "--model", "both", "--temporal", "1"), "--temporal is for films"),
        (("film.gif", "photos/p00.jpg", "--model", "both"), "film.gif is a film, which is made by itself"),
        (("film.gif", "--model", "both", "--strict"), "--strict is for pictures"),
        (("film.mp4", "@swirls"), "film.mp4: films are painted at one look"),
        (("photos/p00.jpg", "@swirls", "--fps", "3"), "--fps is for painting at one look"),
    ],
)
def test_what_is_no_film_is_said(
    pictures: Path, run_gencli: RunGencli, arguments: tuple[str, ...], complaint: str
) -> None:
    frame = Image.new("RGB", (20, 20))
    frame.save(pictures / "film.gif", save_all=True, append_images=[Image.new("RGB", (20, 20), "red")])
    done = run_gencli("stylize", *arguments)
    assert done.returncode == 2 and complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_any_style_is_learnt_and_painted_in(
    tiny_network: None,
    pictures: Path,
    run_gencli: RunGencli,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = run_gencli(
        "stylize", "train", "painting.png", "photos", "--preset", "any", "--data", "photos", "--name", "mine", *QUICK,
        "--size", "64", "--style-size", "64", "--width", "4", "--blocks", "0,0,1", "--ends", "3", "--steps", "3",
        "--seed", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    monkeypatch.chdir(pictures)

    def painted(name: str, *arguments: str) -> tuple[Any, dict[str, Any]]:
        assert run(["stylize", "photos/p00.jpg", *arguments, "-o", name, "--size", "64", "--json"]) == 0
        return pixels(pictures / name), json.loads(capsys.readouterr().out)

    one, record = painted("one.png", "painting.png", "--model", "mine")
    done = run_gencli(
        "stylize", "train", "other.png", "--data", "photos", "--name", "more", "--from", "mine", "--rate", "0",
        "--average", "0", "--steps", "1", *QUICK[2:], "--size", "64",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    same, _ = painted("same.png", "painting.png", "--model", "more")
    assert np.abs(one - same).max() <= 1
    assert record["model"] == "mine" and record["styles"] == {"painting.png": 1.0}
    other, _ = painted("other-one.png", "other.png", "--fast")
    mixed, record = painted("mixed.png", "--style", "painting.png=3", "--style", "other.png=1", "--fast")
    assert record["styles"] == {"painting.png": 3.0, "other.png": 1.0}
    assert np.abs(one - other).mean() > 1
    assert 0 < np.abs(mixed - one).mean() < np.abs(mixed - other).mean()
    larger, _ = painted("larger.png", "painting.png", "--fast", "--style-scale", "2")
    assert np.abs(larger - one).max() > 0
    _, record = painted(
        "twice.png", "--style", "painting.png", "--style", "painting.png", "--style", "other.png", "--fast"
    )
    assert record["styles"] == {"painting.png": 2.0, "other.png": 1.0} and record["seconds"] > 0
    Image.fromarray(np.repeat([[255] * 20 + [0] * 20], 30, 0).astype(np.uint8)).save(pictures / "left.png")
    masked, _ = painted("masked.png", "painting.png", "--fast", "--mask", "left.png")
    none, _ = painted("none.png", "painting.png", "--fast", "--strength", "0")
    assert np.abs(masked - none)[:, 40:].max() <= 1 < np.abs(masked - none)[:, :28].mean()

    done = run_gencli("stylize", "photos", "--style", "painting.png", "--model", "mine", "-o", "all/", "--size", "64")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (pictures / "all").iterdir())[0] == "p00-painting.png"
    assert len(done.stdout.splitlines()) == 12
    alone = run_gencli("stylize", "photos/p00.jpg", "--model", "mine")
    assert alone.returncode == 2 and "a photograph and a style are needed" in alone.stderr
