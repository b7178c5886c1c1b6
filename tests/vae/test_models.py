"""Encoders and decoders: shapes, exact sizes, classes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gencli.core.errors import UsageError
from gencli.vae import models
from gencli.vae.options import ARCHITECTURES, WIDTHS, VaeTraining


def count(*parts: nn.Module) -> int:
    return sum(weight.numel() for part in parts for weight in part.parameters())


@pytest.mark.parametrize(
    ("preset", "encoder", "decoder"),
    [("conv", 69_076, 65_089), ("book", 69_076, 65_089), ("conv-wide", 494_244, 56_385), ("dense", 403_972, 403_728)],
)
def test_presets_have_exactly_so_many_weights(preset: str, encoder: int, decoder: int) -> None:
    options = VaeTraining.build({}, preset)
    assert options.latent is not None
    net = models.build(options.arch, (1, 28, 28), options.latent, WIDTHS.get(options.arch, ()))
    assert count(net.encoder, net.mean, net.log_var) == encoder
    assert count(net.decoder) == decoder


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(
    ("shape", "latent", "classes"), [((1, 28, 28), 2, 0), ((3, 32, 32), 512, 0), ((3, 32, 32), 1, 5)]
)
def test_pictures_go_in_and_come_out(arch: str, shape: tuple[int, int, int], latent: int, classes: int) -> None:
    widths = (8, 12) if arch in {*WIDTHS, "residual"} else ()
    net = models.build(arch, shape, latent, widths, classes=classes).eval()
    models.initialise(net, torch.Generator().manual_seed(0))
    pictures = torch.rand(3, *shape)
    labels = torch.tensor([0, 4, 4]) if classes else None
    mean, log_var = net.encode(pictures, labels)
    assert mean.shape == log_var.shape == (3, latent)
    logits = net.decode(mean, labels)
    assert logits.shape == (3, *shape)
    assert net.negative_log_likelihood(logits, pictures).shape == (3,)
    if classes:
        other = net.decode(mean, torch.tensor([1, 4, 4]))
        assert not torch.allclose(other[0], logits[0]) and torch.allclose(other[1], logits[1])
        with pytest.raises(UsageError, match="of a class"):
            net.decode(mean)


def test_a_size_that_cannot_be_halved() -> None:
    with pytest.raises(UsageError, match="30 × 30 pixels cannot be halved 2 times"):
        models.build("residual", (3, 30, 30), 4, (8, 8))


def test_a_scale_is_learnt_where_the_likelihood_has_one() -> None:
    plain, scaled = (models.build("dense", (3, 8, 8), 2, (4,), likelihood=kind) for kind in ("bernoulli", "gaussian"))
    assert plain.log_scale is None
    assert scaled.log_scale is not None and scaled.log_scale.shape == (3, 1, 1)
    assert count(scaled) == count(plain) + 3


def test_frequencies_come_beside_the_latents() -> None:
    features = models.FourierFeatures(2, 500)
    models.initialise(features, torch.Generator().manual_seed(0))
    assert float(features.frequencies.std()) == pytest.approx(models.FREQUENCY, rel=0.1)
    latents = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))
    found = features(latents)
    assert found.shape == (6, 1002) and torch.equal(found[:, :2], latents)
    angles = latents @ features.frequencies
    torch.testing.assert_close(found[:, 2:502] ** 2 + found[:, 502:] ** 2, torch.ones(6, 500))
    torch.testing.assert_close(torch.atan2(found[:, 2:502], found[:, 502:]), torch.atan2(angles.sin(), angles.cos()))
    net = models.build("dense", (1, 8, 8), 2, (16,), fourier=5)
    assert net.decode(latents).shape == (6, 1, 8, 8)
    assert "decoder.0.frequencies" in net.state_dict()  # they are kept with the weights


def test_variances_stay_finite() -> None:
    net = models.build("dense", (1, 8, 8), 2, (4,))
    torch.nn.init.constant_(net.log_var.bias, 1e6)
    assert float(net.encode(torch.rand(3, 1, 8, 8))[1].detach().max()) <= models.LARGEST
    torch.nn.init.constant_(net.log_var.bias, -3.0)
    torch.nn.init.zeros_(net.log_var.weight)
    torch.testing.assert_close(net.encode(torch.rand(1, 1, 8, 8))[1], torch.full((1, 2), -3.0), atol=1e-4, rtol=0)
