"""From pictures to a trained autoencoder in the store, with what its pictures' labels teach it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from gencli.core import datasets, runs, training
from gencli.core.device import Runtime, generator
from gencli.core.errors import UsageError
from gencli.core.recipe import Progress, Result, TrainingOptions
from gencli.core.stages import Stage, unwatched
from gencli.vae import concepts, models, trained
from gencli.vae.options import VaeTraining
from gencli.vae.trained import Trained
from gencli.vae.training import VaeRecipe, architecture, batches, settled

FIXED = ("size", "colors", "latent", "arch", "widths", "blocks", "fourier", "likelihood", "conditional")

log = logging.getLogger("gencli")


def train(
    data: Sequence[str],
    name: str,
    options: VaeTraining | None = None,
    *,
    data_root: str | Path | None = None,
    base: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a variational autoencoder on pictures and keep it in the store: what `gencli vae train` does.

    `data` is what `datasets.load` takes, `data_root` where known sets lie. `base` names a model to go on from, whose
    architecture is kept. What is labelled is learnt at the end as concepts: directions to edit pictures along.

    Raises UsageError for options that do not fit, GencliError for pictures that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("vae", name, options or VaeTraining(), seed, runtime, resume=resume) as run:
        if resume:
            base = runs.earlier(run.folder).get("base")
        start = None if base is None else trained.load(base, runtime)
        options = (run.options if start is None else _going_on(run.options, start)).ended()
        size, channels = datasets.chosen_form(data, options.size, options.colors)
        with stage("reading pictures") as told:
            learnt, held_out = datasets.train_and_test(
                datasets.one_or_many(data),
                size=size,
                channels=channels,
                root=data_root,
                report=told,
                limit=options.limit,
                held_out=options.held_out,
                seed=run.seed,
            )
        if options.conditional and learnt.labels is None:
            raise UsageError(
                f"{learnt.name} has no labels for --conditional", "put the pictures of each class into a folder"
            )
        if options.supervise and learnt.attributes is None:
            raise UsageError(f"{learnt.name} has no attributes for --supervise", "leave it out")
        options = settled(options, learnt)
        built = architecture(options, learnt)
        if start and options.conditional and learnt.classes != start.classes:
            raise UsageError(f"{learnt.name} has other classes than {start.name}", "give pictures of the same classes")
        net = start.net if start else models.build(**built)
        if not start:
            models.initialise(net, generator(run.seed))
        order = batches(learnt, options, runtime, run.seed)
        recipe = VaeRecipe(net, options, order, held_out, runtime, run.seed)
        log.info(
            "%s: %s pictures of %d × %d, %s held out, %s, %s weights, %d latents, seed %d",
            name,
            f"{len(learnt):,}",
            size,
            size,
            f"{len(held_out):,}",
            options.arch,
            f"{sum(weight.numel() for weight in net.parameters()):,}",
            net.latent,
            run.seed,
        )
        result = training.train(
            recipe,
            order,
            run.folder,
            config=replace(run, options=options).config(
                kind="variational autoencoder",
                architecture=built,
                classes=learnt.classes,
                data=datasets.described(data, learnt),
                **({"base": base} if base else {}),
            ),
            options=TrainingOptions(options.steps, options.epochs, options.minutes, best="negative_elbo"),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )
        if runtime.is_main and concepts.labelled(learnt, conditional=options.conditional):
            loaded = trained.load(str(run.folder), runtime)
            concepts.keep(loaded, concepts.learn(loaded, learnt, held_out))
        return result


def _going_on(options: VaeTraining, start: Trained) -> VaeTraining:
    """Options for going on from a model: its architecture stays."""
    channels, size, _ = start.net.shape
    settled = {**start.config["options"], "size": size, "colors": "rgb" if channels == 3 else "grey"}
    return runs.going_on(options, FIXED, start.name, settled, "size and architecture")
