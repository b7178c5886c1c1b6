"""Sources of text → documents, each a stream of clean pieces. Files are not trusted to be text."""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import importlib
import io
import logging
import lzma
import os
import re
import sys
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, cast

from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.core.sources import Content, Folder, Member, Single, Source, blocks, open_container
from gencli.textgen.cleaning import Cleaning, decoded

log = logging.getLogger("gencli")
Report = Callable[[float, float | None], None]

LOOK = 1 << 16  # bytes of a file by which it is judged
BINARY_SUFFIXES = frozenset(
    {
        *(".7z", ".jar", ".rar", ".tar", ".tbz2", ".tgz", ".txz", ".whl", ".zip", ".zst", ".lz4", ".cab"),
        *(".avif", ".bmp", ".gif", ".heic", ".ico", ".icns", ".jp2", ".jpe", ".jpeg", ".jpg", ".png", ".psd"),
        *(".qoi", ".svgz", ".tga", ".tif", ".tiff", ".webp"),
        *(".aac", ".avi", ".flac", ".m4a", ".mid", ".midi", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg"),
        *(".ogg", ".opus", ".wav", ".webm", ".wmv"),
        *(".a", ".bin", ".class", ".dll", ".dylib", ".exe", ".lib", ".o", ".obj", ".pyc", ".pyd", ".rlib", ".so"),
        *(".wasm", ".dmg", ".iso"),
        *(".doc", ".docx", ".epub", ".odp", ".ods", ".odt", ".pdf", ".ppt", ".pptx", ".xls", ".xlsx"),
        *(".eot", ".otf", ".ttc", ".ttf", ".woff", ".woff2"),
        *(".arrow", ".db", ".feather", ".h5", ".npy", ".npz", ".onnx", ".parquet", ".pickle", ".pkl", ".pt"),
        *(".pth", ".safetensors", ".sqlite", ".sqlite3"),
    }
)
_COMPRESSED: Sequence[tuple[re.Pattern[bytes], Callable[..., object]]] = (
    (re.compile(rb"\x1f\x8b\x08"), gzip.open),
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.open),
    (re.compile(rb"\xfd7zXZ\x00"), lzma.open),
)
_COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz")
_SIGNATURES = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a WebP, WAV or AVI file",
    b"PK\x03\x04": "a zip archive or office document",
    b"\xd0\xcf\x11\xe0": "an old office document",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"\xca\xfe\xba\xbe": "a program",
    b"SQLite": "a database",
    b"\x28\xb5\x2f\xfd": "zstd-compressed",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"fLaC": "a FLAC file",
}
_WIDE_ENCODING = re.compile(r"utf[-_ ]?(16|32)|u(16|32)", re.IGNORECASE)


class NotTextError(GencliError):
    """A file that is something else; folders and archives leave it out."""


class PythonLibrary(Folder):
    """The source of Python's own library, without its tests and what is generated."""

    _others = re.compile(
        r"(site-packages|dist-packages|test|tests|idle_test|lib2to3|pydoc_data|config-.*|_sysconfigdata.*\.py)"
    )

    def __init__(self) -> None:
        super().__init__(Path(sysconfig.get_path("stdlib")))

    def leaves_out(self, name: str) -> bool:
        return super().leaves_out(name) or self._others.fullmatch(name) is not None

    @cached_property
    def members(self) -> list[Member]:
        if not self.path.is_dir():
            return []
        files = (Member(name, size, place) for place, (name, size, _) in enumerate(self._files))
        return [member for member in files if member.name.endswith(".py")]

    def stamp(self) -> object:
        return ["@python", str(self.path), [(m.name, m.size) for m in self.members]]


class PythonReference(Source):
    """The text of Python's language reference that `help()` shows: a document a topic."""

    def __init__(self) -> None:
        super().__init__(Path("@pydoc"))

    @cached_property
    def _topics(self) -> dict[str, bytes]:
        try:
            topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
        except (ImportError, AttributeError):
            return {}
        return {name: topics[name].encode() for name in sorted(topics)}

    @cached_property
    def members(self) -> list[Member]:
        return [Member(name, len(text), place) for place, (name, text) in enumerate(self._topics.items())]

    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        for member in members:
            yield member, self._topics[member.name]

    def stamp(self) -> object:
        return ["@pydoc", hashlib.sha256(b"\0".join(self._topics.values())).hexdigest()]


