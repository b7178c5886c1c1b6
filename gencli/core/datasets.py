"""From a name, a folder or an archive to a picture set: decoded once, then a memory map of the cache.

An entry's name in the cache is made of the sources' names, sizes and times and of the settings.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gencli.core import cache, catalogue, entries, files
from gencli.core.decode_pool import Crop, Form, Task, decode_many
from gencli.core.drawn import sets
from gencli.core.drawn.sets import DrawnSet
from gencli.core.entries import Known
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import Layout, Listing, NoPartError, Split, arrange_folders, open_sources
from gencli.core.sources import Member, Source
from gencli.core.workers import cores

if TYPE_CHECKING:
    from gencli.core.pictures import PictureSet

log = logging.getLogger("gencli")
Report = Callable[[int, int], None]

VERSION = 1  # of the decoding: raise it when the same file gives other pixels
DRAWN_AT_ONCE = 500  # pictures
FEW, FEW_BYTES = 500, 16 << 20  # so few are decoded before a second process has started


def load(
    data: str | Path | Sequence[str | Path],
    *,
    size: int,
    channels: int = 3,
    split: Split = "train",
    root: str | Path | None = None,
    report: Report | None = None,
    limit: int | None = None,
    crop: Crop | None = None,
) -> PictureSet:
    """Load a picture set: `size` x `size` pixels, antialiased, sRGB (3 channels) or luminance (1).

    `data` is a known name (`catalogue.names()`), a drawn set (`@glyphs`, `@faces:5000`), a folder, a zip or
    tar, a picture, or several of the last three together. `root` is where known sets lie (default
    `GENCLI_HOME/data`). `split` is the part; NoPartError when the set has none such. `limit` takes that many
    pictures, evenly spread over the set. `crop` is what to keep of a picture that is not square (default
    "center"; facades: "left", the photograph). Transparency is laid on white. `report(done, total)` is called
    while decoding.

    Raises UsageError, MissingError (says what to put where), or GencliError when no picture can be read.
    """
    if size < 1 or channels not in {1, 3}:
        raise UsageError(f"cannot make pictures of size {size} with {channels} channels", "channels are 1 or 3")
    if limit is not None and limit < 1:
        raise UsageError(f"cannot load {limit} pictures", "give a limit of 1 or more")
    place = find(data, root)
    usual = "center" if isinstance(place, DrawnSet) else place.crop
    return read(place, Form(size, channels, crop or usual), split, report, limit)


def read(
    place: Layout | DrawnSet,
    form: Form,
    split: Split = "train",
    report: Report | None = None,
    limit: int | None = None,
    listing: Listing | None = None,
) -> PictureSet:
    """Load one part of a set, as `load` does; of what lies on the disk perhaps another `listing` than the usual."""
    if isinstance(place, DrawnSet):
        return _drawn(place, Form(form.size, form.channels), split, limit, report)
    layout, own = place, listing

    def build(entry: Path) -> None:
        listing = _limited(layout.arrange(split) if own is None else own, limit)
        if not listing.items:
            raise GencliError(f"no pictures of {layout.name} for {split} in {layout.where}")
        entries.build(
            entry, layout.name, len(listing.items), form, lambda path: _decode(path, layout.name, listing, form, report)
        )

    stamps = [source.stamp() for source in layout.sources]
    if own is not None:  # which pictures, and in what order
        names = [[str(item.source.path), item.member.name] for item in own.items]
        stamps += ["listed", hashlib.sha256(json.dumps(names).encode()).hexdigest()]
    return cache.find(_entry(layout.name, form, split, limit, stamps), entries.open_entry, build)


def _drawn(drawn: DrawnSet, form: Form, split: Split, limit: int | None, report: Report | None) -> PictureSet:
    """A part of a drawn set."""
    count = min(drawn.part(split), limit or drawn.count)

    def fill(path: Path) -> Known:
        truths = []
        with path.open("wb") as file:
            entries.write_header(file, count, form)
            for first in range(0, count, DRAWN_AT_ONCE):
                many = min(DRAWN_AT_ONCE, count - first)
                pixels, truth = drawn.pictures(split, form.size, form.channels, first, many)
                file.write(pixels.tobytes())
                truths.append(truth)
                if report:
                    report(first + many, count)
        truth = np.concatenate(truths)
        if drawn.classes:
            return Known(count, truth, drawn.classes)
        return Known(count, attributes=truth, attribute_names=drawn.attributes)

    place = _entry(drawn.name, form, split, count, ["drawn", sets.VERSION])
    return cache.find(place, entries.open_entry, lambda entry: entries.build(entry, drawn.name, count, form, fill))


def train_and_test(
    data: str | Path | Sequence[str | Path],
    *,
    size: int,
    channels: int = 3,
    root: str | Path | None = None,
    report: Report | None = None,
    limit: int | None = None,
    crop: Crop | None = None,
    held_out: float | None = 0.05,
    seed: int = 0,
) -> tuple[PictureSet, PictureSet]:
    """The part to train on and the part never trained on: the set's own, or a fraction `held_out` drawn
    from `seed`; or all of it, twice, where that is None.

    The other arguments and the errors are those of `load`.
    """

    def part(split: Split) -> PictureSet:
        return load(data, size=size, channels=channels, split=split, root=root, report=report, limit=limit, crop=crop)

    train = part("train")
    try:
        return train, part("test")
    except NoPartError:
        return (train, train) if held_out is None else train.split(held_out, seed)


def one_or_many(data: Sequence[str]) -> str | Sequence[str]:
    """What `--data` was given, as `load` takes it."""
    return data[0] if len(data) == 1 else data


def chosen_form(data: Sequence[str], size: int | None, colors: str) -> tuple[int, int]:
    """Side and channels of pictures to learn from: those asked for (`colors` is grey, rgb or auto), or the set's."""
    usual, channels = catalogue.usual_form(data[0]) if len(data) == 1 else (64, 3)
    return size or usual, {"auto": channels, "grey": 1, "rgb": 3}[colors]


