"""A trained translator, ready for pictures of any size."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gencli.core import store
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.errors import GencliError, UsageError
from gencli.core.images import Picture, Source, fit, loaded, resize, to_pillow
from gencli.core.tiles import check_memory, faded
from gencli.gan.translation import networks
from gencli.gan.translation.networks import Translation, Translator
from gencli.gan.translation.options import KIND, SKETCH, TranslateOptions
from gencli.gan.translation.tasks import ALIKE, BLANK, BY_CHANCE, Task, finished, ready, spoilt

WHOLE = 1536  # pixels of the longest side up to which a picture is translated in one
TILE, OVERLAP = 1024, 128
COPIES = 13  # pictures of the whole size that are there at once, as measured
STRANGE = 4  # times as large as what a translator has learnt from: it may not know what it sees

log = logging.getLogger("gencli")


@dataclass(frozen=True)
class TrainedTranslator:
    """Translators in evaluation mode, by the way they go: `there`, and of CycleGAN `back`; and their `config.json`."""

    name: str
    nets: dict[str, Translator]
    config: dict[str, Any]
    runtime: Runtime
    folder: Path

    @property
    def task(self) -> Task | None:
        """What it has learnt to do, if its inputs were made of their targets."""
        return Task.parse(self.config["task"]) if self.config["task"] else None

    def way(self, *, reverse: bool) -> Translator:
        """Raises UsageError where there is no way back."""
        if reverse and "back" not in self.nets:
            raise UsageError(f"{self.name} knows one way only", "leave out --reverse; cyclegan learns both")
        return self.nets["back" if reverse else "there"]

    def by_chance(self, options: TranslateOptions) -> bool:
        """Whether chance has a part in what is made."""
        return options.from_target and self.task is not None and self.task.name in BY_CHANCE

    def look(
        self, options: TranslateOptions, mask: Picture | None = None, seed: int = 0
    ) -> Callable[[Picture], Image.Image]:
        """What makes a picture one of the other kind, with its ratio and transparency.

        What is larger than a tile is translated in tiles, faded into one another. Of a translator with a task the
        picture is what that starts from: a grey one, a small one, one with holes; or these are made where the `mask` is
        white, and the rest stays. `seed` is for what is spoilt by chance. Raises UsageError for options that are not
        for this translator.
        """
        net, task = self.way(reverse=options.reverse), self.task
        if options.from_target and task is None:
            raise UsageError(f"what {self.name} starts from cannot be made of a picture", "leave out --from-target")
        if mask is not None and (task is None or task.name != "inpaint"):
            raise UsageError(
                f"--mask says what is to be filled in, and {self.name} has not learnt that",
                "leave it out, or train one that does: --task inpaint",
            )
        if mask is not None and options.from_target:
            raise UsageError("--from-target makes holes by chance, and --mask says where they are", "leave one out")
        return partial(self._translated, net, options, mask, seed)

    def _translated(
        self, net: Translator, options: TranslateOptions, mask: Picture | None, seed: int, picture: Picture
    ) -> Image.Image:
        size = picture.extent if options.size is None else fit(*picture.extent, options.size)
        larger = int(self.task.how) if self.task and self.task.name == "superres" and not options.from_target else 1
        size = larger * size[0], larger * size[1]
        check_memory(size, COPIES * 4 * 3 * size[0] * size[1], TILE, self.runtime)
        rgb, tile = picture.opaque.to(self.runtime.device), options.tile
        if options.size is not None:
            rgb = resize(rgb, fit(*picture.extent, options.size)).clamp(0, 1)
        if self.task is not None:
            rgb = spoilt(self.task, rgb, generator(seed)) if options.from_target else ready(self.task, rgb)
        extent = rgb.shape[-2], rgb.shape[-1]
        learnt = self.config["options"]["size"]
        if max(extent) > STRANGE * learnt and (self.task is None or self.task.name not in ALIKE):
            _say_strange(self.name, learnt)
        if tile is None and max(extent) > WHOLE:
            tile = TILE
        holes = None if mask is None else resize(mask.marked.to(rgb), extent).clamp(0, 1)
        given = rgb if holes is None else torch.where(holes > 0.5, BLANK, rgb)
        with torch.no_grad(), self.runtime.autocast():
            made = faded(lambda part: _whole(net, part), given, tile, OVERLAP).float()
        made = finished(self.task, given, made)
        if holes is not None:
            made = torch.lerp(rgb, made, holes)
        alpha = None if picture.alpha is None else resize(picture.alpha, extent).clamp(0, 1)
        return to_pillow(made, alpha)


@cache  # once is enough for a folder, or a film
def _say_strange(name: str, learnt: int) -> None:
    log.warning(
        "%s has learnt from pictures of %d pixels and may not know much larger things: try --size %d",
        name,
        learnt,
        2 * learnt,
    )


def _whole(net: Translator, rgb: Tensor) -> Tensor:
    """A picture (1, 3, H, W) of any size: what a side lacks to a multiple of the stride, or to the least, is
    reflected."""
    height, width = rgb.shape[-2:]
    down, across = (max(-side % net.stride, net.least - side) for side in (height, width))
    mode = "reflect" if down < height and across < width else "replicate"
    found: Tensor = net(F.pad(rgb, (0, across, 0, down), mode=mode))[..., :height, :width]
    return found


def translate(
    picture: Source,
    *,
    model: str | TrainedTranslator = SKETCH,
    options: TranslateOptions | None = None,
    mask: Source | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Image.Image:
    """Make a picture one of the other kind: what `gencli gan translate` does.

    `model` is a name of the store, a path, `latest`, or a loaded one. Raises GencliError when there is none, and
    UsageError for options that are not for it.
    """
    translator = load(model, runtime) if isinstance(model, str) else model
    options = options or TranslateOptions()
    look = translator.look(options, None if mask is None else loaded(mask), seed)
    return look(loaded(picture, options.size))


def is_one(which: str) -> bool:
    """Whether the model of that name, path or `latest` is a translator. Raises GencliError when there is none."""
    return store.find("gan", which).config.get("kind") == KIND


def load(which: str, runtime: Runtime | None = None) -> TrainedTranslator:
    """The translator of that name, path or `latest`; without a runtime, on the CPU.

    Raises GencliError when there is none, it is damaged, or a generator of another kind.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    found = store.find("gan", which)
    if found.config.get("kind") != KIND:
        raise GencliError(
            f"{found.name} draws pictures from random numbers, and translates none",
            "name a translator with --model; train one: gencli gan train --arch pix2pix or cyclegan",
        )
    with store.sound(found):
        shape = Translation.from_dict(found.config["architecture"])
        state = store.load_weights(found, str(runtime.device))
        nets = {}
        for name in ("there", "back"):
            own = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
            if own:
                nets[name] = networks.build(shape if name == "there" else shape.reversed())
                nets[name].load_state_dict(own)
    layout = memory_format(runtime.device, backward=False)
    for net in nets.values():
        net.to(runtime.device).to(memory_format=layout).eval()  # type: ignore[call-overload]
    return TrainedTranslator(found.name, nets, found.config, runtime, found.folder)
