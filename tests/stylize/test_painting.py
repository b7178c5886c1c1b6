"""Training and painting from Python, as the commands do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gencli.core.errors import GencliError, UsageError
from gencli.stylize import StyleTraining, StylizeOptions, restyle, train
from gencli.stylize.painting import Trained, load

Blots = Callable[..., Image.Image]
SMALL: dict[str, Any] = {
    "backbone": "tiny",
    "content_layer": {"conv2_1": 1.0},
    "style_layer": {"conv1_1": 1.0, "conv3_1": 1.0},
    "size": 64,
    "style_size": 64,
    "width": 4,
    "blocks": 1,
    "ends": 3,
    "batch_size": 2,
}


@pytest.fixture
def both(tiny_network: None, tmp_path: Path, blots: Blots) -> Trained:
    """A painter of two styles, trained a little."""
    for index in range(8):
        blots(90, 80, 10 + index).save(tmp_path / f"p{index}.png")
    blots(60, 44, 1).save(tmp_path / "one.png")
    blots(50, 50, 2).save(tmp_path / "two.png")
    styles = [tmp_path / "one.png", tmp_path / "two.png"]
    train(styles, "both", StyleTraining(**SMALL, steps=4), data=[str(tmp_path)], seed=1)
    return load("both")


def test_restyle_paints_with_a_painter_of_the_store(both: Trained, blots: Blots) -> None:
    photograph, options = blots(50, 40, 30), StylizeOptions(size=40)
    made = restyle(photograph, {"one": 1.0}, model="both", options=options)
    assert made.size == (40, 32)
    again = restyle(photograph, {"one": 2.0}, model=both, options=options)
    assert made.tobytes() == again.tobytes()  # weights are relative
    mixed = restyle(photograph, {"one": 1.0, "two": 1.0}, model=both, options=options)
    assert np.abs(np.asarray(mixed, float) - np.asarray(made, float)).max() > 1


def test_what_a_painter_does_not_know_is_said(both: Trained, blots: Blots) -> None:
    with pytest.raises(UsageError, match="both does not know the style three"):
        restyle(blots(50, 40), {"three": 1.0}, model=both)
    with pytest.raises(UsageError, match="both knows several styles"):
        restyle(blots(50, 40), model=both)
    with pytest.raises(GencliError, match="no stylize model called neither"):
        restyle(blots(50, 40), model="neither")


def test_transparency_and_colours_are_kept(both: Trained, blots: Blots) -> None:
    photograph = blots(50, 40, 30).convert("RGBA")
    photograph.putalpha(Image.linear_gradient("L").resize((50, 40)))
    made = restyle(photograph, {"one": 1.0}, model=both, options=StylizeOptions(size=50, keep_color="luminance"))
    assert made.mode == "RGBA"
    before, after = np.asarray(photograph.convert("YCbCr"), float), np.asarray(made.convert("YCbCr"), float)
    assert np.abs(np.asarray(made)[..., 3].astype(int) - np.asarray(photograph)[..., 3]).max() <= 1
    assert np.abs(after - before)[..., 1:].mean() < 3 < np.abs(after - before)[..., 0].mean()
