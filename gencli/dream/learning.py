"""From labelled pictures to a classifier network in the store, which can then be looked through."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from gencli.core import datasets, runs, training
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.recipe import Progress, Result, TrainingOptions
from gencli.core.stages import Stage, unwatched
from gencli.dream import teacher
from gencli.dream.options import BackboneTraining
from gencli.dream.training import ClassifierRecipe, batches, describe

log = logging.getLogger("gencli")


def train(
    data: str,
    name: str,
    options: BackboneTraining | None = None,
    *,
    data_root: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a backbone on labelled pictures and keep it in the store: what `gencli dream train` does.

    `data` is what `datasets.load` takes, `data_root` where known sets lie.

    Raises UsageError for options that do not fit or pictures without labels, GencliError for those that cannot be
    read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("dream", name, options or BackboneTraining(), seed, runtime, resume=resume) as run:
        options = run.options.ended()
        with stage("reading pictures") as told:
            learnt, held_out = datasets.train_and_test(
                data, size=max(options.sizes), root=data_root, held_out=options.held_out, seed=run.seed, report=told
            )
        if learnt.labels is None or len(learnt.classes) < 2:
            raise UsageError(
                f"{data} has no labels to learn", "put the pictures of each class into a folder of its own"
            )
        soft = None
        if options.teacher:
            with stage(f"asking {options.teacher}") as told:
                soft = teacher.soft_targets(learnt, options.teacher, options.teacher_size, runtime, told)
        log.info(
            "%s: %s pictures of %d classes, %s held out, seed %d",
            name,
            f"{len(learnt):,}",
            len(learnt.classes),
            f"{len(held_out):,}",
            run.seed,
        )
        return training.train(
            ClassifierRecipe(options, held_out, runtime, run.seed, soft),
            batches(learnt, options, runtime, run.seed),
            run.folder,
            config=replace(run, options=options).config(
                data={"name": learnt.name, "fingerprint": learnt.fingerprint}, **describe(options, held_out)
            ),
            options=TrainingOptions(options.steps, options.epochs, options.minutes),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )
