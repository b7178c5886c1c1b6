"""Training translators: what is minimised, by value; buffers, the course of the rate, and an exact resume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencli.core import training
from gencli.core.backbones import Backbone
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.core.recipe import Progress, TrainingOptions, level_and_down
from gencli.core.tensors import pack
from gencli.gan.options import GanTraining
from gencli.gan.translation import learning, pairs
from gencli.gan.translation import training as translation
from gencli.gan.translation.batches import Both, PairedBatches, UnpairedBatches, batches
from gencli.gan.translation.networks import Translation
from gencli.gan.translation.options import Translating, TranslatorTraining
from gencli.gan.translation.tasks import Task
from gencli.gan.translation.training import Buffer, CycleRecipe, PairedRecipe, TranslatorRecipe
from tests.pretended import pretended_gpu

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {
    "size": 32, "judge_width": 4, "judge_depth": 2, "batch_size": 2, "average": 0.9, "perceptual": 0.5, "buffer": 3,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translation, "QUICK", (8, 8))
    monkeypatch.setattr(translation, "SEEN", ("conv1_1", "conv2_1"))


def blobs(count: int, colour: int, seed: int, size: int = 36) -> PictureSet:
    """A square of a colour on grey, anywhere."""
    draw = torch.Generator().manual_seed(seed)
    pictures = torch.full((count, 3, size, size), 100, dtype=torch.uint8)
    for picture, (top, left) in zip(pictures, torch.randint(size - 12, (count, 2), generator=draw), strict=True):
        picture[colour, top : top + 12, left : left + 12] = 250
    return PictureSet(pictures, fingerprint=f"blobs {colour} {seed}")


RED, BLUE = blobs(12, 0, 1), blobs(12, 2, 1)
OTHERS = blobs(9, 2, 7)


def paired(backbone: Backbone, runtime: Runtime = CPU, **changes: Any) -> tuple[TranslatorRecipe, Any]:
    options = TranslatorTraining(**{**TINY, **changes})
    ((_, nets),) = translation.built(translation.form(options), ["there"], 1)
    if options.task:
        learnt = held = RED
    else:
        learnt = held = pairs.together(RED, BLUE)
    task = Task.parse(options.task) if options.task else None
    order = PairedBatches(batches(learnt, options, runtime, 1), task, 1)
    return PairedRecipe(nets, options, backbone, held, runtime, 1), order


def cycle(backbone: Backbone, runtime: Runtime = CPU, **changes: Any) -> tuple[TranslatorRecipe, Any]:
    options = TranslatorTraining(**{**TINY, "arch": "cyclegan", **changes})
    nets = dict(translation.built(translation.form(options), ["there", "back"], 1))
    order = UnpairedBatches(batches(RED, options, runtime, 1), batches(OTHERS, options, runtime, 2))
    return CycleRecipe(nets, options, backbone, (RED, OTHERS), None, runtime, 1), order


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (paired, {}),
        (paired, {"task": "colorize"}),
        (paired, {"task": "inpaint=center"}),
        (cycle, {}),
        (cycle, {"identity": 0.0, "loss": "hinge"}),
    ],
)
def test_nothing_of_a_step_lies_on_the_wrong_device(make: Any, changes: dict[str, Any], tiny: Any) -> None:
    backbone = tiny("average", dtype=torch.float32)
    with pretended_gpu() as gpu:
        made, order = make(backbone.to(gpu.device), gpu, **changes)
        losses = made.step(order.batch(0, 0), 0.5)
        assert {value.device for value in losses.values()} == {gpu.device}


class Stopped(Exception):
    pass


def run(folder: Path, made: TranslatorRecipe, order: Any, steps: int, *, resume: bool = False, stop_at: int = 0) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stopped

    config: dict[str, Any] = {"art": "gan", "kind": "test", "options": {}}
    durations = TrainingOptions(steps=steps, evaluate_steps=4, log_steps=2)
    return training.train(
        made, order, folder, config=config, options=durations, runtime=CPU, resume=resume, report=report
    )


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (paired, {"loss": "ns"}),
        (paired, {"task": "denoise", "flip": True, "average": 0.0}),
        (paired, {"net": "unet", "loss": "hinge", "schedule": "cosine"}),
        (cycle, {}),
        (cycle, {"net": "resnet-6", "perceptual": 0.0, "optimizer": "rmsprop", "batch_size": 1}),
    ],
)
def test_stopped_and_resumed_is_bit_identical(tmp_path: Path, tiny: Any, make: Any, changes: dict[str, Any]) -> None:
    backbone = tiny("average", dtype=torch.float32)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, *make(backbone, **changes), 7)
    with pytest.raises(Stopped):  # a state of step 4 is on the disk
        run(parts, *make(backbone, **changes), 7, stop_at=6)
    run(parts, *make(backbone, **changes), 7, resume=True)
    tensors: list[dict[str, Tensor]] = [{}, {}]
    for folder, found in zip((whole, parts), tensors, strict=True):
        state = read_state(folder)
        pack({name: state[name] for name in ("modules", "optimizers", "generators", "extras", "own")}, found)
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    if make is cycle:
        assert any("buffer" in name for name in tensors[0])


def test_a_buffer_fills_and_then_gives_back_half_of_what_it_has() -> None:
    draw, buffer = torch.Generator().manual_seed(1), Buffer(50)
    first = torch.arange(50.0).view(50, 1, 1, 1).expand(50, 3, 2, 2)
    assert torch.equal(buffer.take(first, draw), first)
    old, held = 0, {*range(50)}
    for number in range(50, 1050):
        (shown,) = buffer.take(torch.full((1, 3, 2, 2), float(number)), draw)
        value = int(shown[0, 0, 0])
        assert (shown == value).all()
        if value == number:
            continue
        assert value in held  # and its place is taken by the new one
        old, held = old + 1, held - {value} | {number}
    assert 430 < old < 570
    assert buffer.kept is not None and {*buffer.kept[:, 0, 0, 0].int().tolist()} == held
    again = Buffer(50)
    again.load_state_dict(buffer.state_dict())
    assert again.kept is not None and torch.equal(again.kept, buffer.kept)
    none = Buffer(0)
    assert torch.equal(none.take(first, draw), first) and none.kept is None


def test_the_rate_stays_for_half_and_falls_to_nothing(tiny: Any) -> None:
    assert [level_and_down(progress) for progress in (0.0, 0.25, 0.5)] == [1.0, 1.0, 1.0]
    assert level_and_down(0.75) == 0.5 and level_and_down(1.0) == 0.0 and level_and_down(0.9) == pytest.approx(0.2)
    made, _ = cycle(tiny("average", dtype=torch.float32))
    assert made.rate(0.75) == 0.5
    constant, _ = cycle(tiny("average", dtype=torch.float32), schedule="constant")
    assert constant.rate(0.99) == 1.0


class Shift(nn.Module):
    """Makes pictures brighter by a weight: what a translator is, in closed form."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))
        self.form = Translation("quick", widths=(8, 8))

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures + self.by


