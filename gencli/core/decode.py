"""Picture files, as they come, to upright sRGB Pillow pictures. Files are not trusted.

Whatever a file holds (a turned photograph, CMYK, 16-bit grey, a palette, a colour profile), what comes
out is "RGB" or "RGBA", 8 bits, sRGB, the right way up. Whatever is wrong with a file becomes a
`GencliError` that names it. How much memory a picture may take is decided from its header, before
anything is decoded.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageCms, ImageFile, TiffImagePlugin, _imaging

from gencli.core.errors import GencliError

DEFAULT_MAX_PIXELS = 100_000_000
"""The most pixels a picture may have: 400 MB decoded, twice that while it is converted (JPEG 2000: 2 GB)."""

# The formats Pillow decodes by itself, the ones with an unmistakable signature first. Left out on purpose:
# EPS and WMF run other programs, BUFR, GRIB, HDF5 and MPEG need them, and BLP, FITS, IMT, IPTC, MCIDAS and
# XVTHUMB hold pictures whose size no header declares, or are not told from other files.
FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PSD", "PPM", "QOI", "ICO", "ICNS"),
    *("CUR", "DDS", "DIB", "DCX", "FLI", "FTEX", "GBR", "MSP", "PCX", "PIXAR", "SGI", "SUN", "XBM", "XPM"),
    *("TGA", "SPIDER", "PCD", "IM"),
)

_PNG_HEADER = re.compile(rb"IHDR(.{8})", re.DOTALL)
_JPEG2000_HEADER = re.compile(rb"\xff\x4f\xff\x51....(.{32})", re.DOTALL)
_JPEG2000_TILES = 16_384  # each takes OpenJPEG some 10 kB before a pixel is decoded
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # the EXIF tag
_TRUST = "if you trust the file, allow it with --max-pixels"
_DAMAGED = "see whether another program opens it, or fetch it again"

log = logging.getLogger("gencli")
# Pillow warns of damaged metadata through `warnings` and `logging`; neither belongs on a person's terminal.
# This is set once, here: changing it around each call is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with contextlib.suppress(OSError, AttributeError):  # libtiff prints errors that Pillow raises as well
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def open_picture(
    source: Path | str | bytes,
    *,
    name: str | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    draft: tuple[int, int] | None = None,
) -> Image.Image:
    """Decode a picture file to an upright sRGB picture of mode "RGB" or "RGBA" (8 bits a channel).

    `source` is a path (a pipe or a device is read to its end), or a file's bytes. `name` is what errors
    call it; by default the path. Of an animation the first frame is taken. A picture of more than
    `max_pixels` is refused from its header. `draft` (width, height): a JPEG may be decoded at 1/2, 1/4 or
    1/8, several times faster, as long as both sides stay at least this long (in the file's own orientation).

    Raises GencliError when there is no such file, or it is not a picture, damaged, cut short or too large.
    """
    if isinstance(source, bytes):
        return _decode(io.BytesIO(source), name or "the picture", max_pixels, draft)
    name = name or str(source)
    try:
        with Path(source).open("rb") as file:
            if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return _decode(file, name, max_pixels, draft)
            data = read_bounded(file, name, max_pixels)
    except FileNotFoundError as error:
        raise GencliError(f"there is no file {name}", "check the path and its spelling") from error
    except IsADirectoryError as error:
        raise GencliError(f"{name} is a folder; a picture file was expected", "name a file in it") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or error
        raise GencliError(f"cannot read {name}: {reason}", "check the path and its permissions") from error
    return _decode(io.BytesIO(data), name, max_pixels, draft)


def read_bounded(file: IO[bytes], name: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> bytes:
    """Read a pipe to its end, but no more than a picture of `max_pixels` can need (8 bytes a pixel).

    Raises GencliError when more comes: an endless pipe must not fill the memory.
    """
    limit = max(64 << 20, 8 * max_pixels)
    data = file.read(limit + 1)
    if len(data) > limit:
        raise GencliError(
            f"{name} holds more than {limit:,} bytes, too many for a picture of {max_pixels:,} pixels",
            f"if it is a picture, allow more with --max-pixels {2 * max_pixels}",
        )
    return data


def to_srgb(image: Image.Image, name: str = "the picture") -> Image.Image:
    """Turn an opened Pillow picture upright, to sRGB, to mode "RGB" or "RGBA"; its metadata is dropped.

    Float pictures (mode "F") are taken as 0 … 1 where all values lie there, and otherwise stretched from
    their least to their greatest value; so are 32-bit integers, with 0 … 65535 for the range. `name` is
    what log messages call it. Raises whatever Pillow raises for a damaged picture.
    """
    _scale_transparency(image)
    image.load()
    orientation, profile = _orientation(image), image.info.get("icc_profile")
    picture = _eight_bits(image)
    if isinstance(profile, bytes) and profile and image.mode != "LAB":
        picture = _apply_profile(picture, profile, name)
    picture = picture.convert("RGBA" if picture.mode in {"LA", "RGBA"} else "RGB")
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info = {}
    return picture


def _decode(file: IO[bytes], name: str, max_pixels: int, draft: tuple[int, int] | None = None) -> Image.Image:
    """Decode an open file. The only place that knows what Pillow may raise: anything."""
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        # Some plugins check against Pillow's own limit as well. It is only ever raised, so threads agree.
        Image.MAX_IMAGE_PIXELS = -(-max_pixels // 2)
    try:
        with _open(file, name, max_pixels) as image:
            _check_size(image.size, name, max_pixels)
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # a tile may be larger than the picture
                tile = (image.tag_v2.get(322, 1), image.tag_v2.get(323, 1))
                _check_size(tile, f"a tile of {name}", max(max_pixels, 1 << 20))
            if draft is not None:
                image.draft(None, draft)
            return to_srgb(image, name)
    except GencliError:
        raise
    except Image.DecompressionBombError as error:
        raise GencliError(f"{name} is too large: {_reason(error)}", _TRUST) from error
    except MemoryError as error:
        raise GencliError(f"there is not enough memory to decode {name}", "shrink the picture first") from error
    except Exception as error:
        raise GencliError(f"{name} is damaged or cut short: {_reason(error)}", _DAMAGED) from error


def _open(file: IO[bytes], name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Read a picture's header. Like `Image.open`, but with our own limit in place of a global one."""
    prefix = file.read(16)
    if not prefix:
        raise GencliError(f"{name} is empty (0 bytes)", "fetch or export it again")
    Image.init()
    damage = None
    for format in FORMATS:
        factory, accept = Image.OPEN.get(format, (None, None))
        if factory is None or (accept is not None and accept(prefix) is not True):
            continue
        for size in _inner_sizes(file, format):
            _check_size(size, name, max_pixels)
        file.seek(0)
        try:
            return factory(file, "")
        except (MemoryError, Image.DecompressionBombError):
            raise
        except Exception as error:
            if accept is not None:  # the signature is there; without one it is just some other kind of file
                damage = damage or f"it begins like a {format} file, but: {_reason(error)}"
    if damage:
        raise GencliError(f"{name} is damaged or cut short: {damage}", _DAMAGED)
    raise GencliError(
        f"{name} is not a picture Pillow can read",
        "PNG, JPEG, WebP, TIFF, GIF and BMP always work; convert EPS, PDF, SVG, raw or video files first",
    )


def _inner_sizes(file: IO[bytes], format: str) -> Iterator[tuple[int, int]]:
    """The sizes of what Pillow decodes before it tells a size: pictures in icons, and JPEG 2000 tiles."""
    if format not in {"ICO", "ICNS", "JPEG2000"}:
        return
    file.seek(0)
    data = file.read()
    if format == "ICO":
        count = int.from_bytes(data[4:6], "little")
        for entry in range(6, min(6 + 16 * count, len(data)), 16):
            offset = int.from_bytes(data[entry + 12 : entry + 16], "little")
            if data[offset : offset + 4] != b"\x89PNG" and len(data) >= offset + 12:
                width, height = struct.unpack_from("<ii", data, offset + 4)
                yield width, abs(height) // 2  # the picture and its mask, one above the other
    if format in {"ICO", "ICNS"}:
        for header in _PNG_HEADER.finditer(data):
            yield struct.unpack(">II", header[1])
    if format in {"ICNS", "JPEG2000"}:
        for header in _JPEG2000_HEADER.finditer(data):
            right, bottom, left, top, tile_width, tile_height, _, _ = struct.unpack(">8I", header[1])
            if -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1)) > _JPEG2000_TILES:
                raise ValueError(f"more than {_JPEG2000_TILES:,} JPEG 2000 tiles")
            yield right - left, bottom - top
            if format == "JPEG2000":
                return  # what looks like a header further on is picture data


