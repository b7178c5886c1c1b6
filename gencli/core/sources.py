"""Where data lies: folders, zip and tar archives (read without unpacking), single files.

A source lists its members by name and hands out their bytes, whole (`read`) or as streams (`open`); it
knows nothing of sets, labels, pixels or letters. Names are `/`-separated paths inside the source, so that a
folder and the zip or tar of that folder list the same names.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from lzma import LZMAError
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from gencli.core.errors import GencliError

if TYPE_CHECKING:
    from typing_extensions import Self

PICTURE_SUFFIXES = frozenset(
    (
        *(
            ".jpg",
            ".jpeg",
            ".jpe",
            ".jfif",
            ".png",
            ".apng",
            ".webp",
            ".gif",
            ".tif",
            ".tiff",
            ".bmp",
            ".dib",
        ),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx", ".psd", ".qoi", ".ico", ".tga"),
        *(".pcx", ".sgi"),
    )
)
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MAX_MEMBER_BYTES = 512 << 20  # of one read whole: no honest picture is larger; an archive may claim anything

_BROKEN = (
    OSError,  # also gzip.BadGzipFile
    EOFError,
    zlib.error,
    LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a zip compression Python lacks
    RuntimeError,  # an encrypted zip
    ValueError,  # impossible dates and offsets
)


Content = Path | bytes | GencliError
"""What reading a member gives: a file, bytes out of an archive, or why this one member cannot be had."""


class Member(NamedTuple):
    """A file of a source: its name, its bytes (uncompressed) and its place in the order of storage."""

    name: str
    size: int
    place: int


class Source(ABC):
    """Something that holds files: lists them, and reads any of them in the order of storage."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    @abstractmethod
    def members(self) -> list[Member]:
        """Every regular file, in the order of storage; hidden files and `__MACOSX` left out."""

    @abstractmethod
    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        """The wanted members, in the order of storage."""

    def open(self, members: Collection[Member]) -> Iterator[tuple[Member, IO[bytes] | GencliError]]:
        """The wanted members as streams, in the order of storage: none is ever whole in memory.

        Each stream is closed when the next is taken. Read it with `blocks`.
        """
        for member, data in self.read(members):
            try:
                file = opened(data)
            except GencliError as error:
                yield member, error
                continue
            with file:
                yield member, file

    @abstractmethod
    def stamp(self) -> object:
        """What changes when the contents change: names, sizes and times. Cheap: reads no contents."""

    def text(self, name: str) -> str | None:
        """The text of the first member whose last path component is `name`; None if there is none."""
        for member in self.members:
            if member.name.rpartition("/")[2] == name:
                return next(contents(data) for _, data in self.read([member])).decode(errors="replace")
        return None


class Folder(Source):
    """A folder of any depth. Links are followed, each real folder once, so loops end."""

    @cached_property
    def members(self) -> list[Member]:
        return [Member(name, size, place) for place, (name, size, _) in enumerate(self._files)]

    def leaves_out(self, name: str) -> bool:
        """Whether a file or folder of this name is passed over, with all that is in it."""
        return _hidden(name)

    @cached_property
    def _files(self) -> list[tuple[str, int, int]]:
        files: list[tuple[str, int, int]] = []
        seen: set[tuple[int, int]] = set()
        waiting = deque([""])
        while waiting:
            prefix = waiting.popleft()
            try:
                place = (self.path / prefix).stat()
                if (place.st_dev, place.st_ino) in seen and place.st_ino:
                    continue
                seen.add((place.st_dev, place.st_ino))
                with os.scandir(self.path / prefix) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        if self.leaves_out(entry.name):
                            continue
                        with contextlib.suppress(OSError):  # a link that points nowhere
                            status = entry.stat()
                            if stat.S_ISDIR(status.st_mode):
                                waiting.append(f"{prefix}{entry.name}/")
                            elif stat.S_ISREG(status.st_mode):
                                files.append((prefix + entry.name, status.st_size, status.st_mtime_ns))
            except OSError as error:
                raise GencliError(f"cannot read the folder {self.path / prefix}: {error.strerror or error}") from error
        return sorted(files)

    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        for member in members:
            yield member, self.path / member.name

    def stamp(self) -> object:
        return [str(self.path.absolute()), self._files]


