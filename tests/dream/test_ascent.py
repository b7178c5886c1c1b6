"""The climb: the textbooks' steps by hand, what stays as it was, and what each option is for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from gencli.core.errors import UsageError
from gencli.core.images import Picture
from gencli.dream import ascent, dreaming
from gencli.dream.ascent import blurred, climb, direction, sizes, within
from gencli.dream.objective import Layer, Sight
from gencli.dream.options import DreamOptions

Draw = Callable[..., Tensor]
SMALL: dict[str, Any] = {"size": 64, "steps": 3, "layer": {"conv2_2": 1.0, "conv3_1": 1.0}}


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels(image: Image.Image) -> Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, -1).int()


@pytest.fixture
def photograph(picture: Draw) -> Picture:
    return Picture(picture(48, 64).float(), None, "photo")


@pytest.fixture
def dreamt(tiny: Any, photograph: Picture) -> Callable[..., Image.Image]:
    backbone = tiny(padding="replicate", dtype=torch.float32)

    def run(**given: Any) -> Image.Image:
        call = {key: given.pop(key) for key in ("seed", "mask", "objective", "on_step", "on_octave") if key in given}
        return dreaming.dream(photograph, options=DreamOptions(**{**SMALL, **given}), backbone=backbone, **call)

    return run


# ------------------------------------------------------------------ the textbooks' arithmetic


def book_step(x: Tensor, net: Any, coefficients: dict[str, float]) -> tuple[float, Tensor]:
    """One step as the textbook has it, for a picture in [-1, 1]: loss, and the picture after it."""
    x = x.clone().requires_grad_()
    loss = torch.zeros((), dtype=x.dtype)
    for layer, coefficient in coefficients.items():
        activation = net((x + 1) / 2, [layer])[layer]
        loss = loss + coefficient * activation[:, :, 2:-2, 2:-2].square().mean()
    (gradient,) = torch.autograd.grad(loss, x)
    return float(loss.detach()), (x + 20 * gradient / gradient.norm()).detach()


def test_the_book_s_step_is_the_textbook_s(tiny: Any, picture: Draw) -> None:
    backbone, x = tiny(), 2 * picture(40, 56) - 1
    coefficients = {"conv1_1": 1.0, "conv2_2": 2.5}
    options = DreamOptions.build({"backbone": "tiny", "layer": coefficients, "steps": 1}, preset="book")
    objective = dreaming.objective_of(options, backbone)
    told = []
    climbed = climb(
        Sight(objective, backbone, (40, 56), border=options.border),
        (x + 1) / 2,
        options,
        draw(),
        report=lambda step, value, seen: told.append(value),
    )
    loss, expected = book_step(x, backbone, coefficients)
    assert told == [pytest.approx(loss, rel=1e-12)]
    assert torch.allclose(2 * climbed - 1, expected, rtol=0, atol=1e-12)


def test_the_book_s_octaves_are_the_textbook_s(tiny: Any, picture: Draw) -> None:
    """Shrink, climb, and add the detail that the shrunken photograph lost, in its order."""
    backbone, original = tiny(), 2 * picture(90, 120) - 1
    coefficients = {"conv2_1": 1.5}
    options = DreamOptions.build({"layer": coefficients, "steps": 2, "size": 120, "max_loss": 1e9}, preset="book")

    def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size, mode="bilinear", align_corners=False)

    shapes = [(int(90 / 1.4**k), int(120 / 1.4**k)) for k in (2, 1, 0)]
    x = shrunken = resized(original, shapes[0])
    for shape in shapes:
        x = resized(x, shape)
        for _ in range(2):
            _, x = book_step(x, backbone, coefficients)
        x = x + resized(original, shape) - resized(shrunken, shape)
        shrunken = resized(original, shape)

    assert sizes(90, 120, options) == shapes
    objective = dreaming.objective_of(options, backbone)
    photographs = [ascent.enlarged((original + 1) / 2, shape) for shape in shapes]
    found = photographs[-1] + ascent.through_octaves(
        photographs, lambda ground: Sight(objective, backbone, ground.shape[-2:], border=2), options, draw()
    )
    assert torch.allclose(2 * found - 1, x, rtol=0, atol=1e-11)


def test_google_s_step_is_google_s(tiny: Any, picture: Draw) -> None:
    """x + 1.5 g / mean |g| in 0 … 255, cut off, with the jitter undone."""
    backbone, x = tiny(), picture(40, 56)
    options = DreamOptions.build({"backbone": "tiny", "layer": {"conv2_2": 1.0}, "steps": 1}, preset="google")
    down, across = (int(torch.randint(-most, most + 1, (), generator=g)) for g in [draw(4)] for most in (20, 28))
    moved = x.roll((down, across), (2, 3)).requires_grad_()
    half_square = 0.5 * backbone(moved, ["conv2_2"])["conv2_2"].square().sum()
    (gradient,) = torch.autograd.grad(half_square, moved)
    expected = (moved + 1.5 / 255 * gradient / gradient.abs().mean()).clamp(0, 1).roll((-down, -across), (2, 3))
    found = climb(Sight(dreaming.objective_of(options, backbone), backbone, (40, 56)), x, options, draw(4))
    assert torch.allclose(found, expected.detach(), rtol=0, atol=1e-12)


# ------------------------------------------------------------------ what stays


def test_nothing_wanted_or_no_strength_leaves_the_photograph(
    dreamt: Callable[..., Image.Image], photograph: Picture
) -> None:
    original = (photograph.rgb[0] * 255).round().permute(1, 2, 0).int()
    nothing: list[dict[str, Any]] = [{"layer": {"conv2_2": 0.0}}, {"strength": 0.0}, {"rate": 0.0}]
    for options in nothing:
        assert int((levels(dreamt(**options)) - original).abs().max()) <= 1
    assert int((levels(dreamt()) - original).abs().max()) > 20


def test_the_mask_says_where(dreamt: Callable[..., Image.Image], photograph: Picture) -> None:
    white = torch.zeros(1, 3, 48, 64)
    white[..., :32] = 1
    change = (levels(dreamt(mask=Picture(white, None, "mask"))) - levels(dreamt(strength=0.0))).abs()
    assert float(change[:, :28].float().mean()) > 5
    assert not change[:, 34:].any()
    with pytest.raises(UsageError, match="black everywhere"):
        dreamt(mask=Picture(torch.zeros(1, 3, 48, 64), None, "mask"))


def test_the_photograph_s_transparency_and_colours_come_back(tiny: Any, picture: Draw) -> None:
    backbone = tiny(dtype=torch.float32)
    alpha = torch.linspace(0, 1, 64).expand(1, 1, 48, 64)
    # colours that can be kept: far from the ends of the range
    photograph = Picture(0.35 + 0.3 * picture(48, 64).float(), alpha, "photo")
    options = DreamOptions(**SMALL, keep_color=True, rate=0.005)
    found = dreaming.dream(photograph, options=options, backbone=backbone)
    assert found.mode == "RGBA" and found.size == (64, 48)
    pixels = levels(found).float() / 255
    assert torch.allclose(pixels[..., 3], alpha[0, 0], atol=0.51 / 255)
    differences = [pixels[..., 0] - pixels[..., 2], (photograph.rgb[0, 0] - photograph.rgb[0, 2])]
    assert torch.allclose(*differences, atol=2.1 / 255)
    assert float((pixels[..., :3] - photograph.rgb[0].permute(1, 2, 0)).abs().max()) > 5 / 255


def test_the_same_seed_gives_the_same_dream(dreamt: Callable[..., Image.Image]) -> None:
    assert dreamt(seed=3).tobytes() == dreamt(seed=3).tobytes() != dreamt(seed=4).tobytes()


def test_tiles_change_nothing(dreamt: Callable[..., Image.Image]) -> None:
    assert int((levels(dreamt(size=160, tile=64)) - levels(dreamt(size=160))).abs().max()) <= 1


# ------------------------------------------------------------------ what it is for


def test_the_layers_answer_more_strongly(tiny: Any, photograph: Picture, dreamt: Callable[..., Image.Image]) -> None:
    backbone = tiny(padding="replicate", dtype=torch.float32)
    sight = Sight(Layer("conv2_2", "mean-square") + Layer("conv3_1", "mean-square"), backbone, (48, 64))
    after = levels(dreamt(steps=10)).permute(2, 0, 1)[None] / 255
    for before, found in zip(sight.values(photograph.rgb), sight.values(after), strict=True):
        assert found > 1.5 * before


def test_what_is_told_on_the_way(dreamt: Callable[..., Image.Image]) -> None:
    steps: list[Any] = []
    octaves: list[Image.Image] = []
    made = dreamt(octaves=2, on_step=steps.append, on_octave=octaves.append)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]
    assert [step.size for step in steps] == [47] * 3 + [64] * 3
    assert steps[-1].fraction == pytest.approx(1) and steps[-1].loss > steps[0].loss
    assert octaves[-1].tobytes() == steps[-1].render().tobytes() == made.tobytes()
    assert [octave.size for octave in octaves] == [(64, 48)] * 2


def test_it_stops_where_the_objective_is_high_enough(dreamt: Callable[..., Image.Image]) -> None:
    seen: list[Any] = []
    dreamt(octaves=1, steps=10, max_loss=-1e9, on_step=seen.append)
    assert seen == []


# ------------------------------------------------------------------ parts


@settings(deadline=None)
@given(st.integers(8, 5000), st.integers(8, 5000), st.none() | st.integers(1, 9), st.floats(1.05, 3))
def test_sizes_grow_to_the_picture_s_own(height: int, width: int, octaves: int | None, scale: float) -> None:
    found = sizes(height, width, DreamOptions(octaves=octaves, octave_scale=scale))
    assert found[-1] == (height, width)
    assert found == sorted(found)
    assert len(found) == 1 or min(found[0]) >= ascent.THINNEST - 1
    if octaves:
        assert len(found) <= octaves
    elif min(height, width) > 1000:
        assert ascent.SMALLEST / scale <= max(found[0]) <= ascent.SMALLEST * scale


@pytest.mark.parametrize(
    ("normalize", "unit"),
    [
        ("deviation", lambda g: g.std(correction=0)),
        ("mean", lambda g: g.abs().mean()),
        ("norm", lambda g: g.square().sum().sqrt()),
    ],
)
@pytest.mark.parametrize("given", [{"smooth": (0.0,)}, {}, {"parametrize": "fourier"}], ids=str)
def test_a_step_s_length_is_the_rate_s(normalize: str, unit: Any, given: dict[str, Any], picture: Draw) -> None:
    found = direction(picture(20, 30) - 0.5, DreamOptions(normalize=normalize, **given))
    smoothed = given.get("smooth") != (0.0,)
    expected = 1 if smoothed or normalize != "deviation" else float((picture(20, 30) - 0.5).std(correction=0))
    assert float(unit(found)) == pytest.approx(1 if expected else 0)
    assert not direction(torch.zeros(1, 3, 8, 8), DreamOptions(normalize=normalize, **given)).any()


def test_blurring_is_gaussian() -> None:
    point = torch.zeros(1, 3, 41, 41, dtype=torch.float64)
    point[..., 20, 20] = 1
    found = blurred(point, 2.0)
    row = torch.tensor([math.exp(-((x - 20) ** 2) / 8) for x in range(41)], dtype=torch.float64)
    row[(torch.arange(41) - 20).abs() > 6] = 0
    row /= row.sum()
    assert torch.allclose(found[0, 1], row[:, None] * row)
    flat = torch.full((1, 3, 9, 9), 0.3)
    assert torch.allclose(blurred(flat, 1.0), flat)
    assert blurred(flat, 0.0) is flat


def test_near_black_and_white_it_slows_down(picture: Draw) -> None:
    start, change = picture(20, 20), 0.05 * torch.randn(1, 3, 20, 20, generator=draw(), dtype=torch.float64)
    middle = (start > 0.2) & (start < 0.8)
    for gamut in ("soft", "clip", "late"):
        found = within(start, change, gamut)
        assert torch.equal(found[middle], (start + change)[middle])
        assert gamut == "late" or (found.min() >= 0 and found.max() <= 1)
    ends = torch.tensor([0.0, 0.02, 0.98, 1.0], dtype=torch.float64)
    assert within(ends, torch.tensor([-0.05, -0.05, 0.05, 0.05]).double(), "soft").tolist() == pytest.approx(
        [0, 0.01, 0.99, 1]
    )
    assert within(ends, torch.tensor([0.05] * 4).double(), "soft")[:2].tolist() == pytest.approx([0.05, 0.07])


def test_steps_fall_and_small_sizes_take_smaller_ones() -> None:
    """Of a constant gradient the picture changes by the rates' sum."""
    slope = torch.zeros(1, 3, 40, 60, dtype=torch.float64)
    slope[..., 30:] = 1  # of deviation 0.5

    def constant(ground: Tensor) -> ascent.Function:
        return lambda picture: (picture.sum(), F.adaptive_avg_pool2d(slope, picture.shape[-2:]))

    options = DreamOptions(
        rate=0.01, rate_scale=0.5, fall=0.8, color=1.0, steps=3, smooth=(0.0,), jitter=0, gamut="clip"
    )
    photographs = [torch.full((1, 3, 20, 30), 0.4, dtype=torch.float64), torch.full((1, 3, 40, 60), 0.4).double()]
    made = ascent.through_octaves(photographs, constant, options, torch.Generator())
    steps = 1 + 0.6 + 0.2  # the last is 0.8 shorter than the first
    assert float(made[..., -5:].mean()) == pytest.approx(0.01 * (1 + 0.5) * steps / 0.5)
    torch.testing.assert_close(made[..., :5], torch.zeros_like(made[..., :5]))


def test_colours_go_less_far_than_lightness(picture: Draw) -> None:
    gradient = picture(20, 30) - 0.5

    def share(color: float) -> float:
        found = ascent.direction(gradient, DreamOptions(color=color, smooth=(0.0,)))
        grey = found.mean(1, keepdim=True)
        return float((found - grey).std() / grey.std())

    assert share(0.5) == pytest.approx(0.5 * share(1.0))
    assert share(0.0) == pytest.approx(0, abs=1e-12)
