"""Files that are never half written, and the folders gencli keeps its things in."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import gencli
from gencli.core.errors import GencliError
from gencli.core.signals import held_back


def home() -> Path:
    """The folder of models, data sets, downloads and caches: `GENCLI_HOME`, or the platform's user data folder."""
    if folder := os.environ.get("GENCLI_HOME"):
        return Path(folder).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("gencli", appauthor=False)


def built_in_folder() -> Path:
    """The folder of the models that ship: inside an installed package, beside it in a source tree."""
    package = Path(gencli.__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def offline() -> bool:
    """Whether the network must not be touched (`--offline` sets `GENCLI_OFFLINE=1`)."""
    return os.environ.get("GENCLI_OFFLINE", "").strip().lower() not in {"", "0", "false", "no", "off"}


def atomic_write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Put what `write(file)` writes at `path` in one step.

    The bytes go into a temporary file beside `path`, are flushed to the disk, and the temporary
    takes the place of `path` by a rename: a reader, or a crash at any instant, sees the old file
    or the new one, never a part. The temporary is removed when `write` fails.

    Raises GencliError when the folder or the file cannot be written.
    """
    with _filled(path, write) as temporary:
        temporary.replace(path)
    sync_folder(path.parent)


def write_new(places: Iterable[Path], write: Callable[[BinaryIO], object]) -> Path:
    """Put what `write(file)` writes at the first of some places in one folder that is free, and say which: as
    `atomic_write` does, and nothing is overwritten."""
    places = iter(places)
    path = next(places)
    with _filled(path, write) as temporary:
        while not _taken_by(temporary, path):
            path = next(places)
    sync_folder(path.parent)
    return path


def _taken_by(temporary: Path, path: Path) -> bool:
    """Whether a file could get a name that nobody has."""
    try:
        os.link(temporary, path)  # unlike a rename, it overwrites nothing
    except FileExistsError:
        return False
    except OSError:  # a file system without links: an empty file keeps the name for an instant
        try:
            path.open("xb").close()
        except FileExistsError:
            return False
        temporary.replace(path)
    return True


@contextmanager
def _filled(path: Path, write: Callable[[BinaryIO], object]) -> Iterator[Path]:
    """A temporary file beside `path` with what `write(file)` writes, flushed to the disk; it is gone in the end."""
    temporary = None
    try:
        with held_back():  # a Ctrl-C between the making of the file and its name would leave it behind
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
            except OSError as error:
                raise GencliError(
                    f"cannot write {path}: {error.strerror or error}", "choose a folder you may write to"
                ) from error
            temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if os.name == "posix":  # mkstemp makes private files; a result gets the permissions any new file has
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
        yield temporary
    except OSError as error:
        raise GencliError(
            f"cannot write {path}: {error.strerror or error}", "is the disk full, or the folder read-only?"
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename inside it survives a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n"
    atomic_write(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Read a JSON file. Raises GencliError when it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GencliError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise GencliError(f"{path} is not valid JSON: {error}", "the file is damaged; remove or replace it") from error