class Verdict(nn.Module):
    """A judge that takes the mean of what it sees for its logit."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.0))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.factor * pictures.mean((1, 2, 3), keepdim=True)


def test_what_cyclegan_minimises_by_value(tiny: Any) -> None:
    options = TranslatorTraining(
        **{**TINY, "arch": "cyclegan", "cycle": 10.0, "identity": 3.0, "perceptual": 0.0, "average": 0.0, "rate": 0.0}
    )
    nets: Any = {"there": (Shift(0.1), Verdict()), "back": (Shift(0.2), Verdict())}
    made = CycleRecipe(nets, options, tiny("average", dtype=torch.float32), (RED, OTHERS), None, CPU, 1)
    one, other = torch.full((2, 3, 32, 32), 0.2), torch.full((2, 3, 32, 32), 0.6)
    gradients = {"there": 0.0, "back": 0.0}

    def noted(name: str, gradient: Tensor) -> None:
        gradients[name] += float(gradient)

    for name in gradients:
        nets[name][0].by.register_hook(partial(noted, name))
    seen = made.step(Both(one, other), 0.0)
    deceived = 0.5 * (0.2 + 0.1 - 1) ** 2 + 0.5 * (0.6 + 0.2 - 1) ** 2
    assert float(seen["g_loss"]) == pytest.approx(deceived, rel=1e-4)
    assert float(seen["cycle"]) == pytest.approx(0.3, rel=1e-4)
    judged = [0.5 * ((0.6 - 1) ** 2 + 0.3**2), 0.5 * ((0.2 - 1) ** 2 + 0.8**2)]
    assert float(seen["d_loss"]) == pytest.approx(sum(judged) / 2, rel=1e-4)
    # by `there`: of the judge, of both cycles (colours in [-1, 1]) and of the identity
    assert gradients["there"] == pytest.approx((0.3 - 1) + 10 * 2 * 2 + 3 * 2, rel=1e-4)
    assert gradients["back"] == pytest.approx((0.8 - 1) + 10 * 2 * 2 + 3 * 2, rel=1e-4)


def test_what_pix2pix_minimises_by_value(tiny: Any) -> None:
    options = TranslatorTraining(**{**TINY, "l1": 100.0, "perceptual": 0.0, "average": 0.0, "rate": 0.0})
    there: Any = Shift(0.1)
    backbone = tiny("average", dtype=torch.float32)
    made = PairedRecipe((there, Verdict()), options, backbone, pairs.together(RED, BLUE), CPU, 1)
    gradients: list[float] = []
    there.by.register_hook(lambda gradient: gradients.append(float(gradient)))
    before, after = torch.full((2, 3, 32, 32), 0.2), torch.full((2, 3, 32, 32), 0.6)
    seen = made.step(Both(before, after), 0.0)
    assert float(seen["l1"]) == pytest.approx(0.3, rel=1e-5)
    assert float(seen["g_loss"]) == pytest.approx(0.5 * ((0.2 + 0.3) / 2 - 1) ** 2, rel=1e-5)
    assert float(seen["d_loss"]) == pytest.approx(0.5 * ((0.4 - 1) ** 2 + 0.25**2), rel=1e-5)
    assert sum(gradients) == pytest.approx(0.5 * (0.25 - 1) - 200, rel=1e-5)


def test_judges_learn_nothing_while_translators_do(tiny: Any) -> None:
    made, order = cycle(tiny("average", dtype=torch.float32))
    steps: list[str] = []
    for name, one in made.optimizers.items():
        one.register_step_post_hook(lambda *_, name=name: steps.append(name))
    made.deceived("judge of there", torch.rand(1, 3, 32, 32, requires_grad=True)).backward()
    assert all(weight.grad is None for weight in made.judges["judge of there"].parameters())
    made.step(order.batch(0, 0), 0.0)
    assert sorted(steps) == ["back", "judge of back", "judge of there", "there"]


@pytest.mark.parametrize(("real", "made"), [(1, 2), (3, 1), (2, 4)])
def test_a_judge_sees_unequal_numbers_of_pictures(tiny: Any, real: int, made: int) -> None:
    recipe, _ = cycle(tiny("average", dtype=torch.float32))
    draw = torch.Generator().manual_seed(3)
    ours, theirs = (torch.rand(count, 3, 32, 32, generator=draw) for count in (real, made))
    judge = recipe.judges["judge of there"]
    on_real, on_fake = recipe.verdicts(judge, ours, theirs, None)
    torch.testing.assert_close(on_real, judge(ours))
    torch.testing.assert_close(on_fake, judge(theirs))
    right = sum(bool(one.mean() > other.mean()) for one in on_real for other in on_fake)
    found = recipe.teach_judge("judge of there", ours, theirs)
    assert float(found["ahead"]) == pytest.approx(right / (real * made))


@pytest.mark.parametrize("batch_size", [2, 4, 5])
def test_kinds_of_any_sizes_are_learnt_in_batches_of_any_size(tmp_path: Path, tiny: Any, batch_size: int) -> None:
    made, order = cycle(tiny("average", dtype=torch.float32), batch_size=batch_size)
    sizes = [order.batch(0, index) for index in range(len(order))]
    assert any(len(batch.before) != len(batch.after) for batch in sizes)
    assert run(tmp_path / "model", made, order, 6).steps == 6


def test_of_fewer_pictures_each_comes_more_often() -> None:
    options = TranslatorTraining(**{**TINY, "batch_size": 1})
    many, few = blobs(12, 0, 1, size=32), blobs(9, 2, 7, size=32)
    order = UnpairedBatches(*(batches(kind, options, CPU, 1) for kind in (many, few)))
    assert len(order) == 12
    found = [order.batch(epoch, index) for epoch in range(3) for index in range(12)]
    for side, count, times in (("before", 12, 3), ("after", 9, 4)):
        seen = [getattr(batch, side).numpy().tobytes() for batch in found]
        assert len({*seen[:count]}) == len({*seen}) == count
        assert all(seen.count(one) == times for one in seen)


def test_pairs_are_cut_and_mirrored_alike(tiny: Any) -> None:
    _, order = paired(tiny("average", dtype=torch.float32), flip=True)
    for index in range(6):
        batch = order.batch(0, index)
        assert batch.before.shape[2:] == (32, 32)
        # the red square of the one is where the blue one of the other is
        torch.testing.assert_close(batch.before[:, 0], batch.after[:, 2])


def test_it_learns_to_turn_red_into_blue(tmp_path: Path, tiny: Any) -> None:
    backbone = tiny("average", dtype=torch.float32)
    made, order = paired(backbone, rate=2e-3, perceptual=0.0)
    before = made.evaluate()
    run(tmp_path / "model", made, order, 60)
    after = made.evaluate()
    assert after["l1"] < 0.3 * before["l1"] and after["perceptual"] < before["perceptual"]
    assert made.preview().height > 3 * 32


def test_options_of_both_kinds_become_a_translators() -> None:
    preset = TranslatorTraining.of(GanTraining.build({}, "pix2pix"), Translating.build({}, "pix2pix"))
    assert (preset.net, preset.loss, preset.batch_size, preset.epochs) == ("unet-256", "ns", 1, 200.0)
    general = GanTraining.build({"arch": "cyclegan", "size": 64})
    chosen = TranslatorTraining.of(general, Translating.build({"cycle": 5.0}))
    assert (chosen.arch, chosen.size, chosen.cycle, chosen.loss) == ("cyclegan", 64, 5.0, "lsgan")
    with pytest.raises(UsageError, match="--latent is not for --arch cyclegan"):
        TranslatorTraining.of(GanTraining.build({"arch": "cyclegan", "latent": 8}), Translating.build({}))
    for arch, other, option in (("cyclegan", "pix2pix", "l1"), ("pix2pix", "cyclegan", "buffer")):
        with pytest.raises(UsageError, match=f"--{option} is for --arch {other}"):
            TranslatorTraining.of(GanTraining.build({"arch": arch}), Translating.build({option: 9}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "colorize", "arch": "cyclegan"}, "--task"),
        ({"task": "colorize", "split": "left-right"}, "--split"),
        ({"task": "colorize", "direction": "BtoA"}, "--direction"),
        ({"net": "unet-256", "size": 128}, "unet-256"),
        ({"size": 38}, "multiple of 4"),
        ({"net": "unet", "size": 100}, "multiple of 16"),
        ({"net": "unet", "size": 16, "judge_depth": 1}, "too small for --net unet"),
        ({"size": 32, "judge_depth": 5}, "too small"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        learning.check(TranslatorTraining(**changes))
