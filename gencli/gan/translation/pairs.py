"""Two kinds of pictures to learn from, those that belong together beside each other where they are pairs."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from gencli.core import catalogue, datasets
from gencli.core.errors import UsageError
from gencli.core.layouts import Item, Listing, NoPartError, Split
from gencli.core.pictures import PictureSet
from gencli.core.stages import Report
from gencli.gan.translation.kinds import Kind, tell_apart

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
    sources = tell_apart(places, split, known=data[0] in catalogue.names())
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


def _part(
    sources: tuple[Kind, Kind], split: Split, size: int, paired: bool, limit: int | None, report: Report
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


def _matched(listings: Sequence[Listing], sources: Sequence[Kind]) -> list[Listing]:
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


def _path(item: Item, kind: Kind) -> str:
    """A picture's path without its kind's folder and its ending."""
    path = PurePosixPath(item.path)
    if kind.label is not None:
        path = path.relative_to(path.parts[0])
    return str(path.with_suffix(""))


def _stem(item: Item, kind: Kind) -> str:
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
