"""The network for any style: its maps, a region's, mixtures, codes and tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.backbones import INPUT, Backbone, half_as_large
from gencli.core.device import Runtime, generator
from gencli.core.images import resize
from gencli.core.transport import matrix_root, spread
from gencli.stylize import arbitrary, feedforward
from gencli.stylize.arbitrary import AnyStyle, Seeing
from gencli.stylize.feedforward import Form, Painter
from gencli.stylize.whitening import Looks, Wish, look_at, maps_of, moments_of, moved

Draw = Callable[..., Tensor]
CPU = Runtime(torch.device("cpu"))
FORM = Form(
    styles=0,
    widths=(4, 6, 6),
    blocks=(0, 1, 1),
    ends=3,
    noise=2,
    layers=("conv1_1", "conv2_1"),
    channels=(6, 8),
    code=5,
)
LAYERS = (INPUT, *FORM.layers)


def some_looks() -> Looks:
    """Of three styles that there are not."""
    draw, channels = torch.Generator().manual_seed(1), dict(zip(LAYERS, (3, *FORM.channels), strict=True))
    return Looks(
        {layer: torch.rand(1, 3, count, generator=draw) for layer, count in channels.items()},
        {layer: torch.randn(1, 3, count, count, generator=draw) for layer, count in channels.items()},
    )


def network(size: float = 0.2) -> AnyStyle:
    """One with random weights, in double precision."""
    net, draw = AnyStyle(FORM), torch.Generator().manual_seed(0)
    arbitrary.initialise(net, draw, some_looks())
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=draw))
    return net.double().eval()


def wishing(
    encoder: Backbone, styles: list[Tensor], *shares: float, strength: float = 0.5, region: Tensor | None = None
) -> Wish:
    looks = look_at(encoder, styles, LAYERS, CPU)
    wanted = torch.tensor([shares], dtype=torch.float64)
    return Wish(looks, torch.tensor([strength], dtype=torch.float64), wanted, region)


def test_maps_give_features_the_moments_of_the_style(picture: Draw) -> None:
    """At full strength; of a mixture of styles those in between, on the way of least change."""
    features, styles = picture(20, 31), [picture(25, 18, 1), 0.3 * picture(16, 16, 2)]
    means, roots = zip(*((m[..., 0], matrix_root(c)) for m, c in (spread(s.flatten(2)) for s in styles)), strict=True)
    looks = Looks({"x": torch.stack(means, 1)}, {"x": torch.stack(roots, 1)})
    one = torch.ones(1, dtype=torch.float64)
    for which, style in enumerate(styles):
        shares = torch.zeros(1, 2, dtype=torch.float64)
        shares[..., which] = 1
        there = features + moved(features, maps_of(moments_of(features, None), "x", Wish(looks, one, shares)))
        for found, wanted in zip(spread(there.flatten(2)), spread(style.flatten(2)), strict=True):
            torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)

    def change(*shares: float, strength: float = 1.0) -> Tensor:
        wish = Wish(looks, strength * one, torch.tensor([shares], dtype=torch.float64))
        return moved(features, maps_of(moments_of(features, None), "x", wish))

    both = change(0.5, 0.5)
    torch.testing.assert_close(both, (change(1, 0) + change(0, 1)) / 2)
    torch.testing.assert_close(change(0.5, 0.5, strength=0.5), both / 1.15)


def test_of_a_region_count_its_own_positions(picture: Draw) -> None:
    """By how much of each is in it."""
    features, style = picture(24, 32), picture(20, 20, 1)
    mean, covariance = spread(style.flatten(2))
    looks = Looks({"x": mean[..., 0][:, None]}, {"x": matrix_root(covariance)[:, None]})
    one = torch.ones(1, dtype=torch.float64)
    region = torch.zeros(48, 64, dtype=torch.float64)
    region[:, :32] = 0.7
    counts = Wish(looks, one, one[None], region).counts((24, 32))
    wish = Wish(looks, one, one[None])
    assert wish.counts((24, 32)) is None
    maps = maps_of(moments_of(features, counts), "x", wish)
    left = features[..., :16]
    torch.testing.assert_close(moved(left, maps), moved(left, maps_of(moments_of(left, None), "x", wish)))


@pytest.mark.parametrize("masked", [False, True])
def test_it_sees_features_and_where_they_are_to_go(tiny: Any, picture: Draw, masked: bool) -> None:
    encoder, given, styles = tiny("average"), picture(24, 32), [picture(40, 30, 1), picture(30, 40, 2)]
    region = torch.linspace(1, 0.5, 32, dtype=torch.float64).expand(24, -1) if masked else None
    wish = wishing(encoder, styles, 0.3, 0.7, region=region)
    seen = Seeing(encoder, wish)(given, FORM.layers)
    for layer, features in encoder(given, FORM.layers).items():
        maps = maps_of(moments_of(features, wish.counts(features.shape[-2:])), layer, wish)
        torch.testing.assert_close(seen[layer], torch.cat([features, moved(features, maps)], 1))


def test_styles_are_looked_at_as_large_as_pictures_are(tiny: Any, picture: Draw) -> None:
    """A style painted in itself is to change nowhere."""
    encoder, style = tiny("average"), picture(64, 48)
    wish = wishing(encoder, [style], 1.0, strength=1.0)
    for layer, seen in Seeing(encoder, wish)(half_as_large(style), FORM.layers).items():
        features, change = seen.chunk(2, 1)
        assert float(change.square().mean()) < 1e-4 * float(features.square().mean()), layer


def test_a_new_network_only_moves_the_colours(tiny: Any, picture: Draw) -> None:
    encoder, photograph, style = tiny("average"), 0.25 + 0.5 * picture(40, 60), 0.3 + 0.2 * picture(30, 30, 1)
    net = AnyStyle(FORM).double()
    arbitrary.initialise(net, generator(0), some_looks())
    made = net(encoder, photograph, wishing(encoder, [style], 1.0, strength=1.0))
    recolored = made.clone()
    for found, wanted in zip(spread(made.flatten(2)), spread(style.flatten(2)), strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)
    half = net(encoder, photograph, wishing(encoder, [style], 1.0, strength=0.5))
    assert 0.01 < (half - photograph).abs().mean() < (recolored - photograph).abs().mean()


def test_codes_tell_styles_apart() -> None:
    """From the beginning, though their statistics are alike; and a mixture's lies between."""
    net, looks = AnyStyle(replace(FORM, code=48)), some_looks()
    near = Looks(looks.mean, {layer: 1 + 0.3 * root for layer, root in looks.root.items()})
    arbitrary.initialise(net, generator(0), near)
    of_statistics = arbitrary.statistics(near, LAYERS)[0]

    def codes_of(*shares: float, strength: float = 1.0) -> Tensor:
        return net.shares(Wish(near, torch.tensor([strength]), torch.tensor([shares])))

    codes = torch.cat([codes_of(*row) for row in torch.eye(3).tolist()])
    assert (codes[:, 0] == 0).all() and (codes[:, 1] == 1).all() and codes.shape == (3, 50)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert F.cosine_similarity(of_statistics[first], of_statistics[second], 0) > 0.8
        assert F.cosine_similarity(codes[first, 2:], codes[second, 2:], 0) < 0.3
    torch.testing.assert_close(codes_of(0.25, 0.75, 0.0)[0], 0.25 * codes[0] + 0.75 * codes[1])
    weak = codes_of(1.0, 0.0, 0.0, strength=0.3)[0]
    torch.testing.assert_close(weak, 0.3 * codes[0] + F.pad(torch.tensor([0.7]), (0, 49)))


