"""The options of making films of films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from gencli.core.options import Flag, Options


@dataclass(frozen=True)
class Filming(Options):
    """How films are made of films."""

    panel: ClassVar[str] = "Films"

    temporal: Annotated[
        float, Flag("Against flicker: how much of what was made before stays where nothing has changed.", 0, 1)
    ] = 0.8
    fps: Annotated[float | None, Flag("Pictures a second.", 0.1, 240, shown_default="the film's")] = None
    resume: Annotated[bool, Flag("Go on with a film that was interrupted, from the pictures it has.")] = False
