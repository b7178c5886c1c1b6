"""The pictures of one stylisation at every size: content, styles and masks, the start, and the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gencli.core import color, images
from gencli.core.device import Runtime, generator
from gencli.core.errors import UsageError
from gencli.core.images import Picture, fit, resize
from gencli.stylize.options import StylizeOptions

SMALLEST = 16  # pixels of the shorter side: what VGG's deepest layers make one position of


@dataclass(frozen=True)
class Scale:
    """Everything at one size: (1, 3, h, w) pictures, (1, 1, h, w) masks."""

    content: Tensor
    styles: list[Tensor]
    masks: list[Tensor] | None
    free: Tensor | None  # where any style applies; None for everywhere


class Canvas:
    """Makes the pictures of each size, and the finished picture from a painted one."""

    def __init__(
        self,
        content: Picture,
        styles: Sequence[Picture],
        masks: Sequence[Picture],
        options: StylizeOptions,
        runtime: Runtime,
    ) -> None:
        self.options, self.device = options, runtime.device
        self.alpha = content.alpha
        self.height, self.width = fit(*content.extent, options.size)
        self.original = content.filled.to(self.device)
        self.content = self._sized(self.original, self.height, self.width)
        self.styles = [style.opaque.to(self.device) for style in styles]
        self.masks = self._prepare_masks(masks)
        if options.keep_color:
            self.styles = [color.match_color(style, self.content, options.keep_color) for style in self.styles]

    def holds(self, side: int) -> bool:
        """Whether the picture, at `side` pixels on its longest side, is thick enough to be looked at."""
        return min(fit(self.height, self.width, side)) >= SMALLEST

    def at(self, side: int) -> Scale:
        """The pictures when the longest side is `side` pixels."""
        height, width = fit(self.height, self.width, side)
        content = self._sized(self.original, height, width)
        if self.options.keep_color == "luminance":
            content = color.luma(content).expand(-1, 3, -1, -1)
        strokes = round(side * self.options.style_scale)
        styles = [self._sized(style, *fit(*_extent(style), _not_too_thin(style, strokes))) for style in self.styles]
        masks = [self._sized(mask, height, width) for mask in self.masks] if self.masks else None
        free = sum(masks[1:], masks[0]).clamp(0, 1) if masks else None
        return Scale(content, styles, masks, free)

    def start(self, scale: Scale, seed: int) -> Tensor:
        """The first picture: the content, white noise, or noise with the first style's statistics."""
        if self.options.init == "content":
            return scale.content
        draw = generator(seed, 0)
        if self.options.init == "noise":
            started = torch.rand(scale.content.shape, generator=draw).to(self.device)
        else:
            started = random_phase(resize(scale.styles[0], _extent(scale.content)), draw)
        return started if scale.free is None else torch.lerp(scale.content, started, scale.free)

    def enlarge(self, painted: Tensor, smaller: Scale, larger: Scale) -> Tensor:
        """A painted picture at the next size, with the detail the photograph has there and had not before."""
        size = _extent(larger.content)
        grown = resize(painted, size)
        if self.options.init == "content":
            detail = larger.content - resize(smaller.content, size)
            grown = grown + (1 - self.options.strength) * detail
        return grown.clamp(0, 1)

    def render(self, painted: Tensor) -> Image.Image:
        """A painted picture of any size as the result: full size, colours and transparency put back."""
        full = resize(painted, (self.height, self.width)).clamp(0, 1)
        if self.options.keep_color == "luminance":
            full = color.with_color_of(full, self.content)
        if self.masks:
            free = self.at(self.options.size).free
            assert free is not None
            full = torch.lerp(self.content, full, free)
        alpha = None if self.alpha is None else resize(self.alpha, (self.height, self.width)).clamp(0, 1)
        return images.to_pillow(full, alpha)

    def _sized(self, picture: Tensor, height: int, width: int) -> Tensor:
        return resize(picture, (height, width)).clamp(0, 1)

    def _prepare_masks(self, masks: Sequence[Picture]) -> list[Tensor]:
        """One mask a style; a single mask for two styles is white for the first and black for the second."""
        if not masks:
            return []
        check_masks(len(masks), len(self.styles))
        found = [self._sized(mask.marked.to(self.device), self.height, self.width) for mask in masks]
        if len(found) < len(self.styles):
            found.append(1 - found[0])
        for mask, source in zip(found, [*masks, *masks], strict=False):
            if float(mask.max()) < 0.02:
                raise UsageError(
                    f"--mask {source.name}: one style applies nowhere by it", "paint white where a style applies"
                )
        return found


def check_masks(masks: int, styles: int) -> None:
    """Raise UsageError for a number of masks that does not go with the number of styles."""
    if masks and (masks not in {1, styles} or (masks == 1 and styles > 2)):
        raise UsageError(
            f"--mask was given {masks} times for {styles} styles",
            "give one for each style; one alone divides two styles, white the first and black the second",
        )


def _extent(picture: Tensor) -> tuple[int, int]:
    """Height and width."""
    return picture.shape[-2], picture.shape[-1]


def _not_too_thin(picture: Tensor, longest: int) -> int:
    """`longest`, or the length with which the shorter side has `SMALLEST` pixels, if that is more."""
    shorter, longer = sorted(picture.shape[-2:])
    return max(longest, -(-SMALLEST * longer // shorter))


def random_phase(picture: Tensor, draw: torch.Generator) -> Tensor:
    """Noise with the spectrum and the colours of a picture (1, 3, H, W) (Galerne et al. 2011).

    The phases of white noise are added to the picture's, the same in all channels.
    """
    mean = picture.mean((2, 3), keepdim=True)
    noise = torch.randn(1, 1, *picture.shape[-2:], generator=draw).to(picture.device)
    spectrum = torch.fft.rfft2(noise)
    turned = torch.fft.rfft2(picture - mean) * spectrum / spectrum.abs().clamp_min(1e-12)
    return (torch.fft.irfft2(turned, s=picture.shape[-2:]) + mean).clamp(0, 1)
