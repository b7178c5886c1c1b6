"""Films to work on: a video, an animated GIF, WebP or PNG, or a folder of frames, read one frame after another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gencli.core.decode import DEFAULT_MAX_PIXELS, open_picture, to_srgb
from gencli.core.errors import GencliError, MissingError
from gencli.core.sources import is_picture

VIDEOS = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
ANIMATED = {".gif", ".webp", ".png", ".apng"}
USUAL_FPS = 12.0  # of what does not say


@dataclass(frozen=True)
class Clip:
    """A film: its frames, RGB or RGBA, every time anew; how many there are, if that is known, and how many a second;
    and the video that has its sound."""

    frames: Callable[[], Iterator[Image.Image]]
    count: int | None
    fps: float
    sound: Path | None = None


def is_clip(path: Path) -> bool:
    """Whether there is a film at a path, or a still picture or nothing."""
    if path.is_dir():
        return True
    if is_video(path.name):
        return True
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except (OSError, ValueError, SyntaxError):
        return False  # whoever opens it says what is wrong


def is_video(name: str) -> bool:
    """Whether a file of this name should be a video."""
    return Path(name).suffix.lower() in VIDEOS


def open_clip(path: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> Clip:
    """The film at a path where `is_clip`.

    Raises GencliError where there are no frames or the file cannot be read, MissingError where nothing can decode it.
    """
    if path.is_dir():
        return _folder(path, max_pixels)
    return _video(path) if is_video(path.name) else _animation(path, max_pixels)


def _folder(path: Path, max_pixels: int) -> Clip:
    files = sorted((file for file in path.iterdir() if is_picture(file.name)), key=_counting)
    if not files:
        raise GencliError(f"there are no pictures in {path}")
    return Clip(lambda: (open_picture(file, max_pixels=max_pixels) for file in files), len(files), USUAL_FPS)


def _counting(file: Path) -> list[tuple[int, str]]:
    """What sorts frame-9 before frame-10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]+)", file.name)]


def _animation(path: Path, max_pixels: int) -> Clip:
    open_picture(path, max_pixels=max_pixels)  # a first frame that is sound and not too large
    with Image.open(path) as image:
        count = int(getattr(image, "n_frames", 1))
        total = sum(_at(image, number, path).info.get("duration", 0) for number in range(count))  # milliseconds

    def frames() -> Iterator[Image.Image]:
        with Image.open(path) as image:
            for number in range(count):
                yield to_srgb(_at(image, number, path).copy(), f"frame {number + 1} of {path}")

    return Clip(frames, count, 1000 * count / total if total else USUAL_FPS)


def _at(image: Image.Image, number: int, path: Path) -> Image.Image:
    """An animation at a frame, decoded: of WebP its duration is not known before."""
    try:
        image.seek(number)
        image.load()
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise GencliError(f"frame {number + 1} of {path} cannot be read: {error}") from error
    return image


def _video(path: Path) -> Clip:
    try:
        import av
    except ImportError as error:
        raise MissingError(
            f"{path.name}: a video is read with PyAV, which is not here",
            'pip install "gencli[video]"; or give a GIF, or a folder of frames',
        ) from error
    if not path.is_file():
        raise GencliError(f"there is no file {path}")

    def frames() -> Iterator[Image.Image]:
        try:
            with av.open(str(path)) as container:
                for frame in container.decode(video=0):
                    yield frame.to_image().convert("RGB")
        except (av.FFmpegError, IndexError) as error:
            raise GencliError(f"{path} cannot be read as a video: {error}") from error

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            sound = path if container.streams.audio else None
            return Clip(frames, stream.frames or None, float(stream.average_rate or USUAL_FPS), sound)
    except (av.FFmpegError, IndexError) as error:
        raise GencliError(f"{path} cannot be read as a video: {error or 'it has no pictures'}") from error
