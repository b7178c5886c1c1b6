"""One picture that grows step by step: what is told of it, what is shown meanwhile, and what is written in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from gencli.core.signals import ended_by_sigterm

if TYPE_CHECKING:
    from PIL import Image

    from gencli.core.console import Bar, Console
    from gencli.core.outputs import Target


@dataclass(frozen=True)
class Step:
    """What `on_step` is told after an evaluation."""

    fraction: float  # of the whole work
    number: int  # of evaluations so far
    size: int  # longest side now worked at, in pixels
    loss: float  # or what is climbed
    render: Callable[[], Image.Image]  # the result as it stands, at full size


@dataclass
class Sitting:
    """One picture made: however it ends, what there is of it is written."""

    console: Console
    target: Target
    save_every: int | None
    note: Mapping[str, str]
    record: Mapping[str, object]
    latest: Step | None = None

    def paint(self, painter: Callable[..., Image.Image], title: str) -> None:
        """Let `painter(on_step=…)` make the picture, and write it."""
        began = time.monotonic()
        with self.console.bar(title, units="%") as bar, ended_by_sigterm():
            try:
                painted = painter(on_step=partial(self._follow, bar))
            except BaseException:
                if self.latest:  # nothing is lost: what there is so far is a picture too
                    self._write(self.latest.render(), {"unfinished": True})
                    self.console.warn("the work was cut short; the picture written is as far as it came")
                raise
        self._write(painted, {"seconds": round(time.monotonic() - began, 2)})

    def _follow(self, bar: Bar, step: Step) -> None:
        """Show a step, and keep its picture where `--save-every` asks for it, beside the result."""
        self.latest = step
        bar.update(round(100 * step.fraction), 100, {"size": step.size, "loss": step.loss})
        bar.show(step.render)
        if self.save_every and step.number % self.save_every == 0:
            assert self.target.path is not None
            path = self.target.path.with_stem(f"{self.target.path.stem}-step-{step.number:04}")
            replace(self.target, path=path, base=None).write(step.render(), self.note)

    def _write(self, painted: Image.Image, how: Mapping[str, object]) -> None:
        self.console.made(self.target.write(painted, self.note), {**self.record, **how})
