"""Translators and their judges: the papers' and the textbook's weights, sizes, and what they keep."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from gencli.gan.translation import networks, trained, training
from gencli.gan.translation.networks import Translation, Translator
from gencli.gan.translation.options import NETS

WIDTHS = (8, 12, 16)


def translator(kind: str) -> Translator:
    net = networks.build(Translation(kind, widths=WIDTHS if kind == "quick" else ()))
    networks.initialise(net, torch.Generator().manual_seed(1))
    return net.eval()


@pytest.mark.parametrize(
    ("kind", "count"),
    [("unet", 1_546_819), ("unet-256", 54_413_955), ("resnet-9", 11_378_179), ("resnet-6", 7_837_699)],
)
def test_the_papers_have_so_many_weights(kind: str, count: int) -> None:
    with torch.device("meta"):
        assert sum(weight.numel() for weight in networks.build(Translation(kind)).parameters()) == count


def test_the_judge_of_pairs_has_so_many() -> None:
    judge = networks.judge(Translation("unet-256", paired=True))
    assert sum(weight.numel() for weight in judge.parameters()) == 2_768_705


@pytest.mark.parametrize(("depth", "verdicts"), [(1, 32), (2, 16), (3, 8)])
def test_a_judge_gives_a_verdict_of_each_patch(depth: int, verdicts: int) -> None:
    judge = networks.judge(Translation("unet", judge_width=4, judge_depth=depth))
    assert judge(torch.rand(2, 3, 64, 64)).shape == (2, 1, verdicts, verdicts)


def test_the_textbooks_judge_has_16_verdicts_a_side() -> None:
    judge = networks.judge(Translation("unet", judge_width=2, judge_depth=4))
    assert judge(torch.rand(1, 3, 256, 256)).shape[2:] == (16, 16)


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind != "unet-256"])
@torch.no_grad()
def test_pictures_keep_their_size_and_their_range(kind: str) -> None:
    net = translator(kind)
    pictures = torch.rand(2, 3, 2 * net.stride, 3 * net.stride, generator=torch.Generator().manual_seed(2))
    made = net(pictures)
    assert made.shape == pictures.shape
    assert made.min() >= 0 and made.max() <= 1 and made.std() > 0
    # norms are of each picture alone: beside others it becomes the same
    torch.testing.assert_close(net(pictures[:1]), made[:1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in NETS if kind != "unet-256"])
def test_a_picture_of_any_size_is_translated(kind: str) -> None:
    net = translator(kind)
    with torch.inference_mode():
        for height, width in ((1, 1), (1, net.stride), (net.stride, net.stride), (net.least, 1), (net.least + 1, 7)):
            rgb = torch.rand(1, 3, height, width)
            assert trained._whole(net, rgb).shape == rgb.shape
    small = torch.rand(1, 3, net.least, net.least)
    assert net.train()(small).shape == small.shape


@torch.no_grad()
def test_the_papers_unet_halves_a_picture_to_a_single_position() -> None:
    net = networks.Translator(Translation("unet-256"), networks.UNet256(3, 3, width=2))
    networks.initialise(net, torch.Generator().manual_seed(1))
    for learning in (True, False):
        assert net.train(learning)(torch.rand(1, 3, 256, 256)).shape == (1, 3, 256, 256)
    bottom = torch.rand(1, 3, 256, 256)
    for layer in net.body.down:  # type: ignore[union-attr]
        bottom = layer(bottom)
    assert bottom.shape[2:] == (1, 1)


def test_what_was_seen_is_put_beside_what_is_made() -> None:
    net = networks.BookUNet(3, 3, (4, 8, 16))
    sides = [layer[0].out_channels for layer in net.down]
    assert sides == [4, 8, 16]
    entering = [layer[0].in_channels for layer in net.up]
    assert entering == [16, 16] and net.last.in_channels == 8
    assert [before * 2 for before, _ in pairwise(sides)] == [8, 16]


def test_a_form_is_kept_as_json_keeps_it_and_reversed() -> None:
    form = Translation("quick", 1, 3, WIDTHS)
    assert Translation.from_dict({**vars(form), "widths": list(WIDTHS)}) == form
    back = form.reversed()
    assert (back.before, back.after, back.widths) == (3, 1, WIDTHS) and back.reversed() == form


@torch.no_grad()
def test_between_kinds_that_are_alike_a_quick_translator_begins_with_the_picture_itself() -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    away = {}
    for alike in (False, True):
        form = Translation("quick", widths=WIDTHS, judge_width=4, judge_depth=2)
        ((_, (net, _)),) = training.built(form, ["there"], 1, alike=alike)
        away[alike] = float((net(pictures) - pictures).abs().mean())
    assert away[True] < 0.06 and away[False] > 0.2
