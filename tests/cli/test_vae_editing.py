"""`gencli vae edit` and `gencli vae walk` as people run them, with models that have hardly learnt anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencli import vae
from gencli.app import run

Captured = pytest.CaptureFixture[str]
TRAIN = ["--widths", "12", "--batch-size", "16", "--steps", "6", "--seed", "1", "--threads", "1"]

pytestmark = pytest.mark.usefixtures("remembered_layout")


def train(name: str, *more: str, data: str = "@faces:60") -> None:
    form = ["--size", "16", "--arch", "dense", "--latent", "4"]
    assert run(["vae", "train", "--data", data, "--name", name, *TRAIN, *form, *more]) == 0


def records(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_model_of_labelled_pictures_knows_what_can_be_changed(here: Path, capsys: Captured) -> None:
    train("mine", data="@faces:600")
    capsys.readouterr()
    assert run(["vae", "edit", "--model", "mine", "--list", "--json"]) == 0
    known = {one["attribute"]: one["separation"] for one in records(capsys)}
    assert len(known) == 18 and {"smiling", "glasses", "dark-skin"} <= set(known)
    assert [*known.values()] == sorted(known.values(), reverse=True) and all(0 <= one <= 1 for one in known.values())
    assert run(["vae", "edit", "--model", "mine", "--list"]) == 0
    name, share = capsys.readouterr().out.splitlines()[0].split("\t")
    assert known[name] == pytest.approx(float(share), abs=6e-4)


def test_a_picture_is_changed_by_as_much_as_is_asked(here: Path, capsys: Captured) -> None:
    train("mine")
    capsys.readouterr()
    words = ["vae", "edit", "@face", "--model", "mine", "--attribute", "Dark_Skin"]
    pictures = {}
    for strength in (0, 1, 3):
        assert run([*words[:-1], f"Dark_Skin={strength}", "-o", f"{strength}.png"]) == 0
        pictures[strength] = np.asarray(Image.open(f"{strength}.png")).astype(float)
        assert pictures[strength].shape == (16, 16, 3)
    changes = [np.abs(pictures[strength] - pictures[0]).mean() for strength in (1, 3)]
    assert 0 < changes[0] < changes[1]
    capsys.readouterr()
    assert run([*words, "--json"]) == 0
    (made,) = records(capsys)
    assert made == {"output": "face-edit.png", "model": "mine", "attributes": {"dark-skin": 1.0}}
    edited = Image.open("face-edit.png")
    assert np.array_equal(np.asarray(edited), pictures[1].astype(np.uint8))
    assert {"Software", "Command"} == set(edited.info)


def test_the_change_comes_back_into_the_whole_picture(here: Path, capsys: Captured) -> None:
    train("mine")
    Image.effect_noise((90, 60), 40).convert("RGB").save("me.png")
    words = ["vae", "edit", "me.png", "--model", "mine", "-a", "dark-skin=3", "--put-back"]
    assert run([*words, "--crop", "30,10,40", "-o", "edited.png"]) == 0
    before, after = (np.asarray(Image.open(name)).astype(int) for name in ("me.png", "edited.png"))
    changed = np.abs(after - before).max(-1) > 0
    assert changed[10:50, 30:70].any() and not changed[:10].any() and not changed[:, :30].any()
    for crop in ("1,2", "80,0,40", "a,b,c"):
        assert run([*words, "--crop", crop, "-o", "edited.png"]) == 2


def test_python_gives_what_the_commands_give(here: Path, capsys: Captured) -> None:
    train("mine")
    assert run(["vae", "edit", "@face", "--model", "mine", "-a", "hat=2", "--put-back", "-o", "a.png"]) == 0
    edited = vae.edit("@face", {"Hat": 2}, model="mine", put_back=True)
    assert np.array_equal(np.asarray(edited), np.asarray(Image.open("a.png")))
    assert run(["vae", "sample", "--model", "mine", "--count", "4", "--seed", "3", "-o", "b.png"]) == 0
    sheet = vae.sample(4, model=vae.load("mine"), seed=3)
    assert np.array_equal(np.asarray(sheet), np.asarray(Image.open("b.png")))
    with pytest.raises(ImportError):
        from gencli.vae import dream  # noqa: F401


def test_strips_have_a_row_for_each_attribute(here: Path, capsys: Captured) -> None:
    train("mine")
    words = ["vae", "edit", "@face", "--model", "mine", "--strip"]
    assert run([*words, "-o", "all.png"]) == 0
    assert Image.open("all.png").size == (7 * 18 - 2, 18 * 18 - 2)
    assert run([*words, "-a", "hat", "-a", "beard", "--strengths", "-2,2", "-o", "two.png"]) == 0
    assert Image.open("two.png").size == (2 * 18 - 2, 2 * 18 - 2)


def test_several_pictures_have_files_of_their_own(here: Path, capsys: Captured) -> None:
    train("mine")
    capsys.readouterr()
    assert run(["vae", "edit", "@face", "@harbour", "--model", "mine", "-a", "hat"]) == 0
    assert capsys.readouterr().out.split() == ["face-edit.png", "harbour-edit.png"]


def test_examples_teach_a_model_something_new(here: Path, capsys: Captured) -> None:
    for name, value in (("bright", 220), ("dim", 30)):
        (here / "kinds" / name).mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (16, 16), 3 * (value + number,)).save(here / "kinds" / name / f"{number}.png")
    train("mine", data=str(here / "kinds" / "bright"))
    capsys.readouterr()
    assert run(["vae", "edit", "--model", "mine", "--list"]) == 2
    assert "mine knows no attributes yet" in capsys.readouterr().err
    assert run(["vae", "edit", "@face", "--model", "mine", "--strip"]) == 2
    taught = ["--with", "kinds/bright", "--without", "kinds/dim"]
    assert run(["vae", "edit", "@face", "--model", "mine", "-a", "light=-2", *taught, "-o", "a.png"]) == 0
    capsys.readouterr()
    assert run(["vae", "edit", "@face", "--model", "mine", "-a", "light=-2", "-o", "b.png"]) == 0
    assert Path("a.png").read_bytes()[-2000:] == Path("b.png").read_bytes()[-2000:]
    capsys.readouterr()
    assert run(["vae", "edit", "--model", "mine", "--list", "--json", "--data", "kinds"]) == 0
    assert [one["attribute"] for one in sorted(records(capsys), key=lambda one: one["attribute"])] == [
        "bright", "dim", "light",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to edit"),
        (["@face"], "nothing is to be changed"),
        (["@face", "-a", "halo"], "mine knows no attribute halo"),
        (["@face", "-a", "hat=much"], "'much' is not a number"),
        (["@face", "-a", "hat", "--strip", "--strengths", "1;2"], "'1;2' is not a number"),
        (["@face", "-a", "hat", "--crop", "1,2"], "expected three numbers"),
        (["@face", "-a", "hat", "--with", "."], "needs two kinds of them"),
        (["--with", ".", "--without", "."], "needs two kinds of them"),
    ],
)
def test_what_is_wrong_with_an_edit_is_said(here: Path, capsys: Captured, words: list[str], message: str) -> None:
    train("mine")
    assert run(["vae", "edit", "--model", "mine", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_walk_is_a_film(here: Path, capsys: Captured) -> None:
    train("mine")
    capsys.readouterr()
    words = ["vae", "walk", "--model", "mine", "--frames", "6", "--size", "32", "--seed", "3"]
    assert run([*words, "--json"]) == 0
    (made,) = records(capsys)
    assert made["output"] == "mine-walk.gif" and made["seed"] == 3
    with Image.open("mine-walk.gif") as film:
        assert film.n_frames == 6 and film.size == (32, 32) and film.info["loop"] == 0
    for path in ("sphere", "circle"):
        assert run([*words, "--points", "2", "--path", path, "-o", f"{path}-{{i}}.png"]) == 0
        assert len([*here.glob(f"{path}-*.png")]) == 6
    pictures = ["@face", "@harbour"]
    assert run([*words, *pictures, "--once", "-o", "between-{i}.png"]) == 0
    assert run(["vae", "reconstruct", *pictures, "--model", "mine", "-o", "ends.png"]) == 0
    ends = np.asarray(Image.open("ends.png"))[18:]
    for number, end in ((1, ends[:, :16]), (6, ends[:, 18:])):
        found = np.asarray(Image.open(f"between-{number}.png").resize((16, 16), Image.Resampling.BOX)).astype(float)
        assert np.abs(found - end).mean() < 12  # it was enlarged in between


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--path", "spiral"], "there is no path spiral"),
        (["@face"], "two points or more"),
        (["--path", "circle", "--points", "3"], "no circle through 3 points"),
        (["-o", "walk.bmp"], "walk.bmp"),
    ],
)
def test_what_is_wrong_with_a_walk_is_said(here: Path, capsys: Captured, words: list[str], message: str) -> None:
    train("mine")
    assert run(["vae", "walk", "--model", "mine", *words]) == 2
    assert message in capsys.readouterr().err
