"""Training a backbone: the network's size, courses of rate and picture size, targets, export, and learning."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gencli.core import backbones, weights
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.pictures import Batch, PictureSet
from gencli.core.recipe import up_and_down
from gencli.core.training import Progress, TrainingOptions, train
from gencli.dream.options import BackboneTraining
from gencli.dream.training import (
    TURNS,
    WARM_UP,
    ClassifierRecipe,
    batches,
    confused,
    describe,
    initialise,
    picture_size,
    turned,
    widths_and_depths,
)
from tests.pretended import pretended_gpu

pytestmark = pytest.mark.usefixtures("remembered_layout")
CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {"widths": (4, 6), "depths": (1, 2), "sizes": (8, 16), "batch_size": 8}


def drawn(count: int, classes: int, side: int = 16, seed: int = 0) -> PictureSet:
    """Noise in a hue of each class."""
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    hues = np.stack([np.cos(2 * np.pi * (labels / classes + k / 3)) for k in range(3)], 1)
    pictures = 128 + 60 * hues[:, :, None, None] + draw.normal(0, 30, (count, 3, side, side))
    stored = torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))
    names = tuple(f"class{i}" for i in range(classes))
    return PictureSet(stored, torch.from_numpy(labels), names, fingerprint=f"drawn {count} {classes} {seed}")


def recipe(classes: int = 3, soft: Tensor | None = None, runtime: Runtime = CPU, **options: Any) -> ClassifierRecipe:
    return ClassifierRecipe(BackboneTraining(**{**TINY, **options}), drawn(24, classes, seed=1), runtime, 5, soft)


def test_nothing_of_a_step_lies_on_the_wrong_device() -> None:
    pictures = drawn(24, 3)
    with pretended_gpu() as gpu:
        made = recipe(runtime=gpu)
        losses = made.step(batches(pictures, made.options, gpu, 0).batch(0, 0), 0.5)
        assert {value.device for value in losses.values()} == {gpu.device}


# ------------------------------------------------------------------ the network


def test_parameters_of_the_default_network() -> None:
    """3 × 3 convolutions without bias, two numbers a channel for batch norm, and the linear layer."""
    made = ClassifierRecipe(BackboneTraining(), drawn(200, 200), CPU, 0)
    channels = [3, 32, 64, 64, 128, 128, 192, 192, 256, 256]
    convolutions = sum(9 * before * after for before, after in pairwise(channels))
    expected = convolutions + 2 * sum(channels[1:]) + 256 * 200 + 200
    assert sum(p.numel() for p in made.net.parameters()) == expected == 1_916_520
    decayed, others = made.optimizer.param_groups
    assert sum(p.numel() for p in decayed["params"]) == convolutions + 256 * 200
    assert (decayed["weight_decay"], others["weight_decay"]) == (5e-4, 0.0)
    assert made.net.layers[0] == "conv1_1" and made.net.layers[-1] == "conv5_2"


def test_same_seed_same_start() -> None:
    one, same = recipe(), recipe()
    other = ClassifierRecipe(BackboneTraining(**TINY), drawn(24, 3), CPU, 6)
    for name, value in one.net.state_dict().items():
        assert torch.equal(value, same.net.state_dict()[name])
    assert not torch.equal(one.net.stages["conv1_1"][0].weight, other.net.stages["conv1_1"][0].weight)


def test_start_keeps_the_variance() -> None:
    """He et al. 2015: the variance of a weight is 2 / (outputs · 9)."""
    convolution, linear = nn.Conv2d(64, 128, 3), nn.Linear(64, 10)
    initialise(nn.Sequential(convolution, linear), torch.Generator().manual_seed(0))
    assert float(convolution.weight.detach().std()) == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    assert float(linear.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert float(linear.bias.detach().abs().max()) == 0


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"widths": (4, 6), "depths": (1,)}, "--widths has 2 blocks and --depths 1"),
        ({"sizes": (8,), "widths": (2,) * 5, "depths": (1,) * 5}, "--sizes 8 vanishes in 5 blocks"),
        ({"rate": -1.0}, "--rate"),
        ({"widths": (0, 4), "depths": (1, 1)}, "--widths"),
        ({"schedule": "steps"}, "--schedule"),
    ],
)
def test_options_are_checked(given: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        BackboneTraining(**given)


# ------------------------------------------------------------------ courses


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_learning_rate(schedule: str) -> None:
    warm_up = WARM_UP[schedule]
    assert up_and_down(0, warm_up) == pytest.approx(0.05)
    assert up_and_down(warm_up / 2, warm_up) == pytest.approx(0.525)
    assert up_and_down(warm_up, warm_up) == pytest.approx(1)
    assert up_and_down((1 + warm_up) / 2, warm_up) == pytest.approx(0.5)
    assert up_and_down(1, warm_up) == pytest.approx(0)
    course = [up_and_down(i / 1000, warm_up) for i in range(1001)]
    top = course.index(max(course))
    assert course[: top + 1] == sorted(course[: top + 1])
    assert course[top:] == sorted(course[top:], reverse=True)
    assert recipe(schedule=schedule).rate(0.3) == up_and_down(0.3, warm_up)


def test_picture_size() -> None:
    def course(sizes: tuple[int, ...], grow_at: float) -> list[int]:
        options = BackboneTraining(sizes=sizes, grow_at=grow_at)
        return [picture_size(options, i / 10) for i in range(11)]

    assert course((32, 64), 0.8) == [32] * 8 + [64] * 3
    assert course((32, 48, 64), 0.8) == [32] * 4 + [48] * 4 + [64] * 3
    assert course((64,), 0.8) == [64] * 11
    assert course((32, 64), 0.0) == [64] * 11
    assert course((32, 64), 1.0) == [32] * 10 + [64]


def test_pictures_are_trained_at_the_size_they_have_come_to() -> None:
    made = recipe(grow_at=0.5)
    seen: list[int] = []
    made.net.stages["conv1_1"].register_forward_hook(lambda m, given, output: seen.append(output.shape[-1]))
    data = batches(drawn(24, 3), made.options, CPU, 0)
    for progress in (0.0, 0.4, 0.5, 0.9):
        made.step(data.batch(0, 0), progress)
    assert seen == [8, 8, 16, 16]


# ------------------------------------------------------------------ targets


def batch_of(labels: list[int], indices: list[int]) -> Batch:
    count = len(labels)
    return Batch(
        torch.rand(count, 3, 16, 16),
        torch.tensor(labels),
        torch.tensor(indices),
        torch.zeros(count, dtype=torch.bool),
    )


def test_label_smoothing() -> None:
    targets = recipe(classes=4, label_smoothing=0.2).targets(torch.tensor([2, 0]), batch_of([2, 0], [0, 1]))
    expected = torch.tensor([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05]])
    torch.testing.assert_close(targets, expected)


def test_label_smoothing_is_pytorchs() -> None:
    made, batch = recipe(classes=4, label_smoothing=0.1), batch_of([3, 1, 0], [0, 1, 2])
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    assert batch.labels is not None
    ours = nn.functional.cross_entropy(logits, made.targets(batch.labels, batch))
    torch.testing.assert_close(ours, nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.1))


def test_teachers_share_of_the_targets() -> None:
    soft = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))
    soft = (soft / soft.sum(1, keepdim=True)).half()
    batch = batch_of([1, 2], [7, 4])
    labels = torch.tensor([1, 2])
    alone = recipe(label_smoothing=0.1).targets(labels, batch)
    mixed = recipe(label_smoothing=0.1, soft=soft, teacher_weight=0.25).targets(labels, batch)
    torch.testing.assert_close(mixed, 0.75 * alone + 0.25 * soft[[7, 4]].float())
    torch.testing.assert_close(mixed.sum(1), torch.ones(2), atol=1e-3, rtol=0)


# ------------------------------------------------------------------ figures, export


def test_figures_of_a_known_network() -> None:
    """A network that always says the first class: right for a third of the pictures; loss by hand."""
    made = recipe(classes=3)
    linear = made.net.head[2]  # type: ignore[index]
    nn.init.zeros_(linear.weight)
    linear.bias.data = torch.tensor([1.0, 0.0, 0.0])
    figures = made.evaluate()
    assert figures["top1"] == pytest.approx(1 / 3)
    assert figures["top5"] == 1  # there are fewer than five classes
    log_sum = float(torch.tensor([1.0, 0, 0]).logsumexp(0))
    assert figures["held_out_loss"] == pytest.approx(log_sum - 1 / 3, rel=1e-5)
    assert made.net.training


def test_top5_of_many_classes() -> None:
    made = recipe(classes=8)
    linear = made.net.head[2]  # type: ignore[index]
    nn.init.zeros_(linear.weight)
    linear.bias.data = torch.arange(8, 0, -1).float()
    figures = made.evaluate()
    assert (figures["top1"], figures["top5"]) == (pytest.approx(1 / 8), pytest.approx(5 / 8))


def test_preview_frames_right_and_wrong() -> None:
    made = recipe(classes=3)
    linear = made.net.head[2]  # type: ignore[index]
    nn.init.zeros_(linear.weight)
    linear.bias.data = torch.tensor([0.0, 1.0, 0.0])
    sheet = np.asarray(made.preview())
    first, second = sheet[0, 0], sheet[0, 24]  # of class 0, wrong; of class 1, right
    assert first[0] > 150 > first[1] and second[1] > 150 > second[0]
    assert made.net.training and all(weight.requires_grad for weight in made.net.parameters())
    rows = 3 * (16 + 6 + 2) - 2  # of 24 framed pictures; below, what it dreams of
    assert sheet.shape[0] > rows + 100 and len(np.unique(sheet[rows + 20 :].reshape(-1, 3), axis=0)) > 1000


# ------------------------------------------------------------------ without labels, from a network, confusion


def test_pictures_are_turned_to_the_left() -> None:
    pictures = torch.arange(8.0).view(2, 1, 2, 2)
    found = turned(pictures.repeat(2, 1, 1, 1), torch.tensor([0, 1, 2, 3]))
    assert found[:, 0].tolist() == [[[0, 1], [2, 3]], [[5, 7], [4, 6]], [[3, 2], [1, 0]], [[6, 4], [7, 5]]]


def test_without_labels_it_learns_which_way_is_up(tmp_path: Path) -> None:
    """Pictures that are bright above and dark below."""
    draw = torch.Generator().manual_seed(0)
    ramp = torch.linspace(220, 30, 16).view(1, 1, 16, 1) + 20 * torch.randn(64, 3, 16, 16, generator=draw)
    pictures = PictureSet(ramp.clamp(0, 255).byte(), fingerprint="ramps")
    options = BackboneTraining(**{**TINY, "task": "rotation"})
    made = ClassifierRecipe(options, pictures, CPU, 5)
    assert made.classes == TURNS and describe(options, pictures)["classes"] == TURNS
    data, steps = batches(pictures, options, CPU, 5), 40
    for step in range(steps):
        for group in made.optimizer.param_groups:
            group["lr"] = options.rate * made.rate(step / steps)
        made.step(data.batch(step // len(data), step % len(data)), step / steps)
    assert made.evaluate()["top1"] > 0.9
    assert int(made.confusion.sum()) == 64 and made.confusion.sum(1).tolist() == [16] * 4
    assert made.preview().height > 100


def test_going_on_from_a_network_it_sees_what_that_saw(tiny: Any) -> None:
    base = tiny(dtype=torch.float32)
    assert widths_and_depths(base) == ((6, 8, 10), (1, 2, 1))
    options = BackboneTraining(**{**TINY, "widths": (6, 8, 10), "depths": (1, 2, 1)})
    held_out = drawn(24, 3)
    made = ClassifierRecipe(options, held_out, CPU, 0, base=base)
    pictures = held_out.pictures.float() / 255
    with torch.no_grad():
        wanted = base(pictures, base.layers)
        for mode in (False, True):  # training moves the statistics on
            for layer, features in made.net.train(mode)(pictures, base.layers).items():
                torch.testing.assert_close(features, wanted[layer], rtol=1e-3, atol=1e-3)
    del base.stages["pool1"]
    with pytest.raises(UsageError, match="cannot be gone on from"):
        widths_and_depths(base)


def test_what_is_confused_most() -> None:
    counts = torch.tensor([[8, 2, 0], [5, 5, 0], [0, 1, 9]])
    assert confused(counts, ("a", "b", "c"), 5) == [("b", "a", 0.5), ("a", "b", 0.2), ("c", "b", 0.1)]
    assert confused(counts, ("a", "b", "c"), 1) == [("b", "a", 0.5)]


@pytest.mark.parametrize("steps", [1, 12])
def test_export_is_the_network_in_evaluation(tmp_path: Path, steps: int) -> None:
    """Batch norm folded away, in half precision, and read back by the door every backbone comes through."""
    made = recipe()
    data = batches(drawn(48, 3), made.options, CPU, 0)
    for index in range(steps):
        made.step(data.batch(index // len(data), index % len(data)), index / steps)
    file = tmp_path / "mine.safetensors"
    state = made.export()
    assert made.net.training
    assert all(value.dtype == torch.float16 for value in state.values())
    assert not any("running" in name or "num_batches" in name for name in state)
    weights.write(file, state, describe(made.options, made.held_out))
    loaded = backbones.load(str(file))
    assert loaded.classes == made.held_out.classes and loaded.layers == made.net.layers
    pictures = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    made.net.eval()
    with torch.no_grad():
        wanted, found = made.net(pictures, made.net.layers), loaded(pictures, loaded.layers)
        logits = made.net.logits(pictures)
    for layer, features in wanted.items():
        torch.testing.assert_close(found[layer], features, rtol=1e-2, atol=1e-2 * float(features.abs().max()))
    torch.testing.assert_close(loaded.logits(pictures), logits, rtol=1e-2, atol=1e-2 * float(logits.abs().max()))


# ------------------------------------------------------------------ learning


def test_learns_and_resumes_exactly(tmp_path: Path) -> None:
    """Through the loop: broken off and resumed, before and after the pictures grow, the same bits; and it learns."""
    learnt, held_out = drawn(64, 3), drawn(24, 3, seed=1)
    options = BackboneTraining(**TINY)
    config = describe(options, held_out) | {"art": "dream", "options": options.to_dict()}

    def run(folder: Path, until: int, resume: bool = False) -> ClassifierRecipe:
        def report(progress: Progress) -> None:
            if progress.step > until:
                raise KeyboardInterrupt

        made = ClassifierRecipe(options, held_out, CPU, 5)
        data, length = batches(learnt, options, CPU, 5), TrainingOptions(epochs=5)
        with suppress(KeyboardInterrupt):
            train(
                made,
                data,
                folder,
                config=config,
                options=length,
                runtime=CPU,
                resume=resume,
                report=report,
            )
        return made

    whole = run(tmp_path / "whole", 40)
    for until in (11, 20, 35, 40):
        parts = run(tmp_path / "parts", until, resume=until > 11)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, parts.net.state_dict()[name]), name
    assert parts.evaluate() == whole.evaluate()
    assert whole.evaluate()["top1"] > 0.9


def test_figures_after_a_resume_are_of_the_size_come_to(tmp_path: Path) -> None:
    """The first evaluation of a resumed training must not look at pictures of the first size again."""
    made = recipe()
    made.step(batches(drawn(24, 3), made.options, CPU, 0).batch(0, 0), 0.95)
    again = recipe()
    again.extras["stage"].load_state_dict(made.extras["stage"].state_dict())
    assert again.at_size(torch.rand(1, 3, 16, 16)).shape[-1] == 16
    assert recipe().at_size(torch.rand(1, 3, 16, 16)).shape[-1] == 8


def test_the_command_learns_a_folder_of_pictures(tmp_path: Path, run_gencli: Callable[..., Any]) -> None:
    pictures = drawn(90, 3)
    assert pictures.labels is not None
    for index, (pixels, label) in enumerate(zip(pictures.stored, pictures.labels, strict=True)):
        folder = tmp_path / "photos" / pictures.classes[int(label)]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    shape = "--widths 4,6 --depths 1,2 --sizes 8,16 --batch-size 16 --held-out 0.2 --epochs 10"
    done = run_gencli("dream", "train", "--data", "photos", "--name", "mine", "--seed", "1", "--json", *shape.split())
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert all({"step", "epoch", "seconds"} <= line.keys() for line in lines)
    assert [line["evaluation"]["top1"] for line in lines if "evaluation" in line][-1] > 0.9
    assert "loss" in lines[0] and "rate" in lines[0]
    model = tmp_path / "home" / "models" / "dream" / "mine"
    config = json.loads((model / "config.json").read_text())
    assert config["classes"] == ["class0", "class1", "class2"] and config["finished"] is True
    assert config["options"]["widths"] == [4, 6] and config["seed"] == 1
    assert len(list((model / "samples").glob("*.png"))) == 10
    assert backbones.load("mine").classes == ("class0", "class1", "class2")


def test_the_command_goes_on_from_a_network_and_learns_without_labels(
    tmp_path: Path, run_gencli: Callable[..., Any], tiny_network: None
) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for index, pixels in enumerate(drawn(40, 3).stored):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / f"{index}.png")
    words = ["dream", "train", "--data", "snapshots", "--name", "mine", "--seed", "1", "--sizes", "16"]
    done = run_gencli(*words, "--from", "tiny", "--epochs", "1", "--held-out", "0.2")
    assert done.returncode == 0, done.stderr
    assert "turned to be told apart" in done.stderr and "is taken for" in done.stderr
    model = Path(done.stdout.strip())
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    assert config["classes"] == list(TURNS) and config["base"] == "tiny" and config["options"]["widths"] == [4, 6, 8]
    done = run_gencli(*words, "--resume", "--epochs", "2")
    assert done.returncode == 0, done.stderr
    refused = run_gencli(*words[:5], "other", "--from", "tiny", "--widths", "4,4", "--depths", "1,1", "--epochs", "1")
    assert refused.returncode == 2 and "are those of tiny" in refused.stderr
    refused = run_gencli(*words[:5], "other", "--task", "labels", "--epochs", "1")
    assert refused.returncode == 2 and "--task rotation" in refused.stderr