class _File(Source):
    """A source that is one file."""

    def stamp(self) -> object:
        try:
            status = self.path.stat()
        except OSError as error:
            raise GencliError(f"cannot read {self.path}: {error.strerror or error}") from error
        return [str(self.path.absolute()), status.st_size, status.st_mtime_ns]


class Single(_File):
    """One file."""

    @cached_property
    def members(self) -> list[Member]:
        try:
            return [Member(self.path.name, self.path.stat().st_size, 0)]
        except OSError as error:
            raise GencliError(f"cannot read {self.path}: {error.strerror or error}") from error

    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        for member in members:
            yield member, self.path


class _Archive(_File):
    """A file of files."""

    def read(self, members: Collection[Member]) -> Iterator[tuple[Member, Content]]:
        with _whole_archive(self.path):
            for member, file in self.open(members):
                if isinstance(file, GencliError):
                    yield member, file
                else:
                    yield member, _too_large(member) or self._whole(file)

    def _whole(self, file: IO[bytes]) -> Content:
        return file.read()


class Zip(_Archive):
    """A zip archive. A damaged member says nothing of the others."""

    @cached_property
    def members(self) -> list[Member]:
        with self._archive() as archive:
            return _latest(
                Member(_clean(info.filename), info.file_size, place)
                for place, info in enumerate(archive.infolist())
                if info.filename and not info.filename.endswith("/") and not _hidden(info.filename)
            )

    def open(self, members: Collection[Member]) -> Iterator[tuple[Member, IO[bytes] | GencliError]]:
        with self._archive() as archive:
            infos = archive.infolist()
            for member in sorted(members, key=lambda member: member.place):
                try:
                    file = archive.open(infos[member.place])
                except _BROKEN as error:
                    yield member, _damaged_place(error)
                    continue
                with file:
                    yield member, file

    def _whole(self, file: IO[bytes]) -> Content:
        try:
            return file.read()
        except _BROKEN as error:
            return _damaged_place(error)

    @contextlib.contextmanager
    def _archive(self) -> Iterator[zipfile.ZipFile]:
        with _whole_archive(self.path), zipfile.ZipFile(self.path) as archive:
            yield archive


