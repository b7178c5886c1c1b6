"""Moving pictures: GIF, WebP, animated PNG and MP4, or a still picture a frame; planned first, then streamed.

Pillow keeps all frames of an animation in memory until the last is there, so it only encodes them here, one by
one; what holds them together in a file is written by this module.
"""

from __future__ import annotations

import itertools
import logging
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from gencli.core import outputs, video
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import to_pillow
from gencli.core.stages import Report

ANIMATIONS = outputs.Kind("animation", {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG", ".mp4": "MP4"})
MOST_FPS = 240
AT_ONCE = 128  # pictures drawn side by side
COLOURS = 256  # of a GIF's palette
PALETTE_SAMPLES = 8192
WEBP_QUALITY = 90
_SIDES = {"GIF": 65_535, "WEBP": 16_383, "PNG": 2**31 - 1, "MP4": 16_384}  # the most pixels, for x264 the last

log = logging.getLogger("gencli")

Frames: TypeAlias = Iterable[Image.Image]
Note: TypeAlias = Mapping[str, str]
Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Film:
    """A place for one animation."""

    target: outputs.Target
    """Where it goes, or the first of its stills."""
    name: str
    pattern: str | None = None
    """Of the names of stills, one a frame."""

    def write(
        self, frames: Frames, note: Note, *, fps: float, loop: bool = True, sound: Path | None = None
    ) -> list[str]:
        """Write the frames, `fps` of them a second, with `note` as metadata and the sound of a video; the paths
        written, none for "-".

        Frames are RGB or RGBA, all of one size and mode. They are taken one by one and not kept, so they may be
        computed meanwhile. The file takes its place in one step when it is complete: where a frame raises, an older
        one stays and no part is left. Of stills, each is a file of its own: those before stay.

        A frame is shown for whole hundredths of a second (GIF) or thousandths (WebP, PNG), rounded so that each
        begins when it should. Neighbours that are equal become one. With `loop` the animation begins again for ever,
        the first frame following the last; MP4 leaves this to the player. GIF has up to 256 colours a frame, dithered
        where that is too few, and no half transparency; WebP is lossless for frames of so few colours, or else
        of quality 90; PNG is lossless; MP4 is H.264 with half the resolution in colour and no transparency, and
        alone has sound.

        Raises UsageError for an `fps` outside (0, 240], GencliError when there are no frames, when they differ in
        size or mode, or when the file cannot be encoded or written.
        """
        if not 0 < fps <= MOST_FPS:
            raise UsageError(f"{fps:g} frames a second cannot be shown", f"choose more than 0, at most {MOST_FPS}")
        checked = _checked(frames)
        if self.pattern is not None:
            return list(self._stills(checked, self.pattern, note))
        reel = _Reel.begin(checked, note, fps, loop, sound)
        format = self.target.format
        _check(format, reel)
        path = self.target.put(lambda file: _WRITERS[format](file, reel))
        return [] if path is None else [path]

    def _stills(self, frames: Frames, pattern: str, note: Note) -> Iterator[str]:
        for number, image in enumerate(frames, 1):
            path = outputs.fill_in(pattern, number, self.name)
            yield outputs.Target(path, self.target.format).write(image, note) or ""


def frames(draw: Callable[[Tensor], Tensor], latents: Tensor, size: int, report: Report) -> Iterator[Image.Image]:
    """The pictures that `draw` makes of latents (F, L), one after another, enlarged to `size` pixels a side.

    It is given `AT_ONCE` rows at a time, and gives (N, 3, H, W) in [0, 1].
    """
    done = 0
    for some in latents.split(AT_ONCE):
        for picture in draw(some):
            yield to_pillow(picture).resize((size, size), Image.Resampling.BICUBIC)
            done += 1
            report(done, len(latents))


def is_film_name(output: str) -> bool:
    """Whether `-o` asks for a moving picture: a name ending in .gif, .apng or .mp4. WebP and PNG may be still."""
    return output.lower().endswith((".gif", ".apng", ".mp4"))


def plan(name: str, output: str | None, *, suffix: str, format: str | None = None) -> Film:
    """Decide where an animation goes, and check that it can, before any work is done: as `outputs.plan` does.

    `output` is what the user gave with `-o`: nothing → `NAME-SUFFIX.gif` here, never overwriting; "-" → standard
    output; a folder → such a name inside it; a path that ends in .gif, .webp, .png, .apng or .mp4; or a pattern
    with `{i}` → a still picture a frame. `format` is an extension that decides where the path does not.

    Raises UsageError for a wrong pattern or format, MissingError for .mp4 where nothing can encode it, GencliError
    for a place that cannot be written.
    """
    if output is not None and outputs.is_pattern(output):
        first, second = (outputs.fill_in(output, number, name) for number in (1, 2))
        if first != second:
            target, _ = outputs.plan([name, name], output, suffix=suffix, format=format)
            return Film(target, name, output)
    (target,) = outputs.plan([name], output, suffix=suffix, format=format, kind=ANIMATIONS)
    if target.format == "MP4":
        video.find_encoder()
    return Film(target, name)


@dataclass(frozen=True)
class _Reel:
    """What is written: frames, to be gone through once, and what must be known before."""

    frames: Frames
    size: tuple[int, int]
    alpha: bool
    note: Note
    fps: float
    loop: bool
    sound: Path | None

    @classmethod
    def begin(cls, frames: Iterator[Image.Image], note: Note, fps: float, loop: bool, sound: Path | None) -> _Reel:
        first = next(frames)
        return cls(itertools.chain([first], frames), first.size, first.mode == "RGBA", note, fps, loop, sound)


def _checked(frames: Frames) -> Iterator[Image.Image]:
    """The frames, as long as they are alike."""
    first = None
    for number, image in enumerate(frames, 1):
        if image.mode not in {"RGB", "RGBA"}:
            raise GencliError(f"frame {number} is a picture of mode {image.mode}, not RGB or RGBA")
        like = f"{image.width} × {image.height} {image.mode}"
        first = first or like
        if like != first:
            raise GencliError(f"frame {number} is {like}, but the first one is {first}")
        yield image
    if first is None:
        raise GencliError("an animation of no frames cannot be written", "ask for at least one")


def _check(format: str, reel: _Reel) -> None:
    """Say what the format will lose. Raises GencliError for a size that it cannot hold."""
    if reel.alpha and format == "MP4":
        log.info("MP4 has no transparency: the frames are laid on white")
    if reel.alpha and format == "GIF":
        log.info("GIF has no half transparency: pixels become opaque or transparent")
    if reel.sound and format != "MP4":
        log.info("%s has no sound: name an .mp4 to keep it", format)
    clock = _CLOCKS.get(format)
    if clock and reel.fps > clock.most_fps:
        log.info(
            "browsers slow a %s of more than %d frames a second down: it is written with so many, not %g",
            format,
            clock.most_fps,
            reel.fps,
        )
    if max(reel.size) > _SIDES[format]:
        raise GencliError(
            f"an animation of {reel.size[0]} × {reel.size[1]} pixels cannot be saved as {format}, "
            f"which has at most {_SIDES[format]} a side",
            "make it smaller, or name a pattern of stills: frames/{i:04}.png",
        )


# Time


@dataclass(frozen=True)
class _Clock:
    """How a format counts time."""

    rate: int
    """Ticks a second."""
    shortest: int
    """Ticks of a frame below which browsers show it for a tenth of a second."""
    longest: int
    """Ticks that a frame's field holds."""

    @property
    def most_fps(self) -> Fraction:
        return Fraction(self.rate, self.shortest)


_CLOCKS = {"GIF": _Clock(100, 2, 0xFFFF), "WEBP": _Clock(1000, 11, 0xFFFFFF), "PNG": _Clock(1000, 11, 0xFFFF)}


def _timed(reel: _Reel, clock: _Clock, encode: Callable[[Image.Image], bytes]) -> Iterator[tuple[bytes, int]]:
    """The encoded frames, and for how many ticks each is shown: equal neighbours once, too long ones repeatedly."""
    ticks = clock.rate / min(Fraction(reel.fps), clock.most_fps)
    pixels, coded, begin, end = b"", b"", 0, 0
    for number, image in enumerate(reel.frames, 1):
        now = image.tobytes()  # not the picture itself, which may be painted over for the next frame
        if now != pixels:
            yield from _parts(coded, end - begin, clock.longest)
            pixels, coded, begin = now, encode(image), end
        end = round(number * ticks)
    yield from _parts(coded, end - begin, clock.longest)


def _parts(coded: bytes, ticks: int, longest: int) -> Iterator[tuple[bytes, int]]:
    count = math.ceil(ticks / longest)
    for part in range(count):
        yield coded, ticks * (part + 1) // count - ticks * part // count


# GIF: https://www.w3.org/Graphics/GIF/spec-gif89a.txt


def _write_gif(file: IO[bytes], reel: _Reel) -> None:
    file.write(b"GIF89a" + struct.pack("<HHBBB", *reel.size, 0x70, 0, 0))  # each frame has its own palette
    if reel.loop:
        file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")
    if text := outputs.note_text(reel.note):
        file.write(b"!\xfe" + b"".join(bytes([len(part)]) + part for part in _cut(text, 255)) + b"\0")
    # a frame with holes is removed before the next comes, which it would shine through; others are covered by it
    flags, clear = (2 << 2 | 1, COLOURS - 1) if reel.alpha else (1 << 2, 0)
    for coded, delay in _timed(reel, _CLOCKS["GIF"], _gif_frame):
        file.write(b"!\xf9\x04" + struct.pack("<BHBB", flags, delay, clear, 0) + coded)
    file.write(b";")


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[first : first + size] for first in range(0, len(data), size)]


def _gif_frame(image: Image.Image) -> bytes:
    """A frame as an image descriptor, its colour table and its pixels, cut from a file of Pillow's."""
    data = outputs.encode(to_palette(image), "GIF", {}, optimize=False, interlace=0)
    bits = data[10] & 7
    place = 13 + 3 * (2 << bits)
    table = data[13:place]
    while data[place] == ord("!"):
        place += 2
        while data[place]:
            place += data[place] + 1
        place += 1
    descriptor = data[place : place + 9] + bytes([0x80 | bits])
    return descriptor + table + data[place + 10 : -1]


def to_palette(image: Image.Image) -> Image.Image:
    """An RGB or RGBA picture with a palette of its own: exact where 256 colours are enough, or else dithered.

    In an RGBA picture colour 255 is the transparent one: of the pixels that are less than half opaque.
    """
    pixels = np.array(image.convert("RGB"))
    if image.mode == "RGB":
        return _with_palette(pixels, COLOURS)
    hidden = np.asarray(image.getchannel("A")) < 128
    pixels[hidden] = pixels[~hidden][0] if not hidden.all() else 0  # what nobody sees must not spill its error
    result = _with_palette(pixels, COLOURS - 1)
    result.paste(COLOURS - 1, mask=Image.fromarray(hidden))
    return result


def _with_palette(pixels: Bytes, most: int) -> Image.Image:
    image = Image.fromarray(pixels)
    if image.getcolors(most) is None:
        return image.quantize(palette=_palette(pixels, most), dither=Image.Dither.FLOYDSTEINBERG)
    colours, indices = np.unique(_packed(pixels, 8), return_inverse=True)
    result = Image.fromarray(indices.reshape(pixels.shape[:2]).astype(np.uint8))
    result.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes())
    return result


