"""What a generator can be told to draw: classes of a set, or what combinations of its attributes there are."""

from __future__ import annotations

from dataclasses import replace

import torch

from gencli.core.errors import UsageError
from gencli.core.names import known_as
from gencli.core.pictures import PictureSet

LABELS = "labels"  # --conditional without a value: the classes of the set
MOST = 6  # attributes together: 64 combinations
NEITHER = "none"  # the combination without any


def labelled(pictures: PictureSet, conditional: str | None) -> PictureSet:
    """The set with the labels and classes that `conditional` asks for: none, its own, or of attributes.

    `Smiling,Male` makes the classes none, Smiling, Male, Smiling+Male. Raises UsageError when the set does not know
    them.
    """
    if conditional is None:
        return replace(pictures, labels=None, classes=())
    if conditional == LABELS:
        if pictures.labels is None or len(pictures.classes) < 2:
            raise UsageError(
                f"{pictures.name} has no classes for --conditional",
                "put the pictures of each class into a folder of its own"
                + (f", or name attributes: {', '.join(pictures.attribute_names)}" if pictures.attribute_names else ""),
            )
        return pictures
    names = [_known(pictures, name.strip()) for name in conditional.split(",")]
    if len(names) > MOST:
        raise UsageError(f"--conditional with {len(names)} attributes makes too many classes", f"name at most {MOST}")
    assert pictures.attributes is not None
    columns = [pictures.attribute_names.index(name) for name in names]
    labels = (pictures.attributes[:, columns].long() << torch.arange(len(columns))).sum(1)
    return replace(pictures, labels=labels, classes=combinations(names))


def combinations(names: list[str]) -> tuple[str, ...]:
    """Names of all combinations of attributes: that of number k has those whose bits are set in k."""
    return tuple(
        "+".join(name for bit, name in enumerate(names) if number >> bit & 1) or NEITHER
        for number in range(1 << len(names))
    )


def _known(pictures: PictureSet, name: str) -> str:
    if (found := known_as(name, pictures.attribute_names)) is None:
        raise UsageError(
            f"{pictures.name} has no attribute {name}",
            f"it has {', '.join(pictures.attribute_names)}" if pictures.attribute_names else "use --conditional labels",
        )
    return found
