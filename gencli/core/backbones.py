"""Trained convolutional networks one can look into: named layers, whichever network it is.

The built-in `vgg-mini` works from a bare install; others are torchvision's and Caffe's networks, once
their weights are there, and every network the user trains.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core import store, weights
from gencli.core.errors import GencliError, UsageError
from gencli.core.networks import BUILDERS, Architecture, bvlc_state, vgg

DEFAULT = "vgg-mini"
INPUT = "input"  # the picture itself, as a layer
ENOUGH = 96  # pixels a side that every network has features of
# The mean and the root of the mean square are smaller than the maximum; these factors restore the size of the
# activations (K. Crowson, style-transfer-pytorch: 0.78 times the root of the *sum* of 2 × 2 squares).
POOLINGS = {"max": 1.0, "average": 2.0, "l2": 1.56}
Padding = Literal["zeros", "replicate", "reflect"]


class Backbone(nn.Module):
    """A frozen network as a row of named layers.

    Takes pictures (N, 3, H, W), sRGB in [0, 1]; its own normalisation is inside. `layers` lists the
    names in order; networks' other names for them (`relu4_2`, `Mixed_6c`) are understood too, and
    `input` is the picture itself.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, architecture: Architecture, classes: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.name = name
        self.classes = classes
        self.stages = nn.ModuleDict(architecture.stages)
        self.head = architecture.head
        self.bgr = architecture.bgr
        self.side = architecture.side
        self.aliases = {alias.lower(): layer for alias, layer in architecture.aliases.items()}
        self.register_buffer("mean", torch.tensor(architecture.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(3, 1, 1), persistent=False)

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(self.stages)

    def resolve(self, layer: str) -> str:
        """The network's own name of a layer. Raises UsageError listing the layers when there is none."""
        names: dict[str, str] = {name.lower(): name for name in (INPUT, *self.layers)} | self.aliases
        if layer.lower() not in names:
            raise UsageError(f"{self.name} has no layer {layer}", f"its layers are {INPUT}, {', '.join(self.layers)}")
        return names[layer.lower()]

    def forward(self, pictures: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Activations (N, C, h, w) of the named layers, in the network's order.

        Runs only as deep as the deepest layer asked for.
        """
        wanted = {self.resolve(layer) for layer in layers}
        found = {}
        if INPUT in wanted:
            found[INPUT] = pictures
        x = self.normalise(pictures)
        for name, stage in self.stages.items():
            if len(found) == len(wanted):
                break
            x = stage(x)
            if name in wanted:
                found[name] = x
        return found

    def reach(self, layer: str) -> tuple[int, int]:
        """A layer's stride, and an upper bound of how far it sees, both in pixels.

        Position i of the layer stands over pixel i · stride and sees at most so many pixels to each side.
        """
        stride, radius = 1, 0
        if (layer := self.resolve(layer)) == INPUT:
            return stride, radius
        for name, stage in self.stages.items():
            entered = stride
            for module in stage.modules():
                if isinstance(module, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
                    kernel, padding = _side(module.kernel_size), _side(module.padding)
                    radius += max(padding, kernel - 1 - padding) * stride  # branches side by side count twice
                    stride = max(stride, entered * _side(module.stride))  # but stride once
            if name == layer:
                break
        return stride, radius

    @torch.no_grad()
    def widths(self) -> dict[str, int]:
        """How many channels each layer has."""
        seen = self(self.mean.new_zeros(1, 3, ENOUGH, ENOUGH), self.layers)
        return {layer: features.shape[1] for layer, features in seen.items()}

    def normalise(self, pictures: Tensor) -> Tensor:
        """sRGB in [0, 1] → the range and channel order the network was trained with."""
        x = (pictures - self.mean) / self.std
        return x.flip(1) if self.bgr else x

    def logits(self, pictures: Tensor) -> Tensor:
        """Class scores (N, classes). Raises UsageError when the network came without its classifier."""
        if self.head is None:
            raise UsageError(f"{self.name} has no classifier", "use a backbone that was kept whole")
        last = self.layers[-1]
        scores: Tensor = self.head(self(pictures, [last])[last])
        return scores


def load(
    name: str = DEFAULT, *, pooling: str = "max", padding: str = "zeros", device: torch.device | str = "cpu"
) -> Backbone:
    """A backbone by name: built in, torchvision's or Caffe's, a model of the store, or a path to weights.

    `pooling` (max, average or l2) replaces the pooling between stages, with a factor that keeps the
    size of the activations; `padding` (zeros, replicate or reflect) is what the first convolution sees
    beyond the border. The network comes frozen and in evaluation mode.

    Raises UsageError for an unknown name, MissingError when weights have to be fetched first.
    """
    if pooling not in POOLINGS:
        raise UsageError(f"--pooling {pooling}: not a pooling", f"use {', '.join(POOLINGS)}")
    if padding not in get_args(Padding):
        raise UsageError(f"no padding is called {padding}", f"use {', '.join(get_args(Padding))}")
    backbone = _read(name).eval().requires_grad_(False)
    if pooling != "max":
        for stage, module in backbone.stages.items():
            if isinstance(module, nn.MaxPool2d):
                backbone.stages[stage] = RescaledPool(pooling, module)
    first = next(module for module in backbone.modules() if isinstance(module, nn.Conv2d))
    first.padding_mode = cast(Padding, padding)  # deeper ones see features, for which 0 means "nothing here"
    return backbone.to(device)


def keep(name: str, downloaded: Path) -> None:
    """Convert a file just downloaded to gencli's form, for VGG a fraction of its size, and remove it."""
    _convert(name, _from_source(name, *weights.read(downloaded)))
    downloaded.unlink()


def names() -> tuple[str, ...]:
    """Every backbone there is a name for: built in, known ones of others, and those of the store."""
    own = [m.name for m in store.models() if m.state != "damaged" and m.config.get("kind") == "backbone"]
    return (*weights.built_in(), *weights.SOURCES, *own)


class RescaledPool(nn.Module):
    """Average or L2 pooling in a max pooling's place, times a factor that keeps the size of activations."""

    def __init__(self, kind: str, replaced: nn.MaxPool2d) -> None:
        super().__init__()
        self.kind, self.factor = kind, POOLINGS[kind]
        fourths = (replaced.kernel_size, replaced.stride, replaced.padding, replaced.ceil_mode) == (2, 2, 0, False)
        self.pool = (MeanOfFour if fourths else nn.AvgPool2d)(
            replaced.kernel_size,
            replaced.stride,
            replaced.padding,
            replaced.ceil_mode,
            count_include_pad=False,
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "l2":
            squares: Tensor = self.pool(x.square())
            return self.factor * squares.clamp_min(1e-12).sqrt()  # the root of 0 has no gradient
        means: Tensor = self.pool(x)
        return self.factor * means


class MeanOfFour(nn.AvgPool2d):
    """Average pooling of 2 × 2 positions, as the enlarging it undoes: on CPUs that takes a quarter of the time."""

    def forward(self, x: Tensor) -> Tensor:
        return half_as_large(x)


def half_as_large(x: Tensor) -> Tensor:
    """(N, C, H, W) with the means of 2 × 2 positions, (N, C, H // 2, W // 2)."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear")


def _side(size: Any) -> int:
    return int(max(size) if isinstance(size, tuple) else size)


def _own() -> list[store.Model]:
    """The backbones of the store."""
    found = []
    for model in store.models():
        with suppress(GencliError):  # a damaged model is none
            if model.config.get("kind") == "backbone":
                found.append(model)
    return found


def _read(name: str) -> Backbone:
    built_in = weights.built_in()
    if name in built_in:
        return _from_description(name, *weights.read(built_in[name]))
    if name in weights.SOURCES:
        return _installed(name)
    path = Path(name).expanduser()
    if path.is_file():
        state, description = weights.read(path)
        if description.get("kind") == "backbone":
            return _from_description(path.stem, state, description)
        known = description.get("name") or weights.identify(path)
        if known in weights.SOURCES:
            return _from_source(known, state, description)
        raise UsageError(
            f"{path} is not a network gencli knows",
            f"its name should begin with one of {', '.join(weights.SOURCES)}",
        )
    own = {model.name: model for model in sorted(_own(), key=lambda model: model.modified)}
    try:
        model = [*own.values()][-1] if name == "latest" and own else store.find(None, name)
    except UsageError:
        raise
    except GencliError as error:
        raise UsageError(f"no backbone is called {name}", f"there are {', '.join(names())}") from error
    return _from_description(model.name, store.load_weights(model), model.config)


def _from_description(name: str, state: dict[str, Tensor], description: Mapping[str, Any]) -> Backbone:
    """A network of gencli's own: its file says how it is built."""
    if description.get("kind") != "backbone":
        raise UsageError(f"{name} is not a backbone", "name a network trained with `gencli dream train`")
    try:
        classes = tuple(description["classes"])
        built = description["vgg"]
        with torch.device("meta"):  # nothing to draw: the values come from the file
            architecture = vgg(
                built["widths"],
                built["depths"],
                classes=len(classes),
                mean=tuple(built["mean"]),
                std=tuple(built["std"]),
            )
    except (KeyError, TypeError, ValueError) as error:
        raise GencliError(f"{name} does not say how its network is built", "the file is damaged; replace it") from error
    backbone = Backbone(name, architecture, classes)
    _fill(backbone, state)
    return backbone


def _installed(name: str) -> Backbone:
    """A network of others from the weights folder, converted to gencli's form the first time it is met."""
    path = weights.locate(name)
    state, description = weights.read(path)
    backbone = _from_source(name, state, description)
    if not description:
        with suppress(GencliError):  # from a folder that may only be read it is converted each time
            _convert(name, backbone)
    return backbone


def _convert(name: str, backbone: Backbone) -> None:
    weights.write(weights.converted(name), backbone.state_dict(), {"kind": "source", "name": name})


def _from_source(name: str, state: dict[str, Tensor], description: Mapping[str, Any]) -> Backbone:
    """A network of others, from tensors in gencli's form or as they were published."""
    with torch.device("meta"):
        architecture = BUILDERS[name]()
    backbone = Backbone(name, architecture, architecture.classes)
    if description.get("kind") == "source":
        _fill(backbone, state)
    elif architecture.origin is not None:
        _fill(
            architecture.origin,
            {key: value for key, value in state.items() if not key.lower().startswith("aux")},
        )
    else:
        _fill(backbone, bvlc_state(state) if name == "bvlc_googlenet" else _vgg_state(backbone, state))
    return backbone


def _vgg_state(backbone: Backbone, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """torchvision's `features.N.weight` → our names; the classifier, nine tenths of it, stays behind."""
    numbers = sorted({int(key.split(".")[1]) for key in state if re.match(r"features\.\d+\.", key)})
    convolutions = [name for name in backbone.layers if name.startswith("conv")]
    return {
        f"stages.{name}.0.{kind}": state[key]
        for name, number in zip(convolutions, numbers, strict=False)
        for kind in ("weight", "bias")
        if (key := f"features.{number}.{kind}") in state
    }


def _fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    name = getattr(module, "name", type(module).__name__)
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    try:
        module.load_state_dict(floats, assign=True)
    except RuntimeError as error:
        why = textwrap.shorten(str(error), 200, placeholder=" …")  # PyTorch names every tensor
        raise GencliError(f"the weights do not fit {name}: {why}", "fetch the file again") from error
