"""Training an autoencoder: it learns, resumes exactly, and says what it learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gencli.core import training
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime, generator
from gencli.core.errors import UsageError
from gencli.core.pictures import PictureSet
from gencli.core.recipe import Progress, TrainingOptions
from gencli.core.tensors import pack
from gencli.vae import models
from gencli.vae import training as vae
from gencli.vae.options import VaeTraining
from tests.pretended import pretended_gpu

CPU = Runtime(torch.device("cpu"))


def blobs(count: int = 64, channels: int = 1) -> PictureSet:
    """Squares at two places: two factors are enough to tell them apart."""
    draw = torch.Generator().manual_seed(5)
    pictures = torch.zeros(count, channels, 16, 16, dtype=torch.uint8)
    labels = torch.randint(2, (count,), generator=draw)
    for picture, label, place in zip(pictures, labels, torch.randint(10, (count,), generator=draw), strict=True):
        picture[:, place : place + 5, 2 + 7 * label : 7 + 7 * label] = 255
    attributes = torch.stack([labels == 1, labels == 0], 1)
    return PictureSet(pictures, labels, ("left", "right"), attributes, ("right", "left"), "blobs")


def built(pictures: PictureSet, seed: int, **changes: Any) -> tuple[models.Autoencoder, VaeTraining]:
    options = VaeTraining(**{"latent": 3, "widths": (32,), "batch_size": 16, "average": 0.9, "rate": 2e-3, **changes})
    options = vae.settled(options, pictures)
    net = models.build(**vae.architecture(options, pictures))
    models.initialise(net, generator(seed))
    return net, options


def recipe(pictures: PictureSet, seed: int = 1, **changes: Any) -> vae.VaeRecipe:
    net, options = built(pictures, seed, **changes)
    return vae.VaeRecipe(net, options, vae.batches(pictures, options, CPU, 1), pictures, CPU, seed)


class Stopped(Exception):
    pass


def run(folder: Path, made: vae.VaeRecipe, steps: int, *, resume: bool = False, stop_at: int | None = None) -> Any:
    def report(progress: Progress) -> None:
        if progress.step == stop_at:
            raise Stopped

    config: dict[str, Any] = {"art": "vae", "kind": "test", "options": {}}
    durations = TrainingOptions(steps=steps, evaluate_steps=4, best="negative_elbo")
    return training.train(
        made, made.learnt, folder, config=config, options=durations, runtime=CPU, resume=resume, report=report
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"arch": "residual", "widths": (4, 8)},
        {"arch": "faces", "widths": (4, 8), "likelihood": "gaussian"},
        {"likelihood": "logistic", "free_bits": 0.1, "warm_up": 0.5, "denoise": 0.2},
        {"arch": "residual", "widths": (4, 8), "supervise": 2.0},
        {"conditional": True, "beta": 0.5, "flip": True, "optimizer": "rmsprop", "rate": 1e-3, "average": 0.0},
    ],
)
def test_stopped_and_resumed_is_bit_identical(tmp_path: Path, changes: dict[str, Any]) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, recipe(blobs(), **changes), 7)
    with pytest.raises(Stopped):  # a state of step 4 is on the disk
        run(parts, recipe(blobs(), **changes), 7, stop_at=6)
    run(parts, recipe(blobs(), seed=2, **changes), 7, resume=True)
    states = [read_state(folder) for folder in (whole, parts)]
    tensors: list[dict[str, torch.Tensor]] = [{}, {}]
    for state, found in zip(states, tensors, strict=True):
        pack({name: state[name] for name in ("modules", "optimizers", "generators")}, found)
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"likelihood": "logistic", "free_bits": 0.1, "warm_up": 0.5, "denoise": 0.2},
        {"arch": "residual", "widths": (4, 8), "supervise": 2.0},
        {"arch": "faces", "widths": (4, 8), "likelihood": "gaussian", "optimizer": "muon"},
        {"conditional": True, "flip": True},
    ],
    ids=str,
)
def test_nothing_of_a_step_lies_on_the_wrong_device(changes: dict[str, Any]) -> None:
    pictures = blobs()
    net, options = built(pictures, 1, **changes)
    with pretended_gpu() as gpu:
        made = vae.VaeRecipe(net, options, vae.batches(pictures, options, gpu, 1), pictures, gpu, 1)
        losses = made.step(made.learnt.batch(0, 0), 0.5)
        assert {value.device for value in losses.values()} == {gpu.device}


def test_it_learns_what_the_pictures_have_in_common(tmp_path: Path) -> None:
    made = recipe(blobs(), rate=5e-3)
    before = made.evaluate()
    result = run(tmp_path / "model", made, 300)
    after = result.evaluation
    assert after["negative_elbo"] < 0.4 * before["negative_elbo"]
    assert after["negative_elbo"] == pytest.approx(after["reconstruction"] + after["kl"])
    assert 1 <= after["active_units"] <= 3
    assert made.preview().width > 8 * 16


def test_a_plain_autoencoder_has_no_kl(tmp_path: Path) -> None:
    made = recipe(blobs(), deterministic=True)
    found = run(tmp_path / "model", made, 40).evaluation
    assert found["kl"] == 0 and found["negative_elbo"] == found["reconstruction"]


def test_attributes_are_told_from_the_latents() -> None:
    """At a KL weight at which the pictures alone leave no trace in the latents."""

    def apart(supervise: float) -> float:
        made = recipe(blobs(), beta=300.0, supervise=supervise, rate=5e-3)
        for step in range(150):
            found = made.step(made.learnt.batch(*divmod(step, len(made.learnt))), 0.5)
        assert ("attributes" in found) == bool(supervise)
        with torch.no_grad():
            means, _ = made.net.eval().encode(made.held_out.pictures.float() / 255)
        assert made.held_out.labels is not None
        left, right = (means[made.held_out.labels == label].mean(0) for label in (0, 1))
        return float((left - right).norm())

    assert apart(0.0) < 0.1
    assert apart(4.0) > 0.5


def test_the_kl_weight_rises() -> None:
    options = VaeTraining(beta=2.0, warm_up=0.5)
    assert [vae.kl_weight(options, progress) for progress in (0, 0.25, 0.5, 1)] == [0, 1, 2, 2]
    assert vae.kl_weight(VaeTraining(deterministic=True), 0.5) == 0


def test_salt_makes_whole_pixels_white() -> None:
    salted = vae.salted(torch.zeros(200, 3, 10, 10), 0.3, torch.Generator().manual_seed(0))
    assert set(salted.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(salted[:, 0], salted[:, 2])
    assert float(salted.mean()) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("channels", "size", "wanted"),
    [
        (1, 28, ("dense", "bernoulli", 20)),
        (3, 28, ("residual", "logistic", 128)),
        (1, 64, ("residual", "bernoulli", 128)),
        (3, 256, ("residual", "logistic", 128)),
    ],
)
def test_what_is_chosen_for_a_set(channels: int, size: int, wanted: tuple[str, str, int]) -> None:
    pictures = PictureSet(torch.zeros(4, channels, size, size, dtype=torch.uint8))
    built = vae.architecture(vae.settled(VaeTraining(), pictures), pictures)
    assert (built["arch"], built["likelihood"], built["latent"]) == wanted
    models.build(**built)  # and can be built


@pytest.mark.parametrize(
    ("options", "beta"),
    [
        (VaeTraining(), 48.0),
        (VaeTraining(likelihood="gaussian"), 48.0),
        (VaeTraining(likelihood="bernoulli"), 1.0),
        (VaeTraining(beta=2.0), 2.0),
        (VaeTraining.build({}, "faces"), 1.0),
    ],
)
def test_colours_are_learnt_with_a_heavier_kl(options: VaeTraining, beta: float) -> None:
    pictures = PictureSet(torch.zeros(4, 3, 64, 64, dtype=torch.uint8))
    assert vae.settled(options, pictures).beta == beta


def test_channels_double_as_sides_halve() -> None:
    assert vae.halvings(64) == (16, 32, 64, 128)
    assert vae.halvings(256) == (16, 16, 16, 32, 64, 128)
    assert vae.halvings(28) == (32, 72) and vae.halvings(30) == (32,)
    with pytest.raises(UsageError, match="31 × 31 pixels cannot be halved"):
        vae.halvings(31)


def test_few_latents_are_seen_through_frequencies() -> None:
    pictures = PictureSet(torch.zeros(4, 1, 28, 28, dtype=torch.uint8))
    options = vae.settled(VaeTraining(latent=2), pictures)
    assert (options.fourier, options.batch_size, options.rate) == (64, 512, 4e-3)
    many = vae.settled(VaeTraining(latent=20), pictures)
    assert (many.fourier, many.batch_size, many.rate, many.widths, many.warp) == (0, 256, 4e-3, (512, 512), 0.025)
    assert vae.settled(VaeTraining.build({}, "dense"), pictures).fourier == 0  # the textbook's is as it was
    assert vae.settled(VaeTraining(latent=2, fourier=5, rate=0.1), pictures).fourier == 5


@pytest.mark.parametrize("optimizer", ["muon", "adam", "rmsprop"])
def test_every_weight_has_one_optimizer(optimizer: str) -> None:
    made = recipe(blobs(channels=3), optimizer=optimizer, arch="residual", widths=(8, 8), supervise=1.0)
    groups = [group for one in made.optimizers.values() for group in one.param_groups]
    changed = [id(weight) for group in groups for weight in group["params"]]
    trained = [weight for name in ("net", "probe") for weight in made.modules[name].parameters()]
    assert sorted(changed) == sorted(id(weight) for weight in trained)
    if optimizer == "muon":
        layers = made.optimizers["layers"].param_groups[0]["params"]
        assert all(weight.ndim in {2, 4} for weight in layers) and not any(one is made.net.log_scale for one in layers)


def test_what_is_kept_draws_what_was_trained() -> None:
    """Variances in batch norms may be far beyond the range of half precision."""
    made = recipe(blobs(channels=3), arch="residual", widths=(4, 8), average=0.0)
    with torch.no_grad():
        made.net.encoder[0].weight.mul_(3e4)
    for index in range(3):
        made.step(made.learnt.batch(0, index), 0.0)
    weights = made.export()
    assert max(float(value.abs().max()) for value in weights.values()) > 65504
    assert all(value.isfinite().all() for value in weights.values())
    kept = models.build(**vae.architecture(made.options, made.held_out)).eval()
    kept.load_state_dict(
        {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
    )
    batch = made.learnt.batch(0, 0)
    with torch.no_grad():
        wanted, found = (net.eval().encode(batch.pictures)[0] for net in (made.net, kept))
    assert float((found - wanted).abs().max()) < 0.02 * float(wanted.abs().max())
