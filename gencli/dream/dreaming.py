"""From a photograph to a dream of it: the network, what it is to see, and the climb through all sizes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, color, images, tiles
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, free_memory, generator, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import Source, fit, loaded, resize
from gencli.core.sitting import Step
from gencli.dream import ascent
from gencli.dream.objective import Channel, Guide, Layer, Objective, Sight, category, guide, total
from gencli.dream.options import DreamOptions, Exploration, Seeing

TILE = 512  # where the whole does not fit
PICTURES = 24  # of the size worked at that a step has in memory
GUIDE_SIDE = 320  # longest, in pixels, at which a guide is seen
# What the networks that ship or are known are at their best with; of others, two layers at these depths
LAYERS = {
    "vgg-mini": ("conv4_2",),
    "vgg16": ("conv4_3", "conv5_2"),
    "vgg19": ("conv4_3", "conv5_2"),
    "googlenet": ("inception4c", "inception4d"),
    "bvlc_googlenet": ("inception_4c", "inception_4d"),
    "inception_v3": ("mixed4", "mixed6"),
    "resnet50": ("layer3_2", "layer3_5"),
}
DEPTHS, GUIDE_DEPTH = (0.7, 0.9), 0.6


def dream(
    image: Source,
    objective: Objective | None = None,
    options: DreamOptions | None = None,
    *,
    mask: Source | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
    backbone: Backbone | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_octave: Callable[[Image.Image], None] | None = None,
) -> Image.Image:
    """Let a network dream of a photograph: what `gencli dream` does.

    `image` is a path, "@name" of an example, a Pillow picture, or one already loaded. What is dreamt of is `objective`,
    or else what the options say. The result has the photograph's ratio and transparency, and `options.size` pixels on
    its longest side. Where `mask` is black the photograph stays. `backbone` (from `load_backbone`) saves loading the
    network again. `on_step` is called after every step, `on_octave` with the picture after every octave.

    Raises UsageError for options that do not fit the network, GencliError for a picture that cannot be read or is too
    large for the memory.
    """
    dreamer = Dreamer(options, objective, runtime, backbone)
    enough = dreamer.options.size
    photograph = dreamer.look_at(loaded(image, enough), None if mask is None else loaded(mask, enough))
    return dreamer.paint(photograph, seed, on_step=on_step, on_octave=on_octave)


class Dreamer:
    """A network that knows what to see, for one photograph after another."""

    def __init__(
        self,
        options: DreamOptions | None = None,
        objective: Objective | None = None,
        runtime: Runtime | None = None,
        backbone: Backbone | None = None,
    ) -> None:
        self.options, self.runtime = options or DreamOptions(), runtime or Runtime(torch.device("cpu"))
        self.backbone = backbone or load_backbone(self.options, self.runtime)
        self.objective = objective_of(self.options, self.backbone) if objective is None else objective

    def look_at(self, picture: images.Picture, mask: images.Picture | None = None) -> Photograph:
        """A photograph to dream over."""
        return Photograph(picture, mask, self.options, self.runtime)

    def paint(self, photograph: Photograph, seed: int, **watched: Any) -> Image.Image:
        """A photograph with its dream. What is `watched` is told as in `dream`."""
        return photograph.with_dream(self.dream(photograph, seed, **watched))

    def dream(
        self,
        photograph: Photograph,
        seed: int,
        *,
        before: Tensor | None = None,
        on_step: Callable[[Step], None] | None = None,
        on_octave: Callable[[Image.Image], None] | None = None,
    ) -> Tensor:
        """What is dreamt into a photograph: (1, 3, H, W), to be added to it. `before` is such a dream to go on from."""
        options, whole = self.options, (photograph.height, photograph.width)
        tile = tile_side(whole, self.objective, options, self.backbone, self.runtime)
        octaves = ascent.sizes(*whole, options)
        work = [height * width * options.steps for height, width in octaves]

        def at_size(ground: Tensor) -> ascent.Function:
            sight = Sight(self.objective, self.backbone, ground.shape[-2:], tile, options.border)
            return lambda picture: _smoothed(sight(picture), picture, options.tv)

        def drawn(dreamt: Tensor) -> Image.Image:
            return photograph.with_dream(ascent.enlarged(dreamt, whole))

        def report(octave: int, step: int, value: float, dreamt: Tensor) -> None:
            if on_step:
                done = sum(work[:octave]) + step * work[octave] / options.steps
                number = octave * options.steps + step
                on_step(Step(done / sum(work), number, max(octaves[octave]), value, partial(drawn, dreamt)))

        return ascent.through_octaves(
            [photograph.at(size) for size in octaves],
            at_size,
            options,
            generator(seed, 0),
            before,
            None if photograph.mask is None else [resize(photograph.mask, size).clamp(0, 1) for size in octaves],
            report,
            lambda dreamt: on_octave(drawn(dreamt)) if on_octave else None,
        )


class Photograph:
    """The picture that is dreamt over, at every size, and the result from a dream."""

    def __init__(
        self, picture: images.Picture, mask: images.Picture | None, options: DreamOptions, runtime: Runtime
    ) -> None:
        self.options = options
        self.height, self.width = fit(*picture.extent, options.size)
        self.original, self.alpha = picture.rgb.to(runtime.device), picture.alpha
        self.whole = self._resized((self.height, self.width))
        self.mask: Tensor | None = None
        if mask is not None:
            self.mask = resize(mask.marked.to(runtime.device), (self.height, self.width)).clamp(0, 1)
            if float(self.mask.max()) < 0.02:
                raise UsageError(f"--mask {mask.name}: it is black everywhere", "paint white where to dream")

    def at(self, size: tuple[int, int]) -> Tensor:
        """The photograph (1, 3, h, w) at a size."""
        return self.whole if size == (self.height, self.width) else self._resized(size)

    def _resized(self, size: tuple[int, int]) -> Tensor:
        if self.options.detail == "book":
            return ascent.enlarged(self.original, size)
        return resize(self.original, size).clamp(0, 1)

    def with_dream(self, dreamt: Tensor) -> Image.Image:
        """The photograph and what was dreamt (1, 3, H, W), as strongly as is wished."""
        full = (self.whole + self.options.strength * dreamt).clamp(0, 1)
        if self.options.keep_color:
            full = color.with_color_of(full, self.whole)
        if self.mask is not None:
            full = torch.lerp(self.whole, full, (self.mask > 0).to(full))
        alpha = None if self.alpha is None else resize(self.alpha, (self.height, self.width)).clamp(0, 1)
        return images.to_pillow(full, alpha)


def load_backbone(options: Seeing | Exploration, runtime: Runtime) -> Backbone:
    """The network the options name, set up for pictures of any size."""
    backbone = backbones.load(options.backbone, pooling=options.pooling, padding="replicate", device=runtime.device)
    backbone.to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
    return backbone


def objective_of(options: Seeing, backbone: Backbone) -> Objective:
    """What the options ask to be dreamt of. Raises UsageError for what the network does not have."""
    return total(terms_of(options, backbone).values())


def terms_of(options: Seeing, backbone: Backbone) -> dict[str, Objective]:
    """The same term by term, each with its weight, by what it is called on the command line."""
    named = bool(options.layer or options.channel or options.class_ or options.guide)
    found: dict[str, Objective] = {}
    for layer, weight in (options.layer if named else default_layers(backbone)).items():
        found[layer] = weight * Layer(backbone.resolve(layer), options.energy)
    for name, weight in options.channel.items():
        found[name] = weight * channel(name, backbone)
    for name, weight in options.class_.items():
        found[name] = weight * category(name, backbone)
    for source, weight in options.guide.items():
        found[source] = weight * guide_of(source, options.guide_layer, backbone, options.energy)
    return found


def default_layers(backbone: Backbone) -> dict[str, float]:
    """A deep layer or two that dream well."""
    return dict.fromkeys(LAYERS.get(backbone.name) or [_at_depth(backbone, depth) for depth in DEPTHS], 1.0)


def _at_depth(backbone: Backbone, depth: float) -> str:
    """The layer, of those that make something new, at a share of the depth."""
    layers = makers(backbone)
    return layers[min(int(depth * len(layers)), len(layers) - 1)]


def makers(backbone: Backbone) -> list[str]:
    """The layers that make something new: those that only pool or normalise what is there do not."""
    return [layer for layer in backbone.layers if "pool" not in layer and "norm" not in layer]


def channel(name: str, backbone: Backbone) -> Channel:
    """The term of `LAYER:NUMBER`. Raises UsageError where there is no such channel."""
    layer, _, number = name.rpartition(":")
    if not layer or not number.isdecimal():
        raise UsageError(f"--channel {name}: expected LAYER:NUMBER", "such as conv4_2:17")
    count = backbone.widths()[backbone.resolve(layer)]
    if int(number) >= count:
        raise UsageError(f"--channel {name}: {layer} has the channels 0 to {count - 1}")
    return Channel(backbone.resolve(layer), int(number))


def guide_of(source: Source, layer: str | None, backbone: Backbone, energy: str = DreamOptions.energy) -> Guide:
    """The term of a guide picture, seen at most `GUIDE_SIDE` pixels long. Raises what `images.load` does."""
    picture = loaded(source, enough=GUIDE_SIDE).opaque.to(backbone.mean.device)
    height, width = picture.shape[-2:]
    if max(height, width) > GUIDE_SIDE:
        picture = resize(picture, fit(height, width, GUIDE_SIDE)).clamp(0, 1)
    return guide(picture, layer or _at_depth(backbone, GUIDE_DEPTH), backbone, energy)


def tile_side(
    size: tuple[int, int], objective: Objective, options: DreamOptions, backbone: Backbone, runtime: Runtime
) -> int | None:
    """The side of the tiles for a picture of `size` (height, width): as asked for, or `TILE` where the whole does not
    fit into the memory. Raises GencliError where tiles do not either."""
    layers = [term.layer for weight, term in objective.parts if weight]
    if not layers:
        return None

    def needed(tile: int | None) -> int:
        activations = tiles.activation_bytes(backbone, size, layers, tile)
        return activations + 4 * 3 * PICTURES * size[0] * size[1]

    tile = options.tile
    if tile is None and needed(None) > free_memory(runtime.device):
        tile = TILE
    tiles.check_memory(size, needed(tile), tile, runtime)
    return tile


def _smoothed(seen: tuple[Tensor, Tensor], picture: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """An objective and its gradient, less so many times the logarithm of the total variation."""
    if not weight:
        return seen
    x = picture.detach().requires_grad_()
    roughness = weight * images.total_variation(x).clamp_min(1e-12).log()
    return seen[0] - roughness.detach(), seen[1] - torch.autograd.grad(roughness, x)[0]
