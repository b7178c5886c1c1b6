"""Where two kinds of pictures are, and how they are told apart: two places, folders of one, halves of each picture, or
what is known of a set's pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from gencli.core import datasets
from gencli.core.decode import open_picture
from gencli.core.decode_pool import Crop, Form
from gencli.core.drawn.sets import DrawnSet
from gencli.core.errors import GencliError, UsageError
from gencli.core.layouts import Item, Layout, Listing, Split
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


@dataclass(frozen=True)
class Kind:
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


def tell_apart(places: Sequence[Layout | DrawnSet], split: str | None, *, known: bool) -> tuple[Kind, Kind]:
    """Where both kinds are: two places, or how `split` says that one is two, or what can be seen of it. Of a `known`
    set names tell no pairs.

    Raises UsageError where they cannot be told apart, with what was found and what was expected.
    """
    if len(places) == 2:
        one, other = (Kind(place, place.name, named=not isinstance(place, DrawnSet)) for place in places)
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
            return tell_apart([datasets.find(place.where / kind) for kind in listing.classes], None, known=False)
        return _classes(place, listing.classes, known=known)
    if listing.items and (split or (known and place.name == "facades") or _all_wide(listing.items)):
        return Kind(place, "left", crop="left"), Kind(place, "right", crop="right")
    raise _not_told_apart(place, listing)


def _classes(place: Layout | DrawnSet, names: Sequence[str], *, known: bool) -> tuple[Kind, Kind]:
    named = not known and not isinstance(place, DrawnSet)
    first, second = (Kind(place, name, name, named=named) for name in names)
    return first, second


def _named(place: Layout | DrawnSet, listing: Listing, split: str, *, known: bool) -> tuple[Kind, Kind]:
    """Pictures without an attribute and others with it, or those of two classes."""
    if (attribute := known_as(split, listing.attribute_names)) is not None:
        without, has = (
            Kind(place, f"{word} {attribute}", attribute=(attribute, there), named=False)
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
    rows = sorted({index * (len(items) - 1) // (LOOKED_AT - 1) for index in range(LOOKED_AT)}) if items else []
    ratios = []
    for item in map(items.__getitem__, rows):
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