class _Header(tarfile.TarInfo):
    """A header of a tar. Python takes a damaged one for the end of the archive; here it is an error."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ in {
                "EOFHeaderError",
                "EmptyHeaderError",
            }:  # the true ends have no public name
                raise
            raise tarfile.ReadError(f"its header after {archive.offset:,} bytes is damaged") from error


class Tar(_Archive):
    """A tar archive, plain or compressed with gzip, bzip2 or xz: always read from front to back."""

    @cached_property
    def members(self) -> list[Member]:
        return _latest(Member(_clean(info.name), info.size, place) for place, info, _ in self._walk())

    def open(self, members: Collection[Member]) -> Iterator[tuple[Member, IO[bytes] | GencliError]]:
        wanted = {member.place: member for member in members}
        for place, info, archive in self._walk():
            if member := wanted.pop(place, None):
                yield member, archive.extractfile(info) or io.BytesIO()
            if not wanted:
                return

    def _walk(self) -> Iterator[tuple[int, tarfile.TarInfo, tarfile.TarFile]]:
        with _whole_archive(self.path), tarfile.open(self.path, tarinfo=_Header) as archive:
            place = 0
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # else it keeps every header in memory
                if info.isreg() and not _hidden(info.name):
                    yield place, info, archive
                place += 1


def open_container(path: Path) -> Source | None:
    """The folder, zip or tar at `path`, judged by its contents; None for a file of any other kind.

    Raises GencliError when it cannot be read.
    """
    if path.is_dir():
        return Folder(path)
    try:
        if zipfile.is_zipfile(path):
            return Zip(path)
        if tarfile.is_tarfile(path):
            return Tar(path)
    except OSError as error:
        raise GencliError(f"cannot read {path}: {error.strerror or error}") from error
    return None


def open_source(path: Path) -> Source:
    """What lies at `path`: a picture by its suffix, or else a folder, a zip or a tar by its contents.

    Raises GencliError when nothing is there or the file is none of these.
    """
    if not path.exists():
        raise GencliError(f"there is no {path}", "give a picture, a folder of pictures, or a zip or tar of them")
    if is_picture(path.name) and not path.is_dir():
        return Single(path)
    if (container := open_container(path)) is not None:
        return container
    raise GencliError(
        f"{path} is neither a picture, a folder, a zip nor a tar archive",
        f"archives end in {', '.join(ARCHIVE_SUFFIXES)}; a damaged download must be fetched again"
        if path.name.lower().endswith(ARCHIVE_SUFFIXES)
        else f"pictures end in {', '.join(sorted(PICTURE_SUFFIXES))}",
    )


def pictures_in(paths: Sequence[str], results: Path | None = None) -> list[str]:
    """The paths, and in place of each folder its pictures, of any depth, in order, without hidden ones; and without
    those of a folder of `results` inside it. Raises GencliError for a folder without any, and for what is not there."""
    found: list[str] = []
    apart = results and results.resolve()
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112 (of `-` and `@name` too)
            if path != "-" and not path.startswith("@") and not os.path.exists(path):  # noqa: PTH110 (of too long a name, too)
                raise GencliError(f"there is no file {path}", "check the path and its spelling")
            found.append(path)
            continue
        skipped = apart if apart and apart != Path(path).resolve() else None
        inside = sorted(
            str(file)
            for file in Path(path).rglob("*")
            if is_picture(file.name)
            and not _hidden(file.relative_to(path).as_posix())
            and file.is_file()
            and not (skipped and file.resolve().is_relative_to(skipped))
        )
        if not inside:
            raise GencliError(f"there are no pictures in {path}", "name another folder, or pictures")
        found += inside
    return found


def is_picture(name: str) -> bool:
    """Whether a file of this name should be a picture (any letter case)."""
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 (10 times faster than a Path)


def is_archive(name: str) -> bool:
    """Whether a file of this name should be a zip or tar archive."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def contents(data: Content) -> bytes:
    """The bytes of a member that was read. Raises GencliError."""
    if isinstance(data, bytes):
        return data
    with opened(data) as file:
        return b"".join(blocks(file, str(data)))


def opened(data: Content) -> IO[bytes]:
    """A member that was read, as a stream. Raises GencliError."""
    if isinstance(data, GencliError):
        raise data
    if isinstance(data, bytes):
        return io.BytesIO(data)
    try:
        return data.open("rb")
    except OSError as error:
        raise GencliError(f"cannot read {data}: {error.strerror or error}") from error


def blocks(file: IO[bytes], name: str, size: int = 1 << 20) -> Iterator[bytes]:
    """What is left of a stream, in blocks of at most `size` bytes. Raises GencliError, which calls it `name`."""
    try:
        while block := file.read(size):
            yield block
    except _BROKEN as error:
        reason = getattr(error, "strerror", None) or error
        raise GencliError(f"cannot read {name}: {reason}", "it is damaged or incomplete; fetch it again") from error


def _damaged_place(error: Exception) -> GencliError:
    return GencliError(f"its place in the archive is damaged: {error}")


def _too_large(member: Member) -> GencliError | None:
    if member.size <= MAX_MEMBER_BYTES:
        return None
    return GencliError(f"it claims {member.size:,} bytes; no picture has more than {MAX_MEMBER_BYTES:,}")


def _latest(members: Iterable[Member]) -> list[Member]:
    """Of members of the same name, which is how an archive is updated, the last."""
    return list({member.name: member for member in members}.values())


def _clean(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./").lstrip("/")


def _hidden(name: str) -> bool:
    return any(
        part == "__MACOSX" or (part.startswith(".") and part not in {".", ".."})
        for part in name.replace("\\", "/").split("/")
    )


@contextlib.contextmanager
def _whole_archive(path: Path) -> Iterator[None]:
    """Turn what Python's archive modules raise into one clear error."""
    try:
        yield
    except _BROKEN as error:
        raise GencliError(
            f"cannot read the archive {path}: {error}", "it is damaged or incomplete; fetch or pack it again"
        ) from error
