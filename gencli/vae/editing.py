"""Changing one thing about a picture: along concept vectors, and back into the photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from gencli.core import images
from gencli.core.device import Runtime
from gencli.core.errors import UsageError
from gencli.core.images import Picture, grid, resize, to_pillow
from gencli.vae import concepts
from gencli.vae.concepts import Concept
from gencli.vae.options import FACES
from gencli.vae.trained import Box, Trained, central, load

FADE = 1 / 6  # of a square's side: how far from its edge a change has its full strength

Change = tuple[Concept, float]  # and how much of it


def edit(
    picture: Path | str | Image.Image | Picture,
    attributes: Mapping[str, float],
    *,
    model: str | Trained = FACES,
    box: Box | None = None,
    put_back: bool = False,
    class_: str | None = None,
    runtime: Runtime | None = None,
) -> Image.Image:
    """A picture with so much of each attribute added: what `gencli vae edit` makes.

    `box` is the square to change (default: the central one); `put_back` gives the whole picture with the change in it.
    `model` is a name of the store, a path, `latest`, or a loaded one.

    Raises UsageError for attributes that the model does not know or a square outside the picture, GencliError for a
    picture or model that cannot be read.
    """
    loaded = model if isinstance(model, Trained) else load(model, runtime)
    known = concepts.load(loaded.folder)
    changes = [(concepts.chosen(known, name, loaded.name), strength) for name, strength in attributes.items()]
    given = picture if isinstance(picture, Picture) else images.load(picture)
    edited = Edit(loaded, given, box, loaded.labels(1, class_))
    return edited.put_back(changes) if put_back else edited.changed(changes)


class Edit:
    """A square of a picture as a model reads it, and what can be made of it. `labels` (1,) is its class.

    Raises UsageError for a square that is not within the picture.
    """

    def __init__(self, loaded: Trained, picture: Picture, box: Box | None = None, labels: Tensor | None = None) -> None:
        self.loaded, self.picture, self.labels = loaded, picture, labels
        self.box = top, left, side = box or central(picture)
        height, width = picture.rgb.shape[-2:]
        if min(top, left) < 0 or side < 1 or top + side > height or left + side > width:
            raise UsageError(
                f"a square of {side} pixels at {left},{top} is not within {picture.name}, {width} × {height} pixels",
                "give another --crop X,Y,SIDE",
            )
        self.latents = loaded.encode(loaded.fitted(picture, self.box), labels)

    def changed(self, changes: Sequence[Change]) -> Image.Image:
        """The square with changes, as the model draws it."""
        return to_pillow(self.loaded.decode(moved(self.latents, changes), self.labels))

    def put_back(self, changes: Sequence[Change]) -> Image.Image:
        """The whole picture with changes. What the model draws otherwise with them than without is enlarged and added,
        so that the photograph keeps all that the model cannot draw; towards the edge of the square it fades."""
        top, left, side = self.box
        before, after = (
            self.loaded.decode(latents, self.labels) for latents in (self.latents, moved(self.latents, changes))
        )
        rgb = self.picture.rgb.clone()
        rgb[..., top : top + side, left : left + side] += resize(after - before, (side, side)) * fading(side)
        return to_pillow(rgb, self.picture.alpha)

    def strip(self, concepts: Sequence[Concept], strengths: Sequence[float]) -> Image.Image:
        """A row for each concept: the square with it at each strength."""
        latents = torch.cat([moved(self.latents, [(one, strength)]) for one in concepts for strength in strengths])
        labels = None if self.labels is None else self.labels.expand(len(latents))
        return to_pillow(grid(self.loaded.decode(latents, labels), columns=len(strengths)))


def moved(latents: Tensor, changes: Sequence[Change]) -> Tensor:
    """Latents (N, L) with so much of each concept added."""
    for concept, strength in changes:
        latents = latents + strength * concept.vector
    return latents


def fading(side: int) -> Tensor:
    """Weights (side, side): 1 in the middle, falling smoothly to 0 at the edges."""
    middle = (torch.arange(side) + 0.5) / side
    ramp = (torch.minimum(middle, 1 - middle) / FADE).clamp(0, 1)
    ramp = ramp * ramp * (3 - 2 * ramp)
    return ramp[:, None] * ramp
