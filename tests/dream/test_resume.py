"""`gencli dream train` killed at any moment and resumed ends with the bits of a run left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gencli.core import store
from gencli.core.tensors import read_tensors

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("remembered_layout"),
    pytest.mark.skipif(os.name != "posix", reason="SIGKILL"),
]
EPOCHS, EPOCH = 12, 10  # steps an epoch
OPTIONS = "--widths 4,6 --depths 1,2 --sizes 8,16 --batch-size 8 --held-out 0.1667 --seed 3 --threads 1 --quiet"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """96 small pictures of three hues; 80 of them are trained on."""
    draw = np.random.default_rng(0)
    for index in range(96):
        label = index % 3
        pixels = draw.integers(0, 120, (16, 16, 3), dtype=np.uint8)
        pixels[:, :, label] += 100
        folder = tmp_path / "photos" / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "photos"


@pytest.fixture
def command(photos: Path) -> Callable[..., list[str]]:
    def words(name: str, *more: str, epochs: int = EPOCHS) -> list[str]:
        given = f"dream train --data {photos} --name {name} --epochs {epochs} {OPTIONS}"
        return [*given.split(), *more]

    return words


@pytest.fixture
def start(
    tmp_path: Path, gencli_environment: Callable[[], dict[str, str]], command: Callable[..., list[str]]
) -> Callable[..., subprocess.Popen[bytes]]:
    """A training in a process of its own, begun or resumed."""

    def run(name: str, *more: str) -> subprocess.Popen[bytes]:
        resume = ["--resume"] if (folder(tmp_path, name) / "config.json").exists() else []
        return subprocess.Popen(
            [sys.executable, "-m", "gencli", *command(name, *resume, *more)],
            env=gencli_environment(),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    return run


def folder(tmp_path: Path, name: str) -> Path:
    return tmp_path / "home" / "models" / "dream" / name


def step_of(model: Path) -> int:
    """The last step the log knows of."""
    try:
        lines = (model / "metrics.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, IndexError, ValueError):
        return 0


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors.decode()


def kill(process: subprocess.Popen[bytes], model: Path, after_step: int, delay: float) -> bool:
    """`kill -9` once the log has come to a step, and a moment later; whether it was still running."""
    deadline = time.monotonic() + 400
    while step_of(model) < after_step and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in {-signal.SIGKILL, 0}, errors.decode()
    return alive


def bits(model: Path) -> dict[str, dict[str, torch.Tensor]]:
    """Weights, and all of the training's state: optimizer, running means, sums of losses."""
    (state,) = (model / "train").glob("state-*.safetensors")
    return {"weights": read_tensors(model / "model.safetensors")[0], state.name: read_tensors(state)[0]}


def assert_same_bits(one: Path, other: Path) -> None:
    found, wanted = bits(one), bits(other)
    assert found.keys() == wanted.keys()
    for part, tensors in wanted.items():
        assert found[part].keys() == tensors.keys()
        for name, value in tensors.items():
            assert torch.equal(found[part][name], value), f"{part}: {name}"


def figures(model: Path) -> list[Any]:
    """The log without its clock."""
    lines = [json.loads(line) for line in (model / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in {"seconds", "rate"}} for line in lines]


def test_killed_twice_and_resumed(
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[bytes]],
    command: Callable[..., list[str]],
    run_gencli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    killed = folder(tmp_path, "killed")
    finish(start("whole"))
    assert kill(start("killed"), killed, 2 * EPOCH, 0.02)

    changed = run_gencli(*command("killed", "--resume", "--batch-size", "16"))
    assert changed.returncode == 2
    assert "batch_size: 8 → 16" in changed.stderr and "other options" in changed.stderr

    assert kill(start("killed"), killed, 6 * EPOCH, 0.05)
    assert not json.loads((killed / "config.json").read_text())["finished"]
    finish(start("killed"))
    assert_same_bits(killed, folder(tmp_path, "whole"))
    assert figures(killed) == figures(folder(tmp_path, "whole"))
    assert json.loads((killed / "config.json").read_text())["finished"]


def test_one_training_of_a_name_at_a_time(
    tmp_path: Path,
    command: Callable[..., list[str]],
    run_gencli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Refused at once, not after the pictures were read."""
    with store.lock(folder(tmp_path, "taken")):
        done = run_gencli(*command("taken", "--data", str(tmp_path / "nowhere")))
    assert done.returncode == 1
    assert "taken is being trained by another process" in done.stderr
    assert not folder(tmp_path, "taken").exists()


def test_interrupted_and_resumed(
    tmp_path: Path,
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    """Ctrl-C finishes the step, saves, says how to go on, and exits 130."""
    model = folder(tmp_path, "stopped")
    process = start("stopped")
    while step_of(model) < EPOCH and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 130
    said = errors.decode()
    assert "everything is saved" in said and "Traceback" not in said
    assert f"gencli dream train --name stopped --data {tmp_path / 'photos'} --resume" in said


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_twenty_random_moments(tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]) -> None:
    """Half of them at a step of the training, half at any time after the start: imports, reading, saving."""
    chance = random.Random(1)
    model, more = folder(tmp_path, "killed"), ("--epochs", "30")
    finish(start("whole", *more))
    steps = sorted(chance.randrange(30 * EPOCH) for _ in range(10))
    hit = 0
    for step in steps:
        hit += kill(start("killed", *more), model, step, chance.uniform(0, 0.2))
        hit += kill(start("killed", *more), model, 0, chance.uniform(0, 6))
    assert hit >= 10  # some may come after the end on a fast machine
    finish(start("killed", *more))
    assert_same_bits(model, folder(tmp_path, "whole"))
    assert figures(model) == figures(folder(tmp_path, "whole"))
