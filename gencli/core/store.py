"""The checkpoint store: every trained model is a folder `GENCLI_HOME/models/ART/NAME/`.

    model.safetensors   the weights `sample` uses (the moving average's, if there is one)
    config.json         art, kind, options, classes …, version, data fingerprint, command line, created
    metrics.jsonl       the training log, one JSON object a line
    samples/            previews made while training
    train/              what an exact resume needs; may be removed

Nothing here is ever unpickled, and every write is a temporary file + fsync + rename.
"""

from __future__ import annotations

import difflib
import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gencli.core.errors import GencliError, UsageError
from gencli.core.files import built_in_folder, home, read_json, sync_folder
from gencli.core.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
METRICS = "metrics.jsonl"
SAMPLES = "samples"
TRAINING = "train"
_REMOVED = ".gencli-removed-"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,79}", re.ASCII)
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?|latest", re.IGNORECASE | re.ASCII)


def models_folder() -> Path:
    """Where the store is: `GENCLI_HOME/models`."""
    return home() / "models"


def check_name(name: str) -> str:
    """`name` itself if a model may be called so; else UsageError says what is allowed."""
    if not _NAME.fullmatch(name) or name.endswith(".") or _RESERVED.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a model",
            "use 1 to 80 letters, digits, '-', '_' and '.', beginning with a letter, digit or '_'; "
            "'latest' and the device names of Windows (CON, NUL, …) are taken",
        )
    return name


def folder(art: str, name: str) -> Path:
    """The folder of the model `name` of an art, existing or not. Raises UsageError for a bad name."""
    return models_folder() / check_name(art) / check_name(name)


@dataclass(frozen=True)
class Model:
    """A trained model, or one in training: a folder with a `config.json`."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def art(self) -> str:
        """The art it belongs to: by its place in the store, elsewhere by its `config.json`."""
        if self.folder.parent.parent == models_folder():
            return self.folder.parent.name
        return str(self.config.get("art", "?"))

    @cached_property
    def config(self) -> dict[str, Any]:
        """What `config.json` says. Raises GencliError when it is damaged."""
        try:
            config = read_json(self.folder / CONFIG)
        except RecursionError:  # a nest of brackets, from an archive that means ill
            config = None
        if not isinstance(config, dict):
            raise GencliError(f"{self.folder / CONFIG} is not a JSON object", "the file is damaged; replace it")
        return config

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS

    @property
    def state(self) -> Literal["built in", "finished", "unfinished", "training", "damaged"]:
        """built in: it ships; finished; unfinished (`--resume` goes on with it); in training by a running
        process; damaged."""
        if self.folder.is_relative_to(built_in_folder()):
            return "built in"
        if is_locked(self.folder):
            return "training"
        try:
            return "finished" if self.config.get("finished") and self.weights.is_file() else "unfinished"
        except GencliError:
            return "damaged"

    @property
    def size(self) -> int:
        """Bytes on the disk, training state and samples included."""
        total = 0
        for file in self.folder.rglob("*"):
            with suppress(OSError):  # a training in progress replaces files
                total += file.stat().st_size
        return total

    @property
    def modified(self) -> float:
        """When its weights were last written (seconds since the epoch); while there are none, its config."""
        return (self.weights if self.weights.is_file() else self.folder / CONFIG).stat().st_mtime


def models(art: str | None = None) -> list[Model]:
    """The models of the store (of one art, or all), by art and name; unfinished and damaged ones too."""
    found = sorted(models_folder().glob(f"{art or '*'}/*/{CONFIG}"))
    return [Model(file.parent) for file in found if not file.parent.name.startswith(".")]


def built_in(art: str | None = None) -> list[Model]:
    """The models that ship (of one art, or all)."""
    found = sorted(built_in_folder().glob(f"{art or '*'}/*/{CONFIG}"))
    return [Model(file.parent) for file in found]


def find(art: str | None, which: str) -> Model:
    """The model that `--model WHICH` means.

    `which` is a NAME of the store (ART/NAME where the art is open), or else of a model that ships; a path to
    a model folder; or `latest`: the one of that art whose weights are the newest. `art` None searches all arts.

    Raises GencliError that lists what there is, or names the art a model of another kind belongs to.
    """
    here = models(art)
    if which == "latest":
        trained = [model for model in here if model.weights.is_file()]
        if not trained:
            raise GencliError(f"there is no trained {art or ''} model yet".replace("  ", " "), _train_first(art))
        return max(trained, key=lambda model: model.modified)
    named = [model for model in here if which in (model.name, f"{model.art}/{model.name}")]
    if len(named) == 1:
        return named[0]
    if named:
        choices = " or ".join(f"{model.art}/{model.name}" for model in named)
        raise UsageError(f"several models are called {which}", f"say which: {choices}")
    for model in built_in(art):
        if which in (model.name, f"{model.art}/{model.name}"):
            return model
    path = Path(which).expanduser()
    if (path / CONFIG).is_file():
        model = Model(path.absolute())
        if art is not None and model.art != art:
            raise GencliError(f"{path} is a {model.art} model, not a {art} model")
        return model
    raise _not_found(art, which, here)


def _not_found(art: str | None, which: str, here: list[Model]) -> GencliError:
    here = [*here, *built_in(art)]
    kind = f"{art} model" if art else "model"
    for model in models():
        if model.name == which:
            return GencliError(f"there is no {kind} called {which}; the {model.art} model {which} is another kind")
    if "/" in which or "\\" in which:
        return GencliError(f"{which} is not a model folder: it has no {CONFIG}", _listed(here) or _train_first(art))
    close = difflib.get_close_matches(which, [model.name for model in here], n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return GencliError(f"there is no {kind} called {which}", meant + _listed(here) or _train_first(art))


def _listed(here: list[Model]) -> str:
    return "there are: " + ", ".join(model.name for model in here) if here else ""


def _train_first(art: str | None) -> str:
    return f"train one with `gencli {art or 'ART'} train`"


def remove(model: Model) -> None:
    """Delete a model. It vanishes in one step: a crash leaves all of it or none.

    Raises UsageError for one that ships; GencliError while it is being trained.
    """
    if model.folder in [shipped.folder for shipped in built_in()]:
        raise UsageError(f"{model.name} ships with gencli; it cannot be removed")
    parent = model.folder.parent
    with lock(model.folder):
        trash = parent / f"{_REMOVED}{secrets.token_hex(6)}"
        try:
            model.folder.rename(trash)
        except OSError as error:
            raise GencliError(f"cannot remove {model.folder}: {error.strerror or error}") from error
        sync_folder(parent)
    for leftover in parent.glob(f"{_REMOVED}*"):  # this one, and what a crash once left
        shutil.rmtree(leftover, ignore_errors=True)


def save_weights(model_folder: Path, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write inference weights as `model.safetensors`; `config` goes into the header."""
    write_tensors(model_folder / WEIGHTS, state, {"gencli": json.dumps(config)})


