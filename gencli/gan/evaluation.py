"""How good a generator is: its pictures beside those it learnt from, in what a network sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, datasets, metrics, weights
from gencli.core.device import memory_format
from gencli.core.errors import GencliError
from gencli.core.images import grid, to_pillow
from gencli.core.metrics import SEEN_AT_ONCE
from gencli.core.pictures import PictureSet
from gencli.core.probes import logistic
from gencli.core.stages import Report, Stage, unwatched
from gencli.gan import conditions
from gencli.gan.options import BACKBONE
from gencli.gan.trained import Trained

INCEPTION = "inception_v3"


@dataclass(frozen=True)
class Judgement:
    """`figures` by name; `classes`: the share of each class among the samples, as a classifier sees them; `nearest`
    (N,): for each sample the picture that it is most like, and `apart` (N,) how far from it in features."""

    figures: dict[str, float]
    classes: dict[str, float]
    nearest: Tensor
    apart: Tensor
    samples: Tensor


def evaluate(
    loaded: Trained, pictures: PictureSet, count: int, seed: int, backbone: str | None = None, stage: Stage = unwatched
) -> Judgement:
    """Compare `count` drawn pictures with those of a set, in a backbone's features, all as tensors.

    - `frechet` and `kernel`: distances of both as wholes, 0 for alike; `precision`: how many samples look like
      pictures; `recall` and `coverage`: how many pictures have their like among the samples.
    - `memorised`: how many samples lie nearer to a picture than half of the pictures to their own nearest: a
      generator that has learnt its pictures by heart has a large share.
    - `as_asked`, of a conditional one: how many samples a classifier takes for the class they were asked to be.

    Without a `backbone` it is the one that ships, and where Inception's weights are there, its distances come too, as
    papers have them: `inception_frechet` and `inception_kernel`.

    Raises GencliError for fewer than 2 pictures.
    """
    if len(pictures) < 2:
        raise GencliError(f"{len(pictures)} picture(s) have no spread to compare", "give at least 2")
    samples = loaded.drawn(count, seed)
    real, fake = _seen(backbone or BACKBONE, pictures, samples, loaded.runtime.device, stage)
    precision, recall = metrics.precision_recall(real, fake)
    apart, nearest = torch.cdist(fake, real).min(1)
    own = torch.cdist(real, real).fill_diagonal_(torch.inf).amin(1)
    figures = {
        **metrics.distances(real, fake),
        "precision": precision,
        "recall": recall,
        "coverage": metrics.coverage(real, fake),
        "memorised": float((apart < own.median() / 2).double().mean()),
    }
    classes: dict[str, float] = {}
    if pictures.labels is not None and len(pictures.classes) > 1:
        found = classified(real, pictures.labels, len(pictures.classes), fake)
        shares = found.bincount(minlength=len(pictures.classes)).double() / len(found)
        classes = dict(zip(pictures.classes, shares.tolist(), strict=True))
        asked = loaded.labels(count, ())
        if asked is not None and loaded.classes == pictures.classes:
            figures["as_asked"] = float((found == asked).double().mean())
    if backbone is None and weights.is_here(INCEPTION):
        found_there = metrics.distances(*_seen(INCEPTION, pictures, samples, loaded.runtime.device, stage))
        figures |= {f"inception_{name}": value for name, value in found_there.items()}
    return Judgement(figures, classes, nearest, apart, samples)


def _seen(
    backbone: str, pictures: PictureSet, samples: Tensor, device: torch.device, stage: Stage
) -> tuple[Tensor, Tensor]:
    """What a backbone sees in the pictures of a set (N, F), and in samples (M, F)."""
    seer = backbones.load(backbone, device=device)
    seer.to(memory_format=memory_format(device))  # type: ignore[call-overload]
    with stage(f"{backbone} looks at pictures") as told:
        real = metrics.features(seer, _in_parts(pictures.pictures.float() / 255, told))
    with stage(f"{backbone} looks at samples") as told:
        fake = metrics.features(seer, _in_parts(samples, told))
    return real, fake


def classified(rows: Tensor, labels: Tensor, classes: int, others: Tensor) -> Tensor:
    """The classes (M,) of feature rows `others` (M, F), by a classifier that learns `rows` (N, F) and their labels."""
    mean, deviation = rows.mean(0), rows.std(0) + 1e-4
    probe = logistic((rows - mean) / deviation, labels, classes)
    with torch.no_grad():
        found: Tensor = probe((others - mean) / deviation).argmax(1)
    return found


def _in_parts(pictures: Tensor, told: Report) -> Iterator[Tensor]:
    for first in range(0, len(pictures), SEEN_AT_ONCE):
        yield pictures[first : first + SEEN_AT_ONCE]
        told(min(first + SEEN_AT_ONCE, len(pictures)), len(pictures))


def neighbours(judgement: Judgement, pictures: PictureSet, count: int) -> Image.Image:
    """The samples that come nearest to a picture of the set, above that picture: what is known by heart shows."""
    closest = judgement.apart.argsort()[:count]
    theirs = pictures.take(judgement.nearest[closest]).float() / 255
    return to_pillow(grid(torch.cat([judgement.samples[closest], theirs.expand(-1, 3, -1, -1)]), columns=len(closest)))


def compared(
    loaded: Trained, data: Sequence[str] | None, root: str | Path | None, count: int, report: Report
) -> PictureSet:
    """Pictures to compare samples with, as the model draws them, evenly spread: of `data`, or those it learnt from.

    Raises GencliError when these are not there any more, UsageError when they do not know its classes.
    """
    about, options = loaded.config["data"], loaded.config["options"]
    channels, size, _ = loaded.net.form.shape
    pictures = datasets.load(
        datasets.one_or_many(list(data or about["names"])), size=size, channels=channels, root=root, report=report
    )
    if loaded.classes:
        pictures = conditions.labelled(pictures, options["conditional"])
    return pictures.spread(count)
