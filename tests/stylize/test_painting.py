"""Training and painting from Python, as the commands do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gencli.core import store, tiles
from gencli.core.device import Runtime
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import resize
from gencli.stylize import StyleTraining, StylizeOptions, restyle, train
from gencli.stylize.painting import AnyTrained, Trained, drawn_over, knowing, load

Blots = Callable[..., Image.Image]
CPU = Runtime(torch.device("cpu"))
SMALL: dict[str, Any] = {
    "backbone": "tiny",
    "content_layer": {"conv2_1": 1.0},
    "style_layer": {"conv1_1": 1.0, "conv3_1": 1.0},
    "size": 64,
    "style_size": 64,
    "width": 4,
    "blocks": (0, 0, 1),
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


def test_weights_below_nothing_are_refused(both: Trained, blots: Blots) -> None:
    with pytest.raises(UsageError, match="weights must be at least 0"):
        restyle(blots(50, 40), {"one": -1.0, "two": 2.0}, model=both)
    assert both.shares({"@one": 1.0}, 0.5).tolist() == [[0.5, 0.5, 0.0]]


def test_styles_of_the_same_name_are_told_apart(tiny_network: None, tmp_path: Path, blots: Blots) -> None:
    styles = []
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        styles.append(tmp_path / f"{number}" / "style.png")
        blots(60, 44, number).save(styles[-1])
    train(styles, "three", StyleTraining(**SMALL, steps=1), seed=1)
    painter = load("three")
    assert isinstance(painter, Trained) and painter.styles == ("style", "style-2", "style-3")
    assert painter.shares({"style-2": 1.0}, 1.0).tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_a_picture_called_like_an_example_is_not_it(tiny_network: None, tmp_path: Path, blots: Blots) -> None:
    blots(60, 44, 1).save(tmp_path / "swirls.png")
    train([tmp_path / "swirls.png"], "other", StyleTraining(**SMALL, steps=1), seed=1)
    assert knowing({"@swirls": 1.0}, CPU)[0].name == "swirls"
    assert knowing({str(tmp_path / "swirls.png"): 1.0}, CPU)[0].name == "other"


def test_what_does_not_fit_into_the_memory_is_refused(
    both: Trained, blots: Blots, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "free_memory", lambda device: 1 << 20)
    with pytest.raises(GencliError, match=r"a picture of 400 × 320 pixels needs about"):
        restyle(blots(50, 40), {"one": 1.0}, model=both, options=StylizeOptions(size=400))


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


@pytest.fixture
def any_style(tiny_network: None, tmp_path: Path, blots: Blots) -> AnyTrained:
    """A network for any style, trained a little."""
    for index in range(8):
        blots(90, 80, 10 + index).save(tmp_path / f"p{index}.png")
    for name, seed in (("one", 1), ("two", 2)):
        blots(60, 44, seed).save(tmp_path / f"{name}.png")
    options = StyleTraining(**{**SMALL, "any_style": True, "blocks": (0, 5)}, steps=4)
    train([str(tmp_path / "one.png")], "any", options, data=[str(tmp_path)], seed=1)
    found = load("any")
    assert isinstance(found, AnyTrained)
    return found


def array(picture: Image.Image) -> Any:
    return np.asarray(picture.convert("RGB"), float)


def test_restyle_paints_in_the_style_of_any_picture(any_style: AnyTrained, tmp_path: Path, blots: Blots) -> None:
    photograph, options = blots(60, 50, 30), StylizeOptions(size=60)
    one, two = str(tmp_path / "one.png"), str(tmp_path / "two.png")
    made = array(restyle(photograph, {one: 1.0}, model="any", options=options))
    assert made.shape == (50, 60, 3)
    assert np.abs(array(restyle(photograph, {one: 3.0}, model=any_style, options=options)) - made).max() == 0
    other = array(restyle(photograph, {two: 1.0}, model=any_style, options=options))
    mixed = array(restyle(photograph, {one: 3.0, two: 1.0}, model=any_style, options=options))
    assert np.abs(other - made).mean() > 2
    assert 0 < np.abs(mixed - made).mean() < np.abs(mixed - other).mean()
    none = array(restyle(photograph, {one: 1.0}, model=any_style, options=options.replace(strength=0.0)))
    assert np.abs(none - array(photograph)).max() <= 1
    tiles = array(restyle(photograph, {one: 1.0}, model=any_style, options=options.replace(tile=64)))
    assert np.abs(tiles - made).max() <= 1


def test_large_forms_are_settled_first(any_style: AnyTrained, both: Trained, tmp_path: Path, blots: Blots) -> None:
    photograph, one = blots(64, 50, 30), str(tmp_path / "one.png")

    def made(steps: int) -> Any:
        options = StylizeOptions(size=64, strength=0.8, sketch=steps)
        return array(restyle(photograph, {one: 1.0}, model=any_style, options=options))

    assert np.abs(made(4) - made(0)).mean() > 2
    assert np.array_equal(made(4), made(4))
    with pytest.raises(UsageError, match="--sketch is not for painters"):
        both.look({"one": 1.0}, StylizeOptions.build({"sketch": 3}))


def test_over_large_forms_only_what_is_fine_is_drawn() -> None:
    draw = torch.Generator().manual_seed(1)
    sizes = (16, 20), (64, 80), (64, 80)
    forms, painted, photograph = (0.3 + 0.4 * torch.rand(1, 3, *size, generator=draw) for size in sizes)
    made = drawn_over(forms, painted, photograph, 0.5)
    assert made.shape == painted.shape
    small, back = resize(made, (16, 20)), resize(resize(forms, (64, 80)), (16, 20))
    assert (small - back).abs().mean() < 0.1 * (small - resize(painted, (16, 20))).abs().mean()
    flat = torch.full_like(painted, 0.5)
    torch.testing.assert_close(drawn_over(forms, flat, flat, 0.5), resize(forms, (64, 80)), atol=1e-5, rtol=0)


def test_masks_say_where_a_style_is_painted(any_style: AnyTrained, tmp_path: Path, blots: Blots) -> None:
    photograph, options = blots(64, 48, 30), StylizeOptions(size=64)
    mask = Image.new("L", (64, 48))
    mask.paste(255, (0, 0, 32, 48))
    mask.save(tmp_path / "left.png")
    left = str(tmp_path / "left.png")
    one, two = str(tmp_path / "one.png"), str(tmp_path / "two.png")
    made = array(restyle(photograph, {one: 1.0}, model=any_style, masks=[left], options=options))
    changed = np.abs(made - array(photograph))
    assert changed[:, 36:].max() <= 1 < changed[:, :28].mean()
    both = array(restyle(photograph, {one: 1.0, two: 1.0}, model=any_style, masks=[left], options=options))
    assert np.abs(both - array(photograph))[:, 36:].mean() > 1


def test_a_network_for_any_style_keeps_colours_and_needs_a_picture(
    any_style: AnyTrained, tmp_path: Path, blots: Blots
) -> None:
    photograph = blots(50, 40, 30)
    styles = {str(tmp_path / "one.png"): 1.0}
    made = restyle(photograph, styles, model=any_style, options=StylizeOptions(size=50, keep_color="luminance"))
    change = np.abs(np.asarray(made.convert("YCbCr"), float) - np.asarray(photograph.convert("YCbCr"), float))
    assert change[..., 1:].mean() < 3
    with pytest.raises(UsageError, match="any paints in the style of a picture"):
        restyle(photograph, model=any_style)
    with pytest.raises(GencliError, match=r"nothing\.png"):
        restyle(photograph, {"nothing.png": 1.0}, model=any_style)


def test_a_painter_is_chosen_where_one_knows_the_style(both: Trained, any_style: AnyTrained) -> None:
    found, wishes = knowing({"one": 1.0, "@two": 2.0}, CPU)
    assert found.name == "both" and wishes == {"one": 1.0, "two": 2.0}
    assert knowing({"three": 1.0}, CPU)[0].name == "any" == knowing({"one": 1.0}, CPU, any_style=True)[0].name
    with pytest.raises(UsageError, match="--mask is not for painters"):
        both.look({"one": 1.0}, StylizeOptions(), ["mask.png"])


def test_where_nothing_knows_a_style_it_is_said_what_is_known(both: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "built_in", lambda art: [])
    with pytest.raises(GencliError, match="no painter knows one and three") as told:
        knowing({"one": 1.0, "three": 1.0}, CPU)
    assert "there are painters for one, two; train one" in str(told.value.hint)


def test_a_network_for_any_style_sees_with_the_backbone(tiny_network: None) -> None:
    with pytest.raises(UsageError, match="not with an encoder of its own"):
        train([], "any", StyleTraining.build({"any_style": True, "own_encoder": True, "steps": 1}))
