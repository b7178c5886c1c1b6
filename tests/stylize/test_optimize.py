"""`stylize` as a whole, with a tiny random network: deterministic, its options mean what they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gencli.stylize
from gencli.core import images, tiles
from gencli.core.errors import GencliError, UsageError
from gencli.core.sitting import Step
from gencli.stylize import StylizeOptions, optimize, stylize
from gencli.stylize.losses import RATIO
from gencli.stylize.optimize import MORE_STEPS, SETTLED, schedule, weights

LAYERS: dict[str, Any] = {
    "content_layer": {"conv2_2": 1.0},
    "style_layer": {"conv1_1": 1.0, "conv2_1": 1.0, "conv3_1": 1.0},
}
Paint = Callable[..., Image.Image]


def pillow(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Coloured blots."""
    draw = np.random.default_rng(seed)
    small = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


@pytest.fixture
def backbone(tiny: Any) -> Any:
    return tiny("average", "replicate", dtype=torch.float32)


@pytest.fixture
def paint(backbone: Any) -> Paint:
    """Stylise small blots in the style of others."""

    def run(*styles: Image.Image, content: Image.Image | None = None, **given: Any) -> Image.Image:
        call = {key: given.pop(key) for key in ("seed", "masks", "on_step") if key in given}
        options = StylizeOptions(**{**LAYERS, "size": 48, "start_size": 24, "iterations": 6, **given})
        photograph = content or pillow(60, 40)
        return stylize(photograph, *(styles or [pillow(50, 50, 1)]), options=options, backbone=backbone, **call)

    return run


def difference(one: Image.Image, other: Image.Image) -> float:
    a, b = (np.asarray(picture.convert("RGB"), dtype=np.float64) / 255 for picture in (one, other))
    return float(np.abs(a - b).mean())


# ------------------------------------------------------------------ as a function


def test_from_the_package_with_files(tiny: Any, tmp_path: Path) -> None:
    """The documented way in: paths in, a Pillow picture out; the network by name or path."""
    tiny()
    pillow(60, 40).save(tmp_path / "photo.png")
    pillow(50, 50, 1).save(tmp_path / "painting.jpg")
    options = StylizeOptions(**LAYERS, size=32, iterations=3, backbone=str(tmp_path / "tiny.safetensors"))
    painted = stylize(str(tmp_path / "photo.png"), tmp_path / "painting.jpg", options=options)
    assert isinstance(painted, Image.Image)
    assert painted.mode == "RGB" and painted.size == (32, 21)
    assert all(hasattr(gencli.stylize, name) for name in gencli.stylize.__all__)
    with pytest.raises(AttributeError):
        gencli.stylize.paint  # noqa: B018