def _packed(pixels: Bytes, bits: int) -> npt.NDArray[np.intp]:
    """The upper bits of red, green and blue as one number a pixel: (H, W, 3) → (H·W,)."""
    red, green, blue = (pixels.reshape(-1, 3) >> 8 - bits).astype(np.intp).T
    return np.asarray(red << 2 * bits | green << bits | blue)


def _palette(pixels: Bytes, most: int) -> Image.Image:
    """Colours for a picture that has more, found by Pillow's median cut.

    Colours are counted in cells of 8 levels a channel, or of 4 where there are few. Finer ones would give two
    entries to nearly one colour, and Pillow's dithering, which looks colours up in steps of 4 levels, mistakes one for
    the other: flat areas then get specks. Cells count by the square root of their pixels, so that small things keep
    their colours. Cut from all pixels, a palette takes ten times as long where most of them differ.
    """
    for bits in (5, 6):
        at = _packed(pixels, bits)
        counts = np.bincount(at)
        cells = np.flatnonzero(counts)
        if len(cells) > most:
            break
    means = [np.bincount(at, channel)[cells] / counts[cells] for channel in pixels.reshape(-1, 3).T]
    share = np.sqrt(counts[cells])
    times = np.ceil(share * PALETTE_SAMPLES / share.sum()).astype(np.intp)
    sample = np.repeat(np.stack(means, 1).round().astype(np.uint8), times, 0)
    return Image.fromarray(sample[None]).quantize(most, Image.Quantize.MEDIANCUT, kmeans=1)


