"""Names of classes and attributes, as data sets spell them and as people type them."""

from __future__ import annotations

from collections.abc import Collection

SAME = str.maketrans("_ ", "--")


def known_as(name: str, names: Collection[str]) -> str | None:
    """That of `names` which a person means by `name`: in whatever case, and with a hyphen, an underscore or a space.

    None when it is none of them.
    """
    if name in names:  # there may be an `a` beside an `A`
        return name
    return {_plain(one): one for one in names}.get(_plain(name))


def _plain(name: str) -> str:
    return name.strip().casefold().translate(SAME)
