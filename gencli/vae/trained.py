"""A trained autoencoder, ready to make pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from gencli.core import datasets, store
from gencli.core.datasets import Report
from gencli.core.device import Runtime, generator
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import Picture, grid, to_pillow
from gencli.core.layouts import NoPartError
from gencli.core.names import class_number
from gencli.core.pictures import PictureSet, in_order, resize
from gencli.vae import models
from gencli.vae.models import Autoencoder
from gencli.vae.options import FACES
from gencli.vae.training import normal

AT_ONCE = 128  # pictures decoded side by side


class Box(NamedTuple):
    """A square of a picture, in pixels."""

    top: int
    left: int
    side: int


def central(picture: Picture) -> Box:
    """The largest square in the middle of a picture."""
    height, width = picture.rgb.shape[-2:]
    side = min(height, width)
    return Box((height - side) // 2, (width - side) // 2, side)


@dataclass(frozen=True)
class Trained:
    """An autoencoder in evaluation mode, and its `config.json`."""

    name: str
    net: Autoencoder
    config: dict[str, Any]
    runtime: Runtime
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes it has learnt to draw; none, if it is not conditional."""
        return tuple(self.config["classes"]) if self.net.classes else ()

    def label(self, name: str | None) -> int | None:
        """The number of a class, None for none. Raises UsageError when the model and the wish do not fit."""
        return None if name is None else class_number(name, self.classes, self.name)

    def labels(self, count: int, name: str | None) -> Tensor | None:
        """The class `name` for so many pictures, (N,); None for a model without classes.

        Raises UsageError as `label` does, and when a class is needed.
        """
        label = self.label(name)
        if self.classes and label is None:
            raise UsageError(
                f"{self.name} reads pictures of a class", f"say which with --class: {', '.join(self.classes)}"
            )
        return None if label is None else torch.full((count,), label)

    @torch.no_grad()
    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, latent) → pictures (N, 3, H, W) in [0, 1] on the CPU; grey ones as three equal channels."""
        made = []
        for first in range(0, len(latents), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            known = None if labels is None else labels[some].to(self.runtime.device)
            logits = self.net.decode(latents[some].to(self.runtime.device), known)
            made.append(logits.sigmoid().float().cpu())
        return torch.cat(made).expand(-1, 3, -1, -1)

    @torch.no_grad()
    def encode(self, pictures: Tensor, labels: Tensor | None = None) -> Tensor:
        """Pictures (N, 3, H, W) in [0, 1], as `fitted` makes them → the means of their latents (N, latent)."""
        channels = self.net.shape[0]
        given = pictures if channels == 3 else grey(pictures)
        mean, _ = self.net.encode(
            given.to(self.runtime.device), None if labels is None else labels.to(self.runtime.device)
        )
        return mean.float().cpu()

    @torch.no_grad()
    def encode_all(self, pictures: PictureSet) -> Tensor:
        """The means of a whole set's latents, (N, latent) on the CPU."""
        return torch.cat(
            [
                self.net.encode(batch.pictures, batch.labels if self.net.classes else None)[0].float().cpu()
                for batch in in_order(pictures, AT_ONCE, device=self.runtime.device)
            ]
        )

    def fitted(self, picture: Picture, box: Box | None = None) -> Tensor:
        """A square of any picture (default: the central one) as the model wants it: (1, 3, H, W), transparency on
        white."""
        rgb = picture.rgb if picture.alpha is None else picture.rgb * picture.alpha + (1 - picture.alpha)
        top, left, side = box or central(picture)
        _, height, width = self.net.shape
        return resize(rgb[..., top : top + side, left : left + side], (height, width)).clamp(0, 1)

    def drawn(self, count: int, seed: int, temperature: float = 1.0, label: int | None = None) -> Tensor:
        """`count` pictures from the prior, (N, 3, H, W). `temperature` is the deviation of the latents drawn; of a
        conditional model every class in turn, or that of a `label`."""
        latents = normal((count, self.net.latent), generator(seed), torch.device("cpu")) * temperature
        if not self.net.classes:
            return self.decode(latents)
        labels = torch.full((count,), label) if label is not None else torch.arange(count) % self.net.classes
        return self.decode(latents, labels)


def held_out(loaded: Trained, data: Sequence[str] | None, root: str | Path | None, report: Report | None) -> PictureSet:
    """Pictures a model was not trained on: of `data`, or what was held out of its own set.

    Raises GencliError when its own set is not there any more, or not as it was.
    """
    about, options = loaded.config["data"], loaded.config["options"]
    names, limit = list(data or about["names"]), None if data else options["limit"]
    channels, size, _ = loaded.net.shape
    try:  # a test part of its own needs nothing of what is learnt from
        held = datasets.load(
            datasets.one_or_many(names),
            size=size,
            channels=channels,
            split="test",
            root=root,
            report=report,
            limit=limit,
        )
    except NoPartError:
        learnt, held = parts(loaded, names, root, report, limit)
        if not data and learnt.fingerprint != about["fingerprint"]:
            raise GencliError(
                f"{about['name']} is not what it was when {loaded.name} was trained", "name pictures with --data"
            ) from None
    return _with_its_classes(loaded, held)


def parts(
    loaded: Trained, data: Sequence[str], root: str | Path | None, report: Report | None, limit: int | None = None
) -> tuple[PictureSet, PictureSet]:
    """The two parts of a set as the model was or would be trained on it: to learn from, and held out.

    Raises UsageError when it has other classes than a conditional model.
    """
    channels, size, _ = loaded.net.shape
    learnt, held = datasets.train_and_test(
        datasets.one_or_many(data),
        size=size,
        channels=channels,
        root=root,
        report=report,
        limit=limit,
        held_out=loaded.config["options"]["held_out"],
        seed=loaded.config["seed"],
    )
    return learnt, _with_its_classes(loaded, held)


def _with_its_classes(loaded: Trained, pictures: PictureSet) -> PictureSet:
    if loaded.net.classes and pictures.classes != tuple(loaded.config["classes"]):
        raise UsageError(f"{pictures.name} has other classes than {loaded.name}", "name pictures of the same classes")
    return pictures


def grey(pictures: Tensor) -> Tensor:
    """Luminance (N, 1, H, W) of (N, 3, H, W), ITU-R BT.601."""
    weights = pictures.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def sample(
    count: int = 64,
    *,
    model: str | Trained = FACES,
    class_: str | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Image.Image:
    """A sheet of pictures drawn from the prior: what `gencli vae sample` makes.

    `model` is a name of the store, a path, `latest`, or a loaded one. Raises GencliError when there is none.
    """
    loaded = model if isinstance(model, Trained) else load(model, runtime)
    return to_pillow(grid(loaded.drawn(count, seed, temperature, loaded.label(class_))))


def load(which: str, runtime: Runtime | None = None) -> Trained:
    """The model of that name, path or `latest`; without a runtime, on the CPU.

    Raises GencliError when there is none, or it is damaged.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    found = store.find("vae", which)
    with store.sound(found):
        net = models.build(**found.config["architecture"])
        net.load_state_dict(store.load_weights(found, str(runtime.device)))
    return Trained(found.name, net.to(runtime.device).eval(), found.config, runtime, found.folder)
