"""From pictures to a trained generator in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from PIL import Image

from gencli.core import animations, backbones, datasets, outputs, runs, store, training
from gencli.core.device import Runtime, drawing_from, generator
from gencli.core.errors import UsageError
from gencli.core.metrics import Likeness
from gencli.core.recipe import Progress, Result, TrainingOptions
from gencli.core.stages import Stage, unwatched
from gencli.gan import conditions, networks
from gencli.gan.options import BACKBONE, LARGEST, GanTraining
from gencli.gan.training import MEASURED_ON, GanRecipe, batches, form, settled

STEPS_APART = 200  # of previews, at least: an epoch of few pictures is over in no time
TIME_LAPSE = "time-lapse.gif"
LAPSE_FPS, LAPSE_FRAMES = 8, 120

log = logging.getLogger("gencli")


def train(
    data: Sequence[str],
    name: str,
    options: GanTraining | None = None,
    *,
    data_root: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a generator on pictures and keep it in the store: what `gencli gan train` does.

    `data` is what `datasets.load` takes, `data_root` where known sets lie. At the end the previews are a film.

    Raises UsageError for options that do not fit, GencliError for pictures that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("gan", name, options or GanTraining(), seed, runtime, resume=resume) as run:
        options = run.options.ended()
        size, channels = datasets.chosen_form(data, options.size, options.colors)
        if size > LARGEST:
            raise UsageError(f"--size {size}: generators draw up to {LARGEST} pixels a side", "translators take 1024")
        with stage("reading pictures") as told:
            learnt = datasets.load(
                datasets.one_or_many(data),
                size=size,
                channels=channels,
                root=data_root,
                report=told,
                limit=options.limit,
            )
        learnt = conditions.labelled(learnt, options.conditional)
        options = settled(options, learnt)
        shape = form(options, learnt, len(learnt.classes))
        draw = generator(run.seed)
        with drawing_from(draw):
            nets = networks.build(shape)
        for net in nets:
            networks.initialise(net, draw, options.deviation)
        log.info(
            "%s: %s pictures of %d × %d, %s, %s weights against %s, seed %d",
            name,
            f"{len(learnt):,}",
            size,
            size,
            options.arch,
            *(f"{sum(weight.numel() for weight in net.parameters()):,}" for net in nets),
            run.seed,
        )
        order = batches(learnt, options, runtime, run.seed)
        likeness = None
        if len(learnt) > 1:
            likeness = Likeness(backbones.load(BACKBONE, device=runtime.device), learnt.spread(MEASURED_ON))
        result = training.train(
            GanRecipe(nets, options, learnt, runtime, run.seed, likeness),
            order,
            run.folder,
            config=replace(run, options=options).config(
                kind="generator",
                architecture=asdict(shape),
                classes=learnt.classes,
                data=datasets.described(data, learnt),
            ),
            options=TrainingOptions(
                options.steps,
                options.epochs,
                options.minutes,
                evaluate_steps=len(order) * -(-STEPS_APART // len(order)),
                best="frechet" if likeness else None,
            ),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )
    if runtime.is_main:
        _time_lapse(result.folder)
    return result


def _time_lapse(folder: Path) -> None:
    """The previews one after another, as a film beside them."""
    pictures = sorted((folder / store.SAMPLES).glob("*.png"))
    if len(pictures) > 1:
        chosen = [pictures[k * (len(pictures) - 1) // (LAPSE_FRAMES - 1)] for k in range(LAPSE_FRAMES)]
        film = animations.plan(folder.name, str(folder / store.SAMPLES / TIME_LAPSE), suffix="")
        film.write((Image.open(path).convert("RGB") for path in dict.fromkeys(chosen)), outputs.note(), fps=LAPSE_FPS)
