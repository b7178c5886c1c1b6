"""The network for any style: its maps, regions, mixtures, passes and tiles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core.backbones import INPUT, Backbone
from gencli.core.device import Runtime, generator
from gencli.core.images import resize
from gencli.core.transport import matrix_root, spread
from gencli.stylize import arbitrary
from gencli.stylize.arbitrary import AnyStyle
from gencli.stylize.decoder import Plan
from gencli.stylize.whitening import (
    Looks,
    Wish,
    convolved,
    errors,
    even,
    everywhere,
    look_at,
    maps_of,
    moments_of,
    moved,
)

Draw = Callable[..., Tensor]
CPU = Runtime(torch.device("cpu"))
PLAN = Plan(
    layers=(INPUT, "conv2_1", "conv3_1"),
    channels=(3, 8, 10),
    units=(1.5, 0.8, 0.5),
    widths=(4, 6, 6),
    noise=(1, 2, 2),
    ends=3,
    passes=(1, 0),
    blocks=((0, 1, 1), (0, 1)),
    code=5,
)


def some_looks() -> Looks:
    """Of three styles that there are not."""
    draw, channels = torch.Generator().manual_seed(1), dict(zip(PLAN.layers, PLAN.channels, strict=True))
    return Looks(
        {layer: torch.rand(1, 3, count, generator=draw) for layer, count in channels.items()},
        {layer: torch.randn(1, 3, count, count, generator=draw) for layer, count in channels.items()},
    )


def network(plan: Plan = PLAN, size: float = 0.2) -> AnyStyle:
    """One with random weights, in double precision."""
    net, draw = AnyStyle(plan), torch.Generator().manual_seed(0)
    arbitrary.initialise(net, draw, some_looks())
    with torch.no_grad():
        for weight in net.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=draw))
    return net.double().eval()


def wishing(encoder: Backbone, styles: list[Tensor], *shares: float, strength: float = 0.5, **more: Any) -> Wish:
    looks = look_at(encoder, styles, PLAN.layers, CPU)
    wanted = torch.tensor([[shares]], dtype=torch.float64)
    return Wish(looks, torch.tensor([strength], dtype=torch.float64), more.get("shares", wanted), more.get("regions"))


def test_maps_give_features_the_moments_of_the_style(picture: Draw) -> None:
    """At full strength; of a mixture of styles those in between, on the way of least change."""
    features, styles = picture(20, 31), [picture(25, 18, 1), 0.3 * picture(16, 16, 2)]
    means, roots = zip(*((m[..., 0], matrix_root(c)) for m, c in (spread(s.flatten(2)) for s in styles)), strict=True)
    looks = Looks({"x": torch.stack(means, 1)}, {"x": torch.stack(roots, 1)})
    one = torch.ones(1, dtype=torch.float64)
    for which, style in enumerate(styles):
        shares = torch.zeros(1, 1, 2, dtype=torch.float64)
        shares[..., which] = 1
        there = features + moved(features, maps_of(moments_of(features, None), "x", Wish(looks, one, shares)), None)
        for found, wanted in zip(spread(there.flatten(2)), spread(style.flatten(2)), strict=True):
            torch.testing.assert_close(found, wanted, atol=2e-3, rtol=0)
    half = Wish(looks, one, torch.full((1, 1, 2), 0.5, dtype=torch.float64))
    alone = [
        moved(
            features, maps_of(moments_of(features, None), "x", Wish(looks, one, torch.eye(2)[None, None, which])), None
        )
        for which in range(2)
    ]
    both = moved(features, maps_of(moments_of(features, None), "x", half), None)
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)
    weak = Wish(looks, one / 2, half.shares)
    torch.testing.assert_close(moved(features, maps_of(moments_of(features, None), "x", weak), None), both / 1.15)
    doubled = maps_of(moments_of(features, None), "x", half, unit=2.0)
    torch.testing.assert_close(moved(features, doubled, None), 2 * both)


def test_regions_are_moved_by_what_is_in_them(picture: Draw) -> None:
    features, style = picture(24, 32), picture(20, 20, 1)
    mean, covariance = spread(style.flatten(2))
    looks = Looks({"x": mean[..., 0][:, None]}, {"x": matrix_root(covariance)[:, None]})
    region = torch.zeros(1, 24, 32, dtype=torch.float64)
    region[:, :, :16] = 1
    wish = Wish(looks, torch.ones(1, dtype=torch.float64), torch.ones(1, 1, 1, dtype=torch.float64), region)
    change = moved(features, maps_of(moments_of(features, even(region)), "x", wish), region)
    assert change[..., 16:].abs().max() == 0
    left = features[..., :16]
    alone = moved(left, maps_of(moments_of(left, None), "x", Wish(looks, wish.strengths, wish.shares)), None)
    torch.testing.assert_close(change[..., :16], alone)


def test_what_a_level_sees(picture: Draw) -> None:
    """The canvas is to change as the style has it, and to become the photograph as the style has it."""
    canvas, photograph, style = picture(24, 32), picture(24, 32, 1), picture(20, 20, 2)
    mean, covariance = spread(style.flatten(2))
    looks = Looks({"x": mean[..., 0][:, None]}, {"x": matrix_root(covariance)[:, None]})
    region = torch.full((1, 24, 32), 0.6, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    wish = Wish(looks, one / 2, one[None, None], region)
    weight = torch.randn(5, 6, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for where in (None, region):
        shares = None if where is None else even(where)
        maps = [maps_of(moments_of(one, shares), "x", wish, 1.3) for one in (canvas, photograph)]
        of_style = moved(canvas, maps[0], where)
        of_photograph = moved(photograph, maps[1], where) + 1.3 * (photograph - canvas)
        wanted = F.conv2d(torch.cat([of_style, of_photograph], 1), weight)
        together = errors(weight, 1.3, *maps, masked=where is not None)
        given = torch.cat([canvas, photograph], 1)
        found = convolved(given, together, everywhere(where))[..., 1:-1, 1:-1]
        torch.testing.assert_close(found, wanted)


def test_a_new_network_only_moves_the_colours(tiny: Any, picture: Draw) -> None:
    encoder, photograph, style = tiny("average"), 0.25 + 0.5 * picture(40, 60), 0.3 + 0.2 * picture(30, 30, 1)
    net = AnyStyle(PLAN).double()
    arbitrary.initialise(net, generator(0), some_looks())
    made = net(encoder, photograph, wishing(encoder, [style], 1.0, strength=1.0), CPU)
    recolored = made.clone()
    for found, wanted in zip(spread(made.flatten(2)), spread(style.flatten(2)), strict=True):
        torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)
    half = net(encoder, photograph, wishing(encoder, [style], 1.0, strength=0.5), CPU)
    assert 0.01 < (half - photograph).abs().mean() < (recolored - photograph).abs().mean()


def test_codes_tell_styles_apart() -> None:
    """From the beginning, though their statistics are alike; and a mixture's lies between."""
    net, looks = AnyStyle(replace(PLAN, code=48)), some_looks()
    near = Looks(looks.mean, {layer: 1 + 0.3 * root for layer, root in looks.root.items()})
    arbitrary.initialise(net, generator(0), near)
    of_statistics = net.statistics(near)[0]

    def wish(*shares: float) -> Wish:
        return Wish(near, torch.ones(1), torch.tensor([[shares]]))

    codes = torch.cat([net.codes(wish(*row)) for row in torch.eye(3).tolist()])
    assert (codes[:, 0] == 1).all() and codes.shape == (3, 49)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert F.cosine_similarity(of_statistics[first], of_statistics[second], 0) > 0.8
        assert F.cosine_similarity(codes[first, 1:], codes[second, 1:], 0) < 0.3
    torch.testing.assert_close(net.codes(wish(0.25, 0.75, 0.0))[0], 0.25 * codes[0] + 0.75 * codes[1])