def described(data: Sequence[str], learnt: PictureSet) -> dict[str, Any]:
    """What a model says of the pictures it was trained on, from which they can be found again."""
    return {"names": names(data), "name": learnt.name, "fingerprint": learnt.fingerprint}


def names(data: Sequence[str]) -> list[str]:
    """What `--data` was given, to be found again from elsewhere."""
    return [one if one.startswith("@") or not Path(one).exists() else str(Path(one).absolute()) for one in data]


def find(data: str | Path | Sequence[str | Path], root: str | Path | None = None) -> Layout | DrawnSet:
    """Where the pictures of `data` are, or how they are drawn. A known set that is not there is downloaded if that can
    be done.

    Raises UsageError for a name that means nothing, MissingError for a known set that has to be put there.
    """
    if isinstance(data, str) and data.startswith("@"):
        return sets.find(data)
    if isinstance(data, str) and data in catalogue.names():
        return catalogue.find(data, Path(root) if root else files.home() / "data")
    paths = [Path(one).expanduser() for one in ([data] if isinstance(data, str | Path) else data)]
    if len(paths) == 1 and not paths[0].exists():
        raise UsageError(
            f"{data} is neither a known picture set nor a file or folder",
            f"known sets: {', '.join(catalogue.names())}",
        )
    sources = [source for path in paths for source in open_sources(path)]
    name = paths[0].absolute().name.split(".")[0] or "pictures"
    return Layout(name, paths[0], sources, lambda split: arrange_folders(sources, split))


def _entry(name: str, form: Form, split: Split, limit: int | None, stamps: Sequence[Any]) -> Path:
    """The place in the cache of one part of a set in one form."""
    key = [VERSION, name, split, limit, form.size, form.channels, form.crop, stamps]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache.folder("pictures") / f"{name}-{split}-{form.size}-{digest[:16]}"


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


def _decode(path: Path, name: str, listing: Listing, form: Form, report: Report | None) -> Known:
    """Decode a listing into an array file; what is known of those that could be decoded."""
    count, bad = len(listing.items), dict[int, str]()  # what is wrong, by row
    with path.open("w+b") as file:
        entries.write_header(file, count, form)
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
            entries.write_header(file, len(good), form)
            assert file.tell() == start
        file.flush()
        os.fsync(file.fileno())
    kept = _picked(listing, good)
    return Known(len(good), kept.labels, kept.classes, kept.attributes, kept.attribute_names)


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


def _report_faults(name: str, faults: Sequence[str], count: int) -> None:
    """Say which pictures were skipped; an error when nothing is left."""
    shown = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
    if len(faults) == count:
        raise GencliError(f"none of the {count} pictures of {name} can be read: {shown}", "are they pictures?")
    log.warning("skipped %d of %d pictures of %s: %s", len(faults), count, name, shown)
