"""Painting with a trained network, a picture at one look: a painter of some styles, or one of any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, color, drawn, store
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, free_memory, memory_format
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import Picture, Source, fit, loaded, resize
from gencli.core.options import spelling
from gencli.core.tiles import check_memory
from gencli.stylize import optimize
from gencli.stylize.arbitrary import AnyStyle
from gencli.stylize.canvas import Canvas, check_masks
from gencli.stylize.feedforward import Form, Painter
from gencli.stylize.options import ANY_STYLE, Comparing, StyleTraining, StylizeOptions
from gencli.stylize.whitening import Looks, Wish, look_at

TILE = 512  # where the whole does not fit
STROKES = 0.5  # share of what is fine that the network draws over large forms; the rest is the photograph's
COPIES = 15  # pictures of the result's size that are there at once, as measured
MAPS = 10  # feature maps of a painter at full size that are there at once, of the first width, as measured

Look: TypeAlias = Callable[[Picture], Image.Image]


@dataclass(frozen=True)
class Trained:
    """A painter in evaluation mode, with what it sees with, and its `config.json`."""

    name: str
    net: Painter
    encoder: Backbone | None
    config: dict[str, Any]
    runtime: Runtime

    @property
    def styles(self) -> tuple[str, ...]:
        """The names of the styles it knows."""
        return tuple(self.config["styles"])

    def look(
        self,
        wishes: Mapping[str, float],
        options: StylizeOptions,
        masks: Sequence[str | Path] = (),
        read: Callable[[str | Path], Picture] = loaded,
    ) -> Look:
        """What paints photographs in so much of the styles of those names. Raises UsageError as `shares` does, and for
        what this network cannot do."""
        only = ["--mask"] if masks else [spelling(name) for name in sorted({"style_scale", "sketch"} & options.given)]
        if only:
            flag = only[0]
            raise UsageError(f"{flag} is not for painters of some styles", "leave it out, or choose one of any style")
        return partial(self.painted, shares=self.shares(wishes, options.strength), options=options)

    def shares(self, wishes: Mapping[str, float], strength: float) -> Tensor:
        """So much of the photograph and of each style, (1, 1 + S), for wishes by name; none mean its only style.

        Raises UsageError for a style that it does not know, or where it knows several and none is wished for.
        """
        if not wishes and len(self.styles) == 1:
            wishes = {self.styles[0]: 1.0}
        wishes = {name if name in self.styles else name.removeprefix("@"): wish for name, wish in wishes.items()}
        unknown = [name for name in wishes if name not in self.styles]
        if unknown or not wishes:
            raise UsageError(
                f"{self.name} does not know the style {unknown[0]}" if unknown else f"{self.name} knows several styles",
                f"name one with --style, or mix several, NAME=WEIGHT: it knows {', '.join(self.styles)}",
            )
        _check_weights(wishes)
        total = sum(wishes.values())
        of_styles = [strength * wishes.get(name, 0.0) / total for name in self.styles]
        return torch.tensor([[1 - strength, *of_styles]], device=self.runtime.device)

    def painted(self, picture: Picture, shares: Tensor, options: StylizeOptions) -> Image.Image:
        """A photograph painted in such shares: the photograph's ratio and transparency, `options.size` pixels on its
        longest side."""
        _check_memory(picture, options, self.runtime)
        canvas = Canvas(picture, [], [], options, self.runtime)
        content = canvas.at(options.size).content
        if options.strength == 0:
            return canvas.render(content)
        with torch.no_grad(), self.runtime.autocast():
            tile = options.tile or _tile(self.net.form, content, self.runtime)
            made: Tensor = self.net(self.encoder, content, shares, tile=tile)
        if options.keep_color in {"histogram", "covariance"}:
            made = color.match_color(made, content, options.keep_color)
        return canvas.render(made)


@dataclass(frozen=True)
class AnyTrained:
    """A network for any style in evaluation mode, with what it sees with, what large forms are compared in, and its
    `config.json`."""

    name: str
    net: AnyStyle
    encoder: Backbone
    comparing: Backbone
    config: dict[str, Any]
    runtime: Runtime

    def look(
        self,
        wishes: Mapping[str, float],
        options: StylizeOptions,
        masks: Sequence[str | Path] = (),
        read: Callable[[str | Path], Picture] = loaded,
    ) -> Look:
        """What paints photographs in so much of each style, by the pictures that are wished for; or in each style where
        its mask is white. Raises UsageError when there is none."""
        if not wishes:
            raise UsageError(f"{self.name} paints in the style of a picture", "name one: --style painting.jpg")
        _check_weights(wishes)
        check_masks(len(masks), len(wishes))
        styles = [read(style) for style in wishes]
        # with the photograph's colours, styles differ from picture to picture
        looks = None if options.keep_color else self._looks(Canvas(styles[0], styles, [], options, self.runtime))
        return partial(
            self.painted,
            styles=styles,
            weights=[*wishes.values()],
            masks=[read(mask) for mask in masks],
            options=options,
            looks=looks,
        )

    def _looks(self, canvas: Canvas) -> Looks:
        return look_at(self.encoder, canvas.at(canvas.options.size).styles, self.net.layers, self.runtime)

    def painted(
        self,
        picture: Picture,
        styles: Sequence[Picture],
        weights: Sequence[float],
        masks: Sequence[Picture],
        options: StylizeOptions,
        looks: Looks | None = None,
    ) -> Image.Image:
        """A photograph painted in styles: the photograph's ratio and transparency, `options.size` pixels on its longest
        side. `looks` are the styles as the encoder sees them, if that is known already."""
        _check_memory(picture, options, self.runtime)
        canvas = Canvas(picture, styles, masks, options, self.runtime)
        scale = canvas.at(options.size)
        if options.strength == 0:
            return canvas.render(scale.content)
        looks = looks or self._looks(canvas)
        strength = torch.full((1,), options.strength, device=self.runtime.device)
        tile = options.tile or _tile(self.net.form, scale.content, self.runtime)

        def paint(shares: Sequence[float], region: Tensor | None = None) -> Tensor:
            wish = Wish(looks, strength, torch.tensor([shares], device=self.runtime.device), region)
            painted: Tensor = self.net(self.encoder, scale.content, wish, tile=tile)
            return painted

        with torch.no_grad(), self.runtime.autocast():
            if scale.masks:
                there = torch.cat(scale.masks)
                there = there / there.sum(0).clamp_min(1)
                made = (1 - there.sum(0)) * scale.content
                for alone, region in zip(torch.eye(len(there)).tolist(), there, strict=True):
                    made = made + region * paint(alone, region[0])
            else:
                made = paint([weight / sum(weights) for weight in weights])
        forms = optimize.sketch(canvas, self.comparing, self._as_learnt(options, weights))
        return canvas.render(made if forms is None else drawn_over(forms, made, scale.content, options.strength))

    def _as_learnt(self, options: StylizeOptions, weights: Sequence[float]) -> StylizeOptions:
        """Options by which a picture is compared with styles of such weights as it was when the network learnt."""
        learnt = StyleTraining.from_dict(self.config["options"])
        return options.replace(**_compared(learnt), style_weight=tuple(weights))


def _check_weights(wishes: Mapping[str, float]) -> None:
    if min(wishes.values()) < 0 or not sum(wishes.values()) > 0:
        raise UsageError("--style: weights must be at least 0, and one more than that")


def drawn_over(forms: Tensor, painted: Tensor, photograph: Tensor, strength: float) -> Tensor:
    """Large forms (1, 3, h, w), and in between what is finer in a painted picture and in the photograph (1, 3, H, W),
    half of each; of the photograph less, the more is asked of the style."""
    fine = STROKES * painted + (1 - STROKES) * (1 - strength) * photograph
    small, size = ((one.shape[-2], one.shape[-1]) for one in (forms, painted))
    return (resize(forms, size) + fine - resize(resize(fine, small), size)).clamp(0, 1)


def _check_memory(picture: Picture, options: StylizeOptions, runtime: Runtime) -> None:
    """Raise GencliError where not even pictures of the result's size fit, of which tiles need some, too."""
    height, width = fit(*picture.extent, options.size)
    check_memory((height, width), COPIES * 4 * 3 * height * width, TILE, runtime)


