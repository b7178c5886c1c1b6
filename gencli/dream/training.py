"""Training a classifier network to dream with: a VGG-style stack of convolutions (Simonyan & Zisserman 2015).

Pictures grow during training (small ones teach most of it at a quarter of the price), the learning
rate rises and falls once (Smith & Topin 2018), and a teacher network may soften the labels. Pictures
without labels teach too: by how far they were turned (Gidaris et al. 2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gencli.core import networks
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import grid, to_pillow
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet, in_order
from gencli.core.recipe import Recipe, up_and_down
from gencli.dream import dreaming
from gencli.dream.options import BackboneTraining, DreamOptions

WARM_UP = {"onecycle": 0.25, "cosine": 0.02}  # share of the training in which the rate rises
MEASURED = 256  # pictures that a network gone on with is set up by
SHOWN = 40  # held-out pictures in a preview
TURNS = ("upright", "turned left", "upside down", "turned right")  # what a network without labels tells apart
GAP = 8  # pixels between the parts of a preview
DREAMT, DREAMT_SIDE, DREAMT_STEPS = "@harbour", 256, 6  # the picture that a preview dreams over, and how


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

    `soft_targets` (N, classes), one row a training picture, are a teacher's class probabilities. `base` is a network of
    the same widths and depths to go on from: see `continued`.
    """

    def __init__(
        self,
        options: BackboneTraining,
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
        soft_targets: Tensor | None = None,
        base: Backbone | None = None,
    ) -> None:
        self.options = options
        self.held_out = held_out
        self.runtime = runtime
        self.soft_targets = soft_targets
        self.layout = memory_format(runtime.device)
        self.classes = TURNS if options.task == "rotation" else held_out.classes
        architecture = networks.vgg(options.widths, options.depths, classes=len(self.classes), batch_norm=True)
        self.net = Backbone("classifier", architecture, self.classes)
        initialise(self.net, generator(seed))
        if base is not None:
            continued(self.net, base, held_out.spread(MEASURED).pictures.to(runtime.device).float() / 255)
        self.net.to(runtime.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        decayed = [weight for weight in self.net.parameters() if weight.ndim > 1]
        others = [weight for weight in self.net.parameters() if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD(groups, options.rate, options.momentum, nesterov=options.momentum > 0)
        self.stage = Stage(options.sizes[0])
        self.confusion = torch.zeros(len(self.classes), len(self.classes), dtype=torch.int64)
        self.modules = {"net": self.net}
        self.optimizers = {"net": self.optimizer}
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.extras = {"stage": self.stage, "scaler": self.scaler}

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        self.stage.size = picture_size(self.options, progress)
        pictures, labels = self.task(batch)
        pictures = self.at_size(pictures)
        targets = self.targets(labels, batch)  # (B, classes)
        with self.runtime.autocast():
            logits = self.net.logits(pictures)
        loss = F.cross_entropy(logits.float(), targets)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return {"loss": loss.detach(), "accuracy": (logits.argmax(1) == labels).float().mean()}

    def task(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What is to be told apart (B, 3, H, W), and what is right (B,): pictures by their labels, or one after another
        turned by a quarter more."""
        if self.options.task != "rotation":
            assert batch.labels is not None
            return batch.pictures, batch.labels
        turns = torch.arange(len(batch.pictures), device=batch.pictures.device) % len(TURNS)
        return turned(batch.pictures, turns), turns

    def targets(self, labels: Tensor, batch: Batch) -> Tensor:
        """Class probabilities (B, classes): what is right, smoothed, and the teacher's view."""
        count, smoothing = len(self.classes), self.options.label_smoothing
        targets = F.one_hot(labels, count).float() * (1 - smoothing) + smoothing / count
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
        self.confusion.zero_()
        for batch in in_order(self.held_out, 256, device=self.runtime.device):
            pictures, labels = self.task(batch)
            with self.runtime.autocast():
                logits = self.net.logits(self.at_size(pictures)).float()
            best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
            right1 += float(best[:, 0].sum())
            right5 += float(best.any(1).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            pairs = (labels * len(self.classes) + logits.argmax(1)).cpu()
            self.confusion += torch.bincount(pairs, minlength=self.confusion.numel()).view_as(self.confusion)
        self.net.train()
        count = len(self.held_out)
        return {"top1": right1 / count, "top5": right5 / count, "held_out_loss": loss / count}

    def preview(self) -> Image.Image:
        """Held-out pictures, spread over the set, framed green where the network is right and red where not; and what
        it dreams of by now."""
        self.net.eval()
        framed = self._framed()
        dreamt = dreaming.dream(
            DREAMT,
            options=DreamOptions(size=DREAMT_SIDE, steps=DREAMT_STEPS),
            runtime=self.runtime,
            backbone=self.net.requires_grad_(False),
        )
        self.net.requires_grad_(True).train()
        whole = Image.new("RGB", (max(framed.width, dreamt.width), framed.height + GAP + dreamt.height), "white")
        whole.paste(framed, (0, 0))
        whole.paste(dreamt, (0, framed.height + GAP))
        return whole

    @torch.no_grad()
    def _framed(self) -> Image.Image:
        shown = self.held_out.spread(SHOWN)
        (batch,) = in_order(shown, SHOWN, device=self.runtime.device)
        pictures, labels = self.task(batch)
        guesses = self.net.logits(self.at_size(pictures)).argmax(1)
        green, red = torch.tensor([0.2, 0.7, 0.3]), torch.tensor([0.85, 0.2, 0.2])
        frames = torch.where(guesses.eq(labels).cpu()[:, None], green, red)
        framed = frames[:, :, None, None].repeat(1, 1, *(side + 6 for side in pictures.shape[2:]))
        framed[:, :, 3:-3, 3:-3] = pictures.cpu()
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


def turned(pictures: Tensor, turns: Tensor) -> Tensor:
    """Square pictures (N, C, S, S), each turned to the left by its number of quarters (N,)."""
    found = pictures.clone()
    for quarters in range(1, len(TURNS)):
        chosen = turns == quarters
        found[chosen] = pictures[chosen].rot90(quarters, (2, 3))
    return found


@torch.no_grad()
def continued(net: Backbone, base: Backbone, pictures: Tensor) -> None:
    """Let a network with batch norm begin as one without, of the same convolutions: it sees the same in `pictures`.

    Each norm is set to undo itself: its scale and shift are the deviation and the mean of what it is given. What it
    learns from there on is its own; so is the classifier.
    """
    x = net.to(pictures.device).normalise(pictures)
    for name, stage in net.stages.items():
        if isinstance(stage, nn.Sequential):
            convolution, norm, relu = stage
            known = next(base.stages[name].children())
            assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
            assert isinstance(convolution, nn.Conv2d) and isinstance(known, nn.Conv2d) and known.bias is not None
            convolution.weight.copy_(known.weight)
            x = convolution(x)
            variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.copy_(mean + known.bias)
            x = relu(x + known.bias.view(-1, 1, 1))
        else:
            x = stage(x)


def widths_and_depths(backbone: Backbone) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of a VGG's blocks. Raises UsageError for networks of another kind, which cannot be gone on from."""
    blocks: dict[str, list[int]] = {}
    for name, stage in backbone.stages.items():
        first = next(stage.children(), None)
        if isinstance(first, nn.Conv2d):
            blocks.setdefault(name.split("_")[0], []).append(first.out_channels)
    widths, depths = tuple(found[0] for found in blocks.values()), tuple(len(found) for found in blocks.values())
    if not blocks or [*networks.vgg(widths, depths).stages] != [*backbone.stages]:
        raise UsageError(f"{backbone.name} cannot be gone on from", "use vgg-mini, a VGG, or a network of your own")
    return widths, depths


def confused(confusion: Tensor, classes: Sequence[str], most: int) -> list[tuple[str, str, float]]:
    """The pairs of classes that are mistaken most often: what a picture is, what it is taken for, and the share of the
    pictures of that class. `confusion` (K, K) counts pictures by what they are and what they are taken for."""
    shares = confusion.double() / confusion.sum(1, keepdim=True).clamp_min(1)
    shares.fill_diagonal_(0)
    values, places = shares.flatten().topk(min(most, shares.numel()))
    return [
        (classes[place // len(classes)], classes[place % len(classes)], share)
        for share, place in zip(values.tolist(), places.tolist(), strict=True)
        if share
    ]


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
    classes = TURNS if options.task == "rotation" else held_out.classes
    return {"kind": "backbone", "vgg": built | norm, "classes": classes}
