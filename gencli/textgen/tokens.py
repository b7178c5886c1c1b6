"""Text → tokens on the disk, beside the text they were made of; read back where and when they are needed.

Large texts are counted and encoded in several processes. What comes out does not depend on their number.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gencli.core import files, workers
from gencli.core.errors import GencliError
from gencli.core.workers import Message
from gencli.textgen import tokenizers
from gencli.textgen.corpus import Span
from gencli.textgen.reading import Report
from gencli.textgen.tokenizers import Ids, Tokenizer

VERSION = 1  # of the cutting and of the tokenizers: raise it when the same text gives other tokens
RANGE = 4 << 20  # bytes a process is asked for at once
FEW = 8 << 20  # so few bytes are done before a second process has started
MOST_KINDS = 2_000_000  # different tokens counted at once; then the rare ones are forgotten
SUB_WORD_SAMPLE = 32 << 20  # bytes that sub-words are learnt from, spread over the text


@dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens of a text, in a file; each 1, 2 or 4 bytes.

    `documents` (D,) are the tokens at which its documents begin, the first 0. `characters` and `bytes` are
    those of the text, `unknown` is how many of its tokens are the unknown one.
    """

    path: Path
    count: int
    dtype: np.dtype[Any]
    documents: npt.NDArray[np.int64]
    characters: int
    bytes: int
    unknown: int

    def __len__(self) -> int:
        return self.count

    def read(self, start: int, count: int) -> Ids:
        """The tokens `start` … `start + count`, those that exist."""
        count = max(0, min(count, self.count - start))
        return self.take(np.array([start]), count)[0]

    def take(self, starts: npt.NDArray[np.int64], length: int) -> Ids:
        """Windows of `length` tokens that begin at `starts` (B,): (B, length). All must lie inside."""
        rows = np.empty((len(starts), length), self.dtype)
        with self._opened() as file:  # five times faster than a map, whose every page is a fault
            for row, start in zip(rows, starts.tolist(), strict=True):
                file.seek(start * self.dtype.itemsize)
                if file.readinto(row) != row.nbytes:
                    raise IndexError(f"the tokens {start} … {start + length} of {self.count}")
        return rows

    def at(self, places: npt.NDArray[np.int64]) -> Ids:
        """The tokens at `places`, of any shape."""
        with self._opened() as file:  # mapped anew each time: pages that stay mapped count as our memory
            return np.memmap(file, self.dtype, "r", shape=(self.count,)).view(np.ndarray)[places]

    def _opened(self) -> io.FileIO:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise GencliError(
                f"cannot read {self.path}: {error.strerror or error}", "the cache was removed; start again"
            ) from error


def vocabulary(span: Span, kind: str, size: int | None = None, report: Report | None = None) -> Tokenizer:
    """The tokenizer of a text: `size` is how many words, sub-words, symbols or characters it tells apart at
    most, the most frequent ones (None: all; sub-words need a size). Give it the part to learn from, never
    what is held out.

    `report(done, total)` counts bytes. Words so rare in a large text that two million others came first may
    be missed.
    """
    if kind == "byte":
        return tokenizers.Bytes()
    if kind == "bpe":
        return tokenizers.train_sub_words(_sample(span, report), size)
    counts: Counter[str] = Counter()
    setup = {"path": str(span.text.path), "kind": kind}
    with closing(_run(counter, setup, span)) as answers:
        for (_, stop, found), _ in answers:
            counts.update(found)
            _forget(counts)
            if report:
                report(stop - span.start, span.size)
    return tokenizers.from_counts(kind, counts, size)


def tokenize(span: Span, tokenizer: Tokenizer, report: Report | None = None) -> Tokens:
    """Encode a part of a text into a file beside it; a second call finds the file. `report` counts bytes."""
    key = json.dumps([VERSION, span.text.fingerprint, span.start, span.stop, tokenizer.fingerprint])
    entry = span.text.path.parent / f"{tokenizer.kind}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if (ready := _open(entry)) is not None:
        return ready
    figures = {"count": 0, "characters": 0, "bytes": span.size, "unknown": 0, "dtype": tokenizer.dtype.name}
    starts: list[npt.NDArray[np.int64]] = []

    def write(file: BinaryIO) -> None:
        setup = {"path": str(span.text.path), "tokenizer": tokenizer.to_dict()}
        with closing(_run(encoder, setup, span)) as answers:
            for (_, stop, found), tokens in answers:
                starts.append(np.array(found["documents"], np.int64) + figures["count"])
                figures["count"] += len(tokens) // tokenizer.dtype.itemsize
                figures["characters"] += found["characters"]
                figures["unknown"] += found["unknown"]
                file.write(tokens)
                if report:
                    report(stop - span.start, span.size)

    files.atomic_write(entry.with_suffix(".tokens"), write)
    documents = np.concatenate([*starts, np.empty(0, np.int64)])
    files.atomic_write(entry.with_suffix(".npy"), lambda file: np.save(file, documents))
    files.write_json(entry.with_suffix(".json"), figures)  # last: its being there says that all is
    if (ready := _open(entry)) is None:
        raise GencliError(f"{entry} was just written and cannot be read", "is the disk failing?")
    return ready


