"""`gencli dream` as people run it: real processes, real files, a tiny random network."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

LAYER = "--backbone tiny --layer conv2_2"
QUICK = f"{LAYER} --size 48 --steps 2 --threads 1 --no-preview".split()
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _network(tiny_network: None) -> None:
    """All look through it."""


@pytest.fixture
def pictures(tmp_path: Path, blots: Callable[..., Image.Image]) -> Path:
    blots(60, 40).save(tmp_path / "photo.jpg", quality=95)
    blots(40, 50, 1).save(tmp_path / "other.png")
    mask = Image.new("L", (60, 40))
    mask.paste(255, (0, 0, 30, 40))
    mask.save(tmp_path / "mask.png")
    return tmp_path


def values(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(np.int64)


def test_a_dream_and_how_it_was_made(pictures: Path, run_gencli: RunGencli) -> None:
    done = run_gencli("dream", "photo.jpg", "--seed", "7", *QUICK)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "photo-dream.png\n"
    with Image.open(pictures / "photo-dream.png") as dreamt:
        assert dreamt.size == (48, 32)
        assert dreamt.info["Seed"] == "7" and dreamt.info["Command"].startswith("gencli dream photo.jpg")
    nothing = run_gencli("dream", "photo.jpg", "--seed", "7", *QUICK, "--strength", "0", "-o", "same.png")
    assert nothing.returncode == 0, nothing.stderr
    assert np.abs(values(pictures / "photo-dream.png") - values(pictures / "same.png")).mean() > 2


def test_a_guide_a_class_a_channel_and_a_mask(pictures: Path, run_gencli: RunGencli) -> None:
    steered = ["--guide", "other.png=0.5", "--class", "a", "--channel", "conv3_1:2=-1", "--guide-layer", "conv2_1"]
    done = run_gencli("dream", "photo.jpg", *QUICK, *steered, "--mask", "mask.png", "--json", "--seed", "1")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["output"] == "photo-dream.png" and record["seed"] == 1
    run_gencli("dream", "photo.jpg", *QUICK, "--strength", "0", "-o", "same.png")
    change = np.abs(values(pictures / "photo-dream.png") - values(pictures / "same.png"))
    assert change[:, :22].mean() > 2 and change[:, 26:].max() == 0


def test_through_pipes_and_into_a_folder(pictures: Path, run_gencli: RunGencli) -> None:
    done = run_gencli("dream", "photo.jpg", "other.png", *QUICK, "-o", "dreams/")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (pictures / "dreams").iterdir()) == ["other-dream.png", "photo-dream.png"]
    twice = run_gencli("dream", "-", "-", *QUICK)
    assert twice.returncode == 2 and "standard input can be read once only" in twice.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["photo.jpg", "--layer", "conv9_1"], "no layer conv9_1"),
        (["photo.jpg", "--channel", "conv2_2"], "expected LAYER:NUMBER"),
        (["photo.jpg", "--class", "cat"], "no class cat"),
        (["photo.jpg", "--smooth", ""], "--smooth"),
        (["nothing.jpg"], "nothing.jpg"),
        (["photo.jpg", "--zoom", "1.1"], "--zoom is for films"),
        (["photo.jpg", "other.png", "--frames", "3"], "one photograph"),
        (["photo.jpg", "--guide", "none.png"], "none.png"),
        (["photo.jpg", "--frames", "3", "--save-every", "2"], "--save-every is for photographs"),
        (["photo.jpg", "--frames", "3", "--mask", "mask.png"], "not for a zoom"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_dreamt(pictures: Path, run_gencli: RunGencli, arguments: list[str], words: str) -> None:
    done = run_gencli("dream", *arguments, "--backbone", "tiny", "--size", "48", "--steps", "1")
    assert done.returncode in {1, 2}
    assert words in done.stderr and "Traceback" not in done.stderr
    assert [path for path in pictures.iterdir() if "dream" in path.name] == []


def test_a_zoom_is_gone_on_with(
    pictures: Path, run_gencli: RunGencli, gencli_environment: Callable[[], dict[str, str]]
) -> None:
    film = ["dream", "photo.jpg", *QUICK, "--octaves", "1", "--fps", "10"]
    whole = run_gencli(*film, "--frames", "4", "--seed", "3", "-o", "whole.gif")
    assert whole.returncode == 0, whole.stderr
    with Image.open(pictures / "whole.gif") as made:
        assert made.n_frames == 4 and made.size == (48, 32)  # type: ignore[attr-defined]
    assert not (pictures / "whole.gif.frames").exists()

    frames = pictures / "part.gif.frames"
    process = subprocess.Popen(
        [sys.executable, "-m", "gencli", *film, "--frames", "100000", "--seed", "3", "-o", "part.gif"],
        env=gencli_environment(),
        cwd=pictures,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 90
    while not (frames / "000002.png").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert not (pictures / "part.gif").exists()

    refused = run_gencli(*film, "--frames", "4", "-o", "part.gif")
    assert refused.returncode == 2 and "--resume" in refused.stderr
    resumed = run_gencli(*film, "--frames", "4", "-o", "part.gif", "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["seed"] == 3 and not frames.exists()
    pixels = []
    for name in ("whole.gif", "part.gif"):
        with Image.open(pictures / name) as made:
            pixels.append([frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(made)])
    assert pixels[0] == pixels[1]


def test_over_an_animation(pictures: Path, run_gencli: RunGencli, blots: Callable[..., Image.Image]) -> None:
    moving = [blots(48, 32, 5).rotate(3 * turn) for turn in range(3)]
    moving[0].save(pictures / "film.gif", save_all=True, append_images=moving[1:], duration=50)
    done = run_gencli("dream", "film.gif", *QUICK, "--octaves", "1", "--frame-steps", "1", "-o", "dream.png")
    assert done.returncode == 0, done.stderr
    with Image.open(pictures / "dream.png") as made:
        assert made.n_frames == 3 and made.info["duration"] == 50  # type: ignore[attr-defined]
        assert len({frame.tobytes() for frame in ImageSequence.Iterator(made)}) == 3


def test_layers_explore_and_visualize(pictures: Path, run_gencli: RunGencli) -> None:
    done = run_gencli("dream", "layers", "--backbone", "tiny", "--picture", "photo.jpg", "--json")
    assert done.returncode == 0, done.stderr
    layers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [layer["layer"] for layer in layers][:2] == ["conv1_1", "pool1"] and len(layers[0]["strongest"]) == 4

    quick = ["--backbone", "tiny", "--threads", "1", "--seed", "2"]
    done = run_gencli("dream", "explore", "photo.jpg", *quick, "--count", "3", "--side", "48", "--steps", "1", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["output"] == "photo-explored.png" and len(record["settings"]) == 3
    chosen = record["settings"][1]
    flags = [f"--layer={name}={weight}" for name, weight in chosen["layer"].items()] + ["--seed", str(chosen["seed"])]
    assert run_gencli("dream", "photo.jpg", *quick[:4], "--size", "48", "--steps", "1", *flags).returncode == 0

    small = ["--size", "32", "--steps", "2"]
    done = run_gencli("dream", "visualize", *quick, *small, "--channel", "conv2_2:1", "--class", "b", "--each")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "tiny-visualized.png\n"
    with Image.open(pictures / "tiny-visualized.png") as sheet:
        assert sheet.width > 2 * 32