@pytest.mark.parametrize("size", [(70, 101), (64, 128), (33, 150)])
@pytest.mark.parametrize("masked", [False, True])
def test_tiles_change_nothing(tiny: Any, picture: Draw, size: tuple[int, int], masked: bool) -> None:
    encoder, net = tiny("average"), network()
    styles = [picture(40, 30, 1), picture(30, 40, 2)]
    more: dict[str, Any] = {}
    if masked:
        left = torch.linspace(1, 0, size[1], dtype=torch.float64).expand(size[0], -1)
        more = {"regions": torch.stack([left, 0.7 * (1 - left)]), "shares": torch.eye(2, dtype=torch.float64)[None]}
    wish = wishing(encoder, styles, 0.3, 0.7, **more)
    with torch.no_grad():
        whole = net(encoder, picture(*size), wish, CPU)
        assert whole.std() > 0.02 and (whole - picture(*size)).abs().mean() > 0.02
        for tile in (32, 48):
            torch.testing.assert_close(net(encoder, picture(*size), wish, CPU, tile=tile), whole, atol=1e-6, rtol=0)


def test_pictures_of_a_batch_do_not_touch(tiny: Any, picture: Draw) -> None:
    """Each has its styles and its strength. The noise alone, which is drawn for all at once, is left out here."""
    encoder, net = tiny("average"), network()
    for decoder in net.decoders:
        for level, maps in zip(decoder.levels, PLAN.noise, strict=False):
            level.rest.weight.data[:, :maps] = 0
    pair = torch.cat([picture(48, 40), picture(48, 40, 5)])
    wishes = [wishing(encoder, [picture(30, 30, seed)], 1.0, strength=0.2 * seed) for seed in (2, 4)]
    looks = Looks(
        *(
            {layer: torch.cat([getattr(wish.looks, part)[layer] for wish in wishes]) for layer in PLAN.layers}
            for part in ("mean", "root")
        )
    )
    both = Wish(looks, torch.cat([wish.strengths for wish in wishes]), torch.ones(2, 1, 1, dtype=torch.float64))
    with torch.no_grad():
        found = net(encoder, pair, both, CPU)
        for index, wish in enumerate(wishes):
            torch.testing.assert_close(found[index : index + 1], net(encoder, pair[index : index + 1], wish, CPU))


