"""Where trained weights come from: built in, dropped into a folder by hand, or pulled from the network.

Weights live as safetensors files that carry their own description in the metadata (key "gencli").
Foreign files (torchvision's .pth, Caffe's names in safetensors) are read once and converted; nothing
is ever unpickled beyond plain tensors.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import gencli
from gencli.core.errors import GencliError, MissingError, UsageError
from gencli.core.files import home, offline
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


_TORCHVISION = "https://download.pytorch.org/models/"
_IMAGENET = "BSD-3-Clause (torchvision); trained on ImageNet, whose terms are research only"
SOURCES = {
    source.name: source
    for source in (
        Source("vgg16", "vgg16-397923af.pth", _TORCHVISION + "vgg16-397923af.pth", "397923af", 553, _IMAGENET),
        Source("vgg19", "vgg19-dcbb9e9d.pth", _TORCHVISION + "vgg19-dcbb9e9d.pth", "dcbb9e9d", 575, _IMAGENET),
        Source("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth", _TORCHVISION + "squeezenet1_1-b8a52dc0.pth", "b8a52dc0", 5, _IMAGENET),
        Source("googlenet", "googlenet-1378be20.pth", _TORCHVISION + "googlenet-1378be20.pth", "1378be20", 52, _IMAGENET),
        Source("inception_v3", "inception_v3_google-0cc3c7bd.pth", _TORCHVISION + "inception_v3_google-0cc3c7bd.pth", "0cc3c7bd", 109, _IMAGENET),
        Source("resnet50", "resnet50-0676ba61.pth", _TORCHVISION + "resnet50-0676ba61.pth", "0676ba61", 103, _IMAGENET),
        Source("bvlc_googlenet", "bvlc_googlenet.safetensors", None, "", 28, "unrestricted (BVLC model zoo)"),
    )
}  # fmt: skip


def built_in_folder() -> Path:
    """The folder of the models that ship: inside an installed package, beside it in a source tree."""
    package = Path(gencli.__file__).parent
    inside = package / "weights"
    return inside if inside.is_dir() else package.parent / "weights"


def folder() -> Path:
    """Where weights of others are put, by `pull` or by hand: `GENCLI_HOME/weights`."""
    return home() / "weights"


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
    if name not in SOURCES:
        raise UsageError(f"no network is called {name}", f"known are {', '.join(SOURCES)}")
    converted = folder() / f"{name}.safetensors"
    if converted.is_file():
        return converted
    dropped = sorted(path for path in folder().glob("*") if identify(path) == name)
    if dropped:
        return dropped[0]
    raise _missing(SOURCES[name])


def is_here(name: str) -> bool:
    """Whether the weights of a known network need not be fetched."""
    try:
        locate(name)
    except MissingError:
        return False
    return True


def _missing(source: Source) -> MissingError:
    where = f"put {source.file} into {folder()}"
    if source.url is None:
        return MissingError(f"the weights of {source.name} are not here, and no download of them can be read", where)
    return MissingError(
        f"the weights of {source.name} are not here ({source.megabytes:.0f} MB)",
        f"`gencli models pull {source.name}`, or {where}\n"
        f"  from {source.url}\n  SHA-256 begins with {source.sha256}; licence: {source.licence}",
    )


def pull(name: str, report: Report | None = None) -> Path:
    """Download a known network's published file into `folder()` and return its path.

    The bytes stream into a `.part` file and are hashed while they are written; only a file whose
    SHA-256 begins as published takes its name. `report(done, total)` is called as bytes arrive.

    Raises MissingError when offline or when the server cannot be reached, GencliError for a wrong hash.
    """
    if name not in SOURCES:
        raise UsageError(f"no network is called {name}", f"known are {', '.join(SOURCES)}")
    source = SOURCES[name]
    if source.url is None or offline():
        raise _missing(source)
    target = folder() / source.file
    try:
        with urllib.request.urlopen(source.url, timeout=TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            _receive(answer.read, target, total, source, report)
    except (URLError, TimeoutError, ConnectionError) as error:
        missing = _missing(source)
        reason = getattr(error, "reason", error)
        raise MissingError(f"could not download {source.url}: {reason}", missing.hint) from error
    return target


def _receive(read: Callable[[int], bytes], target: Path, total: int, source: Source, report: Report | None) -> None:
    part = target.with_name(target.name + ".part")
    digest, done = hashlib.sha256(), 0
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            while chunk := read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                if report:
                    report(done, max(total, done))
        if total and done < total:
            raise ConnectionError(f"the connection closed after {done} of {total} bytes")
        if not digest.hexdigest().startswith(source.sha256):
            raise GencliError(
                f"{source.url} has SHA-256 {digest.hexdigest()}, expected one that begins with {source.sha256}",
                "the download was damaged or replaced and has been thrown away; try again",
            )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


# ------------------------------------------------------------------ files


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and description of a weights file: safetensors, or a .pth of plain tensors.

    The description is {} for a foreign file. Raises GencliError for a file that is damaged or not there.
    """
    if path.suffix == ".pth":
        return _read_pth(path), {}
    state, metadata = read_tensors(path)
    return state, json.loads(metadata.get("gencli", "{}"))


def _read_pth(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # damaged files raise whatever their damage makes of them
        raise GencliError(
            f"{path} cannot be read as plain weights: {type(error).__name__}", "the file is damaged; fetch it again"
        ) from error


def write(path: Path, state: Mapping[str, Tensor], description: Mapping[str, Any]) -> None:
    """Write tensors and their description as safetensors, atomically."""
    write_tensors(path, state, {"gencli": json.dumps(description)})
