"""Pictures made of pictures, each at one look, and films of films: what has not changed stays as it was made."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import animations, clips, images, outputs
from gencli.core.clips import Clip
from gencli.core.decode import DEFAULT_MAX_PIXELS
from gencli.core.errors import GencliError, UsageError
from gencli.core.filming import Filming
from gencli.core.images import Picture, resize
from gencli.core.kept import Frames
from gencli.core.motion import follow
from gencli.core.options import spelling
from gencli.core.pipeline import pipeline
from gencli.core.sources import pictures_in
from gencli.core.stages import Report

if TYPE_CHECKING:
    from gencli.core.console import Console

TOLERANCE = 0.04  # a pixel that has changed by so much counts as the same by three fifths
AROUND = 5  # pixels a side that are judged together


@dataclass(frozen=True)
class Errand:
    """What becomes of pictures: where results go, and what is left out. `doing` is what the bar says."""

    doing: str
    output: str | None = None
    format: str | None = None
    strict: bool = False
    skip_existing: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS

    def is_film(self, sources: Sequence[str], filming: Filming) -> bool:
        """Whether a film is made, and not pictures. Raises UsageError for a film among other things, and for options
        of the one with the other."""
        # a folder may be either: it is a film where a film is wanted
        moving = filming.given or (self.output and animations.is_film_name(self.output))
        films = [one for one in sources if (moving if Path(one).is_dir() else clips.is_clip(Path(one)))]
        if films and len(sources) > 1:
            raise UsageError(f"{films[0]} is a film, which is made by itself", "make one after another")
        if filming.given and not films:
            raise UsageError(f"{spelling(min(filming.given))} is for films", "name a film, or a folder of its frames")
        for flag, given in (("--strict", self.strict), ("--skip-existing", self.skip_existing)):
            if films and given:
                raise UsageError(f"{flag} is for pictures, and this is a film", "leave it out")
        return bool(films)

    def pictures(
        self,
        console: Console,
        sources: Sequence[str],
        look: Callable[[Picture], Image.Image],
        read: Callable[[str], Picture],
        suffix: str,
        record: Mapping[str, Any],
        seed: int | None = None,
    ) -> None:
        """Make one of each picture, and of each in folders: one is read and one written while one is made. Results are
        called after pictures, with a `suffix`; none is made again of those that lie in a folder of results. `seed` is
        what chance had its part by, if it had one."""
        results = Path(self.output) if self.output and outputs.is_folder(self.output) else None
        folders = [Path(source) for source in sources if source != "-" and Path(source).is_dir()]
        sources = pictures_in(sources, results)
        if sources.count("-") > 1:
            raise UsageError("standard input can be read once only", "name one picture `-`")
        names = [_name(source, folders) for source in sources]
        plan = partial(outputs.plan, output=self.output, suffix=suffix, format=self.format)
        if folders and suffix and (self.output is None or results):
            left_out = _results_among(sources, folders, [target.base for target in plan(names, fresh=False)])
            if left_out:
                console.note(f"left out as results of an earlier call: {len(left_out)} pictures")
                sources = [source for source in sources if source not in left_out]
                names = [_name(source, folders) for source in sources]
        targets = plan(names, fresh=not self.skip_existing)
        jobs = [
            job
            for job in zip(sources, targets, strict=True)
            if not (self.skip_existing and job[1].path and outputs.exists(job[1].path))
        ]
        note = outputs.note(seed)
        failed, began = 0, time.monotonic()
        with console.bar(self.doing, units="pictures") as bar:
            made = pipeline(jobs, lambda job: read(job[0]), look, lambda job, image: job[1].write(image, note))
            try:
                for done, (job, result) in enumerate(made, 1):
                    if isinstance(result, GencliError):
                        if len(sources) == 1:
                            raise result
                        failed += 1
                        told = result.message
                        console.warn(told if job[0] in told else f"{job[0]}: {told}")
                    else:
                        seconds, began = time.monotonic() - began, time.monotonic()
                        how = {**record, "seed": seed, "seconds": round(seconds, 3)}
                        console.made(result, {"content": job[0], **how})
                    bar.update(done, len(jobs))
            except KeyboardInterrupt:
                if len(jobs) > 1:
                    console.note("what is made stays; the same command with --skip-existing makes the rest")
                raise
        if failed and (self.strict or failed == len(sources)):
            raise GencliError(f"{failed} of {len(jobs)} pictures could not be made", "see the warnings above")

    def film(
        self,
        console: Console,
        source: str,
        look: Callable[[Picture], Image.Image],
        filming: Filming,
        suffix: str,
        record: Mapping[str, Any],
        made_by: Mapping[str, Any],
        seed: int | None = None,
        depends_on: Sequence[str | Path] = (),
    ) -> None:
        """Make a film of a film; `made_by` is what its pictures depend on, beside the film and the files
        `depends_on`."""
        clip = clips.open_clip(Path(source), self.max_pixels)
        place = animations.plan(images.stem(source), self.output, suffix=suffix, format=self.format)
        all_of_it = {"source": source, **record, **made_by, "temporal": filming.temporal}
        all_of_it["files"] = [_state(Path(one)) for one in (source, *depends_on)]
        kept = Frames.begin(place.target.path, all_of_it, seed or 0, lambda: 0, filming.resume)
        painting = Painting(clip, look, filming.temporal, kept)
        fps = filming.fps or clip.fps
        began = time.monotonic()
        with console.bar(f"{self.doing} {images.stem(source)}", units="pictures") as bar:
            try:
                sound = clip.sound if fps == clip.fps else None
                made = place.write(painting.frames(bar.update), outputs.note(seed), fps=fps, sound=sound)
            except KeyboardInterrupt:
                if kept.folder:
                    console.note("the pictures that are finished are kept; the same command with --resume goes on")
                raise
        kept.clear()
        how = {**record, "seed": seed, "seconds": round(time.monotonic() - began, 3)}
        flicker = painting.flicker
        for one in made:
            console.made(one, {"source": source, "fps": fps, "flicker": flicker, **how})
        if flicker is not None:
            console.note(f"neighbouring pictures differ {flicker:.2f} times as much as the film's own")


class Painting:
    """A film as it is made anew, and how much it flickers.

    `look` makes a picture of one. `temporal` is how much of what was made before stays, where the film has not changed:
    moved along with what it shows, where OpenCV is there to see it move.
    """

    def __init__(self, clip: Clip, look: Callable[[Picture], Image.Image], temporal: float, kept: Frames) -> None:
        self.clip, self.look, self.temporal, self.kept = clip, look, temporal, kept
        self._changed = self._moved = 0.0

    def frames(self, report: Report) -> Iterator[Image.Image]:
        """The painted pictures, those that are kept first."""
        before: tuple[Tensor, Tensor] | None = None
        for number, image in enumerate(self.clip.frames(), 1):
            picture = images.load(image)
            picture = replace(picture, rgb=picture.opaque, alpha=None)
            frame = self.kept.take(number) if number <= self.kept.count else self.look(picture)
            painted = images.load(frame).rgb
            seen = resize(picture.rgb, (painted.shape[-2], painted.shape[-1])).clamp(0, 1)
            if before and before[1].shape != painted.shape:
                (height, width), (tall, wide) = painted.shape[-2:], before[1].shape[-2:]
                raise GencliError(
                    f"picture {number} would be {width} × {height} pixels, and those before it are {wide} × {tall}",
                    "pictures of a film are alike in shape; make these one by one",
                )
            if before and number > self.kept.count and self.temporal:
                moved = follow(before[0], seen)
                stays = self.temporal * unchanged(moved(before[0]), seen)
                frame = images.to_pillow(torch.lerp(painted, moved(before[1]), stays))
                painted = images.load(frame).rgb  # as it is written, so that going on later gives the same
            if number > self.kept.count:
                self.kept.keep(number, frame)
            if before:
                self._moved += float((seen - before[0]).abs().mean())
                self._changed += float((painted - before[1]).abs().mean())
            before = seen, painted
            report(number, self.clip.count)
            yield frame

    @property
    def flicker(self) -> float | None:
        """How much neighbouring pictures differ, relative to the film's own; None where those are all the same."""
        return self._changed / self._moved if self._moved else None


