"""From style pictures and photographs to a trained painter in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from gencli.core import backbones, datasets, drawn, images, runs, training
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import Picture, Source, fit, loaded, resize
from gencli.core.pictures import PictureSet
from gencli.core.recipe import Progress, Result, TrainingOptions
from gencli.core.sources import pictures_in
from gencli.core.stages import Report, Stage, unwatched
from gencli.stylize import arbitrary, feedforward, painting
from gencli.stylize.arbitrary import AnyStyle
from gencli.stylize.feedforward import Painter
from gencli.stylize.options import ANY_STYLE, StyleTraining
from gencli.stylize.painting import AnyTrained, Trained
from gencli.stylize.training import LARGER, PaintingRecipe, StyleRecipe, batches, form
from gencli.stylize.variety import AnyStyleRecipe
from gencli.stylize.whitening import look_at

FIXED = {"width", "blocks", "ends", "noise", "own_encoder", "backbone", "pooling"}  # in a network to go on from
PAINTINGS = 60  # drawn ones that are examples of styles beside those that have names, where there are no others
DRAWN = 240  # squares of the drawn photographs, where there are no others: an epoch of some length

log = logging.getLogger("gencli")


def train(
    styles: Sequence[Source],
    name: str,
    options: StyleTraining | None = None,
    *,
    data: Sequence[str] = (),
    data_root: str | Path | None = None,
    base: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage = unwatched,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a painter on photographs and keep it in the store: what `gencli stylize train` does.

    `styles` are pictures as `stylize` takes them, or folders of pictures; with several, the painter knows them all, and
    what lies between them. With `options.any_style` it learns to paint in any, and those are examples: without any, the
    drawn ones and some that are like no other. `data` is what `datasets.load` takes, `data_root` where known sets lie;
    without data it learns on the drawn photographs. `base` names a network to go on from, whose architecture is kept:
    what it knows of painting need not be learnt again.

    Raises UsageError for options that do not fit, GencliError for pictures that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("stylize", name, options or StyleTraining(), seed, runtime, resume=resume) as run:
        if resume:
            base = runs.earlier(run.folder).get("base")
        start = None if base is None else painting.load(base, runtime)
        options = (run.options if start is None else _going_on(run.options, start)).ended()
        if options.any_style and options.own_encoder:
            raise UsageError(
                "a network for any style sees with the backbone, and not with an encoder of its own",
                "leave out --own-encoder, or choose another --from",
            )
        if resume and not styles:
            styles = runs.earlier(run.folder)["sources"]
        if not styles and options.any_style:
            styles = [f"@{name}" for name in (*drawn.STYLES, *(f"painting-{n}" for n in range(1, PAINTINGS + 1)))]
        if not styles:
            raise UsageError("no style was given", "name at least one style picture")
        styles = [one for style in styles for one in (pictures_in([style]) if isinstance(style, str) else [style])]
        pictures = []
        with stage("reading styles") as told:
            for done, style in enumerate(styles, 1):
                pictures.append(_style_picture(style, options.style_size))
                told(done, len(styles))
        with stage("reading photographs") as told:
            photographs = _photographs(data, data_root, round(LARGER * options.size), options.limit, told)
        learnt, held_out = photographs.split(options.held_out, run.seed)
        backbone = backbones.load(options.backbone, pooling=options.pooling, device=runtime.device)
        backbone.to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
        seen = [sized(picture.opaque.to(runtime.device), options.style_size) for picture in pictures]
        names = _told_apart([picture.name for picture in pictures])
        recipe: PaintingRecipe
        if options.any_style:
            knowing_any = _any_style(options, backbone, seen, start, runtime, run.seed)
            recipe = AnyStyleRecipe(knowing_any, options, backbone, seen, held_out, runtime, run.seed)
        else:
            painter = _painter(options, backbone, names, seen, cast("Trained | None", start), run.seed)
            recipe = StyleRecipe(painter, options, backbone, seen, held_out, runtime, run.seed)
        log.info(
            "%s: %s style%s, %s photographs, %s held out, %s weights, seed %d",
            name,
            len(seen),
            "s" if len(seen) > 1 else "",
            f"{len(learnt):,}",
            f"{len(held_out):,}",
            f"{sum(weight.numel() for weight in recipe.net.parameters()):,}",
            run.seed,
        )
        return training.train(
            recipe,
            batches(learnt, options, runtime, run.seed),
            run.folder,
            config=replace(run, options=options).config(
                kind=ANY_STYLE if options.any_style else "painter",
                architecture=recipe.architecture,
                styles=names,
                sources=datasets.names([str(style) for style in styles]),
                digests=[painting.digest(style) for style in styles],
                data=datasets.described(data, learnt) if data else {"name": photographs.name},
                **({"base": base} if base else {}),
            ),
            options=TrainingOptions(options.steps, options.epochs, options.minutes),
            runtime=runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )


def _told_apart(names: Sequence[str]) -> list[str]:
    """Names, those that come again numbered."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}-{number}" for number in count(2))
        found.append(name if name not in found else next(one for one in numbered if one not in {*found, *names}))
    return found


