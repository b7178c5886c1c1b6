"""The networks: the papers' and textbooks' exact numbers of weights, shapes, classes, and what they see."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from gencli.core.device import drawing_from
from gencli.core.errors import UsageError
from gencli.gan import networks
from gencli.gan.networks import Form


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


SMALL = [
    Form("resnet", (1, 28, 28), 10, (16, 24), (8, 16)),
    Form("resnet", (3, 32, 32), 10, (8, 16, 24), (8, 12), norm="spectral"),
    Form("dcgan", (3, 32, 32), 10, (8, 16), (8, 12, 16), norm="batch"),
    Form("dcgan", (1, 28, 28), 10, (8, 16), (8, 12), norm="spectral"),
    Form("dense", (1, 28, 28), 10, (20, 30), (16, 8), dropout=0.3),
    Form("mnist-book", (1, 28, 28), 64, dropout=0.3),
    Form("frogs-book", (3, 32, 32), 32, dropout=0.4),
    Form("celeba-book", (3, 64, 64), 128, dropout=0.2),
]


def name(form: Form) -> str:
    return f"{form.arch}-{form.norm}"


@pytest.mark.parametrize("form", SMALL, ids=name)
@pytest.mark.parametrize(("classes", "condition"), [(0, "projection"), (5, "projection"), (5, "multiply")])
def test_latents_become_pictures_and_these_a_verdict(form: Form, classes: int, condition: str) -> None:
    form = replace(form, classes=classes, condition=condition)
    with drawing_from(draw()):
        nets = networks.build(form)
    for net in nets:
        networks.initialise(net, draw(1))
    labels = torch.arange(6) % classes if classes else None
    pictures = nets[0](torch.randn(6, form.latent, generator=draw()), labels)
    assert pictures.shape == (6, *form.shape)
    assert 0 <= pictures.min() < pictures.max() <= 1
    logits = nets[1](pictures, labels)
    assert logits.shape == (6,) and logits.isfinite().all()
    logits.sum().backward()
    for net in nets:
        assert all(weight.grad is not None for weight in net.parameters())
    if classes:
        with torch.no_grad():
            other = nets[0].eval()(torch.ones(1, form.latent), torch.tensor([1]))
            assert not torch.equal(other, nets[0](torch.ones(1, form.latent), torch.tensor([2])))
            seen = nets[1].eval()(pictures[:1], torch.tensor([1]))
            assert not torch.equal(seen, nets[1](pictures[:1], torch.tensor([2])))
        with pytest.raises(UsageError, match="of a class"):
            nets[0](torch.ones(1, form.latent))


@pytest.mark.parametrize(("size", "levels"), [(28, 2), (32, 3), (48, 3), (64, 4), (100, 2), (128, 5), (256, 6)])
def test_sides_are_halved_to_few_pixels(size: int, levels: int) -> None:
    assert networks.levels(size) == levels
    assert networks.sides(size, levels)[-1] == size >> levels
    with pytest.raises(UsageError, match="halved 9 times"):
        networks.sides(size, 9)


def test_spectral_norm_is_that_of_the_matrix() -> None:
    """The largest singular value of every layer of a discriminator is 1."""
    form = Form("dense", (1, 8, 8), 4, (8,), (16, 12), norm="spectral")
    with drawing_from(draw()):
        discriminator = networks.build(form)[1].double()
    networks.initialise(discriminator, draw(1))
    for _ in range(200):
        discriminator(torch.rand(2, 1, 8, 8, dtype=torch.float64))
    layers = [module for module in discriminator.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.detach(), 2).item() == pytest.approx(1, abs=1e-6)


def test_pictures_that_are_alike_are_seen_to_be() -> None:
    x = torch.randn(8, 3, 2, 2, generator=draw(), dtype=torch.float64)
    found = networks.Differences()(x)
    assert found.shape == (8, 4, 2, 2) and torch.equal(found[:, :3], x)
    groups = x.view(2, 4, 3, 2, 2)  # neighbours: pictures 0 to 3, and 4 to 7
    wanted = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
    torch.testing.assert_close(found[:, 3, 0, 0], wanted.repeat_interleave(4))
    same = networks.Differences()(x[:1].expand(8, -1, -1, -1))
    assert float(same[:, 3].max()) < 1e-3


def test_a_class_is_not_all_that_a_discriminator_sees() -> None:
    """Its vector along the features begins as small as the verdict's weights; the generator's beside normal latents."""
    generator_net, discriminator = networks.build(Form("resnet", (1, 16, 16), 8, (16, 16), (16, 16), classes=10))
    for net in (generator_net, discriminator):
        networks.initialise(net, draw(1))
    assert generator_net.embedding is not None and discriminator.embedding is not None
    assert float(generator_net.embedding.weight.detach().std()) == pytest.approx(1, rel=0.1)
    features = discriminator.embedding.weight.shape[1]
    assert float(discriminator.embedding.weight.detach().std()) == pytest.approx((2 / (10 + features)) ** 0.5, rel=0.1)


def test_the_same_seed_draws_the_same_weights() -> None:
    def made(seed: int) -> list[torch.Tensor]:
        source = draw(seed)
        with drawing_from(source):
            nets = networks.build(SMALL[1])
        for net in nets:
            networks.initialise(net, source)
        return [value for net in nets for value in net.state_dict().values()]

    first, again, other = made(1), made(1), made(2)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (Form("dcgan", (3, 30, 30), 10, (8, 16), (8, 16)), "cannot be halved 2 times"),
        (Form("mnist-book", (1, 32, 32), 10), "pictures of 28 × 28"),
        (Form("dense", (1, 28, 20), 10, (8,), (8,)), "not square"),
    ],
)
def test_a_size_that_cannot_be_made_is_said(form: Form, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        networks.build(form)
