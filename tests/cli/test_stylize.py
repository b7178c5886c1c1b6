"""`gencli stylize` as people run it: real processes, real files, a tiny random network."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencli import app
from gencli.stylize import StylizeOptions, optimize, stylize

LOOK = "--backbone tiny --content-layer conv2_2 --style-layer conv1_1 --style-layer conv3_1=2"
QUICK = f"{LOOK} --size 48 --start-size 48 --iterations 4 --threads 1 --no-preview".split()
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _network(tiny_network: None) -> None:
    """All look through it."""


@pytest.fixture
def pictures(tmp_path: Path, blots: Callable[..., Image.Image]) -> Path:
    blots(60, 40).save(tmp_path / "photo.jpg", quality=95)
    blots(40, 50, 1).save(tmp_path / "painting.png")
    blots(30, 30, 2).save(tmp_path / "other.png")
    return tmp_path


# ------------------------------------------------------------------ results


def test_a_picture_with_its_default_name(pictures: Path, run_gencli: RunGencli) -> None:
    """The name comes from the inputs, is printed, and never overwrites; the picture says how it was made."""
    (pictures / "photo-painting.png").write_bytes(b"somebody's")
    done = run_gencli("stylize", "photo.jpg", "painting.png", "--seed", "7", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "photo-painting-2.png\n"
    assert (pictures / "photo-painting.png").read_bytes() == b"somebody's"
    with Image.open(pictures / "photo-painting-2.png") as painted:
        assert painted.size == (48, 32) and painted.mode == "RGB"
        assert painted.info["Seed"] == "7"
        assert painted.info["Command"].startswith("gencli stylize photo.jpg painting.png --seed 7")
        assert painted.info["Software"].startswith("gencli ")
        assert np.asarray(painted).std() > 10


def test_through_pipes(
    pictures: Path, gencli_environment: Callable[[], dict[str, str]], blots: Callable[..., Image.Image]
) -> None:
    """Bytes in, PNG bytes out and nothing else; transparency goes through."""
    photograph = blots(60, 40).convert("RGBA")
    photograph.putalpha(Image.linear_gradient("L").resize((60, 40)))
    buffer = io.BytesIO()
    photograph.save(buffer, "PNG")
    done = subprocess.run(
        [sys.executable, "-m", "gencli", "stylize", "-", "painting.png", "-o", "-", *QUICK],
        input=buffer.getvalue(),
        env=gencli_environment(),
        cwd=pictures,
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    with Image.open(io.BytesIO(done.stdout)) as painted:
        assert painted.format == "PNG" and painted.mode == "RGBA" and painted.size == (48, 32)
        alpha = np.asarray(painted)[..., 3]
    assert alpha[0].mean() < 20 and alpha[-1].mean() > 235
    assert done.stdout.endswith(b"IEND\xaeB`\x82")
    assert not list(pictures.glob("*painting-*")) and not list(pictures.glob("stdin*"))


def test_several_photographs_into_a_folder_as_json(
    pictures: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    given = ["photo.jpg", "other.png", "--style", "painting.png=2", "--style", "@ink=1"]
    more = ["-o", "out/", "--format", "webp", "--json", "--save-every", "2"]
    assert app.run(["stylize", *given, *more, *QUICK]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    stem = "painting-ink"
    assert [Path(line["output"]).name for line in lines] == [f"photo-{stem}.webp", f"other-{stem}.webp"]
    assert {"output", "seed", "seconds", "content", "styles", "size"} <= lines[0].keys()
    assert lines[0]["content"] == "photo.jpg" and lines[0]["styles"] == ["painting.png", "@ink"]
    assert lines[0]["seed"] == lines[1]["seed"]
    found = sorted(path.name for path in (pictures / "out").iterdir())
    between = [f"{name}-{stem}-step-{step:04}.webp" for name in ("other", "photo") for step in (2, 4)]
    assert found == sorted([f"photo-{stem}.webp", f"other-{stem}.webp", *between])
    with Image.open(pictures / "out" / f"other-{stem}.webp") as painted:
        assert painted.format == "WEBP" and painted.size == (48, 48)


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing.jpg", "painting.png"], 1, ["nothing.jpg"]),
        (["photo.jpg", "other.png", "nothing.jpg", "--style", "painting.png", "-o", "out/"], 1, ["nothing.jpg"]),
        (["photo.jpg", "painting.png", "other.png", "--style-weight", "1,2,3"], 2, ["--style-weight"]),
        (["photo.jpg", "@nowhere"], 2, ["@nowhere", "@swirls"]),
        (["photo.jpg", "painting.png", "--strength", "1.5"], 2, ["--strength", "0 to 1"]),
        (["photo.jpg", "painting.png", "-o", "result.xyz"], 2, ["result.xyz", "png"]),
        (["photo.jpg", "painting.png", "--style-layer", "conv9_9"], 2, ["conv9_9", "conv1_1"]),
        (["photo.jpg", "painting.png", "--backbone", "nobody"], 2, ["nobody", "tiny"]),
        (["photo.jpg"], 2, ["photograph and a style"]),
        (["photo.jpg", "painting.png", "--mask", "other.png", "--mask", "other.png"], 2, ["--mask"]),
        (["photo.jpg", "painting.png", "-o", "-", "--save-every", "2"], 2, ["--save-every"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_errors(
    pictures: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    said: list[str],
) -> None:
    """Said before any work, in one error and one hint; nothing is written."""
    monkeypatch.chdir(pictures)
    monkeypatch.setattr(optimize, "descend", lambda *_: pytest.fail("the work had begun"))
    before = sorted(pictures.iterdir())
    quick = [] if "--backbone" in arguments else QUICK
    assert app.run(["stylize", *arguments, *quick]) == code
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.count("error: ") == 1 and "Traceback" not in errors and "fault of gencli" not in errors
    for text in said:
        assert text in errors
    assert sorted(pictures.iterdir()) == before


def test_weights_that_must_be_fetched(
    pictures: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    assert app.run(["stylize", "photo.jpg", "painting.png", "--preset", "gatys"]) == 3
    output, errors = capfd.readouterr()
    assert output == ""
    for text in (
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
        str(pictures / "home" / "weights"),
        "dcbb9e9d",
    ):
        assert text in errors


# ------------------------------------------------------------------ interrupted


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("signalled", "code", "output"),
    [
        (signal.SIGINT, 130, None),
        (signal.SIGTERM, 143, None),
        pytest.param(signal.SIGINT, 130, "mine.jpg", marks=pytest.mark.slow),
    ],
)
def test_what_stops_it_leaves_the_picture_so_far(
    pictures: Path,
    gencli_environment: Callable[[], dict[str, str]],
    signalled: signal.Signals,
    code: int,
    output: str | None,
) -> None:
    long = [*QUICK, "--iterations", "100000", "--optimizer", "sgd", "--save-every", "3"]
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "gencli", "stylize", "photo.jpg", "painting.png"],
            *(["-o", output] if output else ["--json"]),
            *long,
        ],
        env=gencli_environment(),
        cwd=pictures,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not list(pictures.glob("*-step-0006*")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signalled)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "the work was cut short" in errors and "Traceback" not in errors
    assert ("interrupted" in errors) == (signalled == signal.SIGINT)
    name = output or "photo-painting.png"
    if output:
        assert printed == f"{name}\n"
    else:
        written = json.loads(printed)
        assert (written["output"], written["unfinished"]) == (name, True)
    with Image.open(pictures / name) as painted:
        painted.load()
        assert painted.size == (48, 32)
    assert not list(pictures.glob(".*.part"))


def test_names_with_an_equals_sign_and_pictures_that_move(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(pictures)
    Path("painting.png").rename("a=b.png")
    frames = [Image.new("RGB", (48, 32), color) for color in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    assert app.run(["stylize", "moving.gif", "--style", "a=b.png", "-o", "out.png", "--seed", "1", *QUICK]) == 0
    assert "moving.gif moves: its first picture is painted" in capsys.readouterr().err


def test_python_and_the_command_line_agree(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    given = ["photo.jpg", "painting.png", "-o", "a.png", "--init", "noise", "--seed", "3"]
    assert app.run(["stylize", *given, *QUICK]) == 0
    layers: dict[str, Any] = {
        "content_layer": {"conv2_2": 1.0},
        "style_layer": {"conv1_1": 1.0, "conv3_1": 2.0},
    }
    options = StylizeOptions(**layers, backbone="tiny", size=48, start_size=48, iterations=4, init="noise")
    painted = stylize("photo.jpg", "painting.png", options=options, seed=3)
    with Image.open(pictures / "a.png") as other:
        assert np.array_equal(np.asarray(other), np.asarray(painted))