def _tile(form: Form, pictures: Tensor, runtime: Runtime) -> int | None:
    """Tiles where the whole does not fit."""
    pixels = pictures.shape[-2] * pictures.shape[-1]
    return TILE if 4 * MAPS * form.widths[0] * pixels > free_memory(runtime.device) else None


def load(which: str, runtime: Runtime | None = None) -> Trained | AnyTrained:
    """The trained network of that name, path or `latest`; without a runtime, on the CPU.

    Raises GencliError when there is none, or it is damaged.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    found = store.find("stylize", which)
    painter = knows_names(which)
    with store.sound(found):
        form, options = Form.from_dict(found.config["architecture"]), StyleTraining.from_dict(found.config["options"])
        net = Painter(form) if painter else AnyStyle(form)
        net.load_state_dict(store.load_weights(found, str(runtime.device)))
    net.to(runtime.device).to(memory_format=memory_format(runtime.device, backward=False))  # type: ignore[call-overload]
    net.eval()
    if isinstance(net, Painter):
        encoder = _encoder(options, runtime) if net.form.layers else None
        return Trained(found.name, net, encoder, found.config, runtime)
    comparing = optimize.load_backbone(StylizeOptions(**_compared(options)), runtime)
    return AnyTrained(found.name, net, _encoder(options, runtime), comparing, found.config, runtime)


def _compared(learnt: StyleTraining) -> dict[str, Any]:
    """The options by which pictures were compared when a network learnt."""
    return {item.name: getattr(learnt, item.name) for item in fields(Comparing)}


def _encoder(options: StyleTraining, runtime: Runtime) -> Backbone:
    encoder = backbones.load(options.backbone, pooling=options.pooling, device=runtime.device)
    encoder.to(memory_format=memory_format(runtime.device, backward=False))  # type: ignore[call-overload]
    return encoder


def knows_names(which: str) -> bool:
    """Whether the trained network of that name, path or `latest` knows its styles by name, as painters do. So it is
    taken for one that is not there: `load` says so."""
    with suppress(GencliError):
        return store.find("stylize", which).config.get("kind") != ANY_STYLE
    return True


def knowing(
    wishes: Mapping[str, float], runtime: Runtime, *, any_style: bool = False
) -> tuple[Trained | AnyTrained, Mapping[str, float]]:
    """The newest painter that knows all the styles wished for, by name or as the pictures it was trained on, or of the
    built-in ones the one that knows fewest others; or else, or for `any_style`, the newest network for any. With it the
    wishes as it understands them.

    Raises GencliError, which names the styles there are painters for, when there is none.
    """
    there = [model for model in store.models("stylize") if model.state != "damaged" and model.weights.is_file()]
    built_in = sorted(store.built_in("stylize"), key=lambda model: len(model.config.get("styles", ())))
    there = [*sorted(there, key=lambda model: -model.modified), *built_in]
    painters = [model for model in there if model.config.get("kind") != ANY_STYLE]
    digests = {wish: digest(wish) for wish in wishes}
    for model in [] if any_style else painters:
        names = {wish: _known_as(model.config, wish, found) for wish, found in digests.items()}
        known = {name: wishes[wish] for wish, name in names.items() if name}
        if len(known) == len(wishes):
            return load(str(model.folder), runtime), known
    for model in there:
        if model not in painters:
            return load(str(model.folder), runtime), wishes
    styles = sorted({style for model in painters for style in model.config.get("styles", ())})
    raise GencliError(
        f"no painter knows {' and '.join(wishes)}",
        (f"there are painters for {', '.join(styles)}; " if styles else "")
        + "train one: gencli stylize train PICTURE --name NAME; or leave out --fast",
    )


def digest(source: Source) -> str | None:
    """What tells a picture's file from others; None where it is none."""
    if not isinstance(source, str | Path) or not Path(source).is_file():
        return None
    return hashlib.sha256(Path(source).read_bytes()).hexdigest()


