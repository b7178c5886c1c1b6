"""Names of classes and attributes, as data sets spell them and as people type them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gencli.core.errors import UsageError

SAME = str.maketrans("_ ", "--")


def known_as(name: str, names: Collection[str]) -> str | None:
    """That of `names` which a person means by `name`: in whatever case, and with a hyphen, an underscore or a space.

    None when it is none of them.
    """
    if name in names:  # there may be an `a` beside an `A`
        return name
    return {_plain(one): one for one in names}.get(_plain(name))


def class_number(name: str, classes: Sequence[str], model: str) -> int:
    """The number of a class of a model. Raises UsageError when it has no classes, or none of that name."""
    if not classes:
        raise UsageError(f"{model} has not learnt classes", "train one with --conditional")
    if (found := known_as(name, classes)) is None:
        raise UsageError(f"{model} has no class {name}", f"it has {', '.join(classes)}")
    return classes.index(found)


def _plain(name: str) -> str:
    return name.strip().casefold().translate(SAME)