@pytest.mark.parametrize("size", [(70, 101), (64, 128), (33, 150)])
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_change_nothing(tiny: Any, picture: Draw, size: tuple[int, int], masked: bool) -> None:
    encoder, net = tiny("average"), network()
    styles = [picture(40, 30, 1), picture(30, 40, 2)]
    left = torch.linspace(1, 0, size[1], dtype=torch.float64).expand(size[0], -1)
    wish = wishing(encoder, styles, 0.3, 0.7, region=left if masked else None)
    with torch.no_grad():
        whole = net(encoder, picture(*size), wish)
        assert whole.std() > 0.02 and (whole - picture(*size)).abs().mean() > 0.02
        for tile in (32, 48):
            torch.testing.assert_close(net(encoder, picture(*size), wish, tile=tile), whole, atol=1e-6, rtol=0)


def test_pictures_of_a_batch_do_not_touch(tiny: Any, picture: Draw) -> None:
    """Each has its styles and its strength. The noise alone, which is drawn for all at once, is left out here."""
    encoder, net = tiny("average"), network()
    for grain in net.painter.grain:
        grain.data.zero_()
    pair = torch.cat([picture(48, 40), picture(48, 40, 5)])
    wishes = [wishing(encoder, [picture(30, 30, seed)], 1.0, strength=0.2 * seed) for seed in (2, 4)]
    looks = Looks(
        *(
            {layer: torch.cat([getattr(wish.looks, part)[layer] for wish in wishes]) for layer in LAYERS}
            for part in ("mean", "root")
        )
    )
    both = Wish(looks, torch.cat([wish.strengths for wish in wishes]), torch.ones(2, 1, dtype=torch.float64))
    with torch.no_grad():
        found = net(encoder, pair, both)
        for index, wish in enumerate(wishes):
            torch.testing.assert_close(found[index : index + 1], net(encoder, pair[index : index + 1], wish))