def _known_as(config: Mapping[str, Any], wish: str, found: str | None) -> str | None:
    """By what name a painter knows the style that is wished for, whose file has that digest."""
    styles, name = config.get("styles", ()), wish.removeprefix("@")
    if name in styles:
        source = dict(zip(styles, config.get("sources", ()), strict=False)).get(name, wish)
        another = wish.startswith("@") and drawn.knows(name) and source != wish  # a file called like an example
        return None if another else name
    of_files = dict(zip(config.get("digests", ()), styles, strict=False))
    return of_files.get(found) if found else None


def restyle(
    content: Source,
    styles: Mapping[str, float] | None = None,
    *,
    model: str | Trained | AnyTrained,
    options: StylizeOptions | None = None,
    masks: Sequence[str | Path] = (),
    runtime: Runtime | None = None,
) -> Image.Image:
    """Paint a photograph with a trained network: what `gencli stylize --model` does.

    `styles` are weights by name, of those the painter knows; or by picture, for a network of any style, which takes
    `masks`, too, as `stylize` does. Raises what `load` and `look` do.
    """
    network = load(model, runtime) if isinstance(model, str) else model
    options = options or StylizeOptions()
    read = partial(loaded, enough=options.enough)
    return network.look(styles or {}, options, masks, read)(read(content))
