"""Finding out what there is to dream of: a network's layers, and settings of them tried on one photograph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image

from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator
from gencli.core.images import Picture, fit, resize
from gencli.dream.dreaming import Dreamer, makers
from gencli.dream.options import DreamOptions, Exploration

STRONGEST = 5  # channels told of each layer
MOST_PARTS = 3  # layers or channels of a setting drawn at random
TRIES = 20  # to find one that is not there already
LARGE = ("steps", "energy", "backbone", "pooling")  # options that make a setting, large, what it was small
LOUDEST = 2.0  # weight of one among several, at most


@dataclass(frozen=True)
class Seen:
    """A layer: how many channels it has, from how many pixels to how many its positions are, and how far each sees to
    every side; and of one picture, the channels that answer most strongly, with their mean activations."""

    layer: str
    channels: int
    stride: int
    radius: int
    strongest: tuple[tuple[int, float], ...] = ()


@torch.no_grad()
def layers(backbone: Backbone, picture: Picture | None = None, size: int = 512) -> list[Seen]:
    """What a network can dream of, layer by layer; with a picture, seen at most `size` pixels long, what is in it."""
    means = {}
    if picture is not None:
        rgb = picture.opaque.to(backbone.mean.device)
        if max(rgb.shape[-2:]) > size:
            rgb = resize(rgb, fit(rgb.shape[-2], rgb.shape[-1], size)).clamp(0, 1)
        means = {layer: found.mean((0, 2, 3)) for layer, found in backbone(rgb, backbone.layers).items()}
    found = []
    for layer, width in backbone.widths().items():
        strongest: tuple[tuple[int, float], ...] = ()
        if layer in means:
            values, indices = means[layer].topk(min(STRONGEST, width))
            strongest = tuple(zip(indices.tolist(), values.tolist(), strict=True))
        found.append(Seen(layer, width, *backbone.reach(layer), strongest))
    return found


@dataclass(frozen=True)
class Setting:
    """Layers and single channels with their weights, and a seed."""

    layer: dict[str, float]
    seed: int
    channel: dict[str, float] = field(default_factory=dict)

    @property
    def flags(self) -> str:
        """What to write for it on the command line."""
        named = [("--layer", part) for part in self.layer.items()]
        named += [("--channel", part) for part in self.channel.items()]
        words = [f"{flag} {name}" + ("" if weight == 1 else f"={weight:g}") for flag, (name, weight) in named]
        return " ".join([*words, f"--seed {self.seed}"])


def settings(backbone: Backbone, options: Exploration, seed: int) -> list[Setting]:
    """Every layer alone; or as many as are asked for at random: one to three layers or channels, those of deeper
    layers more often, and other ones than before as long as there are."""
    if options.systematic:
        return [Setting({name: 1.0}, seed) for name in makers(backbone)]
    draw, found = generator(seed, 1), list[Setting]()
    for number in range(options.count):
        for _ in range(TRIES):
            setting = _drawn(backbone, seed + number, draw)
            if all({*setting.layer, *setting.channel} != {*other.layer, *other.channel} for other in found):
                break
        found.append(setting)
    return found


def _drawn(backbone: Backbone, seed: int, draw: torch.Generator) -> Setting:
    names, widths = makers(backbone), backbone.widths()
    count = int(torch.randint(1, min(MOST_PARTS, len(names)) + 1, (), generator=draw))
    chosen = sorted(torch.multinomial(torch.arange(1.0, len(names) + 1).square(), count, generator=draw).tolist())
    weights = (LOUDEST * torch.rand(count, generator=draw)).clamp_min(0.1).tolist() if count > 1 else [1.0]
    parts: tuple[dict[str, float], dict[str, float]] = {}, {}
    for layer, weight in zip((names[one] for one in chosen), weights, strict=True):
        single = int(torch.randint(2, (), generator=draw))
        index = int(torch.randint(widths[layer], (), generator=draw))
        parts[single][f"{layer}:{index}" if single else layer] = round(weight, 1)
    return Setting(parts[0], seed, parts[1])


def tried(
    picture: Picture, chosen: Sequence[Setting], options: Exploration, backbone: Backbone, runtime: Runtime
) -> Iterator[Image.Image]:
    """The photograph, small, dreamt over with each setting."""
    for setting in chosen:
        wanted = DreamOptions(
            layer=setting.layer,
            channel=setting.channel,
            size=options.side,
            **{name: getattr(options, name) for name in LARGE},
        )
        dreamer = Dreamer(wanted, runtime=runtime, backbone=backbone)
        yield dreamer.paint(dreamer.look_at(picture), setting.seed)