class StandardInput(Single):
    """Standard input, read to its end into a file of the folder `root`; `close` removes it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=root, prefix="standard-input-", suffix=".part")
        super().__init__(Path(name))
        digest = hashlib.sha256()
        try:
            with os.fdopen(descriptor, "wb") as file:
                for block in blocks(sys.stdin.buffer, "standard input"):
                    digest.update(block)
                    file.write(block)
        except BaseException:
            self.close()
            raise
        self._fingerprint = digest.hexdigest()

    def stamp(self) -> object:
        return ["-", self._fingerprint]

    def close(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)


BUILT_IN: dict[str, Callable[[], Source]] = {"@python": PythonLibrary, "@pydoc": PythonReference}


def open_text(name: str) -> Source:
    """What a person calls `name`: a built-in corpus, or the folder, archive or any other file at that path.

    Raises UsageError for what is not there, and MissingError for a corpus this Python lacks.
    """
    if name in BUILT_IN:
        source = BUILT_IN[name]()
        if not source.members:
            raise MissingError(
                f"this Python has no sources for {name}: nothing in {source.path}",
                "install Python with its library's source files, or give a text of your own",
            )
        return source
    if name.startswith("@"):
        raise UsageError(f"there is no built-in text {name}", f"built in: {', '.join(BUILT_IN)}; or give a file")
    path = Path(name).expanduser()
    if not path.exists():
        raise UsageError(f"there is no {name}", f"give a text file, a folder, an archive, - or {' or '.join(BUILT_IN)}")
    container = open_container(path) if path.is_dir() or not _zero(path) else None
    return Single(path) if container is None else container


def short_name(first: str) -> str:
    """What people recognise a cache entry by: a name without folders and suffixes."""
    name = "standard-input" if first == "-" else Path(first).expanduser().absolute().name.split(".")[0].strip("@")
    return re.sub(r"[^\w-]+", "-", name)[:40] or "text"


def documents(sources: Sequence[Source], cleaning: Cleaning, report: Report | None) -> Iterator[Iterator[str]]:
    """The documents of all sources, each a stream of clean pieces; each must be read to its end, in turn.

    Raises GencliError for what cannot be read, and when no text is left.
    """
    total = sum(member.size for source in sources for member in source.members)
    done, found = 0, 0
    for source in sources:
        alone = isinstance(source, Single)
        skipped: list[str] = []
        wanted = [member for member in source.members if alone or _may_be_text(member.name)]
        done += sum(member.size for member in source.members) - sum(member.size for member in wanted)
        for member, file in source.open(wanted):
            name = _name(source, member)
            if isinstance(file, GencliError):
                raise GencliError(f"{name}: {file.message}", file.hint)
            before = done

            def tell(file: IO[bytes] = file, before: int = before) -> None:
                if report:
                    report(min(before + file.tell(), total), total)

            try:
                first, rest = _judged(file, name, cleaning.encoding)
            except NotTextError as error:
                if alone:
                    raise
                skipped.append(error.message)
            else:
                if first:
                    found += 1
                    yield cleaning.stream(decoded(_told(chain([first], rest), tell), cleaning.encoding, name))
            done = before + member.size
        if skipped:
            log.warning("left out %d files that are no text: %s", len(skipped), _few(skipped))
    if report:
        report(total, total)
    if not found:
        raise _nothing(sources)


def _told(stream: Iterator[bytes], tell: Callable[[], None]) -> Iterator[bytes]:
    for block in stream:
        yield block
        tell()


def _judged(file: IO[bytes], name: str, encoding: str) -> tuple[bytes, Iterator[bytes]]:
    """The first block of a stream (empty if there is none) and the others, uncompressed. NotTextError for what
    is no text."""
    stream = blocks(file, name)
    first = next(stream, b"")
    for signature, open_compressed in _COMPRESSED:
        if signature.match(first):
            stream = blocks(cast(IO[bytes], open_compressed(_Again(first, file))), name)
            first = next(stream, b"")
            break
    look = first[:LOOK]
    kind = next((kind for signature, kind in _SIGNATURES.items() if look.startswith(signature)), None)
    wide = bool(_WIDE_ENCODING.match(encoding)) or look.startswith((b"\xff\xfe", b"\xfe\xff"))
    nuls = look.count(0)
    if not wide and nuls * 100 > len(look):
        what = kind or f"binary: {nuls:,} of its first {len(look):,} bytes are 0"
    elif kind is not None and not _decodes(look, encoding):
        what = kind
    else:
        return first, stream
    raise NotTextError(f"{name} is no text: it is {what}", "give it as plain text; other programs can convert it")


class _Again(io.RawIOBase):
    """A stream whose beginning was already read."""

    def __init__(self, beginning: bytes, file: IO[bytes]) -> None:
        self.beginning, self.file = io.BytesIO(beginning), file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self.beginning.read(size) or self.file.read(size)


def _decodes(block: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)("strict").decode(block)
    except UnicodeError:
        return False
    return True


def _may_be_text(name: str) -> bool:
    lower = name.rpartition("/")[2].lower()
    for suffix in _COMPRESSED_SUFFIXES:
        if lower.endswith(suffix):
            lower = lower.removesuffix(suffix)
            break
    return f".{lower.rpartition('.')[2]}" not in BINARY_SUFFIXES if "." in lower else True


def _where(source: Source) -> str:
    return "standard input" if isinstance(source, StandardInput) else str(source.path)


def _name(source: Source, member: Member) -> str:
    if isinstance(source, Single):
        return _where(source)
    return str(source.path / member.name) if isinstance(source, Folder) else f"{source.path}: {member.name}"


def _few(names: Sequence[str]) -> str:
    return "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")


def _nothing(sources: Sequence[Source]) -> GencliError:
    where = ", ".join(map(_where, sources))
    if all(isinstance(source, Single) for source in sources):
        return GencliError(f"{where} is empty; text was expected", "give a file with some text in it")
    kinds = Counter(
        Path(member.name).suffix.lower() or "without suffix" for source in sources for member in source.members
    )
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return GencliError(
        f"no text in {where}: found " + (f"{kinds.total()} files: {found}" if kinds else "no files at all"),
        "text files that are not empty are expected, in folders of any depth, or a zip or tar of them",
    )


def _zero(path: Path) -> bool:
    """Whether a file begins with a block of zeros, which Python's tarfile takes for an empty archive."""
    try:
        with path.open("rb") as file:
            return not any(file.read(512))
    except OSError as error:
        raise GencliError(f"cannot read {path}: {error.strerror or error}", "check its permissions") from error
