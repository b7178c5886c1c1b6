"""Training a generator: exact resume with every kind of loss and network, what presets are, the referee."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from gencli.core import training
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime, drawing_from, generator
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.core.recipe import Diverged, Progress, TrainingOptions
from gencli.core.tensors import pack
from gencli.gan import augment, networks
from gencli.gan import training as gan
from gencli.gan.options import TRANSLATORS, GanTraining
from gencli.gan.referee import Evidence, Referee
from tests.pretended import pretended_gpu

CPU = Runtime(torch.device("cpu"))
TINY: dict[str, Any] = {"latent": 4, "widths": (8, 8), "d_widths": (8, 8), "batch_size": 8, "average": 0.9}


def blobs(count: int = 40, channels: int = 1, size: int = 16) -> PictureSet:
    """Bright squares at two places."""
    draw = torch.Generator().manual_seed(5)
    pictures = torch.zeros(count, channels, size, size, dtype=torch.uint8)
    labels = torch.arange(count) % 2
    for picture, label, place in zip(pictures, labels, torch.randint(10, (count,), generator=draw), strict=True):
        picture[:, place : place + 5, 2 + 7 * label : 7 + 7 * label] = 255
    return PictureSet(pictures, labels, ("left", "right"), fingerprint="blobs")


def built(pictures: PictureSet, seed: int, **changes: Any) -> tuple[Any, GanTraining]:
    options = gan.settled(GanTraining(**{**TINY, **changes}), pictures)
    form = gan.form(options, pictures, 2 if options.conditional else 0)
    draw = generator(seed)
    with drawing_from(draw):
        nets = networks.build(form)
    for net in nets:
        networks.initialise(net, draw, options.deviation)
    return nets, options


def recipe(pictures: PictureSet, seed: int = 1, runtime: Runtime = CPU, **changes: Any) -> gan.GanRecipe:
    return gan.GanRecipe(*built(pictures, seed, **changes), pictures, runtime, seed)


class Stopped(Exception):
    pass


def run(
    folder: Path, made: gan.GanRecipe, pictures: PictureSet, steps: int, *, resume: bool = False, stop_at: int = 0
) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stopped

    order = gan.batches(pictures, made.options, CPU, 1)
    config: dict[str, Any] = {"art": "gan", "kind": "test", "options": {}}
    durations = TrainingOptions(steps=steps, evaluate_steps=4, log_steps=2)
    return training.train(
        made, order, folder, config=config, options=durations, runtime=CPU, resume=resume, report=report
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm": "spectral", "loss": "hinge", "r1": 0.0, "conditional": "labels"},
        {"arch": "dcgan", "norm": "batch", "loss": "relativistic", "dropout": 0.2, "average": 0.0},
        {"arch": "dense", "widths": (8,), "loss": "wgan", "d_steps": 3, "optimizer": "rmsprop"},
        {"loss": "wgan-gp", "d_steps": 2, "conditional": "labels", "condition": "multiply"},
        {"loss": "lsgan", "label_noise": 0.1, "smoothing": 0.1, "augment": 0.0, "flip": True},
    ],
)
def test_stopped_and_resumed_is_bit_identical(tmp_path: Path, changes: dict[str, Any]) -> None:
    pictures, whole, parts = blobs(), tmp_path / "whole", tmp_path / "parts"
    run(whole, recipe(pictures, **changes), pictures, 7)
    with pytest.raises(Stopped):  # a state of step 4 is on the disk
        run(parts, recipe(pictures, **changes), pictures, 7, stop_at=6)
    run(parts, recipe(pictures, **changes), pictures, 7, resume=True)
    states = [read_state(folder) for folder in (whole, parts)]
    tensors: list[dict[str, torch.Tensor]] = [{}, {}]
    for state, found in zip(states, tensors, strict=True):
        pack({name: state[name] for name in ("modules", "optimizers", "generators", "extras")}, found)
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_it_learns_where_the_squares_are(tmp_path: Path) -> None:
    pictures = blobs(64)
    made = recipe(pictures, conditional="labels", widths=(16, 16), d_widths=(16, 16), batch_size=16)
    run(tmp_path / "model", made, pictures, 300)
    latents = torch.randn(40, 4, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        left, right = (made.best(latents, torch.full((40,), label)).mean(0)[0] for label in (0, 1))
    for drawn, columns, others in ((left, slice(2, 7), slice(9, 14)), (right, slice(9, 14), slice(2, 7))):
        assert float(drawn[:, columns].mean()) > 2 * float(drawn[:, others].mean())
    assert made.preview().width > 8 * 16


def test_every_change_of_pictures_draws_numbers_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real ones, drawn ones, and those the generator learns from, step for step."""
    pictures = blobs()
    made = recipe(pictures, augment=1.0)
    states: list[bytes] = []
    changed = augment.augment

    def noted(given: torch.Tensor, strength: float, draw: torch.Generator) -> torch.Tensor:
        states.append(bytes(draw.get_state().numpy()))
        return changed(given, strength, draw)

    monkeypatch.setattr(augment, "augment", noted)
    order = gan.batches(pictures, made.options, CPU, 1)
    for index in range(3):
        made.step(order.batch(0, index), 0.5)
    assert len(states) == len(set(states)) == 9


