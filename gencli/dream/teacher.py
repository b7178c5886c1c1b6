"""Soft labels from a teacher: what a network trained elsewhere sees in the pictures (Hinton et al. 2015).

The teacher's classes need not be the student's: a linear classifier on the teacher's features learns
the student's classes. Each picture's soft label comes from a classifier that was not fitted on that
picture, so that it says how sure one can be, not how well it was memorised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from gencli.core import backbones, files
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.pictures import PictureSet, in_order
from gencli.core.probes import logistic
from gencli.core.tensors import read_tensors, write_tensors

Report = Callable[[int, int], None]
FOLDS = 4


def soft_targets(
    pictures: PictureSet, teacher: str, size: int, runtime: Runtime, report: Report | None = None
) -> Tensor:
    """Class probabilities float16 (N, classes) for every picture of a labelled set, kept in the cache folder.

    `size` is the side in pixels at which the teacher sees them. `report(done, total)` counts pictures.
    """
    net = backbones.load(teacher, device=runtime.device)
    key = hashlib.sha256(f"2 {pictures.fingerprint} {_digest(net)} {size}".encode()).hexdigest()[:24]
    file: Path = files.home() / "cache" / "soft-targets" / f"{key}.safetensors"
    if file.is_file():
        return read_tensors(file)[0]["targets"]
    found = features(pictures, net, size, runtime, report)
    assert pictures.labels is not None
    targets = cross_fitted(found, pictures.labels.to(found.device), len(pictures.classes)).half().cpu()
    write_tensors(file, {"targets": targets}, {"teacher": teacher, "pictures": pictures.name})
    return targets


def _digest(net: nn.Module) -> str:
    """Tells teachers apart by their weights: a name may be given to another network."""
    digest = hashlib.sha256()
    for tensor in net.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def features(pictures: PictureSet, net: Backbone, size: int, runtime: Runtime, report: Report | None) -> Tensor:
    """Means over the picture of the teacher's deepest layer, standardised: float32 (N, channels) on the device."""
    layout = memory_format(runtime.device)
    net.to(memory_format=layout)  # type: ignore[call-overload]
    last = net.layers[-1]
    rows = []
    for batch in in_order(pictures, 64, size=size, device=runtime.device):
        with torch.no_grad(), runtime.autocast():
            rows.append(net(batch.pictures.contiguous(memory_format=layout), [last])[last].float().mean((2, 3)))
        if report:
            report(int(batch.indices[-1]) + 1, len(pictures))
    found = torch.cat(rows)
    return (found - found.mean(0)) / (found.std(0) + 1e-4)


def cross_fitted(rows: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Class probabilities (N, classes) of logistic regressions, each on the fold it was not fitted on."""
    fold = torch.randperm(len(rows), generator=generator(0, 1)).to(rows.device) % FOLDS
    targets = torch.empty(len(rows), classes, device=rows.device)
    for held in range(FOLDS):
        fit = logistic(rows[fold != held], labels[fold != held], classes)
        with torch.no_grad():
            targets[fold == held] = fit(rows[fold == held]).softmax(1)
    return targets
