"""Where trained weights come from: built in, dropped into a folder by hand, or pulled from the network.

Weights live as safetensors files that carry their own description in the metadata (key "gencli").
Foreign files (torchvision's .pth, Caffe's names in safetensors) are read once and converted; nothing
is ever unpickled beyond plain tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.core.files import atomic_write, built_in_folder, home, offline
from gencli.core.tensors import read_tensors, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

Report = Callable[[int, int], None]
TIMEOUT = 30  # seconds without a byte before a download is given up
CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A network trained by others: the file it is published as, and the start of that file's SHA-256."""

    name: str
    file: str
    url: str | None
    sha256: str
    megabytes: float
    licence: str


def _torchvision(name: str, file: str, megabytes: float) -> Source:
    """torchvision's files carry the start of their hash in their name."""
    licence = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are research only"
    url = f"https://download.pytorch.org/models/{file}"
    return Source(name, file, url, Path(file).stem.rpartition("-")[2], megabytes, licence)


SOURCES = {
    source.name: source
    for source in (
        _torchvision("vgg16", "vgg16-397923af.pth", 553),
        _torchvision("vgg19", "vgg19-dcbb9e9d.pth", 575),
        _torchvision("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", 5),
        _torchvision("googlenet", "googlenet-1378be20.pth", 52),
        _torchvision("inception_v3", "inception_v3_google-0cc3c7bd.pth", 109),
        _torchvision("resnet50", "resnet50-0676ba61.pth", 103),
        Source("bvlc_googlenet", "bvlc_googlenet.safetensors", None, "", 28, "unrestricted (BVLC model zoo)"),
    )
}


def folder() -> Path:
    """Where weights of others are put, by `pull` or by hand: `GENCLI_HOME/weights`."""
    return home() / "weights"


def converted(name: str) -> Path:
    """The file of a known network in gencli's form; it may not be there yet."""
    return folder() / f"{name}.safetensors"


def built_in() -> dict[str, Path]:
    """The models that ship: name → safetensors file."""
    return {path.stem: path for path in sorted(built_in_folder().glob("*.safetensors"))}


def identify(path: Path) -> str | None:
    """Which known network a file holds, told by its name: `vgg19-dcbb9e9d.pth` → "vgg19"; None if none."""
    for name in SOURCES:
        if path.suffix in {".pth", ".safetensors"} and re.match(rf"{name}(_google)?[-.]", path.name):
            return name
    return None


def locate(name: str) -> Path:
    """The file of a known network's weights: converted before, or dropped into `folder()` by hand.

    Raises UsageError for a name nobody knows, MissingError (exit 3) when the file has to be fetched first.
    """
    source = _source(name)
    if converted(name).is_file():
        return converted(name)
    dropped = sorted(path for path in folder().glob("*") if identify(path) == name)
    if dropped:
        return dropped[0]
    raise _missing(source)


def is_here(name: str) -> bool:
    """Whether the weights of a known network need not be fetched."""
    try:
        locate(name)
    except MissingError:
        return False
    return True


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise UsageError(f"no network is called {name}", f"known are {', '.join(SOURCES)}")
    return SOURCES[name]


def _missing(source: Source, message: str | None = None) -> MissingError:
    where = f"put {source.file} into {folder()}"
    if source.url is None:
        message = message or f"the weights of {source.name} are not here, and nobody offers them in a form gencli reads"
        return MissingError(message, where)
    return MissingError(
        message or f"the weights of {source.name} are not here ({source.megabytes:.0f} MB)",
        f"`gencli models pull {source.name}`, or {where}\n"
        f"  from {source.url}\n  SHA-256 begins with {source.sha256}; licence: {source.licence}",
    )


def pull(name: str, report: Report | None = None) -> Path:
    """Download a known network's published file into `folder()` and return its path.

    The bytes are hashed while they stream into a temporary `.part` file beside it; only a file whose
    SHA-256 begins as published takes its name. `report(done, total)` is called as bytes arrive.

    Raises MissingError when offline or when the file cannot be had from the server, GencliError for a
    wrong hash or when the file cannot be written.
    """
    import hashlib

    source = _source(name)
    if source.url is None or offline():
        raise _missing(source)
    target = folder() / source.file

    def receive(file: BinaryIO) -> None:
        digest, done = hashlib.sha256(), 0
        for chunk, total in _download(source):
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if report:
                report(done, max(total, done))
        if not (found := digest.hexdigest()).startswith(source.sha256):
            raise GencliError(
                f"{source.url} has SHA-256 {found}, expected one that begins with {source.sha256}",
                "the download was damaged or replaced and has been thrown away; try again",
            )

    atomic_write(target, receive)
    return target


def _download(source: Source) -> Iterator[tuple[bytes, int]]:
    """The bytes of a source piece by piece, each with the size of the whole (0: not told)."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    assert source.url is not None
    done = 0
    try:
        with urllib.request.urlopen(source.url, timeout=TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(CHUNK):
                done += len(chunk)
                yield chunk, total
        if done < total:
            raise ConnectionError(f"the connection closed after {done} of {total} bytes")
    except (OSError, HTTPException, ValueError) as error:
        reason = error.reason if type(error) is urllib.error.URLError else str(error) or type(error).__name__
        raise _missing(source, f"could not download {source.url}: {reason}") from error


# ------------------------------------------------------------------ files


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a weights file: safetensors, or a .pth of plain tensors.

    The description is {} for a foreign file. Raises GencliError for a file that is damaged or not there.
    """
    if path.suffix == ".pth":
        return _read_pth(path), {}
    state, metadata = read_tensors(path)
    try:
        description = json.loads(metadata.get("gencli", "{}"))
    except ValueError:
        description = {}
    return state, description if isinstance(description, dict) else {}


def describe(path: Path) -> dict[str, Any]:
    """The description in the header of a safetensors file of ours, without reading the tensors."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return dict(json.loads(file.metadata()["gencli"]))


def _read_pth(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise whatever their damage makes of them
        raise GencliError(
            f"{path} cannot be read as plain weights: {type(error).__name__}",
            "the file is damaged; fetch it again",
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise GencliError(f"{path} does not hold the tensors of a network", "save its state dict: names and tensors")
    return loaded


def write(path: Path, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and their description as safetensors, atomically."""
    write_tensors(path, state, {"gencli": json.dumps(description)})
