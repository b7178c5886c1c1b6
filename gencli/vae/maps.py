"""Maps of a latent space: what is decoded at each place of a plane through it, and where pictures lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from gencli.core.images import grid, to_pillow
from gencli.core.pictures import PictureSet
from gencli.vae import latent, scatter
from gencli.vae.latent import LatentPlane
from gencli.vae.page import CLASSES, Plane, page
from gencli.vae.trained import Trained

KINDS = ("both", "manifold", "scatter")


@dataclass(frozen=True)
class Map:
    """Decoded pictures (S, S, 3, H, W) at the coordinates `places` (S,) of a plane, the first row at the top, where
    the second coordinate is largest. `points` (P, 2) are encoded pictures of a set."""

    name: str
    pictures: Tensor
    channels: int
    places: Tensor
    plane: LatentPlane
    points: Tensor | None
    shown: PictureSet | None

    def sheet(self) -> Image.Image:
        """All pictures side by side, pixel for pixel."""
        return to_pillow(grid(self.pictures.flatten(0, 1), columns=len(self.places), gap=0))

    def picture(self, kind: str) -> Image.Image:
        """One of `KINDS`: the `sheet`, the points as dots in the colours of their classes (`scatter.picture`), or one
        beside the other; where there are no points, both is the sheet alone.

        Raises UsageError for a scatter without points.
        """
        if kind == "manifold" or (kind == "both" and self.points is None):
            return self.sheet()
        return scatter.picture(self._decoded(), *self._words(), manifold=kind == "both")

    def page(self) -> str:
        """A web page on which the decoded picture follows the pointer."""
        return page(self._decoded(), *self._words())

    def _decoded(self) -> Plane:
        """The plane with what is shown of it; without classes where they are too many to be told apart."""
        cells = (self.pictures[:, :, : self.channels] * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2)
        points, shown = self.points, self.shown
        labels = None if shown is None or len(shown.classes) > CLASSES else shown.labels
        return Plane(
            cells.contiguous().numpy(),
            self.places.numpy(),
            self.places.flip(0).numpy(),
            self.plane.names,
            None if points is None else points.numpy(),
            None if labels is None else labels.numpy(),
            () if labels is None or shown is None else shown.classes,
        )

    def _words(self) -> tuple[str, str]:
        """Title and note."""
        note = "" if self.points is None else f"{len(self.points):,} pictures it was not trained on"
        return f"{self.name}: a map of its latent space", note


def draw(
    loaded: Trained,
    steps: int,
    *,
    axes: Sequence[int] | None = None,
    reach: float | None = None,
    label: int | None = None,
    shown: PictureSet | None = None,
) -> Map:
    """A map of `steps` × `steps` pictures: of the latents `axes` (from 1), or the plane that shows most of the
    pictures `shown`, which more than two latents need; out to `reach`, or by the normal quantiles; of a class.

    Raises UsageError for axes there are not.
    """
    encoded = None if shown is None else loaded.encode_all(shown)
    plane = latent.plane(loaded.net.latent, axes, encoded)
    places = latent.spaced(steps, reach)
    latents = plane.latents(latent.lattice(places, places)).flatten(0, 1)
    labels = torch.full((len(latents),), label or 0) if loaded.classes else None
    pictures = loaded.decode(latents, labels).unflatten(0, (steps, steps))
    points = None if encoded is None else plane.coordinates(encoded)
    return Map(loaded.name, pictures, loaded.net.shape[0], places, plane, points, shown)