def test_the_discriminator_takes_its_steps_and_the_generator_one() -> None:
    pictures = blobs()
    made = recipe(pictures, arch="dense", widths=(8,), d_steps=3, loss="wgan", average=0.0, clip_weights=0.02)
    seen = {"generator": 0, "discriminator": 0}
    for name, one in made.optimizers.items():
        one.register_step_post_hook(lambda *_, name=name: seen.update({name: seen[name] + 1}))
    order = gan.batches(pictures, made.options, CPU, 1)
    batch = order.batch(0, 0)
    assert len(batch.pictures) in {20, 24}  # of 40 pictures, in equal parts of at most 24
    found = made.step(batch, 0.0)
    assert seen == {"generator": 1, "discriminator": 3}
    assert {"d_loss", "g_loss", "ahead", "rejected"} == found.keys()
    assert max(float(weight.detach().abs().max()) for weight in made.discriminator.parameters()) <= 0.02


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiled_networks_play_the_same_game() -> None:
    pictures = blobs()
    plain, quick = recipe(pictures), recipe(pictures, compile=True)
    order = gan.batches(pictures, plain.options, CPU, 1)
    for step in range(4):
        wanted, found = (one.step(order.batch(0, step), 0.0) for one in (plain, quick))
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)
    assert [*quick.generator.state_dict()] == [*plain.generator.state_dict()]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"conditional": "labels", "flip": True, "augment": 1.0},
        {"loss": "wgan-gp"},
        {"norm": "spectral", "loss": "hinge", "r1": 0.0},
        {"arch": "dcgan", "norm": "batch", "loss": "relativistic", "dropout": 0.2},
        {"arch": "dense", "widths": (8,), "loss": "wgan", "optimizer": "rmsprop"},
    ],
    ids=str,
)
def test_nothing_of_a_step_lies_on_the_wrong_device(changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan, "diversity", lambda pictures, labels: 1.0)  # of the set's pictures, which lie on the CPU
    pictures = blobs()
    parts = built(pictures, 1, **changes)
    with pretended_gpu() as gpu:
        made = gan.GanRecipe(*parts, pictures, gpu, 1)
        losses = made.step(gan.batches(pictures, made.options, gpu, 1).batch(0, 0), 0.5)
        assert {value.device for value in losses.values()} == {gpu.device}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("changes", [{}, {"conditional": "labels"}, {"loss": "wgan-gp"}, {"norm": "spectral"}], ids=str)
