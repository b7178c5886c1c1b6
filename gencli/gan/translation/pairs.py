"""Two kinds of pictures to learn from, however they are laid out: pairs side by side in one picture, pairs of the same
name in two folders, or two folders of pictures that have nothing to do with each other."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import torch

from gencli.core import datasets
from gencli.core.decode import open_picture
from gencli.core.decode_pool import Crop, Form
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import Item, Layout, Listing, NoPartError, Split
from gencli.core.pictures import PictureSet
from gencli.core.stages import Report

EXPECTED = """one of
  PICTURES/*.jpg                          pairs side by side: the one kind left, the other right
  FOLDER/A/x.jpg       FOLDER/B/x.jpg     two kinds; pairs have the same name
  FOLDER/trainA/x.jpg  FOLDER/trainB/x.jpg, and testA, testB if there are any
  --data A/ --data B/                     two folders
  PHOTOGRAPHS/ and --task colorize        or another task, which makes the input"""
SHOWN = 6  # folders that are named
WIDE = 0.02  # how far a picture may be from twice as wide as high, to be a pair


@dataclass(frozen=True)
class Kinds:
    """Pictures of both kinds, to learn from and held out. In pairs, both sets are as long as each other, and a row of
    the one belongs to that row of the other. With a task there is one kind: what is `before` is made of `after`."""

    before: PictureSet | None
    after: PictureSet
    held_before: PictureSet | None
    held_after: PictureSet
    names: tuple[str, str]


def load(
    data: Sequence[str],
    *,
    size: int,
    paired: bool,
    task: bool = False,
    side_by_side: bool = False,
    direction: str | None = None,
    held_out: float = 0.05,
    root: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Kinds:
    """Find and load what `--data` names, `size` pixels a side.

    Raises UsageError for what cannot be told apart or does not belong together, with what was found and what was
    expected; and what `datasets.load` does.
    """
    told = report or (lambda done, total: None)
    if task:
        many = datasets.one_or_many(data)
        learnt, held = datasets.train_and_test(
            many, size=size, root=root, report=told, limit=limit, held_out=held_out, seed=seed
        )
        return Kinds(None, learnt, None, held, ("inputs", learnt.name))
    if len(data) > 2:
        raise UsageError(f"--data was given {len(data)} times for two kinds of pictures", "give one folder, or two")
    layouts = [datasets.find(one, root) for one in data]
    sources = _sources(layouts, side_by_side)
    if direction == "BtoA" or (direction is None and layouts[0].name == "facades"):
        sources = sources[::-1]
    loaded = {part: _part(sources, part, size, paired, limit, told) for part in ("train", "test")}
    learnt_pair = loaded["train"]
    assert learnt_pair is not None
    before, after = learnt_pair
    if loaded["test"] is not None:
        held_before, held_after = loaded["test"]
    elif paired:
        some, held = before.split(held_out, seed)
        held_before = held
        assert some.rows is not None and held.rows is not None
        before, after, held_after = some, _same_rows(after, before, some), _same_rows(after, before, held)
    else:
        (before, held_before), (after, held_after) = before.split(held_out, seed), after.split(held_out, seed)
    names = (sources[0].name, sources[1].name)
    return Kinds(before, after, held_before, held_after, names)


@dataclass(frozen=True)
class _Kind:
    """Where pictures of one kind are: those of a folder's class, or halves of all pictures."""

    layout: Layout
    name: str
    label: str | None = None
    crop: Crop = "center"

    def listing(self, split: Split) -> Listing:
        found = self.layout.arrange(split)
        if self.label is None:
            return Listing(found.items)
        number = found.classes.index(self.label)
        assert found.labels is not None
        return Listing([item for item, label in zip(found.items, found.labels, strict=True) if label == number])


def _sources(layouts: Sequence[Layout], side_by_side: bool) -> tuple[_Kind, _Kind]:
    """Where both kinds are."""
    if len(layouts) == 2:
        one, other = layouts
        return _Kind(one, one.name), _Kind(other, other.name)
    (layout,) = layouts
    listing = layout.arrange("train")
    if len(listing.classes) == 2 and not side_by_side:
        first, second = listing.classes
        return _Kind(layout, first, first), _Kind(layout, second, second)
    if side_by_side or layout.name == "facades" or _all_wide(listing.items):
        return _Kind(layout, "left", crop="left"), _Kind(layout, "right", crop="right")
    raise UsageError(
        f"{layout.where}: two kinds of pictures cannot be told apart; found\n{_tree(listing)}", f"expected {EXPECTED}"
    )


def _all_wide(items: Sequence[Item]) -> bool:
    """Whether pictures, by a few of them, are twice as wide as high."""
    chosen = [items[index * (len(items) - 1) // 3] for index in range(4)] if items else []
    for item in chosen:
        for _, data in item.source.read([item.member]):
            if isinstance(data, GencliError):
                return False
            picture = open_picture(data, name=item.path)
            if abs(picture.width / picture.height - 2) > WIDE:
                return False
    return bool(chosen)


def _tree(listing: Listing) -> str:
    """What there is, folder by folder."""
    folders = Counter(str(PurePosixPath(item.member.name).parent) for item in listing.items)
    lines = [f"  {folder}/  {count:,} pictures" for folder, count in sorted(folders.items())]
    more = [f"  and {len(lines) - SHOWN} more folders"] if len(lines) > SHOWN else []
    return "\n".join([*lines[:SHOWN], *more]).replace("  ./", "  (no folder)")


def _part(
    sources: tuple[_Kind, _Kind], split: Split, size: int, paired: bool, limit: int | None, report: Report
) -> tuple[PictureSet, PictureSet] | None:
    """Both kinds of a part; None where there is no such part."""
    try:
        listings = [kind.listing(split) for kind in sources]
    except NoPartError:
        if split == "train":
            raise
        return None
    if split == "test" and not all(listing.items for listing in listings):
        return None
    if paired and sources[0].crop == "center":
        listings = _matched(listings, sources)
    sets = []
    for kind, listing in zip(sources, listings, strict=True):
        # the row of each, by which those are found whose partner cannot be read
        numbered = replace(listing, labels=range(len(listing.items)))
        layout = replace(kind.layout, name=f"{kind.layout.name}-{kind.name}", arrange=partial(_given, numbered))
        sets.append(datasets.from_layout(layout, Form(size, 3, kind.crop), split, report, limit))
    one, other = sets
    if paired:
        mine, theirs = one.labels, other.labels
        assert mine is not None and theirs is not None
        one = one.subset(torch.isin(mine, theirs).nonzero().flatten())
        other = other.subset(torch.isin(theirs, mine).nonzero().flatten())
    return replace(one, labels=None), replace(other, labels=None)


def _given(listing: Listing, split: Split) -> Listing:
    """What is arranged already."""
    return listing


def _matched(listings: Sequence[Listing], sources: Sequence[_Kind]) -> list[Listing]:
    """Those of the same path, or else of the same name, in the same order."""
    named: list[dict[str, Item]] = []
    for name in (_path, _stem):
        each = zip(listings, sources, strict=True)
        named = [{name(item, kind): item for item in listing.items} for listing, kind in each]
        if both := sorted(named[0].keys() & named[1].keys()):
            return [Listing([one[key] for key in both]) for one in named]
    examples = [f"  {kind.name}: {', '.join([*one][:3])} …" for one, kind in zip(named, sources, strict=True)]
    raise UsageError(
        "no picture of the one kind has the name of one of the other; found\n" + "\n".join(examples),
        "pairs have the same name in both folders; pictures that are no pairs are for --arch cyclegan",
    )


def _path(item: Item, kind: _Kind) -> str:
    """A picture's path without its kind's folder and its ending."""
    path = PurePosixPath(item.path)
    if kind.label is not None:
        path = path.relative_to(kind.label)
    return str(path.with_suffix(""))


def _stem(item: Item, kind: _Kind) -> str:
    return PurePosixPath(item.path).stem


def _same_rows(others: PictureSet, whole: PictureSet, part: PictureSet) -> PictureSet:
    """Of the others those that belong to a part of the whole."""
    assert part.rows is not None
    if whole.rows is None:
        return others.subset(part.rows)
    place = {row: index for index, row in enumerate(whole.rows.tolist())}
    return others.subset([place[row] for row in part.rows.tolist()])


def together(before: PictureSet, after: PictureSet) -> PictureSet:
    """Pairs as pictures of six channels: what happens to the one by chance happens to the other."""
    digest = hashlib.sha256((before.fingerprint + after.fingerprint).encode()).hexdigest()
    stored = torch.cat([before.pictures, after.pictures], 1)
    return PictureSet(stored, fingerprint=digest, name=after.name)
