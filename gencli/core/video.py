"""Frames as MP4: H.264, encoded by PyAV or by an ffmpeg, whichever is there."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from gencli.core import outputs
from gencli.core.errors import GencliError, MissingError

SOUNDS = {"aac", "ac3", "alac", "eac3", "flac", "mp3", "mp3float", "opus", "libopus"}  # that an MP4 holds
CRF = 17  # constant rate factor of x264: 18 is said to look like the original

_BT709, _LIMITED = 1, 1  # ITU-T H.273's numbers for the colours of high definition, and FFmpeg's for 16 to 235

Bytes: TypeAlias = npt.NDArray[np.uint8]


def write(
    file: IO[bytes],
    frames: Iterable[Image.Image],
    size: tuple[int, int],
    fps: float,
    comment: str,
    sound: Path | None = None,
) -> None:
    """Fill a file with an MP4 of frames of `size` (width, height), `fps` of them a second, and the sound of another
    video.

    Raises MissingError where nothing can encode it, GencliError when it cannot be encoded.
    """
    width, height = (side + side % 2 for side in size)
    rate = 1 / Fraction(1 / fps).limit_denominator(90_000)
    with tempfile.TemporaryDirectory(prefix="gencli-") as folder:  # encoders want a path, and go back in the file
        path = Path(folder) / "film.mp4"
        with find_encoder()(_Video(path, width, height, rate, comment.replace("\0", " "), sound)) as push:
            for image in frames:
                push(to_yuv(image))
        with path.open("rb") as source:
            shutil.copyfileobj(source, file)


def to_yuv(image: Image.Image) -> Bytes:
    """An RGB or RGBA picture (H, W) as BT.709 Y'CbCr 4:2:0 of limited range: planes one below the other, (H·3/2, W).

    A side of an odd number of pixels gets one more, by repeating the edge. Colour is sampled at the left of
    each pair of pixels and between two rows, where H.264 expects it.
    """
    opaque = np.asarray(outputs.on_white(image), np.float32)
    rgb = np.pad(opaque, ((0, opaque.shape[0] % 2), (0, opaque.shape[1] % 2), (0, 0)), "edge")
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    planes = [16 + luma * (219 / 255)]
    for difference in ((blue - luma) / 1.8556, (red - luma) / 1.5748):
        rows = (difference[::2] + difference[1::2]) / 2
        left = np.pad(rows, ((0, 0), (1, 0)), "edge")
        planes.append(128 + (left[:, :-1:2] + 2 * rows[:, ::2] + rows[:, 1::2]) / 4 * (224 / 255))
    flat = np.concatenate([plane.ravel() for plane in planes])
    return flat.round().astype(np.uint8).reshape(-1, rgb.shape[1])


@dataclass(frozen=True)
class _Video:
    """An H.264 video that is made of pictures from `to_yuv`."""

    path: Path
    width: int
    height: int
    rate: Fraction
    comment: str
    sound: Path | None = None
    """A video that has the sound."""


Push: TypeAlias = Callable[[Bytes], object]
Encoder: TypeAlias = Callable[[_Video], AbstractContextManager[Push]]


def find_encoder() -> Encoder:
    """PyAV, or else an ffmpeg. Raises MissingError where neither is there."""
    try:
        import av

        av.Codec("libx264", "w")
        return _pyav
    except (ImportError, ValueError):  # not there, or built without x264
        pass
    program = shutil.which("ffmpeg")
    if program and b"libx264" in _answer(program, "-encoders"):
        return partial(_ffmpeg, program)
    raise MissingError(
        "an MP4 needs PyAV, or an ffmpeg that has libx264, and neither is here",
        'pip install "gencli[video]"; or name a .gif or .webp, which need nothing',
    )


def _answer(program: str, question: str) -> bytes:
    try:
        return subprocess.run([program, "-hide_banner", question], capture_output=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return b""


@contextmanager
def _pyav(video: _Video) -> Iterator[Push]:
    import av

    try:
        with (
            av.open(str(video.path), "w", format="mp4", options={"movflags": "+faststart"}) as container,
            av.open(str(video.sound)) if video.sound else nullcontext() as heard,
        ):
            container.metadata["comment"] = video.comment
            stream: Any = container.add_stream("libx264", rate=video.rate, options={"crf": str(CRF)})
            stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
            context = stream.codec_context
            context.color_primaries = context.color_trc = context.colorspace = _BT709
            context.color_range = _LIMITED

            packets = _sound(heard, container) if heard else iter(())
            numbers, coming = itertools.count(), next(packets, None)

            def push(yuv: Bytes) -> None:
                nonlocal coming
                frame = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
                frame.colorspace, frame.color_range = _BT709, _LIMITED
                frame.pts, frame.time_base = next(numbers), 1 / video.rate
                container.mux(stream.encode(frame))
                while coming is not None and coming.pts * coming.time_base <= frame.pts / video.rate:
                    container.mux(coming)
                    coming = next(packets, None)

            yield push
            container.mux(stream.encode(None))
            for packet in [coming, *packets] if coming is not None else []:
                container.mux(packet)
    except av.FFmpegError as error:
        raise _cannot(video, str(error)) from error


def _sound(source: Any, container: Any) -> Iterator[Any]:
    """The packets of a video's sound for an MP4: as they are, or encoded anew where an MP4 cannot hold them."""
    stream = source.streams.audio[0]
    if stream.codec_context.name in SOUNDS:
        new = container.add_stream_from_template(stream)
        coded = (packet for packet in source.demux(stream) if packet.pts is not None)
    else:
        new = container.add_stream("aac", rate=stream.rate)
        coded = (packet for frame in itertools.chain(source.decode(stream), [None]) for packet in new.encode(frame))

    def packets() -> Iterator[Any]:
        for packet in coded:
            packet.stream = new
            yield packet

    return packets()


@contextmanager
def _ffmpeg(program: str, video: _Video) -> Iterator[Push]:
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{video.width}x{video.height}"]
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    command = [program, "-hide_banner", "-loglevel", "error", *raw, "-framerate", str(video.rate), "-i", "pipe:0"]
    if video.sound:
        command += ["-i", str(video.sound), "-map", "0:v", "-map", "1:a", "-c:a", "aac"]
    command += ["-vf", tags, "-c:v", "libx264", "-crf", str(CRF), "-pix_fmt", "yuv420p"]
    command += ["-color_range", "tv", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"]
    command += ["-metadata", f"comment={video.comment}", "-movflags", "+faststart", "-y", str(video.path)]
    with tempfile.TemporaryFile() as complaints:

        def failed() -> GencliError:
            process.wait()
            complaints.seek(0)
            return _cannot(video, complaints.readline().decode("utf-8", "replace").strip() or f"{program} failed")

        # a group of its own: Ctrl-C is for gencli, which ends ffmpeg when it wants to
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=complaints, start_new_session=True
        )
        assert process.stdin is not None
        pipe = process.stdin

        def push(yuv: Bytes) -> None:
            try:
                pipe.write(yuv.tobytes())
                pipe.flush()
            except OSError as error:  # it went away, and says why on its standard error
                raise failed() from error

        try:
            yield push
            pipe.close()
            if process.wait():
                raise failed()
        finally:
            process.kill()
            process.wait()
            with suppress(OSError):
                pipe.close()


def _cannot(video: _Video, why: str) -> GencliError:
    return GencliError(f"a video of {video.width} × {video.height} pixels cannot be encoded: {why}")