# WebP: https://developers.google.com/speed/webp/docs/riff_container


def _write_webp(file: IO[bytes], reel: _Reel) -> None:
    still = outputs.encode(Image.new("RGB", (1, 1)), "WEBP", reel.note)  # of which only the note is used
    exif = b"".join(chunk for kind, chunk in _riff_chunks(still) if kind == b"EXIF")
    size = _three_bytes(reel.size[0] - 1) + _three_bytes(reel.size[1] - 1)
    flags = 0x02 | 0x08 | (0x10 if reel.alpha else 0)  # animation, EXIF, alpha
    file.write(b"RIFF\0\0\0\0WEBP" + _riff_chunk(b"VP8X", struct.pack("<I", flags) + size))
    file.write(_riff_chunk(b"ANIM", struct.pack("<IH", 0, 0 if reel.loop else 1)))
    for coded, delay in _timed(reel, _CLOCKS["WEBP"], _webp_frame):
        replaces = b"\x02"  # what was there, instead of being blended with it
        file.write(_riff_chunk(b"ANMF", bytes(6) + size + _three_bytes(delay) + replaces + coded))
    file.write(exif)
    length = file.tell() - 8
    if length > 0xFFFFFFFE:
        raise GencliError("a WebP holds at most 4 GiB", "name an .mp4, or make it shorter or smaller")
    file.seek(4)
    file.write(struct.pack("<I", length))