def load_weights(model: Model, device: str = "cpu") -> dict[str, Tensor]:
    """The inference weights of a model, in single precision.

    Raises GencliError when there are none yet or the file is damaged.
    """
    if not model.weights.is_file():
        raise GencliError(
            f"{model.name} has no weights yet: its training was stopped before the first save",
            f"go on with `gencli {model.art} train --name {model.name} --resume`",
        )
    weights = read_tensors(model.weights, device)[0]
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


@contextmanager
def sound(model: Model) -> Iterator[None]:
    """Within, a model is built of its config and filled with its weights: GencliError where these do not fit."""
    try:
        yield
    except (KeyError, TypeError, RuntimeError) as error:
        raise GencliError(
            f"the model in {model.folder} is damaged: {error}", "train it anew, or import it again"
        ) from error


@contextmanager
def lock(model_folder: Path) -> Iterator[None]:
    """Hold the model's lock: GencliError at once when another process holds it. May be nested.

    It is the operating system's lock on a hidden file beside the folder, so it is gone with the
    process that holds it, however that ends.
    """
    from filelock import FileLock, Timeout

    try:
        model_folder.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(_lock_file(model_folder), is_singleton=True)
        held.acquire(timeout=0.2, poll_interval=0.02)  # not 0: a glance by `is_locked` is no training
    except Timeout:
        raise GencliError(
            f"{model_folder.name} is being trained by another process",
            "wait for it, stop it, or choose another --name",
        ) from None
    except OSError as error:
        raise GencliError(f"cannot lock {model_folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        held.release()


def is_locked(model_folder: Path) -> bool:
    """Whether a process is training, importing or removing the model right now."""
    from filelock import FileLock, Timeout

    file = _lock_file(model_folder)
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a store that may only be read: nobody trains in it
        return False


def _lock_file(model_folder: Path) -> Path:
    return model_folder.parent / f".{model_folder.name}.lock"


def check_start(model_folder: Path, *, resume: bool) -> None:
    """Whether a training may start in this folder: `train` asks, and a command before it reads the data.

    Raises UsageError when the name is taken and `resume` was not asked for, or there is nothing to resume.
    """
    exists = (model_folder / CONFIG).is_file()
    if exists and not resume:
        raise UsageError(
            f"there is a model called {model_folder.name} already",
            "go on with it with --resume, choose another --name, or remove it with `gencli models remove`",
        )
    if resume and not exists:
        raise UsageError(f"there is no model called {model_folder.name} to resume", "leave --resume out to start one")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two option sets, one line each: `width: 64 → 128`.

    Compared as JSON, so a tuple equals the list it was stored as; nested keys are joined by dots.
    """
    before, after = (_flat(json.loads(json.dumps(options, default=str))) for options in (old, new))
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{key}: {_shown(before, key)} → {_shown(after, key)}"
        for key in keys
        if key not in before or key not in after or before[key] != after[key]
    ]


def _flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in options.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) and value else {f"{prefix}{key}": value}
    return flat


def _shown(options: Mapping[str, Any], key: str) -> str:
    if key not in options:
        return "(not there)"
    text = json.dumps(options[key], ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
