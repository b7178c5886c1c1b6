"""`gencli dream …`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gencli.core.commands import DataRoot, Name, Resume, art
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.options import DEFAULT_EPOCHS, Common, command
from gencli.dream.options import BackboneTraining

if TYPE_CHECKING:
    from gencli.core.recipe import Progress

app = art("gencli.dream")

Data = Annotated[
    str, typer.Option("--data", help="Labelled pictures: a known set (`gencli data list`), a folder, a zip or a tar.")
]


@app.command()
@command
def train(
    options: BackboneTraining,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    resume: Resume = False,
) -> None:
    """Train a classifier network, a backbone, on labelled pictures.

    Labels are the names of the first level of folders. The network can then be looked through by its name:

        gencli dream train --data PHOTOS --name mine --epochs 30

        gencli stylize photo.jpg painting.jpg --backbone mine
    """
    from gencli.core import datasets, device, runs, training
    from gencli.dream import teacher
    from gencli.dream.training import ClassifierRecipe, batches, describe

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    with runs.begin("dream", name, options, common.seed, runtime, resume=resume) as run:
        options, seed = run.options, run.seed
        if options.steps is options.epochs is options.minutes is None:
            options = options.replace(epochs=DEFAULT_EPOCHS)
        durations = training.TrainingOptions(options.steps, options.epochs, options.minutes)

        with console.bar("reading pictures", units="pictures") as bar:
            learnt, held_out = datasets.train_and_test(
                data, size=max(options.sizes), root=data_root, held_out=options.held_out, seed=seed, report=bar.update
            )
        if learnt.labels is None or len(learnt.classes) < 2:
            raise UsageError(
                f"{data} has no labels to learn", "put the pictures of each class into a folder of its own"
            )
        soft = None
        if options.teacher:
            with console.bar(f"asking {options.teacher}", units="pictures") as bar:
                soft = teacher.soft_targets(learnt, options.teacher, options.teacher_size, runtime, bar.update)

        recipe = ClassifierRecipe(options, held_out, runtime, seed, soft)
        console.note(
            f"{name}: {len(learnt)} pictures of {len(learnt.classes)} classes, {len(held_out)} held out, seed {seed}"
        )
        config = replace(run, options=options).config(
            data={"name": learnt.name, "fingerprint": learnt.fingerprint}, **describe(options, held_out)
        )

        def measured(progress: Progress) -> None:
            found = (progress.line or {})["evaluation"]
            top1, top5 = found["top1"], found["top5"]
            console.note(f"epoch {progress.epoch}: top-1 {top1:.1%}, top-5 {top5:.1%} of the held-out pictures")

        def figures(line: Mapping[str, Any]) -> dict[str, float]:
            return {name: line[name] for name in ("loss", "accuracy") if name in line}

        with console.training(name, figures, measured) as report:
            result = training.train(
                recipe,
                batches(learnt, options, runtime, seed),
                run.folder,
                config=config,
                options=durations,
                runtime=runtime,
                resume=resume,
                resume_command=runs.resume_command("dream", name, data=data, data_root=data_root),
                report=report,
            )
        console.trained(result)
