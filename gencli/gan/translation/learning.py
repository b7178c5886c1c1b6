"""From two kinds of pictures to a trained translator in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch

from gencli.core import backbones, datasets, runs, store, training
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, memory_format
from gencli.core.errors import GencliError, UsageError
from gencli.core.metrics import Likeness
from gencli.core.recipe import Batches, Progress, Result, TrainingOptions
from gencli.core.stages import Stage, unwatched
from gencli.gan.options import BACKBONE
from gencli.gan.translation import networks, pairs
from gencli.gan.translation.batches import PairedBatches, UnpairedBatches, batches
from gencli.gan.translation.options import KIND, TranslatorTraining
from gencli.gan.translation.pairs import Kinds
from gencli.gan.translation.tasks import ALIKE, Task
from gencli.gan.translation.training import CycleRecipe, PairedRecipe, TranslatorRecipe, built, form

LEAST_APART, MOST_APART = 200, 1000  # steps between previews: an epoch may be over in no time, or never
COMPARED = 500  # pictures of the wanted kind, to which what is made is compared as a set

log = logging.getLogger("gencli")


def train(
    data: Sequence[str],
    name: str,
    options: TranslatorTraining | None = None,
    *,
    data_root: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a translator and keep it in the store: what `gencli gan train --arch pix2pix` and `cyclegan` do.

    `data` is one place with both kinds of pictures, or two; with a task of the options, pictures of the wanted kind.
    `data_root` is where known sets lie.

    Raises UsageError for options that do not fit and for pictures that do not belong together, GencliError for such
    that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("gan", name, options or TranslatorTraining(), seed, runtime, resume=resume) as run:
        options = run.options.ended().settled()
        check(options)
        task = None if options.task is None else Task.parse(options.task)
        if task is None:  # whatever it is measured by later goes the same way
            options = options.replace(direction=options.direction or pairs.usual_direction(data))
        paired = options.arch == "pix2pix"
        with stage("reading pictures") as told:
            kinds = pairs.load(
                data,
                size=round(options.size * (1 + options.jitter)),
                paired=paired,
                task=task is not None,
                split=options.split,
                direction=options.direction,
                held_out=options.held_out,
                root=data_root,
                limit=options.limit,
                seed=run.seed,
                report=told,
            )
        names = (f"inputs of the task {task}" if task else kinds.names[0], kinds.names[1])
        backbone = backbones.load(BACKBONE, pooling="average", device=runtime.device)
        backbone.to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
        recipe, order = (_paired if paired else _unpaired)(kinds, options, task, backbone, runtime, run.seed)
        log.info(
            "%s: %s to %s, %s pictures, %s held out, %s weights, seed %d",
            name,
            *names,
            f"{len(kinds.after):,}" if paired else f"{len(kinds.before or ()):,} and {len(kinds.after):,}",
            f"{len(kinds.held_after):,}",
            f"{sum(weight.numel() for net in recipe.translators.values() for weight in net.parameters()):,}",
            run.seed,
        )
        return training.train(
            recipe,
            order,
            run.folder,
            config=replace(run, options=options).config(
                kind=KIND,
                architecture=recipe.architecture,
                kinds=names,
                task=str(task) if task else None,
                data=datasets.described(data, kinds.after),
                counts=kinds.counts,
            ),
            options=TrainingOptions(
                options.steps,
                options.epochs,
                options.minutes,
                evaluate_steps=min(len(order) * -(-LEAST_APART // len(order)), MOST_APART),
            ),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )


def _paired(
    kinds: Kinds, options: TranslatorTraining, task: Task | None, backbone: Backbone, runtime: Runtime, seed: int
) -> tuple[TranslatorRecipe, Batches]:
    shape, learnt, held = form(options), kinds.after, kinds.held_after
    if kinds.before is not None and kinds.held_before is not None:
        learnt, held = pairs.together(kinds.before, learnt), pairs.together(kinds.held_before, held)
    ((_, nets),) = built(shape, ["there"], seed, alike=task is not None and task.name in ALIKE)
    recipe = PairedRecipe(nets, options, backbone, held, runtime, seed)
    return recipe, PairedBatches(batches(learnt, options, runtime, seed), task, seed)


def _unpaired(
    kinds: Kinds, options: TranslatorTraining, task: Task | None, backbone: Backbone, runtime: Runtime, seed: int
) -> tuple[TranslatorRecipe, Batches]:
    assert kinds.before is not None and kinds.held_before is not None
    shape, likeness = form(options), None
    if len(kinds.after) > 1:
        likeness = Likeness(backbones.load(BACKBONE, device=runtime.device), kinds.after.spread(COMPARED))
    nets, held = dict(built(shape, ["there", "back"], seed, alike=True)), (kinds.held_before, kinds.held_after)
    recipe = CycleRecipe(nets, options, backbone, held, likeness, runtime, seed)
    both = (batches(kind, options, runtime, seed + which) for which, kind in enumerate((kinds.before, kinds.after)))
    return recipe, UnpairedBatches(*both)


def begun(name: str) -> bool:
    """Whether the model of that name is a translator, or is to become one."""
    with suppress(GencliError):
        return store.Model(store.folder("gan", name)).config.get("kind") == KIND
    return False


def check(options: TranslatorTraining) -> None:
    """Raise UsageError for options that do not fit together."""
    if options.task and options.arch == "cyclegan":
        raise UsageError("--task makes pairs, which cyclegan does without", "use --arch pix2pix")
    for name in ("split", "direction"):
        if options.task and getattr(options, name):
            raise UsageError(f"--{name} is about two kinds of pictures, and --task makes one of the other")
    shape = form(options)
    if options.size % (stride := networks.stride(shape)):
        raise UsageError(f"--size {options.size} is no multiple of {stride}, as --net {options.net} needs")
    if options.size < (least := networks.least(shape)):
        raise UsageError(
            f"pictures of {options.size} pixels are too small for --net {options.net}", f"use --size {least} or larger"
        )
    if options.size < 4 << options.judge_depth:
        raise UsageError(
            f"pictures of {options.size} pixels are too small for a judge that halves them {options.judge_depth} times",
            "use a larger --size, or a smaller --judge-depth",
        )
