"""Training a painter: it learns, and resumes exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gencli.core import training as loop
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime, generator
from gencli.core.pictures import PictureSet
from gencli.core.recipe import Progress, TrainingOptions
from gencli.core.tensors import pack
from gencli.stylize import arbitrary, training
from gencli.stylize.arbitrary import AnyStyle
from gencli.stylize.feedforward import Painter, initialise
from gencli.stylize.options import StyleTraining
from gencli.stylize.variety import AnyStyleRecipe, part, recolored
from gencli.stylize.whitening import look_at
from tests.pretended import pretended_gpu

CPU = Runtime(torch.device("cpu"))
Recipe = Callable[..., Any]


class Stopped(Exception):
    """Someone pulled the plug."""


def photographs(picture: Callable[..., torch.Tensor]) -> PictureSet:
    return PictureSet(torch.cat([(255 * picture(48, 48, seed)).byte() for seed in range(9)]), fingerprint="photographs")


@pytest.fixture
def recipe(tiny: Any, picture: Callable[..., torch.Tensor]) -> Recipe:
    """A small painter's training; of another seed, what a resume must put right."""

    def make(seed: int = 1, runtime: Runtime = CPU, backbone: Any = None, **changes: Any) -> training.StyleRecipe:
        options = StyleTraining(
            **{
                "width": 4,
                "blocks": (0, 1, 1),
                "ends": 3,
                "size": 32,
                "batch_size": 3,
                "rate": 1e-2,
                "pooling": "average",
            },
            content_layer={"conv2_2": 1.0},
            style_layer={"conv1_1": 1.0, "conv3_1": 1.0},
            **changes,
        )
        styles = [picture(80, 60, 77).float(), 1 - picture(80, 60, 78).float()]
        styles = [one.to(runtime.device) for one in styles]
        backbone = (backbone or tiny("average", dtype=torch.float32)).to(runtime.device)
        net = Painter(training.form(options, 2, backbone))
        initialise(net, generator(seed), styles)
        return training.StyleRecipe(net, options, backbone, styles, photographs(picture), runtime, seed)

    return make


@pytest.fixture
def any_recipe(tiny: Any, picture: Callable[..., torch.Tensor]) -> Recipe:
    """A recipe for any style."""

    def make(seed: int = 1, runtime: Runtime = CPU, backbone: Any = None) -> AnyStyleRecipe:
        options = StyleTraining.build({}, "any").replace(
            width=6, blocks=(0, 1, 1), ends=3, size=32, style_size=40, batch_size=2, rate=2e-3, pooling="average",
            content_layer={"conv2_2": 1.0}, style_layer={"conv1_1": 1.0, "conv3_1": 1.0},
        )  # fmt: skip
        encoder = (backbone or tiny("average", dtype=torch.float32)).to(runtime.device)
        styles = [picture(40, 30, each).float().to(runtime.device) for each in (77, 78, 79)]
        net = AnyStyle(training.form(options, 3, encoder))
        arbitrary.initialise(net, generator(seed), look_at(encoder, styles, net.layers, runtime))
        return AnyStyleRecipe(net, options, encoder, styles, photographs(picture), runtime, seed)

    return make


def run(
    folder: Path,
    made: training.PaintingRecipe,
    pictures: PictureSet,
    steps: int,
    *,
    resume: bool = False,
    stop_at: int = 0,
) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stopped

    config = {"art": "stylize", "kind": "painter", "options": {}}
    durations = TrainingOptions(steps=steps, evaluate_steps=4)
    order = training.batches(pictures, made.options, CPU, 1)
    return loop.train(made, order, folder, config=config, options=durations, runtime=CPU, resume=resume, report=report)


@pytest.mark.parametrize("changes", [{}, {"average": 0.0, "style_loss": "gram", "tv": 0.5, "own_encoder": True}])
def test_stopped_and_resumed_is_bit_identical(
    tmp_path: Path, recipe: Recipe, picture: Callable[..., torch.Tensor], changes: dict[str, Any]
) -> None:
    check_resume(tmp_path, partial(recipe, **changes), photographs(picture))


