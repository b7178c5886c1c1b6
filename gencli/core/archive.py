"""A model as one file: a zip of its folder, to keep or to give away; and back, from whomever."""

from __future__ import annotations

import re
import secrets
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from gencli.core import store
from gencli.core.errors import GencliError, UsageError
from gencli.core.files import atomic_write, sync_folder
from gencli.core.store import CONFIG, METRICS, SAMPLES, TRAINING, WEIGHTS, Model
from gencli.core.tensors import check_tensors

_MODEL = rf"{re.escape(WEIGHTS)}|{re.escape(CONFIG)}|{re.escape(METRICS)}|{SAMPLES}/\w[\w.-]{{0,99}}\.(png|txt)"
_STATE = rf"{TRAINING}/(state-\d{{8,12}}\.safetensors|latest\.json)"
_MEMBER = re.compile(f"{_MODEL}|{_STATE}", re.ASCII)
_MAX_MEMBERS = 100_000
_MAX_RATIO = 100  # unpacked to packed bytes; weights hardly shrink, logs about tenfold
_SMALL = 10 << 20  # bytes that are no danger, however well they were packed
_MAX_CONFIG = 64 << 20  # bytes; it is read into memory


def export(model: Model, path: Path, *, with_training: bool = False) -> Path:
    """Write a model into one zip file at `path`, atomically; with its training state if asked for.

    Raises GencliError when it has no weights, or its state is wanted while it is being trained.
    """
    if not model.weights.is_file():
        raise GencliError(f"{model.name} has no weights yet, so there is nothing to export")
    with store.lock(model.folder) if with_training else nullcontext():
        files = {file.relative_to(model.folder).as_posix(): file for file in model.folder.rglob("*")}
        chosen = [name for name in sorted(files) if _MEMBER.fullmatch(name)]
        if not with_training:
            chosen = [name for name in chosen if not name.startswith(TRAINING)]

        def write(file: BinaryIO) -> None:
            with zipfile.ZipFile(file, "w", strict_timestamps=False) as archive:
                for name in chosen:
                    text = name.endswith((".json", ".jsonl"))
                    archive.write(files[name], name, zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED)

        atomic_write(path, write)
    return path


def import_(path: Path, name: str | None = None) -> Model:
    """Put an exported model into the store, under `name` or the name of the file.

    Nothing of the archive is trusted: only the files a model is made of are unpacked, sizes are
    bounded before and while unpacking, weights and config are checked, and the model appears in one
    step or not at all. An existing model is never overwritten.

    Raises GencliError, naming what is wrong; UsageError when the name is taken or not allowed.
    """
    name = store.check_name(path.stem if name is None else name)
    temporary = store.models_folder() / f".import-{secrets.token_hex(6)}"
    try:
        with _opened(path) as archive:
            for member in _checked_members(archive, path):
                _unpack(archive, member, temporary / member.filename)
        return _place(temporary, path, name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; whatever is wrong with it, on opening or on reading, is a GencliError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise GencliError(f"there is no file {path}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        # RuntimeError: encrypted; its NotImplementedError: a compression Python does not know
        raise GencliError(
            f"{path} is not a readable model archive: {error}", "export it again, or fetch it again"
        ) from error


def _checked_members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    # not `is_dir()`, which in some Pythons wants every member to have a name
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    names = {member.filename for member in members}

    def refuse(what: str) -> GencliError:
        return GencliError(f"{path} is not a gencli model: {what}", "nothing was imported")

    if len(members) > _MAX_MEMBERS or len(names) != len(members):
        raise refuse("it holds too many files, or one twice")
    for member in members:
        kind = stat.S_IFMT(member.external_attr >> 16)
        if not _MEMBER.fullmatch(member.filename) or kind not in (0, stat.S_IFREG):
            raise refuse(f"it holds {member.filename[:200]!r}, which is no file of a model")
    if missing := sorted({WEIGHTS, CONFIG} - names):
        raise refuse(f"it holds no {missing[0]}")
    if archive.getinfo(CONFIG).file_size > _MAX_CONFIG:
        raise refuse(f"its {CONFIG} has {archive.getinfo(CONFIG).file_size:,} bytes")
    total = sum(member.file_size for member in members)
    if total > max(_MAX_RATIO * path.stat().st_size, _SMALL):
        raise refuse(f"it claims to unpack to {total:,} bytes")
    there = store.models_folder()
    free = shutil.disk_usage(next(place for place in (there, *there.parents) if place.exists())).free
    if total > free:
        raise GencliError(f"{path} needs {total:,} bytes; the disk has {free:,}", "make room on the disk")
    return members


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    with archive.open(member) as source:  # reads no more than the size that was checked
        atomic_write(target, lambda file: shutil.copyfileobj(source, file))


def _place(temporary: Path, path: Path, name: str) -> Model:
    """Check the unpacked files, and give them their place."""
    config = Model(temporary).config
    if not (isinstance(config.get("art"), str) and isinstance(config.get("options", {}), dict)):
        raise GencliError(f"{path} is not a gencli model: its {CONFIG} does not say which art it belongs to")
    for file in temporary.rglob("*.safetensors"):
        check_tensors(file)
    folder = store.folder(config["art"], name)
    with store.lock(folder):
        if folder.exists():
            raise UsageError(f"there is a {config['art']} model called {name} already", "give another --name")
        temporary.rename(folder)
        sync_folder(folder.parent)
    return Model(folder)
