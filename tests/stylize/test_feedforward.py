"""The painter: its parts by the papers, tiles, mixtures, and what it minimises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.transport import spread
from gencli.stylize import feedforward, layers, optimize, training
from gencli.stylize.feedforward import Form, Painter
from gencli.stylize.layers import StyleNorm
from gencli.stylize.objective import Objective
from gencli.stylize.options import StyleTraining, StylizeOptions
from tests.pretended import pretended_gpu

Draw = Callable[..., Tensor]
CPU = Runtime(torch.device("cpu"))
LAYERS: dict[str, Any] = {"content_layer": {"conv2_2": 1.0}, "style_layer": {"conv1_1": 1.0, "conv3_1": 3.0}}


LOOKING = Form(2, (4, 6, 8, 8), (0, 0, 1, 2), 3, 2, ("conv1_1", "conv2_1", "conv3_1"), (6, 8, 10))
OWN = Form(2, (4, 6, 8), (0, 0, 2), 9, 0)


def painter(form: Form, dtype: torch.dtype = torch.float64) -> Painter:
    """One with random weights, whose styles differ."""
    draw = torch.Generator().manual_seed(0)
    net = Painter(form)
    for name, weight in net.named_parameters():
        size = 0.4 if name.startswith("grain") or name.endswith(("scale", "shift")) else 0.15
        with torch.no_grad():
            weight.add_(size * torch.randn(weight.shape, generator=draw))
    for style in range(form.styles):
        net.mean[style] = torch.rand(3, generator=draw)
        net.root[style] = torch.diag(0.3 * torch.rand(3, generator=draw))
    return net.to(dtype).eval()


def shares(*numbers: float) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


def test_the_published_network_has_its_parameters(tiny: Any) -> None:
    """Johnson et al. 2016: 9 × 9 ends, 3 → 32 → 64 → 128, five residual blocks, and the reverse."""
    net = Painter(training.form(StyleTraining.build({}, "johnson"), 1, tiny()))
    convolutions = sum(weight.numel() for name, weight in net.named_parameters() if "norm" not in name)
    by_hand = 2 * (81 * 3 * 32) + 2 * 9 * (32 * 64 + 64 * 128) + 10 * 9 * 128 * 128 + 3
    norms = 2 * 2 * (2 * (32 + 64) + 128 + 10 * 128)  # a scale and a shift, for the photograph and for the style
    assert convolutions == by_hand == 1_674_435
    assert sum(weight.numel() for weight in net.parameters()) == by_hand + norms


def test_a_norm_by_hand(picture: Draw) -> None:
    x = torch.cat([picture(6, 5), 3 * picture(6, 5, 1)])
    norm = StyleNorm(3, 3).double()
    with torch.no_grad():
        norm.scale.copy_(torch.arange(9.0).view(3, 3))
        norm.shift.copy_(-torch.arange(9.0).view(3, 3))
    found = norm(x, torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.25, 0.25]], dtype=torch.float64))
    scales = torch.tensor([[3.0, 4.0, 5.0], [2.25, 3.25, 4.25]], dtype=torch.float64)
    for index in range(2):
        for channel in range(3):
            part = x[index, channel]
            even = (part - part.mean()) / (part.var(correction=0) + layers.EPSILON).sqrt()
            torch.testing.assert_close(found[index, channel], scales[index, channel] * (even - 1))


@pytest.mark.parametrize("channels", [3, 6, 12, 16, 24])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
@torch.no_grad()
def test_norms_are_the_same_in_both_layouts(channels: int, size: tuple[int, int]) -> None:
    """With channels last, moments of few channels are found another way."""
    draw = torch.Generator().manual_seed(channels)
    x = 1 + (0.5 + torch.rand(channels, 1, 1, generator=draw)) * torch.randn(1, channels, *size, generator=draw)
    norm, mixture = StyleNorm(2, channels), torch.tensor([[0.3, 0.7]])
    norm.scale.normal_(generator=draw)
    norm.shift.normal_(generator=draw)
    last = x.contiguous(memory_format=torch.channels_last)
    apart = layers._moments(last)
    assert (apart is not None) == (channels != 16 and size[0] * size[1] % 16 == 0)
    if apart is not None:
        torch.testing.assert_close(apart[0], x.mean((0, 2, 3)))
        torch.testing.assert_close(apart[1], x.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(norm(last, mixture), norm(x, mixture), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "form",
    [
        LOOKING,
        replace(LOOKING, widths=(4, 6, 8), blocks=(0, 1, 0), layers=LOOKING.layers[:2], channels=(6, 8)),
        OWN,
        replace(OWN, widths=(6, 8), blocks=(0, 1), ends=3, noise=2),
        replace(OWN, widths=(4, 6, 8, 8), blocks=(0, 1, 0, 2)),
    ],
)
@pytest.mark.parametrize("size", [(70, 101), (64, 128), (33, 190)])
@torch.no_grad()
def test_tiles_change_nothing(tiny: Any, picture: Draw, form: Form, size: tuple[int, int]) -> None:
    net, encoder, wanted = painter(form), tiny("average"), shares(0.3, 0.5, 0.2)
    whole = net(encoder, picture(*size), wanted)
    assert whole.std() > 0.02
    for tile in (32, 60):
        torch.testing.assert_close(net(encoder, picture(*size), wanted, tile=tile), whole, atol=1e-6, rtol=0)
    # nothing of a tile is left
    torch.testing.assert_close(net(encoder, picture(*size), wanted), whole, atol=0, rtol=0)


@pytest.mark.parametrize("form", [LOOKING, OWN])
def test_nothing_of_a_painting_lies_on_the_wrong_device(tiny: Any, picture: Draw, form: Form) -> None:
    net, encoder = painter(form), tiny("average")
    with pretended_gpu() as gpu:
        net, encoder = net.to(gpu.device), encoder.to(gpu.device)
        given, wanted = picture(70, 101).to(gpu.device), shares(0.5, 0.2, 0.3).to(gpu.device)
        for tile in (None, 32):
            assert net(encoder, given, wanted, tile=tile).device == gpu.device


def test_tiles_in_half_precision_are_as_exact_as_that_is(tiny: Any, picture: Draw) -> None:
    net, encoder = painter(LOOKING, torch.float32), tiny("average", dtype=torch.float32)
    given, wanted = picture(70, 101).float(), shares(0.5, 0.2, 0.3).float()
    with torch.no_grad():
        exact = net(encoder, given, wanted)
        with Runtime(torch.device("cpu"), torch.bfloat16).autocast():
            whole, tiles = net(encoder, given, wanted), net(encoder, given, wanted, tile=32)
    assert 0 < (whole - exact).abs().mean() < 0.01 and (tiles - exact).abs().mean() < 0.01


def fresh(form: Form, *styles: Tensor) -> Painter:
    net = Painter(replace(form, styles=len(styles))).double()
    feedforward.initialise(net, torch.Generator().manual_seed(0), styles)
    return net


def test_a_new_painter_only_moves_the_colours(tiny: Any, picture: Draw) -> None:
    photograph, style = 0.25 + 0.5 * picture(40, 60), 0.3 + 0.2 * picture(30, 30, 1)
    net, encoder = fresh(LOOKING, style), tiny("average")
    found = net(encoder, photograph, shares(0, 1))
    mean, covariance = spread(found[0].flatten(1))
    wanted_mean, wanted = spread(style[0].flatten(1))
    torch.testing.assert_close(mean, wanted_mean, atol=5e-3, rtol=0)
    torch.testing.assert_close(covariance, wanted, atol=2e-3, rtol=0)
    assert (net(encoder, photograph, shares(0.999, 0.001)) - photograph).abs().max() < 1e-3
    half = net(encoder, photograph, shares(0.5, 0.5))
    torch.testing.assert_close(half, torch.lerp(photograph, found, 1 / 1.15), atol=0.02, rtol=0)
    plain = fresh(OWN, style)(None, photograph, shares(0, 1))
    torch.testing.assert_close(plain, torch.full_like(plain, 0.5))


def test_noise_is_the_same_each_time_and_its_own_in_training(tiny: Any, picture: Draw) -> None:
    net, photograph, wanted = painter(LOOKING), picture(40, 40), shares(0.3, 0.5, 0.2)
    paint, draw = partial(net, tiny(), photograph, wanted), torch.Generator().manual_seed(3)
    torch.testing.assert_close(paint(), paint(), atol=0, rtol=0)
    assert (paint(draw) - paint(draw)).abs().max() > 1e-3
    silent = painter(replace(LOOKING, noise=0))
    assert not sum(grain.numel() for grain in silent.grain)
    paint = partial(silent, tiny(), photograph, wanted)
    torch.testing.assert_close(paint(draw), paint(), atol=0, rtol=0)


@pytest.mark.parametrize("size", [(1, 16), (7, 9), (16, 33)])
@pytest.mark.parametrize("form", [LOOKING, OWN])
def test_small_and_thin_pictures_are_painted(tiny: Any, picture: Draw, form: Form, size: tuple[int, int]) -> None:
    found = painter(form)(tiny(), picture(*size), shares(0.3, 0.5, 0.2))
    assert found.shape[-2:] == size and found.isfinite().all()


def test_every_picture_of_a_batch_has_its_own_mixture(tiny: Any, picture: Draw) -> None:
    net, batch = partial(painter(LOOKING), tiny()), torch.cat([picture(32, 32), picture(32, 32, 1)])
    wanted = torch.cat([shares(0.5, 0.5, 0), shares(0.2, 0.3, 0.5)])
    both = net(batch, wanted)
    for index in range(2):
        torch.testing.assert_close(both[index], net(batch[index : index + 1], wanted[index : index + 1])[0])
    assert (net(batch, wanted.flip(0)) - both).abs().max() > 0.01


def test_a_painter_takes_over_what_another_knows(tiny: Any, picture: Draw) -> None:
    start, net = (painter(replace(LOOKING, styles=styles), torch.float32) for styles in (2, 3))
    feedforward.take_over(net, start, [1, 0, 1])
    for style, other in enumerate([1, 0, 1]):
        net.mean[style], net.root[style] = start.mean[other], start.root[other]
    photograph, encoder = picture(40, 48).float(), tiny(dtype=torch.float32)
    for style, other in enumerate([1, 0, 1]):
        found = net(encoder, photograph, training.mixture(torch.tensor([style]), torch.tensor([0.7]), 3))
        wanted = start(encoder, photograph, training.mixture(torch.tensor([other]), torch.tensor([0.7]), 2))
        torch.testing.assert_close(found, wanted)


def test_what_a_painter_sees_with_must_be_there(tiny: Any) -> None:
    form = training.form(StyleTraining(width=6, blocks=(0, 1, 1)), 2, tiny())
    assert (form.layers, form.channels, form.widths) == (("conv1_1", "conv2_1"), (6, 8), (6, 12, 24))
    with pytest.raises(UsageError, match="conv4_1"):
        training.form(StyleTraining(), 1, tiny())
    assert training.form(StyleTraining(own_encoder=True), 1, tiny()).layers == ()


def test_mixtures_add_up() -> None:
    found = training.mixture(torch.tensor([1, 0]), torch.tensor([0.5, 1.0]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0, 0.5, 0], [0, 1, 0, 0]]))


@pytest.mark.parametrize("style_loss", ["gram", "w2"])
def test_it_minimises_what_a_single_picture_s_painting_does(tiny: Any, picture: Draw, style_loss: str) -> None:
    """At strength 0.5 the loss, but for its unit, is the slow method's."""
    backbone = tiny("average")
    options = StyleTraining(style_loss=style_loss, pooling="average", **LAYERS)
    style, photographs = picture(30, 41, 7), torch.cat([picture(32, 32), picture(32, 32, 1)])
    painted = (photographs + 0.2 * picture(32, 32, 3)).clamp(0, 1)
    comparison = training.Comparison(options, backbone, CPU)
    styles = comparison.study([picture(25, 25, 9), style])
    of_style, content = comparison(painted, photographs, styles.of(torch.tensor([1, 1])))
    wanted = optimize.weights(StylizeOptions(style_loss=style_loss, **LAYERS), 1)
    alone = [
        Objective(backbone, photographs[one : one + 1], [style], wanted)(painted[one : one + 1])[0] for one in range(2)
    ]
    ratio = wanted.ratio
    torch.testing.assert_close(of_style + ratio * content, torch.stack(alone), rtol=1e-6, atol=0)
    usual = torch.full((2,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(
        comparison.whole(of_style, content, usual), torch.stack(alone).mean() / (1 + ratio), rtol=1e-6, atol=0
    )


def test_even_ends_have_no_middle() -> None:
    with pytest.raises(UsageError, match="--ends 4"):
        StyleTraining(ends=4)