def _style_picture(style: Source, size: int) -> Picture:
    """A style; drawn as large as it is looked at."""
    return images.load(style, size=size) if isinstance(style, str) and style.startswith("@") else loaded(style)


def _going_on(options: StyleTraining, start: Trained | AnyTrained) -> StyleTraining:
    """Options for going on from a network: its architecture stays."""
    settled = StyleTraining.from_dict(start.config["options"])
    options = runs.going_on(options, FIXED, start.name, settled.to_dict(), "backbone and architecture")
    return options.replace(any_style=options.any_style or isinstance(start, AnyTrained))


def _painter(
    options: StyleTraining,
    backbone: Backbone,
    names: Sequence[str],
    styles: Sequence[Tensor],
    start: Trained | None,
    seed: int,
) -> Painter:
    """A painter of styles (1, 3, h, w) of such names; one that `start` does not know begins as another that it does."""
    net = Painter(form(options, len(styles), backbone))
    feedforward.initialise(net, generator(seed), styles)
    if start is not None:
        known = start.styles
        begin = [known.index(name) if name in known else which % len(known) for which, name in enumerate(names)]
        feedforward.take_over(net, start.net, begin)
    return net


def _any_style(
    options: StyleTraining,
    backbone: Backbone,
    styles: Sequence[Tensor],
    start: Trained | AnyTrained | None,
    runtime: Runtime,
    seed: int,
) -> AnyStyle:
    """A network for any style; `styles` (1, 3, h, w) are examples."""
    if isinstance(start, AnyTrained):
        return start.net
    net = AnyStyle(form(options, len(styles), backbone))
    looks = look_at(backbone, styles, net.layers, runtime)
    arbitrary.initialise(net, generator(seed), looks, start.net if start else None)
    return net


def _photographs(
    data: Sequence[str], root: str | Path | None, side: int, limit: int | None, report: Report
) -> PictureSet:
    """The pictures to paint, square; the drawn photographs where none are named."""
    if data:
        return datasets.load(datasets.one_or_many(data), size=side, root=root, report=report, limit=limit)
    squares = []
    for done, name in enumerate(drawn.CONTENTS, 1):
        picture = images.load(drawn.draw(name, 2 * side)).rgb
        height, width = picture.shape[-2:]
        length = min(height, width)
        for share in (0.0, 0.5, 1.0):
            top, left = round(share * (height - length)), round(share * (width - length))
            squares.append(resize(picture[..., top : top + length, left : left + length], (side, side)))
        report(done, len(drawn.CONTENTS))
    stored = (255 * torch.cat(squares).clamp(0, 1)).round().byte()
    rows = torch.arange(DRAWN) % len(stored)
    return PictureSet(stored, rows=rows, name="the drawn photographs", fingerprint="drawn photographs")


def sized(picture: Tensor, longest: int) -> Tensor:
    """A picture (1, 3, H, W) with so many pixels on its longest side."""
    height, width = picture.shape[-2:]
    return resize(picture, fit(height, width, longest)).clamp(0, 1)