@pytest.mark.parametrize("any_style", [False, True])
def test_nothing_of_a_step_lies_on_the_wrong_device(
    recipe: Recipe, any_recipe: Recipe, tiny: Any, picture: Callable[..., torch.Tensor], any_style: bool
) -> None:
    pictures, backbone = photographs(picture), tiny("average", dtype=torch.float32)
    with pretended_gpu() as gpu:
        made = (any_recipe if any_style else recipe)(runtime=gpu, backbone=backbone)
        if any_style:  # which it draws, by numbers that do not exist here
            made.drawn = lambda: made.study(recolored(part(made.pictures[0], 30, (0.5, 0.5, 0.5)), (0.2, 0.7)))
        losses = made.step(training.batches(pictures, made.options, gpu, 1).batch(0, 0), 0.5)
        assert {value.device for value in losses.values()} == {gpu.device}
        painted, style, content = made.of_shown()
        assert {painted.device, style.device, content.device} == {gpu.device}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_it_alike(recipe: Recipe, picture: Callable[..., torch.Tensor]) -> None:
    gpu = Runtime(torch.device("cuda"))
    there, here = recipe(runtime=gpu), recipe()
    before = here.evaluate()
    assert there.evaluate() == pytest.approx(before, rel=2e-2)
    for made, runtime in ((there, gpu), (here, CPU)):
        order = training.batches(photographs(picture), made.options, runtime, 1)
        for step in range(30):
            losses = made.step(order.batch(*divmod(step, len(order))), step / 30)
        assert all(bool(value.isfinite()) for value in losses.values())
    # noise and strengths are drawn on each device
    assert there.evaluate() == pytest.approx(here.evaluate(), rel=0.4) and there.evaluate()["style"] < before["style"]


def test_so_is_the_training_for_any_style(
    tmp_path: Path, any_recipe: Recipe, picture: Callable[..., torch.Tensor]
) -> None:
    check_resume(tmp_path, any_recipe, photographs(picture))


def check_resume(tmp_path: Path, recipe: Callable[..., training.PaintingRecipe], pictures: PictureSet) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, recipe(), pictures, 7)
    with pytest.raises(Stopped):  # a state of step 4 is on the disk
        run(parts, recipe(), pictures, 7, stop_at=6)
    run(parts, recipe(seed=2), pictures, 7, resume=True)
    tensors: list[dict[str, torch.Tensor]] = [{}, {}]
    for folder, found in zip((whole, parts), tensors, strict=True):
        state = read_state(folder)
        pack({name: state[name] for name in ("modules", "optimizers", "generators")}, found)
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_it_comes_nearer_to_the_styles(tmp_path: Path, recipe: Recipe, picture: Callable[..., torch.Tensor]) -> None:
    made = recipe()
    before = made.evaluate()
    assert before["style"] < 1  # the colours are there
    after = run(tmp_path / "model", made, photographs(picture), 120).evaluation
    assert after["style"] < 0.9 * before["style"]
    assert made.preview().width > 6 * 32


def test_it_learns_to_come_nearer_to_any_style(
    tmp_path: Path, any_recipe: Recipe, picture: Callable[..., torch.Tensor]
) -> None:
    made = any_recipe()
    before = made.evaluate()
    after = run(tmp_path / "model", made, photographs(picture), 200).evaluation
    assert after["style"] < 0.95 * before["style"] < 0.9
    assert made.preview().width > 6 * 32


def test_strengths_are_usual_in_half_of_the_pictures(recipe: Recipe) -> None:
    found = recipe().strengths(4000)
    assert found.min() >= training.LEAST and found.max() <= 1
    assert float((found == training.USUAL).float().mean()) == pytest.approx(0.5, abs=0.03)
    others = found[found != training.USUAL]
    assert float(others.mean()) == pytest.approx((1 + training.LEAST) / 2, abs=0.02)
