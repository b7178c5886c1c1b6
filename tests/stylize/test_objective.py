"""The objective: exact in tiles, gradients right, in its units, and the textbook's sums where asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gencli.core import networks
from gencli.core.backbones import Backbone
from gencli.core.errors import UsageError
from gencli.stylize import optimize
from gencli.stylize.objective import Objective, Weights
from gencli.stylize.options import StylizeOptions
from tests.pretended import pretended_gpu

Draw = Callable[..., Tensor]
CONTENT = {"conv2_2": 1.0}
STYLE = {"conv1_1": 0.25, "conv2_1": 0.25, "conv3_1": 0.5}


def plain(**changes: Any) -> Weights:
    return Weights(**{"content": CONTENT, "style": STYLE, "styles": [1.0], **changes})


def halves(height: int, width: int) -> list[Tensor]:
    """Two soft masks that add up to one."""
    ramp = torch.linspace(0, 1, width, dtype=torch.float64).square().expand(1, 1, height, width)
    return [ramp, 1 - ramp]


def assert_same(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], tolerance: float = 1e-9) -> None:
    assert float(one[0]) == pytest.approx(float(other[0]), rel=tolerance)
    assert float((one[1] - other[1]).norm() / other[1].norm()) < tolerance


# ------------------------------------------------------------------ tiles


@pytest.mark.parametrize("size", [(40, 56), (41, 33), (23, 70), (16, 64)])
@pytest.mark.parametrize("tile", [8, 16, 25])
def test_tiles_change_nothing(tiny: Any, picture: Draw, size: tuple[int, int], tile: int) -> None:
    backbone = tiny()
    content, style, painted = picture(*size), picture(37, 45, seed=1), picture(*size, seed=2)
    whole = Objective(backbone, content, [style], plain(tv=0.5))
    tiled = Objective(backbone, content, [style], plain(tv=0.5), tile=tile)
    assert len(whole.tiling.windows) == 1 < len(tiled.tiling.windows)
    assert_same(tiled(painted), whole(painted))


@pytest.mark.parametrize("loss", ["gram", "w2"])
@pytest.mark.parametrize("pooling", ["max", "average", "l2"])
@pytest.mark.parametrize("padding", ["zeros", "replicate", "reflect"])
def test_tiles_change_nothing_in_any_network(tiny: Any, picture: Draw, loss: str, pooling: str, padding: str) -> None:
    backbone = tiny(pooling, padding)
    content, painted = picture(37, 50), picture(37, 50, seed=2)
    styles = [picture(40, 33, seed=1), picture(29, 36, seed=3)]
    weights = plain(styles=[0.7, 0.3], loss=loss, ratio=0.5)
    whole, tiled = (Objective(backbone, content, styles, weights, tile=tile) for tile in (None, 16))
    assert_same(tiled(painted), whole(painted), 1e-6)


@pytest.mark.parametrize("loss", ["gram", "w2"])
def test_tiles_change_nothing_under_masks(tiny: Any, picture: Draw, loss: str) -> None:
    content, painted = picture(37, 50), picture(37, 50, seed=2)
    styles = [picture(40, 33, seed=1), picture(29, 36, seed=3)]
    weights, masks = plain(styles=[0.5, 0.5], loss=loss), halves(37, 50)
    whole, tiled = (Objective(tiny(), content, styles, weights, masks, tile) for tile in (None, 16))
    assert_same(tiled(painted), whole(painted), 1e-6)


@pytest.mark.parametrize("loss", ["gram", "w2"])
@pytest.mark.parametrize("tile", [None, 16])
def test_nothing_lies_on_the_wrong_device(tiny: Any, picture: Draw, loss: str, tile: int | None) -> None:
    backbone, masks = tiny(), halves(37, 50)
    with pretended_gpu() as gpu:
        content, one, other, *masks = (
            values.to(gpu.device) for values in (picture(37, 50), picture(40, 33), picture(29, 36), *masks)
        )
        weights = plain(styles=[0.5, 0.5], loss=loss, tv=0.5)
        value, gradient = Objective(backbone.to(gpu.device), content, [one, other], weights, masks, tile)(content)
        assert value.device == gradient.device == gpu.device and gradient.shape == content.shape


def test_tiles_change_nothing_with_book_sums(tiny: Any, picture: Draw) -> None:
    content, painted = picture(37, 50), picture(37, 50, seed=2)
    weights = plain(book=True, tv=1.0)
    whole, tiled = (Objective(tiny(), content, [picture(40, 33)], weights, tile=tile) for tile in (None, 16))
    assert_same(tiled(painted), whole(painted))


def test_tiles_change_nothing_in_the_picture_itself_as_a_layer(tiny: Any, picture: Draw) -> None:
    """The layer `input` has no surroundings to look at."""
    content, painted = picture(37, 50), picture(37, 50, seed=2)
    weights = plain(content={"input": 1.0}, style={"input": 1.0})
    whole, tiled = (Objective(tiny(), content, [picture(40, 33)], weights, tile=tile) for tile in (None, 16))
    assert_same(tiled(painted), whole(painted))


@pytest.mark.parametrize(
    ("name", "content", "style", "size"),
    [
        ("squeezenet1_1", "pool3", ["conv1", "fire2", "fire4"], (75, 104)),  # no padding, pooling that rounds up
        ("googlenet", "conv3", ["conv1", "inception3a"], (75, 101)),  # branches side by side
        ("inception_v3", "mixed0", ["Conv2d_2a_3x3", "mixed3"], (96, 144)),  # loses positions at every layer
        ("bvlc_googlenet", "conv2", ["pool1", "inception_3a"], (71, 90)),
        ("resnet50", "layer1_0", ["conv1", "layer2_0"], (65, 97)),
    ],
)
def test_tiles_change_nothing_in_published_networks(
    picture: Draw,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: str,
    style: list[str],
    size: tuple[int, int],
) -> None:
    monkeypatch.setattr(networks, "_empty", lambda build, **options: build(weights=None, **options))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone(name, networks.BUILDERS[name]()).eval().requires_grad_(False).double()
    weights = plain(content={content: 1.0}, style=dict.fromkeys(style, 1.0))
    painted, example = picture(*size, seed=2), picture(77, 90, seed=1)
    whole, tiled = (Objective(backbone, picture(*size), [example], weights, tile=tile) for tile in (None, 64))
    assert len(tiled.tiling.windows) > 1
    assert_same(tiled(painted), whole(painted))


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize(
    "changes",
    [{}, {"tv": 1.0}, {"loss": "w2"}, {"book": True, "tv": 1.0}, {"ratio": 5.0}],
    ids=["gram", "tv", "w2", "book", "ratio"],
)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_against_differences(tiny: Any, picture: Draw, changes: dict[str, Any], masked: bool) -> None:
    """Along three directions; average pooling, so that no maximum changes hands on the way."""
    content, styles = picture(20, 24), [picture(24, 20, seed=1), picture(16, 28, seed=3)]
    masks = halves(20, 24) if masked else None
    objective = Objective(tiny("average"), content, styles, plain(styles=[0.6, 0.4], **changes), masks)
    painted = picture(20, 24, seed=2)
    _, gradient = objective(painted)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(painted.shape, generator=generator, dtype=torch.float64)
        step = 1e-5 * direction  # the roots of eigenvalues that are but rounding are 1e-8
        measured = float((objective(painted + step)[0] - objective(painted - step)[0]) / 2e-5)
        assert float((gradient * direction).sum()) == pytest.approx(measured, rel=1e-3)


def test_gradient_is_zero_at_the_minimum(tiny: Any, picture: Draw) -> None:
    content = picture(24, 24)
    value, gradient = Objective(tiny(), content, [content], plain())(content)
    assert float(value) < 1e-9
    assert float(gradient.abs().max()) < 1e-6


# ------------------------------------------------------------------ units


@pytest.mark.parametrize("loss", ["gram", "w2"])
@pytest.mark.parametrize("masked", [False, True])
def test_photograph_itself_is_at_one(tiny: Any, picture: Draw, loss: str, masked: bool) -> None:
    """All of the style is missing and nothing of the content: 1 + 0, at every size."""
    for height, width in ((20, 24), (45, 37)):
        content, styles = picture(height, width), [picture(24, 20, seed=1), picture(16, 28, seed=3)]
        masks = halves(height, width) if masked else None
        weights = plain(styles=[0.6, 0.4], loss=loss, ratio=3.0)
        value, _ = Objective(tiny(), content, styles, weights, masks)(content)
        assert float(value) == pytest.approx(1, rel=1e-6)


def test_parts_add_up(tiny: Any, picture: Draw) -> None:
    content, style, painted = picture(24, 32), picture(20, 20, seed=1), picture(24, 32, seed=2)

    def value(**changes: Any) -> float:
        return float(Objective(tiny(), content, [style], plain(**changes))(painted)[0])

    style_part, content_part = value(ratio=0.0), value(ratio=1.0) - value(ratio=0.0)
    assert style_part > 0.01 and content_part > 0.01
    assert value(ratio=7.0) == pytest.approx(style_part + 7 * content_part)
    assert value(tv=2.0) - value() == pytest.approx(2 * (value(tv=1.0) - value()))
    halved = {layer: weight / 2 for layer, weight in STYLE.items()}
    assert value(ratio=0.0, style=halved) == pytest.approx(style_part / 2)


def test_content_distance_is_in_units_of_its_spread(tiny: Any, picture: Draw) -> None:
    backbone, content, painted = tiny(), picture(24, 32), picture(24, 32, seed=2)
    weights = plain(style={"conv1_1": 0.0})
    value, _ = Objective(backbone, content, [content], weights)(painted)
    one, other = (backbone(x, ["conv2_2"])["conv2_2"][0] for x in (content, painted))
    expected = (other - one).square().mean() / one.var((1, 2), correction=0).mean()
    assert float(value) == pytest.approx(float(expected))


def test_styles_count_by_their_weight(tiny: Any, picture: Draw) -> None:
    content, painted = picture(24, 32), picture(24, 32, seed=2)
    styles = [picture(20, 20, seed=1), picture(24, 16, seed=3)]

    def value(chosen: list[Tensor], shares: list[float]) -> float:
        return float(Objective(tiny(), content, chosen, plain(styles=shares, ratio=0.0))(painted)[0])

    apart = [value([style], [1.0]) for style in styles]
    assert value(styles, [0.25, 0.75]) == pytest.approx(0.25 * apart[0] + 0.75 * apart[1])


def test_a_mask_hides_a_region_from_its_style(tiny: Any, picture: Draw) -> None:
    """Where a mask is black the style asks for nothing, but for what the network sees across the border."""
    left = torch.zeros(1, 1, 32, 64, dtype=torch.float64)
    left[..., :32] = 1
    objective = Objective(tiny(), picture(32, 64), [picture(24, 24, seed=1)], plain(ratio=0.0), [left])
    _, gradient = objective(picture(32, 64, seed=2))
    assert float(gradient[..., :32].abs().max()) > 0
    assert float(gradient[..., 32 + objective.tiling.halo :].abs().max()) == 0


def test_other_names_of_layers(tiny: Any, picture: Draw) -> None:
    content, style, painted = picture(24, 32), picture(20, 20, seed=1), picture(24, 32, seed=2)
    own = Objective(tiny(), content, [style], plain(content={"conv2_2": 1.0}, style={"conv1_1": 1.0}))
    other = Objective(tiny(), content, [style], plain(content={"relu2_2": 1.0}, style={"block1_conv1": 1.0}))
    assert_same(other(painted), own(painted))
    with pytest.raises(UsageError, match="no layer conv9_1"):
        Objective(tiny(), content, [style], plain(content={"conv9_1": 1.0}))


# ------------------------------------------------------------------ the textbook's


def test_book_losses_are_those_of_the_textbook(tiny: Any, picture: Draw) -> None:
    """A direct transcription, with features as a network fed with 0 … 255 has them."""
    backbone = tiny("max")
    height, width = 33, 41
    content, style = picture(height, width), picture(height, width, seed=1)
    painted = picture(height, width, seed=2)
    layers = {"conv1_1": 1.0, "conv2_1": 1.0, "conv2_2": 1.0, "conv3_1": 1.0, "pool1": 1.0}
    options = StylizeOptions.build(
        {"content_layer": {"conv2_2": 1.0}, "style_layer": layers, "backbone": "tiny"}, preset="book"
    )

    scale = 255 * 0.226  # ours sees (x - mean) / 0.226 of [0, 1]; the textbook's sees 0 … 255 less the mean

    def features(pixels: Tensor, layer: str) -> Tensor:
        return scale * backbone(pixels, [layer])[layer][0]

    def gram(layer_features: Tensor) -> Tensor:
        rows = layer_features.flatten(1)
        return rows @ rows.mT

    expected = 2.5e-8 * (features(painted, "conv2_2") - features(content, "conv2_2")).square().sum()
    for layer in layers:
        distance = (gram(features(style, layer)) - gram(features(painted, layer))).square().sum()
        expected = expected + 1e-6 / 5 * distance / (4 * 3**2 * (height * width) ** 2)
    pixels = 255 * painted
    across = (pixels[:, :, :-1, :-1] - pixels[:, :, :-1, 1:]).square()
    down = (pixels[:, :, :-1, :-1] - pixels[:, :, 1:, :-1]).square()
    expected = expected + 1e-6 * (across + down).pow(1.25).sum()

    value, _ = Objective(backbone, content, [style], optimize.weights(options, 1))(painted)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


# ------------------------------------------------------------------ sizes


def test_precision_of_the_picture_is_kept(tiny: Any, picture: Draw) -> None:
    content, style = picture(24, 24).float(), picture(20, 20, seed=1).float()
    for tile in (None, 8):
        value, gradient = Objective(tiny(dtype=torch.float32), content, [style], plain(), tile=tile)(content)
        assert value.dtype == gradient.dtype == torch.float32
        assert gradient.shape == content.shape and not gradient.requires_grad
        assert float(value) == pytest.approx(1, rel=1e-4)
        assert F.mse_loss(gradient, torch.zeros_like(gradient)) > 0
