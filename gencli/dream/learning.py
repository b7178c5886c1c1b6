"""From labelled pictures to a classifier network in the store, which can then be looked through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from gencli.core import backbones, datasets, runs, training
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.recipe import Progress, Result, TrainingOptions
from gencli.core.stages import Stage, unwatched
from gencli.dream import teacher
from gencli.dream.options import BackboneTraining
from gencli.dream.training import ClassifierRecipe, batches, confused, describe, widths_and_depths

MOST_CONFUSED = 5  # pairs of classes told at the end

log = logging.getLogger("gencli")


def train(
    data: str,
    name: str,
    options: BackboneTraining | None = None,
    *,
    base: str | None = None,
    data_root: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a backbone on labelled pictures and keep it in the store: what `gencli dream train` does.

    `data` is what `datasets.load` takes, `data_root` where known sets lie. Of pictures without labels it learns how far
    they were turned. `base` names a VGG to go on from, whose architecture is kept.

    Raises UsageError for options that do not fit, GencliError for pictures that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("dream", name, options or BackboneTraining(), seed, runtime, resume=resume) as run:
        options = run.options.ended()
        if resume:
            base = runs.earlier(run.folder).get("base")
        start = None if base is None else backbones.load(base, device=runtime.device)
        if start is not None:
            widths, depths = widths_and_depths(start)
            settled = {"widths": widths, "depths": depths}
            options = runs.going_on(options, settled, start.name, settled, "widths and depths")
        with stage("reading pictures") as told:
            learnt, held_out = datasets.train_and_test(
                data, size=max(options.sizes), root=data_root, held_out=options.held_out, seed=run.seed, report=told
            )
        labelled = learnt.labels is not None and len(learnt.classes) > 1
        options = options.replace(task=options.task or ("labels" if labelled else "rotation"))
        if options.task == "labels" and not labelled:
            raise UsageError(
                f"{data} has no labels to learn",
                "put the pictures of each class into a folder of its own, or learn from how they are turned: "
                "--task rotation",
            )
        if not labelled and options.teacher:
            raise UsageError("--teacher softens labels, and there are none", "leave it out")
        soft = None
        if options.teacher:
            with stage(f"asking {options.teacher}") as told:
                soft = teacher.soft_targets(learnt, options.teacher, options.teacher_size, runtime, told)
        log.info(
            "%s: %s pictures of %s, %s held out, seed %d",
            name,
            f"{len(learnt):,}",
            f"{len(learnt.classes)} classes" if options.task == "labels" else "no classes, turned to be told apart",
            f"{len(held_out):,}",
            run.seed,
        )
        recipe = ClassifierRecipe(options, held_out, runtime, run.seed, soft, None if resume else start)
        result = training.train(
            recipe,
            batches(learnt, options, runtime, run.seed),
            run.folder,
            config=replace(run, options=options).config(
                data={"name": learnt.name, "fingerprint": learnt.fingerprint},
                **({"base": base} if base else {}),
                **describe(options, held_out),
            ),
            options=TrainingOptions(options.steps, options.epochs, options.minutes),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )
        if runtime.is_main:
            recipe.evaluate()
            for true, taken, share in confused(recipe.confusion, recipe.classes, MOST_CONFUSED):
                log.info("%s is taken for %s: %.0f%%", true, taken, 100 * share)
        return result
