"""Where results go: names, patterns and formats, checked before the work; then written in one step."""

from __future__ import annotations

import io
import itertools
import logging
import os
import re
import shlex
import shutil
import string
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from PIL import Image, PngImagePlugin

import gencli
from gencli.core.errors import GencliError, UsageError
from gencli.core.files import atomic_write, write_new

_OPAQUE = {"JPEG", "BMP"}  # formats without transparency
_JPEG_COMMENT_BYTES = 65_533  # what one comment segment holds
_LEAST_FREE_BYTES = 10 << 20
_IN_MEMORY_BYTES = 16 << 20
_DESCRIPTION = 0x010E  # the EXIF and TIFF tag ImageDescription

log = logging.getLogger("gencli")

Write: TypeAlias = Callable[[IO[bytes]], object]
"""What fills a file, which it may go back in but not read."""


@dataclass(frozen=True)
class Kind:
    """What results are, and the file formats they can have."""

    noun: str
    formats: Mapping[str, str]
    """Extension → format ("PNG", "JPEG", …: Pillow's name where it has one). The first is the default."""

    @property
    def known(self) -> str:
        """The extensions for people: the first of each format."""
        firsts = {format: extension for extension, format in reversed([*self.formats.items()])}
        return ", ".join(extension[1:] for extension in reversed(firsts.values()))


PICTURES = Kind(
    "picture",
    {
        ".png": "PNG",
        ".jpg": "JPEG",
        ".jpeg": "JPEG",
        ".webp": "WEBP",
        ".tiff": "TIFF",
        ".tif": "TIFF",
        ".bmp": "BMP",
        ".gif": "GIF",
    },
)


@dataclass(frozen=True)
class Target:
    """A place for one result."""

    path: Path | None
    """Where it goes; None for standard output."""
    format: str
    """Pillow's name of the file format: "PNG", "JPEG", …"""
    base: Path | None = None
    """For a name that must not overwrite: the name without a number, `-2`, `-3` … being put to it."""

    def write(self, image: Image.Image, note: Mapping[str, str]) -> str | None:
        """Write the picture with `note` as its metadata; returns the path written, None for standard output.

        A path given by the user is overwritten in one step. A default name is not: if someone took it
        since it was planned, the next free number is used. PNG holds the note as text chunks, JPEG and GIF
        as a comment, TIFF and WebP as the image description. JPEG and BMP have no transparency: such a
        picture is laid on white, with a logged note.

        Raises GencliError when the picture cannot be encoded or the file cannot be written.
        """
        if image.mode == "RGBA" and self.format in _OPAQUE:
            log.info("%s has no transparency: the picture is laid on white", self.format)
        data = encode(image, self.format, note)
        return self.put(lambda file: file.write(data))

    def put(self, write: Write) -> str | None:
        """Like `write`, with a file that `write(file)` fills. Nothing is left of it when that raises."""
        if self.path is None:
            _write_stdout(write)
            return None
        if self.base is not None:
            return str(write_new(itertools.chain([self.path], _numbered(self.base)), write))
        _overwrite(self.path, write)
        return str(self.path)


