"""Training a classifier network to dream with: a VGG-style stack of convolutions (Simonyan & Zisserman 2015).

Pictures grow during training (small ones teach most of it at a quarter of the price), the learning
rate rises and falls once (Smith & Topin 2018), and a teacher network may soften the labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gencli.core import networks
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.images import grid, to_pillow
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet, in_order
from gencli.core.recipe import Recipe, up_and_down
from gencli.dream.options import BackboneTraining

WARM_UP = {"onecycle": 0.25, "cosine": 0.02}  # share of the training in which the rate rises
SHOWN = 40  # held-out pictures in a preview


@dataclass
class Stage:
    """The size the pictures have grown to: part of what a resume needs."""

    size: int

    def state_dict(self) -> dict[str, Any]:
        return {"size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.size = state_dict["size"]


class ClassifierRecipe(Recipe):
    """A VGG-style classifier with batch norm; `export` folds the batch norm away.

    `soft_targets` (N, classes), one row a training picture, are a teacher's class probabilities.
    """

    def __init__(
        self,
        options: BackboneTraining,
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
        soft_targets: Tensor | None = None,
    ) -> None:
        self.options = options
        self.held_out = held_out
        self.runtime = runtime
        self.soft_targets = soft_targets
        self.layout = memory_format(runtime.device)
        architecture = networks.vgg(options.widths, options.depths, classes=len(held_out.classes), batch_norm=True)
        self.net = Backbone("classifier", architecture, held_out.classes)
        initialise(self.net, generator(seed))
        self.net.to(runtime.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        decayed = [weight for weight in self.net.parameters() if weight.ndim > 1]
        others = [weight for weight in self.net.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(groups, options.rate, options.momentum, nesterov=options.momentum > 0)
        self.stage = Stage(options.sizes[0])
        self.modules = {"net": self.net}
        self.optimizers = {"net": self.optimizer}
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.extras = {"stage": self.stage, "scaler": self.scaler}

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        self.stage.size = picture_size(self.options, progress)
        pictures = self.at_size(batch.pictures)
        targets = self.targets(batch)  # (B, classes)
        with self.runtime.autocast():
            logits = self.net.logits(pictures)
        loss = F.cross_entropy(logits.float(), targets)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        assert batch.labels is not None
        return {"loss": loss.detach(), "accuracy": (logits.argmax(1) == batch.labels).float().mean()}

    def targets(self, batch: Batch) -> Tensor:
        """Class probabilities (B, classes): the labels, smoothed, and the teacher's view."""
        assert batch.labels is not None
        count, smoothing = len(self.held_out.classes), self.options.label_smoothing
        targets = F.one_hot(batch.labels, count).float() * (1 - smoothing) + smoothing / count
        if self.soft_targets is not None:
            soft = self.soft_targets[batch.indices].to(targets)
            targets = torch.lerp(targets, soft, self.options.teacher_weight)
        return targets

    def at_size(self, pictures: Tensor) -> Tensor:
        """Pictures at the size the training has come to, in the device's favourite layout."""
        size = self.stage.size
        if pictures.shape[-1] != size:
            pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        return pictures.contiguous(memory_format=self.layout)

    def rate(self, progress: float) -> float:
        return up_and_down(progress, WARM_UP[self.options.schedule])

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Top-1 and top-5 accuracy and the mean cross-entropy (nats) on the held-out pictures."""
        self.net.eval()
        right1 = right5 = loss = 0.0
        for batch in in_order(self.held_out, 256, device=self.runtime.device):
            with self.runtime.autocast():
                logits = self.net.logits(self.at_size(batch.pictures)).float()
            assert batch.labels is not None
            best = logits.topk(min(5, logits.shape[1])).indices == batch.labels[:, None]
            right1 += float(best[:, 0].sum())
            right5 += float(best.any(1).sum())
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
        self.net.train()
        count = len(self.held_out)
        return {"top1": right1 / count, "top5": right5 / count, "held_out_loss": loss / count}

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """Held-out pictures, spread over the set, framed green where the network is right and red where not."""
        shown = self.held_out.spread(SHOWN)
        (batch,) = in_order(shown, SHOWN, device=self.runtime.device)
        self.net.eval()
        guesses = self.net.logits(self.at_size(batch.pictures)).argmax(1)
        self.net.train()
        green, red = torch.tensor([0.2, 0.7, 0.3]), torch.tensor([0.85, 0.2, 0.2])
        assert batch.labels is not None
        frames = torch.where(guesses.eq(batch.labels).cpu()[:, None], green, red)
        framed = frames[:, :, None, None].repeat(1, 1, *(side + 6 for side in batch.pictures.shape[2:]))
        framed[:, :, 3:-3, 3:-3] = batch.pictures.cpu()
        return to_pillow(grid(framed, columns=8))

    def export(self) -> dict[str, Tensor]:
        """The network in evaluation, batch norm folded into the convolutions, in half precision."""
        self.net.eval()
        folded = {
            name: networks.fold(stage) if isinstance(stage, nn.Sequential) else stage
            for name, stage in self.net.stages.items()
        }
        state = {f"stages.{key}": value for key, value in nn.ModuleDict(folded).state_dict().items()}
        assert self.net.head is not None
        state |= {f"head.{key}": value for key, value in self.net.head.state_dict().items()}
        self.net.train()
        return {key: value.half() for key, value in state.items()}


def initialise(net: nn.Module, draw: torch.Generator) -> None:
    """Normal weights that keep the variance through a ReLU (He et al. 2015); a small last layer."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=draw)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01, generator=draw)
            nn.init.zeros_(module.bias)


def picture_size(options: BackboneTraining, progress: float) -> int:
    """The side of the pictures at a moment: the sizes one after the other, the last from `grow_at` on."""
    *earlier, last = options.sizes
    if not earlier or progress >= options.grow_at:
        return last
    return earlier[int(progress / options.grow_at * len(earlier))]


def batches(pictures: PictureSet, options: BackboneTraining, runtime: Runtime, seed: int) -> PictureBatches:
    """Training batches: random crops and flips at the largest size."""
    scale = (options.crop, 1.0) if options.crop < 1 else None
    return PictureBatches(
        pictures,
        options.batch_size,
        seed,
        Augmentation(flip=True, scale=scale),
        options.sizes[-1],
        runtime.device,
        runtime.rank,
        runtime.world_size,
    )


def describe(options: BackboneTraining, held_out: PictureSet) -> dict[str, object]:
    """What a backbone's file says of how it is built; `core.backbones` reads it."""
    built = {"widths": options.widths, "depths": options.depths}
    norm = {"mean": networks.IMAGENET_MEAN, "std": networks.IMAGENET_STD}
    return {"kind": "backbone", "vgg": built | norm, "classes": held_out.classes}