def _open(entry: Path) -> Tokens | None:
    """The tokens of a cache entry; None when there are none or they are damaged."""
    try:
        figures = json.loads(entry.with_suffix(".json").read_text(encoding="utf-8"))
        documents = np.load(entry.with_suffix(".npy"), allow_pickle=False)
        path, dtype = entry.with_suffix(".tokens"), np.dtype(figures.pop("dtype"))
        if path.stat().st_size != figures["count"] * dtype.itemsize or documents.dtype != np.int64:
            return None
        return Tokens(path, dtype=dtype, documents=documents, **figures)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _run(
    make: Callable[[Any], workers.Handler], setup: dict[str, Any], span: Span
) -> Generator[tuple[list[Any], bytes], None, None]:
    """Every range of a text's part through a handler: ([start, stop, what it found], bytes)."""
    processes = 1 if span.size < FEW else min(workers.cores(), workers.MOST, -(-span.size // RANGE))
    documents = span.documents

    def requests() -> Iterator[Message]:
        for start, stop in span.ranges(RANGE):
            within = documents[np.searchsorted(documents, start) : np.searchsorted(documents, stop)]
            yield Message([start, stop, within.tolist()])

    yield from workers.run(make, setup, requests(), processes)


def counter(setup: dict[str, Any]) -> workers.Handler:
    """A handler that counts the tokens of a range; runs in a process of its own."""

    def handle(request: Message) -> Message:
        start, stop, _ = request.head
        found: Counter[str] = Counter()
        for _, piece in _pieces(Path(setup["path"]), start, stop, []):
            found += tokenizers.count(setup["kind"], piece)
        return Message([start, stop, found])

    return handle


def encoder(setup: dict[str, Any]) -> workers.Handler:
    """A handler that encodes a range, each document by itself; runs in a process of its own."""
    tokenizer = tokenizers.from_dict(setup["tokenizer"])

    def handle(request: Message) -> Message:
        start, stop, documents = request.head
        parts, starts, count, characters, unknown = [], list[int](), 0, 0, 0
        begins = set(documents)
        for place, piece in _pieces(Path(setup["path"]), start, stop, documents):
            tokens = tokenizer.encode(piece)
            if place in begins:
                starts.append(count)
            count += len(tokens)
            characters += len(piece)
            if tokenizer.unknown is not None:
                unknown += int(np.count_nonzero(tokens == tokenizer.unknown))
            parts.append(tokens.tobytes())
        found = {"documents": starts, "characters": characters, "unknown": unknown}
        return Message([start, stop, found], b"".join(parts))

    return handle


def _pieces(path: Path, start: int, stop: int, documents: list[int]) -> Iterator[tuple[int, str]]:
    """The text of a range, cut where documents begin, and where each piece does."""
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(stop - start)
    for first, last in pairwise([start, *(place for place in documents if place > start), stop]):
        yield first, data[first - start : last - start].decode()


def _sample(span: Span, report: Report | None) -> Iterator[str]:
    """The text to learn sub-words from: all of a small one, parts spread evenly over a large one."""
    step = max(1, -(-span.size // SUB_WORD_SAMPLE))
    with span.text.path.open("rb") as file:
        for number, (start, stop) in enumerate(span.ranges(1 << 20)):
            if number % step == 0:
                file.seek(start)
                yield file.read(stop - start).decode()
                if report:
                    report(stop - span.start, span.size)


def _forget(counts: Counter[str]) -> None:
    """Keep counts from filling the memory: forget the rarest, as often as it takes."""
    rare = 1
    while len(counts) > MOST_KINDS:
        for token in [token for token, count in counts.items() if count <= rare]:
            del counts[token]
        rare *= 2
