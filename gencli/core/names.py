"""Names of classes and attributes, as data sets spell them and as people type them."""

from __future__ import annotations

from collections.abc import Iterable

SAME = str.maketrans("_ ", "--")


def known_as(name: str, names: Iterable[str]) -> str | None:
    """That of `names` which a person means by `name`: in whatever case, and with a hyphen, an underscore or a space.

    None when it is none of them.
    """
    return {_plain(one): one for one in names}.get(_plain(name))


def _plain(name: str) -> str:
    return name.strip().casefold().translate(SAME)
