"""Painting with a trained painter: a picture at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gencli.core import color, store
from gencli.core.device import Runtime, free_memory, memory_format
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import Picture, Source, loaded
from gencli.stylize.canvas import Canvas
from gencli.stylize.feedforward import Form, Painter, paint
from gencli.stylize.options import StylizeOptions

TILE = 512  # where the whole does not fit
MAPS = 6  # feature maps at full size that are there at once, of the first width


@dataclass(frozen=True)
class Trained:
    """A painter in evaluation mode, and its `config.json`."""

    name: str
    net: Painter
    config: dict[str, Any]
    runtime: Runtime

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the styles it knows."""
        return tuple(self.config["styles"])

    def shares(self, wishes: Mapping[str, float], strength: float) -> Tensor:
        """So much of the photograph and of each style, (1, 1 + S), for wishes by name; none mean its only style.

        Raises UsageError for a style that it does not know, or where it knows several and none is wished for.
        """
        if not wishes and len(self.styles) == 1:
            wishes = {self.styles[0]: 1.0}
        unknown = [name for name in wishes if name not in self.styles]
        if unknown or not wishes:
            raise UsageError(
                f"{self.name} does not know the style {unknown[0]}" if unknown else f"{self.name} knows several styles",
                f"name one with --style, or mix several, NAME=WEIGHT: it knows {', '.join(self.styles)}",
            )
        if not (total := sum(wishes.values())) > 0:
            raise UsageError("--style: at least one weight must be more than 0")
        of_styles = [strength * wishes.get(name, 0.0) / total for name in self.styles]
        return torch.tensor([[1 - strength, *of_styles]], device=self.runtime.device)

    def painted(self, picture: Picture, shares: Tensor, options: StylizeOptions) -> Image.Image:
        """A photograph painted in such shares: the photograph's ratio and transparency, `options.size` pixels on its
        longest side."""
        canvas = Canvas(picture, [], [], options, self.runtime)
        content = canvas.at(options.size).content
        if options.strength == 0:
            return canvas.render(content)
        made = paint(self.net, content, shares, options.tile or self._tile(content))
        if options.keep_color in {"histogram", "covariance"}:
            made = color.match_color(made, content, options.keep_color)
        return canvas.render(made)

    def _tile(self, content: Tensor) -> int | None:
        """Tiles where the whole does not fit."""
        pixels = content.shape[-2] * content.shape[-1]
        return TILE if 4 * MAPS * self.net.form.widths[0] * pixels > free_memory(self.runtime.device) else None


def load(which: str, runtime: Runtime | None = None) -> Trained:
    """The painter of that name, path or `latest`; without a runtime, on the CPU.

    Raises GencliError when there is none, or it is damaged.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    found = store.find("stylize", which)
    with store.sound(found):
        net = Painter(Form.from_dict(found.config["architecture"]))
        net.load_state_dict(store.load_weights(found, str(runtime.device)))
    net = net.to(runtime.device).to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
    return Trained(found.name, net.eval(), found.config, runtime)


def knowing(styles: Mapping[str, float], runtime: Runtime) -> Trained:
    """The newest of the painters that know all these styles.

    Raises GencliError, which names the styles there are painters for, when there is none.
    """
    known = [model for model in store.models("stylize") if model.state != "damaged"] + [*store.built_in("stylize")]
    able = [model for model in known if set(styles) <= set(model.config.get("styles", ()))]
    if not able:
        there = sorted({style for model in known for style in model.config.get("styles", ())})
        raise GencliError(
            f"no painter knows {', '.join(styles)}",
            (f"there are painters for {', '.join(there)}; " if there else "")
            + "train one: gencli stylize train PICTURE --name NAME; or leave out --fast",
        )
    return load(able[0].name, runtime)


def restyle(
    content: Source,
    styles: Mapping[str, float] | None = None,
    *,
    model: str | Trained,
    options: StylizeOptions | None = None,
    runtime: Runtime | None = None,
) -> Image.Image:
    """Paint a photograph with a trained painter: what `gencli stylize --model` does.

    `styles` are weights by name, of those the painter knows. Raises what `load` and `Trained.shares` do.
    """
    options = options or StylizeOptions()
    painter = model if isinstance(model, Trained) else load(model, runtime)
    return painter.painted(loaded(content), painter.shares(styles or {}, options.strength), options)