def test_errors(paint: Paint, backbone: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no style"):
        stylize(pillow(10, 10), backbone=backbone)
    with pytest.raises(GencliError, match=r"nothing\.png"):
        stylize(tmp_path / "nothing.png", pillow(10, 10), backbone=backbone)
    with pytest.raises(UsageError, match="no layer conv9_9"):
        options = StylizeOptions(style_layer={"conv9_9": 1.0}, content_layer={"conv1_1": 1.0})
        stylize(pillow(20, 20), pillow(20, 20), options=options, backbone=backbone)


# ------------------------------------------------------------------ determinism


@pytest.mark.parametrize("init", ["content", "noise", "style"])
@pytest.mark.parametrize("optimizer", ["lbfgs", "adam", "sgd"])
def test_same_seed_same_bytes(paint: Paint, init: str, optimizer: str) -> None:
    one, same, other = (paint(init=init, optimizer=optimizer, seed=seed) for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert (one.tobytes() == other.tobytes()) == (init == "content")


def test_no_global_random_numbers_are_drawn(paint: Paint) -> None:
    before = torch.random.get_rng_state()
    paint(init="noise", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_source_pictures_are_not_changed(paint: Paint, backbone: Any) -> None:
    content, style = images.load(pillow(30, 30)), images.load(pillow(30, 30, 1))
    copies = content.rgb.clone(), style.rgb.clone()
    stylize(content, style, options=StylizeOptions(**LAYERS, size=30, iterations=3), backbone=backbone)
    assert torch.equal(content.rgb, copies[0]) and torch.equal(style.rgb, copies[1])


# ------------------------------------------------------------------ strength


def test_strength_0_is_the_photograph(paint: Paint) -> None:
    content = pillow(48, 32)
    assert paint(content=content, strength=0).tobytes() == content.tobytes()


def test_strength_0_needs_no_network() -> None:
    content = pillow(48, 32)
    options = StylizeOptions(strength=0, size=48, backbone="a network that is nowhere")
    assert stylize(content, pillow(20, 20), options=options).tobytes() == content.tobytes()


def test_strength_1_ignores_the_content(paint: Paint) -> None:
    """From noise the photograph's size is all that is left of it, and the unit of a layer's distance."""
    given = {"init": "noise", "seed": 1, "style_layer": {"conv2_1": 1.0}}
    results = [paint(content=pillow(60, 40, seed), strength=1, **given) for seed in (0, 5)]
    assert difference(*results) < 1e-3
    kept = [paint(content=pillow(60, 40, seed), strength=0.2, **given) for seed in (0, 5)]
    assert difference(*kept) > 1e-2
    assert weights(StylizeOptions(strength=1), 1).ratio == 0


def test_more_strength_goes_farther_from_the_photograph(paint: Paint) -> None:
    content = pillow(60, 40)
    resized = paint(content=content, strength=0)
    away = [difference(paint(content=content, strength=s, iterations=20), resized) for s in (0.1, 0.3, 0.6, 1.0)]
    assert away == sorted(away) and away[0] < 0.5 * away[-1]


def test_ratio_of_strength() -> None:
    for loss, at_half in RATIO.items():
        for strength, expected in ((0.5, 1), (0.75, 1 / 9), (0.25, 9)):
            found = weights(StylizeOptions(strength=strength, style_loss=loss), 1)
            assert found.ratio == pytest.approx(at_half * expected)


# ------------------------------------------------------------------ weights, presets


def test_style_weights() -> None:
    assert weights(StylizeOptions(), 4).styles == [0.25] * 4
    assert weights(StylizeOptions(style_weight=(3, 1)), 2).styles == [0.75, 0.25]
    assert sum(weights(StylizeOptions(), 1).style.values()) == pytest.approx(1)
    with pytest.raises(UsageError, match="2 numbers for 3 styles"):
        weights(StylizeOptions(style_weight=(2, 1)), 3)
    with pytest.raises(UsageError, match="--style-weight"):
        StylizeOptions(style_weight=(0, 0))
    with pytest.raises(UsageError, match="--style-weight"):
        StylizeOptions(style_weight=(2, -1))


def test_style_weights_mix(paint: Paint) -> None:
    first, second = pillow(50, 50, 1), pillow(50, 50, 2)
    alone, other = paint(first, strength=1), paint(second, strength=1)
    mixed = paint(first, second, style_weight=(1, 0), strength=1)
    assert difference(mixed, alone) < 0.02 < difference(mixed, other)


@pytest.mark.parametrize("layers", [{}, {"conv1_1": -1.0}])
def test_layers_are_checked(layers: dict[str, float]) -> None:
    for name in ("content_layer", "style_layer"):
        with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
            StylizeOptions(**{name: layers})


def test_preset_gatys() -> None:
    """Gatys, Ecker & Bethge 2016: white noise, one size, conv4_2, five style layers, average pooling, L-BFGS."""
    options = StylizeOptions.build({"size": 512}, preset="gatys")
    five = {f"conv{i}_1": 1.0 for i in range(1, 6)}
    assert (options.backbone, options.pooling, options.optimizer) == ("vgg19", "average", "lbfgs")
    assert (options.content_layer, options.style_layer) == ({"conv4_2": 1.0}, five)
    assert (options.init, options.style_loss, options.tv) == ("noise", "gram", 0)
    assert schedule(options) == [(512, 500)]


def test_preset_book() -> None:
    """The textbook: conv5_2, gradient descent from the photograph, 4,000 steps at one size, fixed weights."""
    options = StylizeOptions.build({}, preset="book")
    five = {f"conv{i}_1": 1.0 for i in range(1, 6)}
    assert (options.backbone, options.pooling, options.optimizer) == ("vgg19", "max", "sgd")
    assert (options.content_layer, options.style_layer) == ({"conv5_2": 1.0}, five)
    assert (options.init, options.losses, options.tv) == ("content", "book", 1)
    assert [steps for _, steps in schedule(options)] == [4000]
    assert weights(options, 1).style == {layer: pytest.approx(1 / 5) for layer in five}


@pytest.mark.parametrize("preset", ["gatys", "book"])
def test_presets_run(tiny: Any, preset: str) -> None:
    options = StylizeOptions.build({**LAYERS, "size": 32, "iterations": 4}, preset=preset)
    losses: list[float] = []
    stylize(
        pillow(40, 30),
        pillow(30, 30, 1),
        options=options,
        backbone=tiny(options.pooling, "replicate", dtype=torch.float32),
        on_step=lambda step: losses.append(step.loss),
    )
    assert len(losses) == 4 and losses[-1] < losses[0]


# ------------------------------------------------------------------ schedule, progress


def test_schedule() -> None:
    def sides(**given: Any) -> list[int]:
        return [side for side, _ in schedule(StylizeOptions(**given))]

    assert sides(size=512, start_size=128) == [128, 256, 512]
    assert sides(size=128, start_size=128) == [128]
    assert sides(size=100, start_size=128) == [100]
    assert sides(size=1000, start_size=128) == [125, 250, 500, 1000]
    assert sides(size=600, start_size=400) == [300, 600]
    steps = [steps for _, steps in schedule(StylizeOptions(size=512, start_size=128, iterations=20))]
    assert steps == [round(20 * MORE_STEPS**2), round(20 * MORE_STEPS), 20]
    steps = [steps for _, steps in schedule(StylizeOptions(size=256, start_size=128, iterations=500))]
    assert steps == [round(SETTLED * MORE_STEPS), 500]


def test_progress(paint: Paint) -> None:
    seen: list[Step] = []
    painted = paint(on_step=seen.append, iterations=4)
    fractions = [step.fraction for step in seen]
    assert fractions == sorted(fractions) and fractions[0] > 0 and fractions[-1] == pytest.approx(1)
    assert [step.size for step in seen] == [24] * 5 + [48] * 4
    assert [step.number for step in seen] == list(range(1, 10))
    assert all(step.render().size == (48, 32) for step in seen[::4])
    assert seen[-1].render().tobytes() == painted.tobytes()


def test_each_size_starts_from_the_last_ones_result(paint: Paint) -> None:
    """So the first loss at the full size is far below that of the photograph, which is 1."""
    seen: list[Step] = []
    paint(on_step=seen.append, iterations=20, strength=0.9)
    first_at_full = next(step.loss for step in seen if step.size == 48)
    assert seen[0].loss == pytest.approx(1, rel=1e-3)
    assert first_at_full < 0.8


def test_an_error_in_a_callback_is_not_swallowed(paint: Paint) -> None:
    def stop(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paint(on_step=stop)


# ------------------------------------------------------------------ the picture


@pytest.mark.parametrize("style_loss", ["gram", "w2"])
def test_style_is_taken_on(paint: Paint, style_loss: str) -> None:
    """A photograph of blue becomes, in a style of orange, more orange than blue."""
    blue, orange = Image.new("RGB", (60, 40), (40, 60, 200)), pillow(50, 50, 4)
    blue.paste(pillow(20, 20), (10, 10))
    orange = Image.blend(orange, Image.new("RGB", (50, 50), (255, 140, 0)), 0.8)
    painted = paint(orange, content=blue, strength=1, iterations=25, style_loss=style_loss)
    red, _, azure = np.asarray(painted, dtype=float).mean((0, 1))
    assert red > azure


def test_tiles_paint_the_same_picture(paint: Paint) -> None:
    content, style = pillow(160, 90), pillow(90, 160, 1)
    given = {"content": content, "size": 160, "start_size": 160, "iterations": 5}
    assert difference(paint(style, **given), paint(style, tile=64, **given)) < 1e-3


def test_transparency_survives(paint: Paint) -> None:
    content = pillow(60, 40).convert("RGBA")
    content.putalpha(Image.linear_gradient("L").resize((60, 40)))
    painted = paint(content=content)
    assert painted.mode == "RGBA"
    expected = content.getchannel("A").resize(painted.size, Image.Resampling.BICUBIC)
    found, wanted = (np.asarray(a, dtype=float) for a in (painted.getchannel("A"), expected))
    assert np.abs(found - wanted).max() <= 3


def test_masks_choose_the_region(paint: Paint) -> None:
    content = pillow(60, 40)
    white_left = Image.new("RGB", (60, 40))
    white_left.paste((255, 255, 255), (0, 0, 30, 40))
    painted = paint(content=content, masks=[white_left], strength=1)
    original = paint(content=content, strength=0)
    left, right = ((0, 0, 22, 32), (26, 0, 48, 32))
    assert difference(painted.crop(right), original.crop(right)) < 1e-3
    assert difference(painted.crop(left), original.crop(left)) > 0.02


@pytest.mark.parametrize(("width", "height"), [(200, 9), (9, 200), (100, 16), (1000, 40)])
def test_thin_pictures(paint: Paint, width: int, height: int) -> None:
    """The small sizes of a panorama would be too thin for the network; they are left out."""
    painted = paint(content=pillow(width, height), size=max(width, height), start_size=16, iterations=2)
    assert painted.size == (width, height)


def test_a_thin_or_shrunken_style(paint: Paint) -> None:
    assert paint(pillow(300, 6, 1), style_scale=0.1, iterations=2).size == (48, 32)
    assert paint(pillow(6, 300, 1), style_scale=0.1, iterations=2).size == (48, 32)


def test_too_thin_a_picture_is_refused(paint: Paint) -> None:
    with pytest.raises(UsageError, match="48 × 1 pixels"):
        paint(content=pillow(480, 10), iterations=2)


# ------------------------------------------------------------------ memory


def test_too_large_a_picture_is_refused_before_the_work(paint: Paint, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Step] = []
    monkeypatch.setattr(tiles, "free_memory", lambda device: 2_000_000)
    with pytest.raises(GencliError, match=r"128 × 85 pixels needs about 0\.0 GB") as caught:
        paint(on_step=seen.append, size=128)
    assert not seen and "--tile" in str(caught.value.hint)


def test_memory_needed_grows_with_the_picture_but_not_its_activations_in_tiles(tiny: Any) -> None:
    backbone = tiny(dtype=torch.float32)
    whole, tiled = StylizeOptions(**LAYERS, optimizer="adam"), StylizeOptions(**LAYERS, optimizer="adam", tile=64)
    small, large = (optimize.memory_needed((side, side), whole, backbone) for side in (512, 1024))
    assert large == pytest.approx(4 * small, rel=0.01)
    small, large = (optimize.memory_needed((side, side), tiled, backbone) for side in (512, 1024))
    assert large - small == pytest.approx(4 * 14 * 3 * (1024**2 - 512**2), rel=0.01)