def _reason(error: Exception) -> str:
    """What a library said, in one line fit for a terminal: it may quote the file's bytes."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(error)[:200])
    return " ".join(text.split()) or type(error).__name__


def _check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise GencliError(f"{name} has no pixels: {width} × {height}", _DAMAGED)
    if width * height > max_pixels:
        raise GencliError(
            f"{name} is {width:,} × {height:,} = {width * height:,} pixels; the limit is {max_pixels:,}",
            f"{_TRUST} {width * height}",
        )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 … 8; 1 (upright) where the EXIF is damaged."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _scale_transparency(image: Image.Image) -> None:
    """Bring a PNG's one transparent colour to the 8 bits that Pillow brings the pixels to, but not it."""
    tiles, hidden = getattr(image, "tile", None), image.info.get("transparency")
    depth = tiles[0][3] if image.format == "PNG" and tiles else None
    if isinstance(hidden, int) and depth in {"L;2", "L;4"}:
        image.info["transparency"] = hidden * {"L;2": 85, "L;4": 17}[depth]
    elif isinstance(hidden, tuple) and depth == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in hidden)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring any Pillow mode to L, LA, RGB, RGBA or CMYK, of 8 bits a channel."""
    if image.mode.startswith(("I", "F")):
        return _scale(image)
    if image.mode in {"P", "PA", "1", "L", "RGB", "RGBa"} and image.has_transparency_data:
        return image.convert("RGBA")
    kept = {"L", "LA", "RGB", "RGBA", "CMYK"}
    target = image.mode if image.mode in kept else {"La": "LA", "1": "L"}.get(image.mode, "RGB")
    return image if image.mode == target else image.convert(target)


def _scale(image: Image.Image) -> Image.Image:
    """Integers of 16 and 32 bits and floats to 8 bits: from their full range, or else the range they use."""
    values = np.asarray(image)
    finite = np.isfinite(values)
    full = 1.0 if image.mode == "F" else 65535.0
    low = float(np.min(values, where=finite, initial=0.0))
    high = float(np.max(values, where=finite, initial=full))
    if low < 0 or high > full:
        low, high = float(values[finite].min()), float(values[finite].max())
    flat, grey = values.ravel(), np.empty(values.shape, np.uint8)
    for start in range(0, flat.size, 1 << 20):  # in parts: a 64-bit copy of the whole would be large
        part = flat[start : start + (1 << 20)].astype(np.float64)
        part = (np.nan_to_num(part, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1)
        grey.ravel()[start : start + (1 << 20)] = np.rint(255 * part)
    picture = Image.fromarray(grey)
    hidden = image.info.get("transparency")  # a PNG's one transparent grey
    if isinstance(hidden, int):
        picture.putalpha(Image.fromarray(np.where(values == hidden, np.uint8(0), np.uint8(255))))
    return picture


def _apply_profile(image: Image.Image, profile: bytes, name: str) -> Image.Image:
    """Convert the colours of an L, LA, RGB, RGBA or CMYK picture from an ICC profile's to sRGB's."""
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    colours = image.convert(image.mode.removesuffix("A")) if alpha else image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and colours.mode == "L":
            colours = colours.convert("RGB")
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space) != colours.mode:
            raise ValueError(f"it is for {space} pictures")
        converted = ImageCms.profileToProfile(
            colours,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except MemoryError:
        raise
    except Exception as error:
        log.warning("%s: its colour profile was ignored: %s", name, _reason(error))
        return image
    assert converted is not None  # profileToProfile returns None only when it works in place
    if alpha:
        converted.putalpha(alpha)
    return converted
