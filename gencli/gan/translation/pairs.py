"""Two kinds of pictures to learn from, however they are laid out: pairs side by side in one picture, pairs of the same
name in two folders, two sets of pictures that have nothing to do with each other, or what is known of one set's."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from gencli.core import catalogue, datasets
from gencli.core.decode import open_picture
from gencli.core.decode_pool import Crop, Form
from gencli.core.drawn.sets import DrawnSet
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import Item, Layout, Listing, NoPartError, Split
from gencli.core.names import known_as
from gencli.core.pictures import PictureSet
from gencli.core.sources import contents
from gencli.core.stages import Report

EXPECTED = """one of
  PICTURES/*.jpg                          pairs side by side: the one kind left, the other right
  FOLDER/A/x.jpg       FOLDER/B/x.jpg     two kinds; pairs have the same name
  FOLDER/trainA/x.jpg  FOLDER/trainB/x.jpg, and testA, testB if there are any
  --data A/ --data B/                     two folders
  PICTURES/ and --split Smiling           without and with an attribute; or of two classes: --split cat,dog
  PHOTOGRAPHS/ and --task colorize        or another task, which makes the input"""
LEFT_RIGHT = "left-right"  # the split of pairs side by side
SHOWN = 6  # folders that are named
LOOKED_AT = 8  # pictures, to see whether all are pairs
WIDE = 0.02  # how far a picture may be from twice as wide as high, to be a pair

log = logging.getLogger("gencli")


@dataclass(frozen=True)
class Kinds:
    """Pictures of both kinds, to learn from and held out. In pairs, both sets are as long as each other, and a row of
    the one belongs to that row of the other. With a task there is one kind: what is `before` is made of `after`."""

    before: PictureSet | None
    after: PictureSet
    held_before: PictureSet | None
    held_after: PictureSet
    names: tuple[str, str]

    @property
    def counts(self) -> list[int]:
        """How many there are of each kind, learnt from and held out."""
        return [len(kind or ()) for kind in (self.before, self.after, self.held_before, self.held_after)]


def load(
    data: Sequence[str],
    *,
    size: int,
    paired: bool,
    task: bool = False,
    split: str | None = None,
    direction: str | None = None,
    held_out: float | None = 0.05,
    root: str | Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> Kinds:
    """Find and load what `--data` names, `size` pixels a side.

    `split` says how one set is two kinds: "left-right", halves of each picture; `Smiling`, pictures without an
    attribute and others with it; `cat,dog`, those of two classes. `limit` is the most of each kind. Without a test part
    a share `held_out` is held out; None holds out all, for one that has learnt from others.

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
    if len(data) == 2 and split is not None:
        raise UsageError(f"--split {split} is for one set that holds both kinds", "leave it out, or one --data")
    places = [datasets.find(one, root) for one in data]
    sources = _sources(places, split, known=data[0] in catalogue.names())
    if paired and (kind := next((kind for kind in sources if not kind.named), None)):
        raise UsageError(
            f"there are no pairs of {sources[0].name} and {sources[1].name}",
            f"use --arch cyclegan, or a --task that makes the input of {kind.place.name}",
        )
    if (direction or usual_direction(data)) == "BtoA":
        sources = sources[::-1]
    loaded = {part: _part(sources, part, size, paired, limit, told) for part in ("train", "test")}
    learnt_pair = loaded["train"]
    assert learnt_pair is not None
    before, after = learnt_pair
    if loaded["test"] is not None:
        held_before, held_after = loaded["test"]
    elif held_out is None:
        held_before, held_after = before, after
    elif paired:
        some, held = before.split(held_out, seed)
        held_before = held
        assert some.rows is not None and held.rows is not None
        before, after, held_after = some, _same_rows(after, before, some), _same_rows(after, before, held)
    else:
        (before, held_before), (after, held_after) = before.split(held_out, seed), after.split(held_out, seed)
    names = (sources[0].name, sources[1].name)
    return Kinds(before, after, held_before, held_after, names)


def usual_direction(data: Sequence[str]) -> str:
    """Which kind becomes which where nothing is said: of the set of façades plans, which are right, photographs."""
    return "BtoA" if [*data] == ["facades"] else "AtoB"


@dataclass(frozen=True)
class _Kind:
    """Where pictures of one kind are: those of a set, of its class, or with or without its attribute; or halves of all
    pictures."""

    place: Layout | DrawnSet
    name: str
    label: str | None = None
    attribute: tuple[str, bool] | None = None
    crop: Crop = "center"
    named: bool = True  # whether a picture's name tells which of the other kind belongs to it

    def rows(self, known: Listing | PictureSet) -> Sequence[int]:
        """Which of the set's pictures these are; none of a part of which that is not known."""
        if self.attribute is not None:
            name, has = self.attribute
            if known.attributes is None:
                return []
            which = known.attribute_names.index(name)
            return [row for row, values in enumerate(known.attributes) if bool(values[which]) == has]
        if self.label is not None:
            labels = [] if known.labels is None else known.labels
            return [row for row, label in enumerate(labels) if known.classes[label] == self.label]
        return range(len(known.items if isinstance(known, Listing) else known))

    def listing(self, split: Split) -> Listing | None:
        """Those of a part, of a set that lies on the disk."""
        if isinstance(self.place, DrawnSet):
            return None
        found = self.place.arrange(split)
        return Listing([found.items[row] for row in self.rows(found)])

    def read(self, listing: Listing | None, split: Split, size: int, limit: int | None, report: Report) -> PictureSet:
        """The pictures themselves; where there is a listing, their labels are their rows in it, by which those are
        found whose partner cannot be read."""
        form = Form(size, 3, self.crop)
        if isinstance(self.place, DrawnSet):
            whole = datasets.read(self.place, form, split, report)
            some = whole.subset(self.rows(whole))
            return some if limit is None else some.spread(limit)
        assert listing is not None
        numbered = replace(listing, labels=range(len(listing.items)))
        return datasets.read(self.place, form, split, report, limit, numbered)


def _sources(places: Sequence[Layout | DrawnSet], split: str | None, *, known: bool) -> tuple[_Kind, _Kind]:
    """Where both kinds are; of a `known` set names tell no pairs."""
    if len(places) == 2:
        one, other = (_Kind(place, place.name, named=not isinstance(place, DrawnSet)) for place in places)
        return one, other
    (place,) = places
    if isinstance(place, DrawnSet):
        listing = Listing((), None, place.classes, None, place.attributes)
    else:
        listing = place.arrange("train")
    if split is not None and split != LEFT_RIGHT:
        return _named(place, listing, split, known=known)
    if len(listing.classes) == 2 and split is None:
        if isinstance(place, Layout) and all((place.where / kind / "train").is_dir() for kind in listing.classes):
            return _sources([datasets.find(place.where / kind) for kind in listing.classes], None, known=False)
        return _classes(place, listing.classes, known=known)
    if listing.items and (split or _all_wide(listing.items)):
        return _Kind(place, "left", crop="left"), _Kind(place, "right", crop="right")
    raise _not_told_apart(place, listing)


def _classes(place: Layout | DrawnSet, names: Sequence[str], *, known: bool) -> tuple[_Kind, _Kind]:
    named = not known and not isinstance(place, DrawnSet)
    first, second = (_Kind(place, name, name, named=named) for name in names)
    return first, second


def _named(place: Layout | DrawnSet, listing: Listing, split: str, *, known: bool) -> tuple[_Kind, _Kind]:
    """Pictures without an attribute and others with it, or those of two classes."""
    if (attribute := known_as(split, listing.attribute_names)) is not None:
        without, has = (
            _Kind(place, f"{word} {attribute}", attribute=(attribute, there), named=False)
            for word, there in (("without", False), ("with", True))
        )
        return without, has
    labels = [known_as(name, listing.classes) for name in split.split(",")]
    if len({*labels}) == len(labels) == 2 and None not in labels:
        return _classes(place, [str(label) for label in labels], known=known)
    raise UsageError(
        f"--split {split} is neither an attribute of {place.name} nor two of its classes", _choice(listing) or EXPECTED
    )


def _not_told_apart(place: Layout | DrawnSet, listing: Listing) -> UsageError:
    """What to say where nothing tells two kinds apart."""
    said = "two kinds of pictures cannot be told apart"
    if isinstance(place, DrawnSet) or listing.attribute_names:
        return UsageError(f"{place.name}: {said}", _choice(listing))
    return UsageError(f"{place.where}: {said}; found\n{_tree(listing)}", f"expected {EXPECTED}")


def _choice(listing: Listing) -> str:
    """What `--split` may name of a set; nothing where there is nothing."""
    if listing.attribute_names:
        return f"--split takes one of its attributes: {', '.join(listing.attribute_names)}"
    if len(listing.classes) > 1:
        return f"--split takes two of its classes, as {','.join(listing.classes[:2])}: {', '.join(listing.classes)}"
    return ""


def _all_wide(items: Sequence[Item]) -> bool:
    """Whether pictures, by a few of them, are twice as wide as high."""
    chosen = [items[index * (len(items) - 1) // (LOOKED_AT - 1)] for index in range(LOOKED_AT)] if items else []
    ratios = []
    for item in chosen:
        with suppress(GencliError):  # what cannot be read is left out later, and said
            for _, data in item.source.read([item.member]):
                picture = open_picture(contents(data))
                ratios.append(picture.width / picture.height)
    return bool(ratios) and all(abs(ratio - 2) <= WIDE for ratio in ratios)


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
    listed = [listing for listing in listings if listing is not None]
    if split == "test" and not all(listing.items for listing in listed):
        return None
    if paired and sources[0].crop == "center":
        listings = [*_matched(listed, sources)]
    one, other = (
        kind.read(listing, split, size, limit, report) for kind, listing in zip(sources, listings, strict=True)
    )
    if not (len(one) and len(other)):
        if split == "test":
            return None
        missing = sources[len(one) > 0]
        raise UsageError(f"{missing.place.name} has no picture {missing.name}", "ask for more, as @faces:1000")
    if paired:
        mine, theirs = one.labels, other.labels
        assert mine is not None and theirs is not None
        one = one.subset(torch.isin(mine, theirs).nonzero().flatten())
        other = other.subset(torch.isin(theirs, mine).nonzero().flatten())
    return replace(one, labels=None), replace(other, labels=None)


def _matched(listings: Sequence[Listing], sources: Sequence[_Kind]) -> list[Listing]:
    """Those of the same path, or of the same name where that tells more pairs, in the same order."""
    best: list[Listing] = []
    for name in (_path, _stem):
        named = []
        for listing, kind in zip(listings, sources, strict=True):
            keys = [name(item, kind) for item in listing.items]
            often = Counter(keys)  # a name of several pictures tells nothing
            named.append({key: item for key, item in zip(keys, listing.items, strict=True) if often[key] == 1})
        both = sorted(named[0].keys() & named[1].keys())
        if both and (not best or len(both) > len(best[0].items)):
            best = [Listing([one[key] for key in both]) for one in named]
    if best:
        alone = [len(listing.items) - len(best[0].items) for listing in listings]
        if any(alone):
            told = [f"{count:,} of {kind.name}" for count, kind in zip(alone, sources, strict=True) if count]
            log.warning("left out pictures without a partner of the same name: %s", " and ".join(told))
        return best
    examples = [f"  {kind.name}: {', '.join([*one][:3])} …" for one, kind in zip(named, sources, strict=True)]
    raise UsageError(
        "no picture of the one kind has the name of one of the other; found\n" + "\n".join(examples),
        "pairs have the same name in both folders; pictures that are no pairs are for --arch cyclegan",
    )


def _path(item: Item, kind: _Kind) -> str:
    """A picture's path without its kind's folder and its ending."""
    path = PurePosixPath(item.path)
    if kind.label is not None:
        path = path.relative_to(path.parts[0])
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
