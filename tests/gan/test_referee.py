"""The referee watches real games: those that are set up to fail it finds out, and of good ones it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gencli.core import store
from gencli.core.device import Runtime
from gencli.core.errors import GencliError
from gencli.gan import learning
from gencli.gan.options import GanTraining

SMALL: dict[str, Any] = {"size": 16, "latent": 16, "widths": (16, 32), "d_widths": (16, 32), "batch_size": 16}

pytestmark = pytest.mark.slow


def game(data: str, steps: int, **changes: Any) -> list[str]:
    """What the referee said in a game, and what ended it."""
    options = GanTraining.build({**SMALL, "steps": steps, **changes})
    told = []
    try:
        learning.train([data], "game", options, seed=1, runtime=Runtime(torch.device("cpu")))
    except GencliError as error:
        told.append(error.message)
    lines = (json.loads(line) for line in (store.find("gan", "game").folder / store.METRICS).read_text().splitlines())
    return [remark for line in lines for remark in line.get("remarks", [])] + told


@pytest.fixture
def one_picture(tmp_path: Path) -> str:
    (tmp_path / "one").mkdir()
    Image.linear_gradient("L").resize((40, 40)).save(tmp_path / "one" / "it.png")
    return str(tmp_path / "one")


def test_a_rate_a_hundred_times_too_high() -> None:
    told = game("@digits:2000", 600, rate=100 * GanTraining().rate)
    assert any("back to step" in one for one in told), told


def test_a_generator_that_is_frozen() -> None:
    told = game("@digits:2000", 400, rate=0.0, d_rate=1e-3)
    assert any("the generator does not change" in one for one in told), told


def test_a_set_of_one_picture(one_picture: str) -> None:
    told = game(one_picture, 300)
    assert any("the pictures of the set are all the same" in one for one in told), told


@pytest.mark.parametrize("changes", [{}, {"conditional": "labels"}, {"loss": "hinge", "norm": "spectral"}], ids=str)
def test_of_good_games_it_says_nothing(changes: dict[str, Any]) -> None:
    assert game("@digits:5000", 1000, **changes) == []
