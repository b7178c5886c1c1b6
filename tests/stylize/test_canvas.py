"""The pictures of each size, the start, masks and transparency, and the finished picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.device import Runtime, generator
from gencli.core.errors import UsageError
from gencli.core.images import Picture, resize
from gencli.stylize.canvas import Canvas, random_phase
from gencli.stylize.options import StylizeOptions

CPU = Runtime(torch.device("cpu"))


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def picture(height: int, width: int, seed: int = 0, alpha: Tensor | None = None) -> Picture:
    return Picture(noise(height, width, seed), alpha, "picture")


def mask(height: int, width: int, value: float = 1.0) -> Picture:
    """White on the left half."""
    rgb = torch.zeros(1, 3, height, width)
    rgb[..., : width // 2] = value
    return Picture(rgb, None, "mask")


def canvas(content: Picture | None = None, styles: int = 1, masks: tuple[Picture, ...] = (), **options: Any) -> Canvas:
    style_pictures = [picture(40, 30, seed=10 + i) for i in range(styles)]
    chosen = StylizeOptions(**{"size": 48, **options})
    return Canvas(content or picture(30, 60), style_pictures, masks, chosen, CPU)


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(("shape", "expected"), [((30, 60), (24, 48)), ((60, 30), (48, 24)), ((9, 9), (48, 48))])
def test_size_is_of_the_longest_side_and_keeps_the_ratio(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    made = canvas(picture(*shape))
    assert (made.height, made.width) == expected
    assert made.at(48).content.shape[-2:] == expected
    assert made.at(24).content.shape[-2:] == (expected[0] // 2, expected[1] // 2)


def test_a_photograph_that_was_loaded_smaller_keeps_its_ratio() -> None:
    photograph = Image.new("RGB", (1000, 503))
    small = [canvas(images.load(photograph, enough=enough), size=51) for enough in (None, 51)]
    assert small[0].content.shape == small[1].content.shape == (1, 3, 26, 51)
    assert small[0].original.shape[-1] > small[1].original.shape[-1] == 102


def test_what_a_file_hides_has_no_part() -> None:
    alpha = torch.ones(1, 1, 30, 60)
    alpha[..., 40:] = 0
    seen = noise(30, 60)
    made = []
    for hidden in (0.0, 1.0):
        rgb = seen.clone()
        rgb[..., 40:] = hidden
        made.append(canvas(Picture(rgb, alpha, "cut out")).original)
    assert torch.equal(made[0], made[1]) and torch.equal(made[0][..., :40], seen[..., :40])
    torch.testing.assert_close(made[0][0, :, 5, 50], seen[0, :, :, :40].mean((1, 2)))
    nothing = Picture(seen, torch.zeros_like(alpha), "nothing")
    assert torch.equal(canvas(nothing).original, seen)


def test_styles_have_the_strokes_size() -> None:
    for scale, longest in ((1.0, 32), (0.75, 24), (2.0, 64), (0.1, 22)):  # at least 16 the other way
        (style,) = canvas(style_scale=scale).at(32).styles
        assert max(style.shape[-2:]) == longest
        assert style.shape[-1] / style.shape[-2] == pytest.approx(30 / 40, abs=0.03)


def test_a_transparent_style_lies_on_white() -> None:
    alpha = torch.zeros(1, 1, 40, 40)
    style = Picture(noise(40, 40), alpha, "style")
    made = Canvas(picture(20, 20), [style], [], StylizeOptions(size=32), CPU)
    torch.testing.assert_close(made.at(32).styles[0], torch.ones(1, 3, 32, 32))


# ------------------------------------------------------------------ the start


def test_start_kinds() -> None:
    content = canvas(init="content")
    scale = content.at(48)
    assert torch.equal(content.start(scale, 1), scale.content)
    for init in ("noise", "style"):
        made = canvas(init=init)
        scale = made.at(48)
        start = made.start(scale, 1)
        assert start.shape == scale.content.shape and 0 <= float(start.min()) < float(start.max()) <= 1
        assert torch.equal(start, made.start(scale, 1))
        assert not torch.equal(start, made.start(scale, 2))
    white = canvas(init="noise").start(scale, 1)
    assert float(white.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(white.std()) == pytest.approx(12**-0.5, abs=0.02)


def test_a_start_from_noise_keeps_the_photograph_outside_the_masks() -> None:
    made = canvas(init="noise", masks=(mask(30, 60),))
    scale = made.at(48)
    start = made.start(scale, 1)
    assert torch.equal(start[..., 26:], scale.content[..., 26:])
    assert float((start - scale.content)[..., :22].abs().mean()) > 0.1


def test_random_phase_keeps_spectrum_and_mean() -> None:
    example = 0.5 + 0.05 * (noise(32, 48) - 0.5)  # far from 0 and 1, so nothing is cut off
    made = random_phase(example, generator(3, 0))
    torch.testing.assert_close(made.mean((2, 3)), example.mean((2, 3)))
    found, wanted = (torch.fft.rfft2(x - x.mean((2, 3), keepdim=True)).abs() for x in (made, example))
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
    # the same phases in all channels: how the channels go together is kept
    rows, own = made[0].flatten(1), example[0].flatten(1)
    torch.testing.assert_close(torch.cov(rows), torch.cov(own), atol=1e-6, rtol=1e-3)
    assert float((made - example).abs().mean()) > 0.005


# ------------------------------------------------------------------ from size to size


def test_enlarge_puts_back_the_detail_the_small_size_had_not() -> None:
    made = canvas(strength=0.25)
    small, large = made.at(24), made.at(48)
    grown = made.enlarge(small.content, small, large)  # nothing was painted
    blurred = resize(small.content, large.content.shape[-2:])
    torch.testing.assert_close(grown, (blurred + 0.75 * (large.content - blurred)).clamp(0, 1))
    without = canvas(init="noise").enlarge(small.content, small, large)
    torch.testing.assert_close(without, blurred.clamp(0, 1))


def test_render_is_full_size_whatever_size_was_painted() -> None:
    made = canvas()
    for side in (16, 24, 48):
        rendered = made.render(made.at(side).content)
        assert rendered.size == (48, 24) and rendered.mode == "RGB"
    full = np.asarray(made.render(made.content), dtype=np.float32) / 255
    np.testing.assert_allclose(full, made.content[0].permute(1, 2, 0).numpy(), atol=0.003)


def test_transparency_is_put_back() -> None:
    alpha = torch.linspace(0, 1, 60).expand(1, 1, 30, 60).contiguous()
    made = canvas(picture(30, 60, alpha=alpha))
    rendered = made.render(made.at(24).content)
    assert rendered.mode == "RGBA"
    expected = resize(alpha, (24, 48)).clamp(0, 1)[0, 0].numpy()
    np.testing.assert_allclose(np.asarray(rendered)[..., 3] / 255, expected, atol=0.003)


@pytest.mark.parametrize("how", ["luminance", "histogram", "covariance"])
def test_kept_colours(how: str) -> None:
    content = Picture(0.2 + 0.3 * noise(30, 60), None, "dull")
    made = canvas(content, keep_color=how)
    (style,) = made.at(48).styles
    assert abs(float(style.mean() - made.content.mean())) < 0.02  # of the style as it is: 0.15
    if how == "luminance":
        grey = made.at(48).content
        assert torch.equal(grey[:, 0], grey[:, 2])
        flat = torch.full((1, 3, 24, 48), 0.35)
        rendered = torch.from_numpy(np.asarray(made.render(flat), dtype=np.float32)) / 255
        luma = (rendered * torch.tensor([0.299, 0.587, 0.114])).sum(-1)
        torch.testing.assert_close(luma, torch.full((24, 48), 0.35), atol=0.005, rtol=0)
        assert float(rendered.std()) > 0.02  # the colours are the photograph's


# ------------------------------------------------------------------ masks


def test_one_mask_divides_two_styles() -> None:
    made = canvas(styles=2, masks=(mask(15, 30),))
    masks = made.at(48).masks
    assert masks is not None
    white, black = masks
    torch.testing.assert_close(white + black, torch.ones(1, 1, 24, 48))
    assert float(white[..., :22].min()) > 0.99 and float(white[..., 26:].max()) < 0.01
    free = made.at(48).free
    assert free is not None and float(free.min()) == 1


def test_where_no_mask_is_white_the_photograph_stays() -> None:
    made = canvas(masks=(mask(30, 60),))
    rendered = np.asarray(made.render(torch.zeros(1, 3, 24, 48)), dtype=np.float32) / 255
    original = made.content[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(rendered[:, 26:], original[:, 26:], atol=0.003)
    assert rendered[:, :22].max() < 0.02


@pytest.mark.parametrize(("styles", "masks"), [(1, 2), (3, 1), (3, 2), (2, 3)])
def test_wrong_number_of_masks(styles: int, masks: int) -> None:
    with pytest.raises(UsageError, match=rf"--mask was given {masks} times for {styles} styles"):
        canvas(styles=styles, masks=(mask(30, 60),) * masks)


def test_a_black_mask_is_refused() -> None:
    with pytest.raises(UsageError, match="applies nowhere"):
        canvas(masks=(mask(30, 60, value=0.0),))
    white = Picture(torch.ones(1, 3, 30, 60), None, "white")  # leaves nothing to the second style
    with pytest.raises(UsageError, match="applies nowhere"):
        canvas(styles=2, masks=(white,))


def test_a_mask_may_have_any_size_and_colour() -> None:
    green = torch.zeros(1, 3, 7, 11)
    green[:, 1] = 1
    made = canvas(masks=(Picture(green, None, "green"),))
    masks = made.at(48).masks
    assert masks is not None
    torch.testing.assert_close(masks[0], torch.full((1, 1, 24, 48), 0.587), atol=1e-4, rtol=0)
