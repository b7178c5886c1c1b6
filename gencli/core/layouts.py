"""How pictures are arranged in folders and archives: which part they belong to, and their labels.

The rule for any folder or archive: leading folders that hold everything are ignored; a level with a folder
`train` (and `test`, `val` …) tells the parts; the first level below it, when all pictures lie in two or
more folders there, tells the labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from gencli.core.decode_pool import Crop
from gencli.core.errors import GencliError, UsageError
from gencli.core.sources import Folder, Member, Source, is_archive, is_picture, open_source

Split = Literal["train", "test", "val"]

_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
}
_CHOICE = {"train": ("train",), "test": ("test", "val"), "val": ("val", "test")}


class NoPartError(UsageError):
    """The set has no such part (such as "test") of its own; hold one out with `PictureSet.split`."""


class Item(NamedTuple):
    """A picture of a source, and its path below the level that tells the parts."""

    source: Source
    member: Member
    path: str


@dataclass(frozen=True)
class Listing:
    """The pictures of one part of a set, in order, with what is known of each."""

    items: Sequence[Item]
    labels: Sequence[int] | None = None
    classes: tuple[str, ...] = ()
    attributes: Sequence[Sequence[bool]] | None = None
    attribute_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """A picture set found on the disk. `sources` is everything its contents depend on; `arrange` reads
    them and lists one part; `crop` is what to keep of each picture unless the user says otherwise."""

    name: str
    where: Path
    sources: Sequence[Source]
    arrange: Callable[[Split], Listing]
    crop: Crop = "center"


@dataclass
class Parts:
    """Pictures by part ("" where there is no such level), each part sorted by path."""

    items: dict[str, list[Item]]
    others: Counter[str] = field(default_factory=Counter)  # files that are no pictures, by suffix

    def choose(self, split: Split) -> list[str]:
        """The parts that can serve as `split`, best first; never empty. Raises NoPartError."""
        if "" in self.items:
            chosen = [""] if split == "train" else []
        else:
            chosen = [part for part in _CHOICE[split] if part in self.items]
        if not chosen:
            raise NoPartError(
                f"the pictures have no part named {split}"
                + ("" if "" in self.items else f", only {', '.join(sorted(self.items))}"),
                f"put them into folders train and {split}",
            )
        return chosen


def open_sources(path: Path) -> list[Source]:
    """The source at `path`; the archives in it if it is a folder of archives without pictures (shards)."""
    source = open_source(path)
    if isinstance(source, Folder) and not any(is_picture(member.name) for member in source.members):
        archives = [m.name for m in source.members if is_archive(m.name) and "/" not in m.name]
        return [open_source(path / name) for name in archives] or [source]
    return [source]


def gather(sources: Iterable[Source]) -> Parts:
    """List the pictures of all sources together, by part. Raises GencliError if there is none."""
    sources = list(sources)
    found: list[Item] = []
    others: Counter[str] = Counter()
    for source in sources:
        for member in source.members:
            if is_picture(member.name):
                found.append(Item(source, member, member.name))
            else:
                others[Path(member.name).suffix.lower() or "without suffix"] += 1
    if not found:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        raise GencliError(
            f"no pictures in {', '.join(str(source.path) for source in sources)}: found "
            + (f"{others.total()} files: {kinds}" if others else "no files at all"),
            "pictures (.jpg, .png, .webp …) are expected, in folders of any depth, or a zip or tar of them",
        )
    found = _without_common_folders(found)
    tops = {item.path.split("/", 1)[0] for item in found if "/" in item.path}
    parts = {top: _part(top) for top in tops}
    items: dict[str, list[Item]] = {}
    if any(part and part[0] == "train" for part in parts.values()) or (tops and all(parts.values())):
        for item in found:
            top, _, rest = item.path.partition("/")
            if part := parts.get(top):
                items.setdefault(part[0], []).append(item._replace(path=part[1] + rest))
    else:
        items[""] = found
    return Parts({part: sorted(some, key=lambda item: item.path) for part, some in items.items()}, others)


def arrange_folders(sources: Iterable[Source], split: Split) -> Listing:
    """List one part by the rule for any folder or archive: labels from the first folder level."""
    parts = gather(sources)
    labelled = {part: folders for part, items in parts.items.items() if len(folders := _folders(items)) > 1}
    classes = tuple(sorted(set().union(*labelled.values())))
    candidates = parts.choose(split)
    for part in candidates:
        if (folders := _folders(parts.items[part])) and folders <= set(classes):
            return labelled_listing(parts.items[part], classes)
    return Listing(parts.items[candidates[0]])


def labelled_listing(items: Sequence[Item], classes: Sequence[str], names: Sequence[str] = ()) -> Listing:
    """A listing with labels from the first folder of each path, numbered as in `classes`; `names` are
    what people call them. Raises GencliError for a folder that is no class."""
    number = {folder: label for label, folder in enumerate(classes)}
    try:
        labels = [number[item.path.split("/", 1)[0]] for item in items]
    except KeyError as error:
        raise GencliError(
            f"{items[0].source.path} has pictures of a class {error} that its list of classes lacks"
        ) from error
    return Listing(items, labels, tuple(names or classes))


def _folders(items: Sequence[Item]) -> set[str]:
    """The first folders of the pictures; none when any picture lies beside them."""
    if any("/" not in item.path for item in items):
        return set()
    return {item.path.split("/", 1)[0] for item in items}


def _without_common_folders(items: list[Item]) -> list[Item]:
    """Drop the leading folders that hold everything, but for one that tells a part."""
    while True:
        tops = {item.path.partition("/")[0] if "/" in item.path else "" for item in items}
        if len(tops) > 1 or "" in tops or _part(next(iter(tops))):
            return items
        items = [item._replace(path=item.path.partition("/")[2]) for item in items]


def _part(folder: str) -> tuple[str, str] | None:
    """The part a folder's name tells, and what is left of it for the path: `trainA` is class A of train
    (CycleGAN's layout)."""
    if part := _PARTS.get(folder.lower()):
        return part, ""
    if folder.endswith(("A", "B")) and (part := _PARTS.get(folder[:-1].lower())):
        return part, folder[-1] + "/"
    return None
