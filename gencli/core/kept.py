"""Frames kept while a film is made, so that nothing is lost when it is interrupted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from gencli.core import outputs
from gencli.core.decode import open_picture
from gencli.core.errors import GencliError, UsageError

MADE_BY, SEED = "Made by", "Seed"  # the texts of a frame's file that say how it was made


@dataclass
class Frames:
    """Frames kept as files while a film is made, so that an interrupted one can be gone on with.

    `count` of them are there, made with `seed`. `folder` None keeps none.
    """

    folder: Path | None
    made_by: str
    seed: int
    count: int = 0

    @classmethod
    def begin(
        cls,
        film: Path | None,
        made_by: Mapping[str, Any],
        seed: int | None,
        new_seed: Callable[[], int],
        resume: bool,
    ) -> Frames:
        """Those of a film that is to be written there, in a folder beside it, or none yet. A seed that is not given is
        theirs, or drawn by `new_seed`.

        Raises UsageError where there are frames and `resume` is not wanted, or where they were made otherwise.
        """
        folder = film and film.with_name(film.name + ".frames")
        frames = cls(folder, json.dumps(made_by, sort_keys=True), 0)
        while folder and frames._path(frames.count + 1).is_file():
            frames.count += 1
        while frames.count and not frames._sound(frames.count):  # after a power cut, perhaps: it is made again
            frames._path(frames.count).unlink()
            frames.count -= 1
        if not frames.count:
            frames.seed = new_seed() if seed is None else seed
            return frames
        if not resume:
            raise UsageError(
                f"{folder} holds {frames.count} frames of a film that was not finished",
                "go on with it: --resume; or remove the folder",
            )
        with Image.open(frames._path(frames.count)) as last:
            frames.seed = int(last.info.get(SEED, 0))
            if last.info.get(MADE_BY) != frames.made_by or seed not in {None, frames.seed}:
                raise UsageError(
                    f"the frames in {folder} were made with other options", "use the same, or remove the folder"
                )
        return frames

    def _sound(self, number: int) -> bool:
        try:
            self.take(number)
        except GencliError:
            return False
        return True

    def keep(self, number: int, frame: Image.Image) -> None:
        """Write a frame, from 1."""
        if self.folder:
            outputs.Target(self._path(number), "PNG").write(frame, {MADE_BY: self.made_by, SEED: str(self.seed)})

    def take(self, number: int) -> Image.Image:
        """A frame as it was written. Raises GencliError when it is damaged."""
        return open_picture(self._path(number))

    def clear(self) -> None:
        """The film is finished."""
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:06}.png"
