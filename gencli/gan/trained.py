"""A trained generator, ready to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gencli.core import store
from gencli.core.device import Runtime, generator
from gencli.core.errors import GencliError
from gencli.core.images import grid, to_pillow
from gencli.core.names import class_number
from gencli.gan import networks
from gencli.gan.networks import Form, Generator
from gencli.gan.options import FACES
from gencli.gan.translation.options import KIND as TRANSLATOR

AT_ONCE = 128  # pictures drawn side by side


@dataclass(frozen=True)
class Trained:
    """A generator in evaluation mode, and its `config.json`."""

    name: str
    net: Generator
    config: dict[str, Any]
    runtime: Runtime
    folder: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes it has learnt to draw; none, if it is not conditional."""
        return tuple(self.config["classes"])

    def labels(self, count: int, names: Sequence[str]) -> Tensor | None:
        """The classes of so many pictures, (N,): those named in turn, or all; None for a model without any.

        Raises UsageError for names that it has not learnt.
        """
        if not self.classes and not names:
            return None
        known = torch.tensor(
            [class_number(name, self.classes, self.name) for name in names] or [*range(len(self.classes))]
        )
        return known[torch.arange(count) % len(known)]

    def shares(self, labels: Tensor) -> Tensor:
        """Classes (N,) as shares of each, (N, K): what lies between two of them can be drawn too."""
        return torch.nn.functional.one_hot(labels, len(self.classes)).float()

    def latents(self, count: int, seed: int, truncation: float | None = None) -> Tensor:
        """Latents (N, L) to draw from: normal, or within ± `truncation` deviations only (Brock et al. 2019)."""
        shape = (count, self.net.form.latent)
        if truncation is None:
            return torch.randn(shape, generator=generator(seed))
        # the quantiles of numbers that lie evenly between those of the limits
        within = torch.erf(torch.tensor(truncation / 2**0.5, dtype=torch.float64))
        even = torch.rand(shape, generator=generator(seed), dtype=torch.float64)
        return (2**0.5 * torch.erfinv(within * (2 * even - 1))).float()

    @torch.no_grad()
    def draw(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents (N, L) and classes (N,), or shares of each (N, K) → pictures (N, 3, H, W) in [0, 1] on the CPU; grey
        ones as three equal channels."""
        made = []
        for first in range(0, len(latents), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            known = None if labels is None else labels[some].to(self.runtime.device)
            made.append(self.net(latents[some].to(self.runtime.device), known).float().cpu())
        return torch.cat(made).expand(-1, 3, -1, -1)

    def drawn(self, count: int, seed: int, truncation: float | None = None, names: Sequence[str] = ()) -> Tensor:
        """`count` pictures, (N, 3, H, W), of the classes named in turn."""
        return self.draw(self.latents(count, seed, truncation), self.labels(count, names))


def sample(
    count: int = 64,
    *,
    model: str | Trained = FACES,
    classes: Sequence[str] = (),
    truncation: float | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Image.Image:
    """A sheet of drawn pictures: what `gencli gan sample` makes.

    `model` is a name of the store, a path, `latest`, or a loaded one. Raises GencliError when there is none.
    """
    loaded = model if isinstance(model, Trained) else load(model, runtime)
    return to_pillow(grid(loaded.drawn(count, seed, truncation, classes)))


def load(which: str, runtime: Runtime | None = None) -> Trained:
    """The model of that name, path or `latest`; without a runtime, on the CPU.

    Raises GencliError when there is none, or it is damaged.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    found = store.find("gan", which)
    if found.config.get("kind") == TRANSLATOR:
        raise GencliError(
            f"{found.name} makes pictures of pictures", f"gencli gan translate PICTURE --model {found.name}"
        )
    with store.sound(found):
        net, _ = networks.build(Form.from_dict(found.config["architecture"]))
        net.load_state_dict(store.load_weights(found, str(runtime.device)))
    return Trained(found.name, net.to(runtime.device).eval(), found.config, runtime, found.folder)
