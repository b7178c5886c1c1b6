"""Pictures as tensors: loaded, resized, laid out in grids, and given back to Pillow.

A picture inside gencli is float32 (N, 3, H, W), sRGB in [0, 1].
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core.color import luma
from gencli.core.decode import DEFAULT_MAX_PIXELS, open_picture, read_bounded, to_srgb
from gencli.core.errors import GencliError, UsageError

MUCH = 3  # times as large as it will be shrunk to: so large a picture is made smaller when it is loaded
QUICKLY = 1.5  # times as large as that it is when it is shrunk well, and not by means of a few pixels: Pillow's gap
THINNEST = 32  # pixels of its shorter side, of which it keeps so many
LARGEST_DRAWN = 1024  # pixels, at which an example is drawn at most: it takes seconds


@dataclass(frozen=True)
class Picture:
    """One picture: its colours, its transparency if it has any, and the stem of its results' names."""

    rgb: Tensor
    """(1, 3, H, W) float32, sRGB in [0, 1]; not multiplied by alpha."""
    alpha: Tensor | None
    """(1, 1, H, W) float32 in [0, 1], or None for an opaque picture."""
    name: str
    whole: tuple[int, int] | None = None
    """Height and width of the whole picture, of which this may be a smaller one; None where it is the whole."""

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of the whole picture, whose ratio results keep."""
        return self.whole or (self.rgb.shape[-2], self.rgb.shape[-1])

    @property
    def opaque(self) -> Tensor:
        """Its colours, laid on white where it is transparent."""
        return self.rgb if self.alpha is None else torch.lerp(torch.ones_like(self.rgb), self.rgb, self.alpha)

    @property
    def filled(self) -> Tensor:
        """Its colours, and where nothing is seen of them the mean of those that are: what a file hides there, black or
        white, is not to be painted from."""
        if self.alpha is None or not bool((seen := self.alpha > 0).any()):
            return self.rgb
        mean = (self.rgb * self.alpha).sum((2, 3), keepdim=True) / self.alpha.sum((2, 3), keepdim=True)
        return torch.where(seen, self.rgb, mean)

    @property
    def marked(self) -> Tensor:
        """(1, 1, H, W) in [0, 1]: how white it is, as masks are; what is transparent is not."""
        light = luma(self.rgb)
        return light if self.alpha is None else light * self.alpha


Source: TypeAlias = Picture | Image.Image | Path | str


def loaded(source: Source, enough: int | None = None) -> Picture:
    """A picture that may have been loaded already. Raises what `load` does."""
    return source if isinstance(source, Picture) else load(source, enough=enough)


def load(
    source: Path | str | Image.Image,
    *,
    size: int | None = None,
    enough: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> Picture:
    """Load a picture: a path, "-" for standard input, "@name" for a drawn example, or a Pillow picture.

    `size` is the longest side in pixels it is shrunk or enlarged to (the ratio kept, antialiased, colours
    weighted by their alpha); without it, its own (a drawn example's: 512). `enough` is what it will be shrunk to later:
    a picture more than three times as large is made twice as large, which spares memory and time and shows no
    difference; a drawn example is drawn so large, up to `LARGEST_DRAWN`.

    Raises GencliError for a file that is not a sound picture or has more than `max_pixels` pixels, UsageError
    for a drawn example that does not exist or a size no picture can have.
    """
    if size is not None and size < 1:
        raise UsageError(f"a picture's size must be at least 1 pixel, not {size}")
    image, name = _open(source, size, enough, max_pixels)
    whole = image.height, image.width
    if size is not None:
        height, width = fit(*whole, size)
        if height * width > max_pixels:
            raise UsageError(
                f"{name} would become {width:,} × {height:,} = {width * height:,} pixels at size {size}; "
                f"the limit is {max_pixels:,}",
                "choose a smaller size",
            )
    else:
        height, width = whole if enough is None else _no_larger(*whole, enough)
    try:
        if (width, height) != image.size:
            if size is None:
                image = _near(image, (width, height))
            else:
                image = image.resize((width, height), Image.Resampling.LANCZOS)  # RGBA: Pillow premultiplies
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]
        values = pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    except (MemoryError, RuntimeError) as error:  # what torch raises when memory runs out
        raise GencliError(
            f"there is not enough memory for {name}, {width:,} × {height:,} pixels", "choose a smaller size"
        ) from error
    return Picture(values[:, :3], values[:, 3:] if image.mode == "RGBA" else None, name, None if size else whole)


def _near(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Colours and alpha each for themselves, as they are shrunk later: what is hidden is not lost yet."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    parts = [image.convert("RGB"), *([alpha] if alpha else [])]
    shrunk = [part.resize(size, Image.Resampling.LANCZOS, reducing_gap=QUICKLY) for part in parts]
    if alpha:
        shrunk[0].putalpha(shrunk[1])
    return shrunk[0]


def _no_larger(height: int, width: int, enough: int) -> tuple[int, int]:
    """(height, width) of a picture that will be shrunk to `enough`, with which that still looks the same."""
    longest, shortest = max(height, width), min(height, width)
    if longest <= MUCH * enough:
        return height, width
    return fit(height, width, min(longest, max(2 * enough, THINNEST * longest // shortest)))


def stem(source: str) -> str:
    """What results made from a picture are named after: a path's stem, an example's name, `stdin`."""
    return "stdin" if source == "-" else Path(source.removeprefix("@")).stem


def _open(
    source: Path | str | Image.Image, size: int | None, enough: int | None, max_pixels: int
) -> tuple[Image.Image, str]:
    """The picture, RGB or RGBA, and the stem for names made from it."""
    if isinstance(source, Image.Image):
        return _convert(source), "picture"
    if source == "-":
        return open_picture(_read_stdin(max_pixels), name="standard input", max_pixels=max_pixels), "stdin"
    if isinstance(source, str) and source.startswith("@"):
        from gencli.core.drawn import draw

        return draw(source[1:], size or min(enough or 512, LARGEST_DRAWN)), source[1:]
    # A JPEG may be decoded smaller, but stays twice as large as wanted: the resampling then looks the same.
    draft = (2 * size, 2 * size) if size else None
    return open_picture(source, max_pixels=max_pixels, draft=draft), Path(source).stem


def _convert(image: Image.Image) -> Image.Image:
    try:
        return to_srgb(image)
    except Exception as error:  # a lazily opened file is decoded only now, and may be damaged in any way
        raise GencliError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def _read_stdin(max_pixels: int = DEFAULT_MAX_PIXELS) -> bytes:
    """Standard input to its end, as bytes. Raises GencliError when it is closed, a terminal, or endless."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("a picture was expected on standard input", "pipe one in: cat photo.jpg | gencli … -")
    return read_bounded(sys.stdin.buffer, "standard input", max_pixels)


def to_pillow(rgb: Tensor, alpha: Tensor | None = None) -> Image.Image:
    """Give a picture (1, 3, H, W) or (3, H, W) to Pillow, with its `alpha` (1, 1, H, W) or (1, H, W) if any.

    The result is "RGB", or "RGBA" with alpha. Values are clamped to [0, 1] and rounded to the nearest of
    256 steps; NaN becomes 0. Raises ValueError for other shapes.
    """
    channels = rgb if alpha is None else torch.cat([rgb, alpha.to(rgb)], dim=-3)
    pixels = channels.detach().to("cpu", torch.float32).nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)
    if pixels.ndim == 4 and len(pixels) == 1:
        pixels = pixels[0]
    if pixels.ndim != 3 or len(pixels) != (3 if alpha is None else 4):
        raise ValueError(f"expected a picture of (1, 3, H, W) or (3, H, W), not {tuple(rgb.shape)}")
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (N, C, H, W) to `size` (height, width) by antialiased bicubic interpolation.

    It is linear and does not clamp: near sharp edges values overshoot [0, 1] a little.
    """
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)


def fit(height: int, width: int, longest: int) -> tuple[int, int]:
    """(height, width) of the same ratio whose longest side is `longest`; each at least 1 pixel."""
    side = max(height, width)
    return max(1, (2 * height * longest + side) // (2 * side)), max(1, (2 * width * longest + side) // (2 * side))


def total_variation(pictures: Tensor) -> Tensor:
    """Mean squared difference of neighbouring pixels of (N, C, H, W) (squared, so it favours no direction)."""
    across = (pictures[..., 1:] - pictures[..., :-1]).square().mean() if pictures.shape[-1] > 1 else 0
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).square().mean() if pictures.shape[-2] > 1 else 0
    return torch.as_tensor(across + down)


def grid(pictures: Tensor, columns: int | None = None, gap: int = 2, background: float = 1.0) -> Tensor:
    """Lay pictures (N, 3, H, W) out as one (1, 3, H', W'), row by row, `gap` pixels of `background` between.

    Without `columns` the grid is as square as N allows. A last row that is not full ends in background.
    """
    count, channels, height, width = pictures.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    sheet = pictures.new_full((1, channels, rows * (height + gap) - gap, columns * (width + gap) - gap), background)
    for index, picture in enumerate(pictures):
        top, left = (index // columns) * (height + gap), (index % columns) * (width + gap)
        sheet[0, :, top : top + height, left : left + width] = picture
    return sheet
