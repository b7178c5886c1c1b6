"""Picture files decoded to squares of pixels by several processes, a chunk of pictures at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from gencli.core import workers
from gencli.core.decode import open_picture
from gencli.core.errors import GencliError
from gencli.core.workers import Message

Crop = Literal["center", "left", "right", "stretch"]
CHUNK_PICTURES, CHUNK_BYTES = 64, 8 << 20  # a chunk ends at whichever comes first


@dataclass(frozen=True)
class Form:
    """What every picture of a set is brought to: `size` x `size` pixels of 1 or 3 channels.

    `crop` is the part of the picture kept: the central square ("center"), the central square of its
    left or right half (paired pictures), or all of it, squeezed ("stretch").
    """

    size: int
    channels: int = 3
    crop: Crop = "center"

    @property
    def bytes(self) -> int:
        """Bytes of one picture."""
        return self.channels * self.size * self.size


class Task(NamedTuple):
    """One picture to decode: its row in the result, its name for messages, its file or bytes."""

    row: int
    name: str
    data: Path | bytes


class Outcome(NamedTuple):
    """One decoded picture: its planar uint8 pixels (C, H, W), or what was wrong."""

    row: int
    name: str
    pixels: bytes | None
    fault: str | None


def decode(data: Path | bytes, name: str, form: Form) -> bytes:
    """Decode one picture file to planar uint8 pixels (C, H, W) of the form. Raises GencliError."""
    halves = 2 if form.crop in {"left", "right"} else 1
    picture = open_picture(data, name=name, draft=(2 * halves * form.size, 2 * form.size))
    if halves == 2:  # cut first: antialiasing must not bring in the other half
        half = max(1, picture.width // 2)
        start = 0 if form.crop == "left" else picture.width - half
        picture = picture.crop((start, 0, start + half, picture.height))
    width, height = picture.size
    side = min(width, height)
    x, y = (width - side) / 2, (height - side) / 2
    box = None if form.crop == "stretch" else (x, y, x + side, y + side)
    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture).convert("RGB")
    if form.channels == 1:
        picture = picture.convert("L")
    if picture.size != (form.size, form.size):
        picture = picture.resize((form.size, form.size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    pixels = np.frombuffer(picture.tobytes(), np.uint8).reshape(-1, form.channels)
    planes: bytes = pixels.T.tobytes()
    return planes


def decode_many(tasks: Iterable[Task], form: Form, processes: int) -> Generator[Outcome, None, None]:
    """Decode pictures in `processes` processes (in this one if fewer than 2), in the order given.

    Takes from `tasks` only a few chunks ahead of what it has handed out, so memory stays bounded.
    """
    pending: deque[list[Task]] = deque()  # without their bytes, which are on their way

    def requests() -> Iterator[Message]:
        for chunk in _chunks(tasks):
            pending.append([task._replace(data=b"") for task in chunk])
            heads = [(t.name, len(t.data) if isinstance(t.data, bytes) else str(t.data)) for t in chunk]
            yield Message(heads, b"".join(task.data for task in chunk if isinstance(task.data, bytes)))

    with closing(workers.run(decoder, asdict(form), requests(), processes)) as answers:
        for faults, pixels in answers:
            start = 0
            for task, fault in zip(pending.popleft(), faults, strict=True):
                stop = start if fault else start + form.bytes
                yield Outcome(task.row, task.name, None if fault else pixels[start:stop], fault)
                start = stop


def decoder(setup: dict[str, Any]) -> Callable[[Message], Message]:
    """A handler that decodes chunks to the form `setup`; runs in a process of its own.

    A request's head is `[[name, length or path], …]`, its body the bytes of those pictures that have a
    length; the answer's head is `null` or what was wrong for each picture, its body the pixels of the good ones.
    """
    form = Form(**setup)

    def handle(request: Message) -> Message:
        faults, pixels, start = list[str | None](), [], 0
        for name, where in request.head:
            stop = start + where if isinstance(where, int) else start
            data = request.body[start:stop] if isinstance(where, int) else Path(where)
            start = stop
            try:
                pixels.append(decode(data, name, form))
                faults.append(None)
            except GencliError as error:
                faults.append(error.message)
        return Message(faults, b"".join(pixels))

    return handle


def _chunks(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    chunk: list[Task] = []
    size = 0
    for task in tasks:
        chunk.append(task)
        size += len(task.data) if isinstance(task.data, bytes) else 0
        if len(chunk) == CHUNK_PICTURES or size > CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