def _webp_frame(image: Image.Image) -> bytes:
    flat = image.getcolors(COLOURS) is not None
    data = outputs.encode(image, "WEBP", {}, lossless=flat, quality=WEBP_QUALITY)
    return b"".join(chunk for kind, chunk in _riff_chunks(data) if kind in {b"ALPH", b"VP8 ", b"VP8L"})


def _riff_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a file, with their names."""
    place = 12
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place + 4)
        end = place + 8 + size + size % 2
        yield data[place : place + 4], data[place:end]
        place = end


def _three_bytes(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


# Animated PNG: https://www.w3.org/TR/png-3/#apng-frame-based-animation


def _write_png(file: IO[bytes], reel: _Reel) -> None:
    still = outputs.encode(Image.new("RGB", (1, 1)), "PNG", reel.note)
    file.write(b"\x89PNG\r\n\x1a\n")
    file.write(_png_chunk(b"IHDR", struct.pack(">IIBBBBB", *reel.size, 8, 6 if reel.alpha else 2, 0, 0, 0)))
    file.writelines(_png_chunk(kind, data) for kind, data in _png_chunks(still) if kind in {b"tEXt", b"iTXt"})
    control, count, sequence = file.tell(), 0, itertools.count()
    file.write(_png_chunk(b"acTL", bytes(8)))  # until the frames are counted
    for coded, delay in _timed(reel, _CLOCKS["PNG"], _png_frame):
        place = struct.pack(">IIIIIHHBB", next(sequence), *reel.size, 0, 0, delay, 1000, 0, 0)
        file.write(_png_chunk(b"fcTL", place))
        file.write(
            _png_chunk(b"fdAT", struct.pack(">I", next(sequence)) + coded) if count else _png_chunk(b"IDAT", coded)
        )
        count += 1
    file.write(_png_chunk(b"IEND", b""))
    file.seek(control)
    file.write(_png_chunk(b"acTL", struct.pack(">II", count, 0 if reel.loop else 1)))


def _png_frame(image: Image.Image) -> bytes:
    return b"".join(data for kind, data in _png_chunks(outputs.encode(image, "PNG", {})) if kind == b"IDAT")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a file: names and contents."""
    place = 8
    while place < len(data):
        (size,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += 12 + size


def _write_mp4(file: IO[bytes], reel: _Reel) -> None:
    video.write(file, reel.frames, reel.size, reel.fps, outputs.note_text(reel.note).decode(), reel.sound)


_WRITERS: Mapping[str, Callable[[IO[bytes], _Reel], None]] = {
    "GIF": _write_gif,
    "WEBP": _write_webp,
    "PNG": _write_png,
    "MP4": _write_mp4,
}
