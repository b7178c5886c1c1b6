"""Where text comes from: files, folders, archives, standard input and built-in corpora → one UTF-8 file.

The file lies in a folder below `GENCLI_HOME/cache/text`, with `documents.npy` and `text.json`. The folder's
name is made of the sources' names, sizes and times and of the cleaning. It is built beside its place under a
lock and renamed into it whole. Nothing here ever holds a whole text in memory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gencli.core import cache, files
from gencli.core.errors import GencliError, UsageError
from gencli.core.sources import Source
from gencli.textgen import reading
from gencli.textgen.cleaning import Cleaning
from gencli.textgen.reading import Report

log = logging.getLogger("gencli")
VERSION = 1  # of the reading and cleaning: raise it when the same file gives another text
BLOCK = 1 << 20  # bytes read at once
NEIGHBOURHOOD = 1 << 16  # bytes searched at once for a good place to cut


@dataclass(frozen=True, eq=False)
class Text:
    """A text as a model learns it: one UTF-8 file, "\\n" at the line ends.

    `documents` (D,) are the bytes at which its documents begin, the first 0. `fingerprint` is the SHA-256 of
    all this; `names` is what the text was made from.
    """

    path: Path
    size: int
    documents: npt.NDArray[np.int64]
    fingerprint: str
    names: tuple[str, ...]

    @property
    def whole(self) -> Span:
        """All of it."""
        return Span(self, 0, self.size)


@dataclass(frozen=True)
class Span:
    """The bytes `start` … `stop` of a text; both are borders of characters."""

    text: Text
    start: int
    stop: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start

    @property
    def documents(self) -> npt.NDArray[np.int64]:
        """The bytes of the text at which this part's documents begin; the first is `start`."""
        starts = self.text.documents
        within = starts[np.searchsorted(starts, self.start, "right") : np.searchsorted(starts, self.stop)]
        return np.concatenate([[self.start], within]).astype(np.int64) if self.size else within[:0]

    def ranges(self, size: int) -> Iterator[tuple[int, int]]:
        """Cut into parts of at most about `size` bytes: after a line end, else a blank, else a character."""
        with _opened(self.text) as file:
            start = self.start
            while self.stop - start > size:
                cut = _good_cut(file, start + (size + 1) // 2, start + size)
                yield start, cut
                start = cut
            if start < self.stop:
                yield start, self.stop

    def chunks(self, size: int = BLOCK) -> Iterator[str]:
        """The text in pieces of at most about `size` bytes, cut as in `ranges`."""
        with _opened(self.text) as file:
            for start, stop in self.ranges(size):
                file.seek(start)
                yield file.read(stop - start).decode()


def split(text: Text, held_out: float) -> tuple[Span, Span]:
    """Cut a text into the part to learn from and, at its end, the share `held_out` (0 … 1) to measure on.

    The cut is at the byte `int((1 - held_out) * size)`, or else at the next character. Where a document
    begins near enough that the shorter part does not lose or gain more than half of itself, it is there.

    Raises GencliError when one part would be empty.
    """
    aim = int((1 - held_out) * text.size)
    cut = aim
    if len(inner := text.documents[1:]):
        nearest = int(inner[np.abs(inner - aim).argmin()])
        if abs(nearest - aim) <= min(aim, text.size - aim) / 2:
            cut = nearest
    with _opened(text) as file:
        cut = _character(file, cut)
    if 0 < cut < text.size:
        return Span(text, 0, cut), Span(text, cut, text.size)
    raise GencliError(
        f"{', '.join(text.names)} has only {text.size:,} bytes of text, too few to hold {held_out:g} of them out",
        "give a longer text, or measure on another one",
    )


def gather(data: Sequence[str | Path], cleaning: Cleaning | None = None, report: Report | None = None) -> Text:
    """Make one text of everything in `data`: text files, folders, zip and tar archives, compressed files, "-"
    (standard input), "@python" (the source of Python's own library), "@pydoc" (Python's reference).

    Files of folders and archives, and the members of `data`, become documents: each ends with a line end and
    a blank line stands between. A single file stays exactly what it is, but for the cleaning. What is no text
    is left out of folders and archives, with a warning. `report(done, total)` counts bytes read; a second
    call with unchanged sources reads nothing.

    Raises UsageError for a name that means nothing; MissingError for a corpus this Python lacks; GencliError
    that names the file for what cannot be read, is not text, or is not of the encoding.
    """
    cleaning, names = cleaning or Cleaning(), [str(one) for one in data]
    if not names:
        raise UsageError("there is no text to read", "name a file, a folder or an archive with --data")
    root = cache.folder("text")
    with ExitStack() as stack:
        sources: list[Source] = []
        for name in names:
            if name == "-":
                with cache.writing(root):
                    given = reading.StandardInput(root)
                stack.callback(given.close)
                sources.append(given)
            else:
                sources.append(reading.open_text(name))
        key = [
            VERSION,
            [getattr(cleaning, item.name) for item in fields(Cleaning)],
            [source.stamp() for source in sources],
        ]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        entry = root / f"{reading.short_name(names[0])}-{digest[:16]}"
        return cache.find(entry, _open, lambda entry: _build(entry, sources, names, cleaning, report))


def _build(
    entry: Path, sources: Sequence[Source], names: Sequence[str], cleaning: Cleaning, report: Report | None
) -> None:
    part = entry.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed: the lock says nobody else is at it
    part.mkdir()
    try:
        needed = sum(member.size for source in sources for member in source.members)
        if needed > (free := shutil.disk_usage(part).free):
            raise GencliError(
                f"{', '.join(names)} needs {needed:,} bytes in {entry.parent}, which has {free:,} free",
                "free some space, or set GENCLI_HOME to a folder on another disk",
            )
        with (part / "text.txt").open("wb") as file:
            starts, digest = _write(file, sources, names, cleaning, report)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        documents = np.array(starts, np.int64)
        digest.update(documents.tobytes())
        np.save(part / "documents.npy", documents)
        files.write_json(
            part / "text.json", {"size": size, "fingerprint": digest.hexdigest(), "names": [n[:200] for n in names]}
        )
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        part.rename(entry)
        files.sync_folder(entry.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(
    file: BinaryIO, sources: Sequence[Source], names: Sequence[str], cleaning: Cleaning, report: Report | None
) -> tuple[list[int], hashlib._Hash]:
    """Write the sources' documents into one file; where each begins, and the hash of everything."""
    digest, starts, size, last = hashlib.sha256(), list[int](), 0, b""

    def put(data: bytes) -> None:
        nonlocal size, last
        file.write(data)
        digest.update(data)
        size, last = size + len(data), data[-1:]

    for document in reading.documents(sources, cleaning, report):
        begun = False
        for piece in document:
            if not piece:
                continue
            if not begun:
                if starts:
                    put(b"\n" if last == b"\n" else b"\n\n")
                starts.append(size)
                begun = True
            put(piece.encode())
    if not starts:
        raise GencliError(f"nothing is left of {', '.join(names)} after cleaning", "leave out --strip-html or the like")
    if len(starts) > 1 and last != b"\n":
        put(b"\n")
    return starts, digest


def _open(entry: Path) -> Text | None:
    """The text of a cache entry; None when there is none or it is damaged."""
    try:
        index = json.loads((entry / "text.json").read_text(encoding="utf-8"))
        documents = np.load(entry / "documents.npy", allow_pickle=False)
        path = entry / "text.txt"
        if path.stat().st_size != index["size"] or documents.dtype != np.int64:
            return None
        return Text(path, index["size"], documents, index["fingerprint"], tuple(index["names"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _opened(text: Text) -> Iterator[BinaryIO]:
    try:
        file = text.path.open("rb")
    except OSError as error:
        raise GencliError(
            f"cannot read {text.path}: {error.strerror or error}", "the cache was removed; start again"
        ) from error
    with file:
        yield file


def _good_cut(file: BinaryIO, low: int, high: int) -> int:
    """The last place in low … high to cut a text at: after a line end, else before a blank, else a character."""
    for mark, after in ((b"\n", 1), (b" ", 0)):
        stop = high
        while stop > low:
            start = max(low - 1, stop - NEIGHBOURHOOD)
            file.seek(start)
            found = file.read(stop - start).rfind(mark)
            if found >= 0 and start + found + after >= low:
                return start + found + after
            stop = start if start >= low else low
    return _character(file, high)


def _character(file: BinaryIO, place: int) -> int:
    """The first border of a character at or after `place`."""
    file.seek(place)
    following = file.read(3)
    return place + next((n for n, byte in enumerate(following) if byte & 0xC0 != 0x80), len(following))
