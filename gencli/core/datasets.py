"""From a name, a folder or an archive to a picture set: decoded once, then a memory map of the cache.

An entry of the cache is a folder below `GENCLI_HOME/cache/pictures` with `pictures.npy` (uint8, N x C x H
x W), `labels.npy` and `attributes.npy` where there are any, and `index.json`. Its name is made of the
sources' names, sizes and times and of the settings. An entry is built beside its place under a lock and
renamed into it whole, so that an interrupted or a second process never leaves or meets a part of one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gencli.core import cache, catalogue, files
from gencli.core.decode_pool import Crop, Form, Task, decode_many
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import Layout, Listing, NoPartError, Split, arrange_folders, open_sources
from gencli.core.sources import Member, Source
from gencli.core.workers import cores

if TYPE_CHECKING:
    from gencli.core.pictures import PictureSet

log = logging.getLogger("gencli")
Report = Callable[[int, int], None]

VERSION = 1  # of the decoding: raise it when the same file gives other pixels
FEW, FEW_BYTES = 500, 16 << 20  # so few are decoded before a second process has started


def load(
    data: str | Path | Sequence[str | Path],
    *,
    size: int,
    channels: int = 3,
    split: Split = "train",
    root: Path | None = None,
    report: Report | None = None,
    limit: int | None = None,
    crop: Crop | None = None,
) -> PictureSet:
    """Load a picture set: `size` x `size` pixels, antialiased, sRGB (3 channels) or luminance (1).

    `data` is a known name (`catalogue.names()`), a folder, a zip or tar, a picture, or several of these
    together. `root` is where known sets lie (default `GENCLI_HOME/data`). `split` is the part; NoPartError
    when the set has none such. `limit` takes that many pictures, evenly spread over the set. `crop` is what
    to keep of a picture that is not square (default "center"; facades: "left", the photograph).
    Transparency is laid on white. `report(done, total)` is called while decoding.

    Raises UsageError, MissingError (says what to put where), or GencliError when no picture can be read.
    """
    if size < 1 or channels not in {1, 3}:
        raise UsageError(f"cannot make pictures of size {size} with {channels} channels", "channels are 1 or 3")
    if limit is not None and limit < 1:
        raise UsageError(f"cannot load {limit} pictures", "give a limit of 1 or more")
    layout = find(data, root)
    form = Form(size, channels, crop or layout.crop)
    entry = _entry(layout, form, split, limit)

    def build(entry: Path) -> None:
        listing = _limited(layout.arrange(split), limit)
        if not listing.items:
            raise GencliError(f"no pictures of {layout.name} for {split} in {layout.where}")
        _build(entry, layout.name, listing, form, report)

    return cache.find(entry, _open, build)


def train_and_test(
    data: str | Path | Sequence[str | Path],
    *,
    size: int,
    channels: int = 3,
    root: Path | None = None,
    report: Report | None = None,
    limit: int | None = None,
    crop: Crop | None = None,
    held_out: float = 0.05,
    seed: int = 0,
) -> tuple[PictureSet, PictureSet]:
    """The part to train on and the part never trained on: the set's own, or a fraction `held_out` drawn
    from `seed`.

    The other arguments and the errors are those of `load`.
    """

    def part(split: Split) -> PictureSet:
        return load(data, size=size, channels=channels, split=split, root=root, report=report, limit=limit, crop=crop)

    train = part("train")
    try:
        return train, part("test")
    except NoPartError:
        return train.split(held_out, seed)


def find(data: str | Path | Sequence[str | Path], root: Path | None = None) -> Layout:
    """Where the pictures of `data` are. A known set that is not there is downloaded if that can be done.

    Raises UsageError for a name that means nothing, MissingError for a known set that has to be put there.
    """
    if isinstance(data, str) and data.startswith("@"):
        raise UsageError(
            f"there is no drawn picture set {data}",
            f"known sets: {', '.join(catalogue.names())}; or give a folder",
        )
    if isinstance(data, str) and data in catalogue.names():
        return catalogue.find(data, root or files.home() / "data")
    paths = [Path(one).expanduser() for one in ([data] if isinstance(data, str | Path) else data)]
    if len(paths) == 1 and not paths[0].exists():
        raise UsageError(
            f"{data} is neither a known picture set nor a file or folder",
            f"known sets: {', '.join(catalogue.names())}",
        )
    sources = [source for path in paths for source in open_sources(path)]
    name = paths[0].absolute().name.split(".")[0] or "pictures"
    return Layout(name, paths[0], sources, lambda split: arrange_folders(sources, split))


def _entry(layout: Layout, form: Form, split: Split, limit: int | None) -> Path:
    """The place in the cache of one part of a set in one form."""
    stamps = [source.stamp() for source in layout.sources]
    key = [VERSION, layout.name, split, limit, form.size, form.channels, form.crop, stamps]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache.folder("pictures") / f"{layout.name}-{split}-{form.size}-{digest[:16]}"


def _open(entry: Path) -> PictureSet | None:
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


def _limited(listing: Listing, limit: int | None) -> Listing:
    """At most `limit` pictures, evenly spread, so that every class keeps its share."""
    count = len(listing.items)
    if limit is None or limit >= count:
        return listing
    return _picked(listing, [count * number // limit for number in range(limit)])


def _picked(listing: Listing, rows: Sequence[int]) -> Listing:
    """The listing of the pictures at `rows`."""
    return Listing(
        [listing.items[row] for row in rows],
        None if listing.labels is None else [listing.labels[row] for row in rows],
        listing.classes,
        None if listing.attributes is None else [listing.attributes[row] for row in rows],
        listing.attribute_names,
    )


def _build(entry: Path, name: str, listing: Listing, form: Form, report: Report | None) -> None:
    """Decode all pictures of a listing into a new cache entry."""
    part = entry.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed: the lock says nobody else is at it
    part.mkdir()
    needed, free = form.bytes * len(listing.items), shutil.disk_usage(part).free
    try:
        if needed > free:
            raise GencliError(
                f"{name} needs {needed / 1e9:.1f} GB; {entry.parent} has {free / 1e9:.1f} GB free",
                "free some space, choose a smaller size or limit, or set GENCLI_HOME to another disk",
            )
        good = _decode(part / "pictures.npy", name, listing, form, report)
        listing = _picked(listing, good)
        arrays = ["pictures"]
        if listing.labels is not None:
            np.save(part / "labels.npy", np.array(listing.labels, dtype=np.int64))
            arrays.append("labels")
        if listing.attributes is not None:
            np.save(part / "attributes.npy", np.array(listing.attributes, dtype=np.bool_))
            arrays.append("attributes")
        described = {"classes": list(listing.classes), "attribute_names": list(listing.attribute_names)}
        digest = hashlib.sha256(json.dumps(described).encode())
        for array in arrays:
            with (part / f"{array}.npy").open("rb") as file:  # not mapped: that would count as our memory
                np.lib.format.read_magic(file)
                digest.update(repr(np.lib.format.read_array_header_1_0(file)).encode())
                while block := file.read(1 << 20):
                    digest.update(block)
        index = {
            "name": name,
            "count": len(good),
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


def _decode(path: Path, name: str, listing: Listing, form: Form, report: Report | None) -> list[int]:
    """Decode a listing into an array file; the rows that could be decoded, which are those in the file."""
    count, bad = len(listing.items), dict[int, str]()  # what is wrong, by row
    with path.open("w+b") as file:
        _write_header(file, count, form)
        start = file.tell()
        few = count < FEW and sum(item.member.size for item in listing.items) < FEW_BYTES
        with closing(decode_many(_tasks(listing, bad), form, 1 if few else min(cores(), 16))) as outcomes:
            for done, outcome in enumerate(outcomes):
                if outcome.pixels is None:
                    bad[outcome.row] = str(outcome.fault)
                else:
                    file.seek(start + outcome.row * form.bytes)
                    file.write(outcome.pixels)
                if report and done % 64 == 0:
                    report(done, count)
        if report:
            report(count, count)
        good = [row for row in range(count) if row not in bad]
        if bad:
            _report_faults(name, [bad[row] for row in sorted(bad)], count)
            for new, old in enumerate(good):
                if new != old:
                    file.seek(start + old * form.bytes)
                    pixels = file.read(form.bytes)
                    file.seek(start + new * form.bytes)
                    file.write(pixels)
            file.truncate(start + len(good) * form.bytes)
            file.seek(0)
            _write_header(file, len(good), form)
            assert file.tell() == start
        file.flush()
        os.fsync(file.fileno())
    return good


def _tasks(listing: Listing, bad: dict[int, str]) -> Iterator[Task]:
    """The pictures of a listing, source after source, each in its order of storage: archives are streams.

    What cannot be read goes into `bad`.
    """
    rows: dict[Source, dict[Member, int]] = {}
    for row, item in enumerate(listing.items):
        rows.setdefault(item.source, {})[item.member] = row
    for source, wanted in rows.items():
        for member, data in source.read(wanted):
            name = str(data) if isinstance(data, Path) else f"{source.path}: {member.name}"
            if isinstance(data, GencliError):
                bad[wanted[member]] = f"{name}: {data.message}"
            else:
                yield Task(wanted[member], name, data)


def _write_header(file: BinaryIO, count: int, form: Form) -> None:
    """The header of a uint8 array. numpy leaves room in it: one for fewer pictures takes the same bytes."""
    shape = (count, form.channels, form.size, form.size)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _report_faults(name: str, faults: Sequence[str], count: int) -> None:
    """Say which pictures were skipped; an error when nothing is left."""
    shown = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
    if len(faults) == count:
        raise GencliError(f"none of the {count} pictures of {name} can be read: {shown}", "are they pictures?")
    log.warning("skipped %d of %d pictures of %s: %s", len(faults), count, name, shown)