def test_a_step_never_waits_for_a_gpu(changes: dict[str, Any]) -> None:
    pictures, gpu = blobs(), Runtime(torch.device("cuda"), torch.bfloat16)
    made = recipe(pictures, runtime=gpu, augment=1.0, flip=True, **changes)
    order = gan.batches(pictures, made.options, gpu, 1)
    made.step(order.batch(0, 0), 0.0)  # the first one may: memory is taken
    torch.cuda.set_sync_debug_mode("error")
    try:
        made.step(order.batch(0, 1), 0.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_few_pictures_fill_a_batch() -> None:
    (one,) = (
        gan.batches(blobs(1), gan.settled(GanTraining(**TINY), blobs(1)), CPU, 1).batch(0, 0).pictures.unique(dim=0)
    )
    assert one.shape == (1, 16, 16)


PRESETS = {  # trainable weights of the generator and the discriminator
    "dense-slides": (28, 1, 1_489_936, 533_505),
    "dcgan-mnist": (28, 1, 1_853_888, 212_865),
    "dcgan-frogs": (32, 3, 6_264_579, 790_913),
    "dcgan-celeba": (64, 3, 3_979_651, 404_801),
    "dcgan": (64, 3, 3_576_704, 2_765_568),
    "cgan": (28, 1, 577_552, 241_825),
    "wgan": (28, 1, 583_504, 533_505),
    "wgan-gp": (28, 1, 583_504, 533_505),
}


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_exactly_their_weights(preset: str) -> None:
    of_translators = {name for name, one in GanTraining.presets.items() if one.get("arch") in TRANSLATORS}
    assert PRESETS.keys() == GanTraining.presets.keys() - of_translators
    size, channels, *wanted = PRESETS[preset]
    options = GanTraining.build({}, preset)
    assert options.size == size and options.colors == {1: "grey", 3: "rgb"}[channels]
    pictures = PictureSet(torch.zeros(20, channels, size, size, dtype=torch.uint8))
    settled = gan.settled(options, pictures)
    nets = networks.build(gan.form(settled, pictures, 10 if options.conditional else 0))
    assert [sum(weight.numel() for weight in net.parameters()) for net in nets] == wanted
    assert settled.augment == settled.r1 == settled.average == 0
    assert (settled.gradient_penalty, settled.clip_weights) == {"wgan": (0, 0.01), "wgan-gp": (10, 0)}.get(
        preset, (0, 0)
    )


def test_labels_to_change_need_a_loss_that_has_some() -> None:
    with pytest.raises(UsageError, match="hinge has no labels"):
        GanTraining(loss="hinge", label_noise=0.1)


def test_diversity_is_the_mean_difference_of_two() -> None:
    pictures = torch.rand(9, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    apart = [(pictures[i] - pictures[j]).abs().mean() for i in range(9) for j in range(i)]
    assert gan.diversity(pictures) == pytest.approx(float(torch.stack(apart).mean()))
    assert gan.diversity(pictures[:1].expand(5, -1, -1, -1)) == pytest.approx(0)


def test_diversity_of_classes_is_within_each() -> None:
    draw = torch.Generator().manual_seed(0)
    pictures, labels = torch.rand(9, 1, 4, 4, dtype=torch.float64, generator=draw), torch.tensor([0, 1, 2] * 3)
    within = [gan.diversity(pictures[labels == one]) for one in range(3)]
    assert gan.diversity(pictures, labels) == pytest.approx(sum(within) / 3)
    one_of_each = pictures[:3].repeat(3, 1, 1, 1)
    assert gan.diversity(one_of_each, labels) == pytest.approx(0)
    assert gan.diversity(one_of_each) > 0.1
    assert gan.diversity(pictures, torch.arange(9)) == gan.diversity(pictures)  # no class has two


def test_pictures_of_a_class_stand_side_by_side() -> None:
    pictures = blobs()
    made = recipe(pictures, conditional="labels", d_steps=2)
    batch = gan.batches(pictures, made.options, CPU, 1).batch(0, 0)
    assert batch.labels is not None
    parts = [*made._parts(batch)]
    assert len(parts) == 2
    for (seen, labels), whole, known in zip(
        parts, batch.pictures.tensor_split(2), batch.labels.tensor_split(2), strict=True
    ):
        assert labels is not None and labels.tolist() == sorted(known.tolist())
        right = seen[..., 8:].sum((1, 2, 3)) > seen[..., :7].sum((1, 2, 3))
        assert right.tolist() == labels.bool().tolist()
        assert float(seen.sum()) == pytest.approx(float(whole.sum()))


GOOD = {"ahead": 0.85, "rejected": 1.2, "diversity": 0.2, "wanted": 0.22, "changed": True, "worst": 1.4}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ahead": 1.0, "rejected": 6.0}, "the discriminator is winning"),
        ({"diversity": 0.02}, "mode collapse: samples alike, 9% as different"),
        ({"wanted": 0.0, "diversity": 0.0}, "the pictures of the set are all the same"),
        ({"changed": False}, "the generator does not change"),
    ],
)
def test_the_referee_speaks_when_it_has_seen_a_thing_often_enough(changes: dict[str, Any], words: str) -> None:
    referee = Referee()
    for _ in range(10):
        assert referee.look(Evidence(**GOOD)) == []
    told = [referee.look(Evidence(**{**GOOD, **changes})) for _ in range(8)]
    assert told[:2] == [[], []] and [len(one) for one in told[2:]] == [1, 0, 0, 0, 0, 0]
    assert words in told[2][0]
    again = Referee()
    again.load_state_dict(referee.state_dict())
    assert again.state_dict() == referee.state_dict()


def test_the_referee_is_silent_at_the_beginning_and_goes_back_when_losses_run_away() -> None:
    referee = Referee()
    for _ in range(5):  # grey pictures: nothing has taken shape yet
        assert referee.look(Evidence(**{**GOOD, "diversity": 0.001})) == []
    with pytest.raises(Diverged, match="run away, to 1e"):
        referee.look(Evidence(**{**GOOD, "worst": 1e5}))
    with pytest.raises(Diverged):
        referee.look(Evidence(**{**GOOD, "worst": float("nan")}))
    assert Referee(critic=True).look(Evidence(**{**GOOD, "ahead": 1.0, "rejected": 50.0})) == []