def _name(source: str, folders: Sequence[Path]) -> str:
    """What a picture's result is called: with the folders it lies in below a folder that was named, so that it is
    called the same whatever else there is."""
    path = Path(source)
    for folder in folders:
        if path.is_relative_to(folder):
            return "-".join(path.relative_to(folder).with_suffix("").parts)
    return images.stem(source)


def _results_among(sources: Sequence[str], folders: Sequence[Path], results: Sequence[Path | None]) -> set[str]:
    """Of pictures in folders those that are called, with or without a number, as a result of another of them is."""
    called = {result.parent.resolve() / result.name for result in results if result}
    found = set()
    for source in sources:
        path = Path(source)
        if any(path.is_relative_to(folder) for folder in folders):
            place, plain = path.parent.resolve(), re.sub(r"-\d+$", "", path.stem)
            if not called.isdisjoint({place / path.name, place / (plain + path.suffix)}):
                found.add(source)
    return found


def _state(path: Path) -> list[Any]:
    """What is different when a file is another, or a folder has others."""
    if path.is_dir():
        return [_state(one) for one in sorted(path.iterdir()) if one.is_file()]
    known = path.stat() if path.is_file() else None
    return [path.name, known.st_size, known.st_mtime_ns] if known else [path.name]


def unchanged(earlier: Tensor, now: Tensor) -> Tensor:
    """Where two pictures (1, 3, H, W) show the same: (1, 1, H, W), 1 where they do."""
    apart = (earlier - now).square().mean(1, keepdim=True)
    around = F.avg_pool2d(apart, AROUND, 1, AROUND // 2, count_include_pad=False)
    return torch.exp(-around / (2 * TOLERANCE**2))
