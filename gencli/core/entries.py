"""A picture set as a folder of the cache: `pictures.npy` (uint8, N x C x H x W), `labels.npy` and `attributes.npy`
where there are any, and `index.json`.

It is built beside its place and renamed into it whole, so that an interrupted or a second process never leaves or
meets a part of one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gencli.core import files
from gencli.core.decode_pool import Form
from gencli.core.errors import GencliError

if TYPE_CHECKING:
    from gencli.core.pictures import PictureSet


@dataclass(frozen=True)
class Known:
    """What is known about `count` pictures: labels (N,), attributes (N, A), and their names."""

    count: int
    labels: npt.ArrayLike | None = None
    classes: tuple[str, ...] = ()
    attributes: npt.ArrayLike | None = None
    attribute_names: tuple[str, ...] = ()


def open_entry(entry: Path) -> PictureSet | None:
    """The picture set of a cache entry; None when there is none or it is damaged."""
    try:
        index = json.loads((entry / "index.json").read_text(encoding="utf-8"))
        arrays = {name: _array(entry / f"{name}.npy") for name in index["arrays"]}
        pictures = arrays["pictures"]
        if any(len(array) != index["count"] for array in arrays.values()) or pictures.dtype != np.uint8:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    import torch

    from gencli.core.pictures import PictureSet

    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return PictureSet(
        tensors["pictures"],
        tensors.get("labels"),
        tuple(index["classes"]),
        tensors.get("attributes"),
        tuple(index["attribute_names"]),
        index["fingerprint"],
        index["name"],
    )


def _array(path: Path) -> Any:
    # "c", copy on write: torch accepts it as writable, and the file never changes
    return np.load(path, mmap_mode="c", allow_pickle=False)


def build(entry: Path, name: str, count: int, form: Form, fill: Callable[[Path], Known]) -> None:
    """Make an entry of at most `count` pictures; `fill(path)` writes them, with `write_header`.

    Raises GencliError when there is not enough space.
    """
    part = entry.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed: the lock says nobody else is at it
    part.mkdir()
    needed, free = form.bytes * count, shutil.disk_usage(part).free
    try:
        if needed > free:
            raise GencliError(
                f"{name} needs {needed / 1e9:.1f} GB; {entry.parent} has {free / 1e9:.1f} GB free",
                "free some space, choose a smaller size or limit, or set GENCLI_HOME to another disk",
            )
        known = fill(part / "pictures.npy")
        arrays = ["pictures"]
        if known.labels is not None:
            np.save(part / "labels.npy", np.asarray(known.labels, dtype=np.int64))
            arrays.append("labels")
        if known.attributes is not None:
            np.save(part / "attributes.npy", np.asarray(known.attributes, dtype=np.bool_))
            arrays.append("attributes")
        described = {"classes": list(known.classes), "attribute_names": list(known.attribute_names)}
        digest = hashlib.sha256(json.dumps(described).encode())
        for array in arrays:
            with (part / f"{array}.npy").open("rb") as file:  # not mapped: that would count as our memory
                np.lib.format.read_magic(file)
                digest.update(repr(np.lib.format.read_array_header_1_0(file)).encode())
                while block := file.read(1 << 20):
                    digest.update(block)
        index = {
            "name": name,
            "count": known.count,
            "arrays": arrays,
            "fingerprint": digest.hexdigest(),
            **described,
        }
        files.write_json(part / "index.json", index)
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one
        part.rename(entry)
        files.sync_folder(entry.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_header(file: BinaryIO, count: int, form: Form) -> None:
    """The header of a uint8 array. numpy leaves room in it: one for fewer pictures takes the same bytes."""
    shape = (count, form.channels, form.size, form.size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
