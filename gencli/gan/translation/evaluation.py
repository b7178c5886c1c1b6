"""How good a translator is, by pictures that it has not learnt from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, datasets, metrics, weights
from gencli.core.device import generator, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import grid, to_pillow
from gencli.core.metrics import SEEN_AT_ONCE
from gencli.core.pictures import PictureSet, in_order
from gencli.core.stages import Report, Stage, unwatched
from gencli.gan.evaluation import INCEPTION
from gencli.gan.options import BACKBONE
from gencli.gan.translation import pairs
from gencli.gan.translation.networks import Translator
from gencli.gan.translation.options import TranslatorTraining
from gencli.gan.translation.pairs import Kinds
from gencli.gan.translation.tasks import Task, finished, grey, spoilt
from gencli.gan.translation.trained import TrainedTranslator
from gencli.gan.translation.training import resemblance

log = logging.getLogger("gencli")


def compared(
    translator: TrainedTranslator, data: Sequence[str] | None, root: str | Path | None, report: Report | None = None
) -> Kinds:
    """Pictures of both kinds to measure a translator by: those that were held out of what it was trained on; or of
    other `data` their test part, or all where there is none. Raises what `pairs.load` does."""
    options = TranslatorTraining.from_dict(translator.config["options"])
    learnt = translator.config["data"]["names"]
    others = bool(data) and datasets.names(data or ()) != learnt
    kinds = pairs.load(
        list(data or learnt),
        size=options.size,
        paired="back" not in translator.nets,
        task=translator.task is not None,
        split=options.split,
        direction=options.direction,
        held_out=None if others else options.held_out,
        root=root,
        limit=options.limit,
        seed=translator.config["seed"],
        report=report,
    )
    if not others and kinds.counts != translator.config.get("counts", kinds.counts):
        log.warning(
            "the pictures that %s was trained on are others now: some that are held out here it may have learnt from",
            translator.name,
        )
    return kinds


def evaluate(
    translator: TrainedTranslator,
    kinds: Kinds,
    count: int,
    seed: int,
    backbone: str | None = None,
    stage: Stage = unwatched,
) -> dict[str, float]:
    """Measure what is made of at most `count` held-out pictures, by name.

    Of pairs:

    - `l1`, the mean absolute difference from the target, of values in [0, 1]; `perceptual`, that in what a network
      sees, squared and relative to how much it varies; `colour`, of those that colour, the mean absolute difference
      of what is left without lightness.
    - the same `… of the input` taken for the result, and `… of the mean` of all targets to learn from (for colour: the
      input with their mean colour). A translator that does not come below has learnt nothing.

    Of two kinds without pairs: `cycle`, the mean absolute difference of pictures from what they are made back to.

    Of both, what is made beside the other kind as a whole: `frechet`, `kernel`, `precision` and `recall`, as
    `gencli.gan.evaluation.evaluate` has them, in a `backbone`'s features; for the way back, `back …`.

    Raises UsageError for fewer than 2 pictures held out.
    """
    if min(len(kinds.held_after), len(kinds.held_before or kinds.held_after)) < 2:
        raise UsageError("fewer than 2 pictures are held out", "name others with --data, or train with more --held-out")
    before, after = _held_out(translator, kinds, count, seed)
    task = translator.task
    with stage("translating") as told:
        made = finished(task, before, _made(translator.way(reverse=False), before, told))
    if "back" in translator.nets:
        with stage("and back again") as told:
            back = _made(translator.way(reverse=True), after, told)
            away = [
                (_made(translator.way(reverse=True), made, told) - before).abs().mean(),
                (_made(translator.way(reverse=False), back, told) - after).abs().mean(),
            ]
        found: dict[str, float] = {"cycle": float(sum(away)) / 2, **_as_wholes(made, after, backbone, stage)}
        return found | {f"back {name}": value for name, value in _as_wholes(back, before, backbone, stage).items()}
    rivals = {"": made, " of the input": before, " of the mean": _mean(kinds.after, task, before)}
    found = {}
    own = backbones.load(BACKBONE, pooling="average", device=translator.runtime.device)
    for name, some in rivals.items():
        figures = resemblance(own, some, after)
        if task is not None and task.name == "colorize":
            figures["colour"] = float((_chroma(some) - _chroma(after)).abs().mean())
        found |= {f"{figure}{name}": value for figure, value in figures.items()}
    return found | _as_wholes(made, after, backbone, stage)


def sheet(translator: TrainedTranslator, kinds: Kinds, count: int, seed: int) -> Image.Image:
    """Held-out pictures in a row, what is made of them below, and below that their targets; without pairs what is made
    of that again, and the same the other way."""
    before, after = _held_out(translator, kinds, count, seed)
    there = finished(translator.task, before, _made(translator.way(reverse=False), before))
    rows = [before, there, after]
    if "back" in translator.nets:
        back = _made(translator.way(reverse=True), after)
        again = _made(translator.way(reverse=True), there), _made(translator.way(reverse=False), back)
        rows = [before, there, again[0], after, back, again[1]]
    columns = min(map(len, rows))
    return to_pillow(grid(torch.cat([row[:columns] for row in rows]).cpu(), columns=columns))


def _held_out(translator: TrainedTranslator, kinds: Kinds, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """At most so many pictures that were held out, and targets or pictures of the other kind, (N, 3, H, W) each."""
    after = _tensor(kinds.held_after.spread(count), translator)
    if kinds.held_before is not None:
        return _tensor(kinds.held_before.spread(count), translator), after
    assert translator.task is not None
    return spoilt(translator.task, after, generator(seed)).to(after), after


def _tensor(pictures: PictureSet, translator: TrainedTranslator) -> Tensor:
    return pictures.pictures.float().div_(255).to(translator.runtime.device)


@torch.no_grad()
def _made(net: Translator, pictures: Tensor, told: Report | None = None) -> Tensor:
    """What is made of pictures (N, 3, H, W), one after another, as people use it."""
    made = []
    for index, picture in enumerate(pictures.split(1), 1):
        made.append(net(picture).float())
        if told:
            told(index, len(pictures))
    return torch.cat(made)


def _mean(targets: PictureSet, task: Task | None, before: Tensor) -> Tensor:
    """What one who has seen the targets, and knows nothing, would say: their mean; or for grey pictures, with their
    lightness, the mean colour."""
    total = torch.zeros_like(before[:1])
    for batch in in_order(targets, SEEN_AT_ONCE, device=before.device):
        total += batch.pictures.sum(0)
    mean = total / len(targets)
    if task is None or task.name != "colorize":
        return mean.expand_as(before)
    return (before + _chroma(mean).mean((2, 3), keepdim=True)).clamp(0, 1)


def _chroma(pictures: Tensor) -> Tensor:
    """What there is beside lightness."""
    return pictures - grey(pictures)


def _as_wholes(made: Tensor, wanted: Tensor, backbone: str | None, stage: Stage) -> dict[str, float]:
    """Both as sets, in what a backbone sees; without a name also in Inception's features, where they are there."""
    fake, real = _seen(backbone or BACKBONE, made, wanted, stage)
    precision, recall = metrics.precision_recall(real, fake)
    found = {**metrics.distances(real, fake), "precision": precision, "recall": recall}
    if backbone is None and weights.is_here(INCEPTION):
        fake, real = _seen(INCEPTION, made, wanted, stage)
        found |= {f"inception_{name}": value for name, value in metrics.distances(real, fake).items()}
    return found


def _seen(backbone: str, made: Tensor, wanted: Tensor, stage: Stage) -> tuple[Tensor, Tensor]:
    """What a backbone sees in pictures, (N, F) and (M, F)."""
    seer = backbones.load(backbone, device=made.device)
    seer.to(memory_format=memory_format(made.device))  # type: ignore[call-overload]
    with stage(f"{backbone} looks at pictures"):
        return metrics.features(seer, made.split(SEEN_AT_ONCE)), metrics.features(seer, wanted.split(SEEN_AT_ONCE))