def test_noise_is_the_same_each_time_and_its_own_in_training(tiny: Any, picture: Draw) -> None:
    encoder, net, photograph = tiny("average"), network(), picture(40, 40)
    wish = wishing(encoder, [picture(30, 30, 1)], 1.0)
    with torch.no_grad():
        torch.testing.assert_close(net(encoder, photograph, wish), net(encoder, photograph, wish), atol=0, rtol=0)
        draw = torch.Generator().manual_seed(3)
        first = net(encoder, photograph, wish, draw)
        assert (net(encoder, photograph, wish, draw) - first).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(16, 3), (2, 40), (17, 17)])
def test_pictures_may_be_thin(tiny: Any, picture: Draw, size: tuple[int, int]) -> None:
    encoder = tiny("average")
    made = network()(encoder, resize(picture(40, 40), size), wishing(encoder, [picture(30, 30, 1)], 1.0))
    assert made.shape[-2:] == size and made.isfinite().all()


def test_it_begins_with_what_a_painter_knows(tiny: Any, picture: Draw) -> None:
    """Of a style that is nothing special it is the mean of the painter's."""
    encoder, photograph = tiny("average"), picture(40, 60)
    painter = Painter(replace(FORM, styles=2, code=0))
    feedforward.initialise(painter, generator(1), [picture(20, 20).float()] * 2)
    with torch.no_grad():
        for weight in painter.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator(2)))
    net, draw = AnyStyle(FORM), generator(0)
    arbitrary.initialise(net, draw, some_looks(), painter)
    net, painter = net.double(), painter.double()
    wish = wishing(encoder, [picture(30, 30, 1)], 1.0)
    net.code.weight.data.zero_()
    shares = net.shares(wish)
    assert shares[0, :3].tolist() == [0.5, 0.5, 0]
    with torch.no_grad():
        found = net.painter.found(Seeing(encoder, wish), photograph, shares)
        wanted = painter.found(encoder, photograph, torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


def test_half_precision_is_for_the_layers_alone(tiny: Any, picture: Draw) -> None:
    """Maps from moments in half precision would make five times the difference."""
    encoder, net, photograph = tiny("average", dtype=torch.float32), network().float(), picture(64, 80).float()
    looks = look_at(encoder, [picture(40, 40, 1).float()], LAYERS, CPU)
    wish = Wish(looks, torch.tensor([0.5]), torch.ones(1, 1))
    with torch.no_grad():
        full = net(encoder, photograph, wish)
        with Runtime(torch.device("cpu"), torch.bfloat16).autocast():
            half = net(encoder, photograph, wish)
    assert (full - photograph).abs().mean() > 0.1
    assert (full - half).abs().mean() < 0.02