def plan_text(path: Path) -> Callable[[str], None]:
    """Check that a text can be written to a path, and get what writes it, in one step.

    Raises GencliError for a place that cannot be written.
    """
    _check(path)
    return lambda text: _overwrite(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def command_line() -> str:
    """The command as it was typed, quoted for a shell: what a result or a model says it was made with."""
    return shlex.join(["gencli", *sys.argv[1:]])


def note(seed: int | None = None) -> dict[str, str]:
    """The metadata of a result, with its seed if chance had a part in it: `Target.write` puts it into the file."""
    known = {"Software": f"gencli {gencli.__version__}", "Command": command_line()}
    return known if seed is None else {**known, "Seed": str(seed)}


def encode(image: Image.Image, format: str, note: Mapping[str, str], **settings: Any) -> bytes:
    """A picture (RGB or RGBA) as the bytes of a file. `settings` of Pillow's replace the usual ones.

    Raises GencliError when the format cannot hold it.
    """
    if format in _OPAQUE:
        image = on_white(image)
    buffer = io.BytesIO()
    try:
        image.save(buffer, format, **(_settings(format, note) | settings))
    except (OSError, ValueError, OverflowError, struct.error) as error:
        raise GencliError(
            f"a picture of {image.width} × {image.height} pixels cannot be saved as {format}: {error}",
            "PNG holds pictures of any size",
        ) from error
    return buffer.getvalue()


def on_white(image: Image.Image) -> Image.Image:
    """An RGB or RGBA picture without transparency."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def note_text(note: Mapping[str, str]) -> bytes:
    """The note as lines of UTF-8."""
    return "\n".join(f"{key}: {value}" for key, value in note.items()).encode("utf-8", "replace")


def _settings(format: str, note: Mapping[str, str]) -> dict[str, Any]:
    """Pillow's settings for a format: the best quality that is not wasteful, and the note."""
    text = note_text(note)
    if format == "PNG":
        chunks = PngImagePlugin.PngInfo()
        for key, value in note.items():
            chunks.add_text(key, value.encode("utf-8", "replace").decode())
        return {"pnginfo": chunks}
    if format == "JPEG":
        comment = text[:_JPEG_COMMENT_BYTES].decode("utf-8", "ignore").encode()  # not cut inside a letter
        return {"quality": 95, "subsampling": "4:4:4", "comment": comment}
    if format == "GIF":
        return {"comment": text}
    if format == "TIFF":
        return {"compression": "tiff_adobe_deflate", "tiffinfo": {_DESCRIPTION: text}}
    if format == "WEBP":
        exif = Image.Exif()
        exif[_DESCRIPTION] = text
        return {"quality": 95, "method": 4, "exif": exif}
    return {}


def _write_stdout(write: Write) -> None:
    try:
        _copy(write, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader went away: the command line ends quietly
    except OSError as error:
        raise GencliError(f"cannot write to standard output: {error.strerror or error}") from error


def _copy(write: Write, file: IO[bytes]) -> None:
    """Fill a file that cannot be gone back in."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as whole:
        write(whole)
        whole.seek(0)
        shutil.copyfileobj(whole, file)


def _overwrite(path: Path, write: Write) -> None:
    if path.exists() and not path.is_file():
        _write_through(path, write)  # a device or a pipe must not be replaced by a file
    else:
        atomic_write(Path(os.path.realpath(path)), write)  # a link stays a link


def _write_through(path: Path, write: Write) -> None:
    try:
        with path.open("wb") as file:
            _copy(write, file)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise GencliError(f"cannot write {path}: {error.strerror or error}") from error


def _numbered(base: Path) -> Iterator[Path]:
    """base.png, base-2.png, base-3.png …"""
    yield base
    number = 2
    while True:
        yield base.with_name(f"{base.stem}-{number}{base.suffix}")
        number += 1


def plan(
    names: Sequence[str],
    output: str | None,
    *,
    suffix: str,
    format: str | None = None,
    kind: Kind = PICTURES,
    fresh: bool = True,
) -> list[Target]:
    """Decide where each result goes, and check that it can, before any work is done.

    `names` are the stems of the inputs, one a result. `output` is what the user gave with `-o`:
    nothing → `NAME-SUFFIX.png` here, never overwriting (`-2`, `-3` …); "-" → standard output; a folder, or
    a path that ends in "/" → such names inside it; a pattern of `{i}` (1, 2 …), `{i:04}` and `{name}`; or a
    path for the only result, overwritten. `format` is an extension ("png", "jpg", …) that decides where the
    path does not. Other kinds of results have other formats. Where names need not be `fresh`, those that are taken
    are not numbered: what lies there is perhaps the result of an earlier call.

    Raises UsageError for a wrong pattern or format, GencliError for a place that cannot be written.
    """
    extension = next(iter(kind.formats)) if format is None else "." + format.lower().removeprefix(".")
    if extension not in kind.formats:
        raise UsageError(f"there is no {kind.noun} format {format!r}", f"choose one of {kind.known}")
    if output == "":
        raise UsageError("the output path is empty", "name a file or a folder, or - for standard output")
    if output == "-":
        if len(names) != 1:
            raise UsageError(f"standard output takes one {kind.noun}, not {len(names)}", "name a folder: -o folder/")
        if sys.stdout is None or sys.stdout.isatty():
            raise UsageError(
                f"{kind.noun} bytes do not belong on a terminal",
                f"redirect them (> file{extension}) or name a file",
            )
        return [Target(None, kind.formats[extension])]
    wanted = kind.formats[extension] if format else None
    if output is None or is_folder(output):
        targets = _default(names, Path(output or ""), suffix, extension, kind, fresh)
    elif is_pattern(output):
        targets = [_explicit(path, wanted, kind) for path in _filled_in(names, output)]
    elif len(names) > 1:
        raise UsageError(
            f"{output} is one file, but there are {len(names)} results",
            f"name a folder ({output}/) or a pattern (result-{{i}}.png)",
        )
    else:
        targets = [_explicit(Path(output), wanted, kind) for _ in names]
    for target in targets:
        assert target.path is not None
        _check(target.path)
    return targets


def _default(names: Sequence[str], folder: Path, suffix: str, extension: str, kind: Kind, fresh: bool) -> list[Target]:
    targets: list[Target] = []
    taken: dict[Path, Iterator[Path]] = {}
    used: set[Path] = set()
    for name in names:
        base = folder / f"{_plain(name)}{'-' if suffix else ''}{suffix}{extension}"
        candidates = taken.setdefault(base, _numbered(base))
        path = next(path for path in candidates if path not in used and not (fresh and exists(path)))
        used.add(path)
        targets.append(Target(path, kind.formats[extension], base))
    return targets


def is_pattern(output: str) -> bool:
    """Whether an output is a pattern of names."""
    return ("{" in output or "}" in output) and not is_folder(output)


def fill_in(pattern: str, index: int, name: str) -> Path:
    """The path of one result. Raises UsageError for a wrong pattern."""
    try:
        for _, field, spec, conversion in string.Formatter().parse(pattern):
            numbered = field == "i" and re.fullmatch(r"0?\d{0,2}d?", spec or "")
            if field is not None and (conversion or not (numbered or (field == "name" and not spec))):
                raise ValueError(f"{{{field}{':' if spec else ''}{spec}}} is not a field")
        return Path(pattern.format(i=index, name=_plain(name)))
    except ValueError as error:
        raise UsageError(
            f"the output pattern {pattern} is wrong: {error}",
            "use {i}, {i:04} and {name}; {{ and }} stand for braces",
        ) from error


def _filled_in(names: Sequence[str], pattern: str) -> list[Path]:
    paths = [fill_in(pattern, index, name) for index, name in enumerate(names, 1)]
    if len(set(paths)) < len(paths):
        raise UsageError(f"{pattern} gives several results the same name", "put {i} into it")
    return paths


def _explicit(path: Path, wanted: str | None, kind: Kind) -> Target:
    own = kind.formats.get(path.suffix.lower())
    format = wanted or own
    if format is None:
        raise UsageError(
            f"{path} does not end in the extension of any {kind.noun} format",
            f"end it in one of {kind.known}; or in / for a folder",
        )
    if own and own != format:
        raise UsageError(f"{path} is not the name of a {format} file", "leave out the extension or the format")
    return Target(path, format)


def _plain(name: str) -> str:
    """A name as one part of a path: it must not lead into another folder."""
    return name.replace("/", "_").replace(os.sep, "_").replace("\0", "_") or "picture"


def exists(path: Path) -> bool:
    """Whether the name is taken, be it by a dangling link. An impossible name is not: `_check` refuses it."""
    try:
        path.lstat()
    except (OSError, ValueError):
        return False
    return True


def is_folder(output: str) -> bool:
    """Whether results go into a folder of that name."""
    try:
        return output.endswith(("/", os.sep)) or Path(output).is_dir()
    except (OSError, ValueError):
        return False


def _check(path: Path) -> None:
    """Raise GencliError unless the path can be written: its folder is there or can be made, and has room."""
    elsewhere = "choose another place with -o"
    try:
        path.lstat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:  # too long a name, a file among the folders, a NUL character
        raise GencliError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}", elsewhere) from error
    if path.is_dir():
        raise GencliError(f"cannot write {path}: it is a folder", elsewhere)
    if path.exists() and not path.is_file():  # a device or a pipe
        if not os.access(path, os.W_OK):
            raise GencliError(f"cannot write {path}: permission denied", elsewhere)
        return
    folder = Path(os.path.realpath(path)).parent
    while not exists(folder):
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise GencliError(f"cannot write {path}: {folder} is not a folder you may write to", elsewhere)
    if shutil.disk_usage(folder).free < _LEAST_FREE_BYTES:
        raise GencliError(f"cannot write {path}: the disk is full", "make some room, or choose another disk")