def test_noise_is_the_same_each_time_and_its_own_in_training(tiny: Any, picture: Draw) -> None:
    encoder, net, photograph = tiny("average"), network(), picture(40, 40)
    wish = wishing(encoder, [picture(30, 30, 1)], 1.0)
    with torch.no_grad():
        torch.testing.assert_close(
            net(encoder, photograph, wish, CPU), net(encoder, photograph, wish, CPU), atol=0, rtol=0
        )
        draw = torch.Generator().manual_seed(3)
        first = net(encoder, photograph, wish, CPU, draw)
        assert (net(encoder, photograph, wish, CPU, draw) - first).abs().max() > 1e-3


def test_it_works_from_small_to_large(tiny: Any, picture: Draw) -> None:
    encoder, net, photograph = tiny("average"), network(), picture(100, 61)
    stages = list(net.stages(encoder, photograph, wishing(encoder, [picture(30, 30, 1)], 1.0), CPU))
    assert [painted.shape[-2:] for _, painted in stages] == [(50, 30), (100, 61)]
    for seen, painted in stages:
        torch.testing.assert_close(seen, resize(photograph, (seen.shape[-2], seen.shape[-1])).clamp(0, 1))
        assert painted.isfinite().all()
    # the last pass also says what the first one should have done
    painted = stages[-1][1]
    gradient = torch.autograd.grad(painted.mean(), next(net.decoders[0].parameters()))[0]
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("size", [(16, 3), (2, 40), (17, 17)])
def test_pictures_may_be_thin(tiny: Any, picture: Draw, size: tuple[int, int]) -> None:
    encoder = tiny("average")
    made = network()(encoder, resize(picture(40, 40), size), wishing(encoder, [picture(30, 30, 1)], 1.0), CPU)
    assert made.shape[-2:] == size and made.isfinite().all()


def test_a_plan_is_kept_as_json() -> None:
    assert Plan.from_dict(json.loads(json.dumps(asdict(PLAN)))) == PLAN


def test_half_precision_is_for_the_layers_alone(tiny: Any, picture: Draw) -> None:
    """Maps from moments in half precision would make five times the difference."""
    encoder, net, photograph = tiny("average", dtype=torch.float32), network().float(), picture(64, 80).float()
    looks = look_at(encoder, [picture(40, 40, 1).float()], PLAN.layers, CPU)
    wish = Wish(looks, torch.tensor([0.5]), torch.ones(1, 1, 1))
    with torch.no_grad():
        full = net(encoder, photograph, wish, CPU)
        half = net(encoder, photograph, wish, Runtime(torch.device("cpu"), torch.bfloat16))
    assert (full - photograph).abs().mean() > 0.1
    assert (full - half).abs().mean() < 0.02
