"""The one training loop. It knows no model: it drives a recipe over batches and sees to all the rest.

Exact resume, signals, timed saves, the log, evaluation and previews, going back after a non-finite
loss, early stopping and torchrun's ranks are written here, once. An art writes a `Recipe`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gencli.core import store
from gencli.core.checkpoint import begin_config, capture, has_state, read_state, restore, write_state
from gencli.core.device import Runtime
from gencli.core.errors import GencliError, Interrupted, UsageError
from gencli.core.files import atomic_write, write_json
from gencli.core.ranks import Ranks, join
from gencli.core.recipe import Batches, Diverged, Preview, Progress, Recipe, Result, TrainingOptions
from gencli.core.signals import StopRequest

__all__ = ["Batches", "Preview", "Progress", "Recipe", "Result", "TrainingOptions", "train"]

log = logging.getLogger("gencli")

MAX_ROLLBACKS = 3


def train(
    recipe: Recipe,
    batches: Batches,
    folder: Path,
    *,
    config: Mapping[str, Any],
    options: TrainingOptions,
    runtime: Runtime,
    resume: bool = False,
    resume_command: str = "the same command with --resume",
    report: Callable[[Progress], None] | None = None,
) -> Result:
    """Train a recipe in a model folder of the store until its time is over.

    `config` describes the run: art, kind, options, data fingerprint, classes …. It is stored at the
    start, and a resume refuses another one and names each difference; only the fields of
    `TrainingOptions` and the `RECORDS` may differ. Stopped at any step, even by `kill -9`, and
    resumed, a training ends on the CPU with the same weights, bit for bit, as one left alone.

    Raises UsageError when the folder is taken or the options differ; GencliError when another
    process trains in it, or losses stay non-finite; Interrupted, with everything saved, after Ctrl-C
    or SIGTERM.
    """
    with ExitStack() as stack:
        if runtime.is_main:
            stack.enter_context(store.lock(folder))
            store.check_start(folder, resume=resume)
        ranks = stack.enter_context(join(runtime))
        stop = stack.enter_context(StopRequest())
        loop = _Loop(recipe, batches, options, runtime, ranks)
        loop.begin(folder, config, resume, report)
        while True:
            stopping = loop.agree(stop.asked)
            if not loop.healthy(thorough=stopping or loop.must_evaluate or loop.must_save):
                loop.roll_back(f"a loss or a weight became infinite or not a number by step {loop.at.step}")
                continue
            if loop.must_log:
                try:
                    loop.log()
                except Diverged as lost:
                    loop.roll_back(f"step {loop.at.step}: {lost}")
                    continue
            if stopping:
                loop.save()
                done = f"stopped at step {loop.at.step}; everything is saved"
                raise Interrupted(done, f"to go on: {resume_command}")
            if loop.must_evaluate:
                loop.evaluate()
            if loop.must_save:
                loop.save()
            if loop.stopped_by:
                return loop.finish()
            loop.advance()


@dataclass
class _Counters:
    """Where the training stands. Saved with the weights."""

    step: int = 0
    seconds: float = 0.0
    rate_factor: float = 1.0
    rollbacks: int = 0
    evaluated_step: int = 0
    evaluation: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_step: int | None = None
    stale: int = 0  # evaluations since the best
    metrics_bytes: int = 0  # length of metrics.jsonl
    world_size: int = 1


class _Loop:
    """One run of `train`: where it stands, what is due there, and how it is done."""

    folder: Path
    config: dict[str, Any]
    report: Callable[[Progress], None] | None

    def __init__(
        self, recipe: Recipe, batches: Batches, options: TrainingOptions, runtime: Runtime, ranks: Ranks
    ) -> None:
        self.recipe, self.batches, self.options = recipe, batches, options
        self.runtime, self.ranks = runtime, ranks
        self.epoch_steps = len(batches)
        if self.epoch_steps < 1:
            raise GencliError("the data does not fill one batch", "use more data, or a smaller batch")
        by_epochs = options.epochs and max(round(options.epochs * self.epoch_steps), 1)
        self.steps = min((end for end in (options.steps, by_epochs) if end), default=None)
        self.at = _Counters(world_size=ranks.world_size)
        self.sums: dict[str, Tensor] = {}  # of the losses since the last log line, on the device
        self.counts: dict[str, int] = {}
        self.saved = (-1, -1)  # step and evaluated_step of the state in force
        self._start_clock()

    def _start_clock(self) -> None:
        self.started = time.monotonic() - self.at.seconds
        self.saved_seconds = self.at.seconds
        self.log_mark: tuple[int, float] | None = None  # step and time of the first step not logged yet

    # What is due.

    @property
    def epoch(self) -> int:
        """The number of the epoch in progress, or just ended, from 1."""
        return max(self.at.step - 1, 0) // self.epoch_steps + 1

    @property
    def progress(self) -> float:
        """How much of the training is over, by steps or by the clock: in [0, 1]."""
        by_steps = self.at.step / self.steps if self.steps else 0.0
        by_clock = self.at.seconds / (60 * self.options.minutes) if self.options.minutes else 0.0
        return min(max(by_steps, by_clock), 1.0)

    @property
    def stopped_by(self) -> str | None:
        """What ends the training here, if anything does."""
        if self.steps and self.at.step >= self.steps:
            return "steps" if self.steps == self.options.steps else "epochs"
        if self.options.minutes and self.at.seconds >= 60 * self.options.minutes:
            return "minutes"
        if self.options.patience and self.at.stale >= self.options.patience:
            return "patience"
        return None

    @property
    def must_log(self) -> bool:
        return bool(self.sums) and (self.at.step % self.options.log_steps == 0 or self.must_evaluate)

    @property
    def must_evaluate(self) -> bool:
        interval = self.options.evaluate_steps or self.epoch_steps
        ended = self.at.step % interval == 0 or self.stopped_by is not None
        return ended and self.at.step > self.at.evaluated_step

    @property
    def must_save(self) -> bool:
        late = self.at.seconds - self.saved_seconds >= 60 * self.options.save_minutes
        return self.changed and (late or self.at.step == self.at.evaluated_step)

    @property
    def changed(self) -> bool:
        """Whether there is something that the state in force does not have."""
        return self.saved != (self.at.step, self.at.evaluated_step)

    # Beginning and end.

    def begin(
        self,
        folder: Path,
        config: Mapping[str, Any],
        resume: bool,
        report: Callable[[Progress], None] | None,
    ) -> None:
        """Start afresh, or put the saved state back; either way a state is on the disk to go back to."""
        self.folder, self.report = folder, report
        if self.runtime.is_main:
            may_change = {item.name for item in fields(TrainingOptions)}
            self.config = begin_config(folder, config, resume=resume, may_change=may_change)
        scalers = [extra for extra in self.recipe.extras.values() if isinstance(extra, torch.amp.GradScaler)]
        scaled = any(scaler.is_enabled() for scaler in scalers)
        if scaled and not self.ranks.alone:  # a scaler skips steps rank by rank; the others would wait for it
            raise UsageError("several processes cannot train in fp16", "use --precision bf16")
        for optimizer in self.recipe.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
        self.ranks.share_weights(self.recipe.modules.values())
        self.ranks.average_gradients(self.recipe.optimizers.values())
        (found,) = self.ranks.highest(self.runtime.is_main and resume and has_state(folder))
        if not found:
            self.save()
            return
        self._load()
        if self.stopped_by and not self.must_evaluate and self.runtime.is_main:
            log.info("%s has nothing left to do: raise --steps, --epochs or --minutes", folder.name)

    def finish(self) -> Result:
        """Mark the model as finished."""
        at, by = self.at, self.stopped_by or ""
        result = Result(self.folder, at.step, at.seconds, by, at.evaluation, at.best, at.best_step)
        if self.runtime.is_main:
            if not (self.folder / store.WEIGHTS).exists():
                self._export()
            record: dict[str, Any] = {
                "steps": at.step,
                "epochs": at.step // self.epoch_steps,
                "seconds": round(at.seconds, 1),
            }
            record |= {"stopped_by": by, "evaluation": _json_numbers(at.evaluation)}
            record |= {"best": at.best, "best_step": at.best_step}
            write_json(self.folder / store.CONFIG, self.config | {"finished": True, "training": record})
        return result

    # One round.

    def agree(self, asked: bool) -> bool:
        """Set the clock, the same on every rank, and say whether any rank was asked to stop."""
        self.at.seconds, stopping = self.ranks.highest(time.monotonic() - self.started, asked)
        return bool(stopping)

    def advance(self) -> None:
        """One step of the recipe."""
        self.log_mark = self.log_mark or (self.at.step, time.monotonic())
        epoch, index = divmod(self.at.step, self.epoch_steps)
        progress = self.progress
        factor = self.recipe.rate(progress) * self.at.rate_factor
        for optimizer in self.recipe.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
        try:
            losses = self.recipe.step(self.batches.batch(epoch, index), progress)
        except torch.OutOfMemoryError as error:
            full = f"the memory of {self.runtime.device} is full at step {self.at.step + 1}"
            raise GencliError(full, "use smaller batches or pictures, or another --device") from error
        for name, value in losses.items():
            loss = torch.as_tensor(value, dtype=torch.float32, device=self.runtime.device).detach()
            self.sums[name] = self.sums[name] + loss if name in self.sums else loss.clone()
            self.counts[name] = self.counts.get(name, 0) + 1
        self.at.step += 1
        self._tell()

    def healthy(self, thorough: bool) -> bool:
        """Whether the losses since the last log line are finite on all ranks; `thorough`: weights too.

        A sum stays non-finite once a loss was, so a GPU need not be waited for at each step.
        """
        if not self.changed or not (thorough or self.must_log or self.runtime.device.type == "cpu"):
            return True
        checks = list(self.sums.values())
        if thorough:  # a loss may be finite, and the step it led to too long
            modules = self.recipe.modules.values()
            checks += [parameter.detach() for module in modules for parameter in module.parameters()]
        finite = [check.isfinite().all().to(self.runtime.device) for check in checks]
        bad = bool(finite) and not bool(torch.stack(finite).all())
        return not any(self.ranks.highest(bad))

    def roll_back(self, what: str) -> None:
        """Go back to the state in force with half the learning rate, saying why; GencliError the fourth time."""
        seconds = self.at.seconds
        rollbacks, factor = self.at.rollbacks + 1, self.at.rate_factor / 2
        if rollbacks > MAX_ROLLBACKS:
            again = f"{what}, after going back {MAX_ROLLBACKS} times"
            raise GencliError(again, "use a lower learning rate, or --precision fp32")
        self._load()
        self.at.rollbacks, self.at.rate_factor, self.at.seconds = rollbacks, factor, seconds
        self._start_clock()
        if self.runtime.is_main:
            said = f"{what}: back to step {self.at.step} with {factor:g} of the learning rate"
            log.warning(said)
            self._write_line({"remarks": [said]})

    def log(self) -> None:
        """Write the means of the losses since the last line, over steps and ranks, and what the recipe remarks.

        Raises Diverged, on all ranks, when the recipe does.
        """
        names = sorted(self.sums)
        means = self.ranks.mean([float(self.sums[name]) / self.counts[name] for name in names])
        step, moment = self.log_mark or (self.at.step, 0.0)
        rate = (self.at.step - step) / max(time.monotonic() - moment, 1e-9)  # steps a second
        figures: dict[str, Any] = dict(zip(names, means, strict=True))
        remarks, lost = self._ask_for_remarks(figures)
        self._write_line({"rate": round(rate, 3)} | figures | ({"remarks": remarks} if remarks else {}))
        self.sums, self.counts, self.log_mark = {}, {}, None
        if any(self.ranks.highest(lost is not None)):
            raise lost or Diverged("another process gave up")

    def _ask_for_remarks(self, means: Mapping[str, float]) -> tuple[list[str], Diverged | None]:
        """What the recipe says on rank 0, said to people too, and whether it gives up."""
        if not self.runtime.is_main:
            return [], None
        try:
            remarks = list(self.recipe.remarks(means))
        except Diverged as lost:
            return [str(lost)], lost
        for remark in remarks:
            log.warning("step %d: %s", self.at.step, remark)
        return remarks, None

    def evaluate(self) -> None:
        """Figures and a preview, on rank 0 while the others wait."""
        self.at.evaluated_step = self.at.step
        if self.runtime.is_main:
            self.at.evaluation = {name: float(value) for name, value in self.recipe.evaluate().items()}
            preview = self.recipe.preview()
            self._write_preview(preview)
            if self.at.evaluation:
                self._write_line({"evaluation": _json_numbers(self.at.evaluation)}, preview)
            if self.options.best:
                self._judge(self.options.best)
        (stale,) = self.ranks.highest(self.at.stale if self.runtime.is_main else 0)
        self.at.stale = int(stale)

    def _judge(self, name: str) -> None:
        """Keep the weights if the figure `name` is the best so far."""
        at, sign = self.at, -1 if self.options.higher_is_better else 1
        if name not in at.evaluation:
            known = ", ".join(at.evaluation) or "none"
            raise GencliError(f"no figure is called {name}, to find the best by; there are: {known}")
        value = at.evaluation[name]
        if at.best is None or sign * value < sign * at.best:
            at.best, at.best_step, at.stale = (value if math.isfinite(value) else None), at.step, 0
            self._export()
        else:
            at.stale += 1

    # Files.

    def save(self) -> None:
        """Make the present state that in force: first the weights, then the state that vouches for them."""
        if not self.changed:
            return
        state = capture(self.recipe, self.ranks)
        if self.runtime.is_main:
            if self.at.step and not self.options.best:
                self._export()
            metrics = self.folder / store.METRICS
            self.at.metrics_bytes = metrics.stat().st_size if metrics.exists() else 0
            state |= {"counters": asdict(self.at), "sums": self.sums, "counts": self.counts}
            write_state(self.folder, self.at.step, state)
        self.saved = (self.at.step, self.at.evaluated_step)
        self.saved_seconds = self.at.seconds

    def _load(self) -> None:
        """Put the state in force back, and cut the log to it."""
        state = read_state(self.folder)
        at = _Counters(**state["counters"])
        if at.world_size != self.ranks.world_size:
            raise UsageError(
                f"{self.folder.name} was trained by {at.world_size} processes, not {self.ranks.world_size}",
                f"resume with `torchrun --nproc-per-node {at.world_size}`",
            )
        restore(self.recipe, state, self.ranks.rank)
        self.at, self.counts = at, state["counts"]
        self.sums = {name: value.to(self.runtime.device) for name, value in state["sums"].items()}
        self.saved = (at.step, at.evaluated_step)
        self._start_clock()
        metrics = self.folder / store.METRICS
        if self.runtime.is_main and metrics.exists() and metrics.stat().st_size > at.metrics_bytes:
            os.truncate(metrics, at.metrics_bytes)

    def _export(self) -> None:
        store.save_weights(self.folder, self.recipe.export(), self.config)

    def _write_preview(self, preview: Preview | None) -> None:
        stem = f"step-{self.at.step:08}" if self.options.evaluate_steps else f"epoch-{self.epoch:04}"
        target = self.folder / store.SAMPLES / stem
        if isinstance(preview, Mapping):
            text = "\n\n".join(f"== {label} ==\n{written}" for label, written in preview.items()) + "\n"
            atomic_write(target.with_suffix(".txt"), lambda file: file.write(text.encode()))
        elif preview is not None:
            picture = preview
            atomic_write(target.with_suffix(".png"), lambda file: picture.save(file, "PNG"))

    def _write_line(self, figures: Mapping[str, Any], preview: Preview | None = None) -> None:
        """Append a line to metrics.jsonl and hand it to the caller."""
        if not self.runtime.is_main:
            return
        line = {"step": self.at.step, "epoch": self.epoch, "seconds": round(self.at.seconds, 3), **figures}
        path = self.folder / store.METRICS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())  # a state counts on the lines before it
        except OSError as error:
            raise GencliError(f"cannot write {path}: {error.strerror or error}", "is the disk full?") from error
        self._tell(line, preview)

    def _tell(self, line: Mapping[str, Any] | None = None, preview: Preview | None = None) -> None:
        if self.report and self.runtime.is_main:
            at = self.at
            self.report(Progress(at.step, self.steps, self.epoch, at.seconds, self.progress, line, preview))


def _json_numbers(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON knows no infinity and no NaN; they stand as null."""
    return {name: value if math.isfinite(value) else None for name, value in figures.items()}
