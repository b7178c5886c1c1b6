"""Style transfer by optimising the picture itself (Gatys, Ecker & Bethge 2016), coarse to fine.

The large forms are settled on a small picture, where a step is cheap; each larger size starts from the
smaller one's result, with the photograph's own fine detail added back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, tiles
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, memory_format
from gencli.core.errors import UsageError
from gencli.core.images import Source, loaded
from gencli.core.sitting import Step
from gencli.core.tiles import activation_bytes
from gencli.stylize.canvas import Canvas
from gencli.stylize.descent import BOOK_RATE, HISTORY, LBFGS, SGD, Adam, Method, descend
from gencli.stylize.losses import content_weight
from gencli.stylize.objective import Objective, Weights
from gencli.stylize.options import StylizeOptions

MORE_STEPS = 1.25  # a size half as large takes so many times the steps,
SETTLED = 24  # but no more than follow from so many at the full size: the large forms stand by then, and a small
# picture that is finished further is further from what the large one ends as
SKETCHED = 256  # pixels of the longest side at which large forms are settled for a network to paint the rest, at most,
LATER = 3 / 8  # in such a share of the steps there are at half of it


def stylize(
    content: Source,
    *styles: Source,
    options: StylizeOptions | None = None,
    masks: Sequence[Source] = (),
    seed: int = 0,
    runtime: Runtime | None = None,
    backbone: Backbone | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Image.Image:
    """Paint a content picture in the style of others: what `gencli stylize` does.

    Pictures are paths, "@name" of an example, Pillow pictures, or ones already loaded. The result has
    the content's ratio and transparency, and `options.size` pixels on its longest side. `masks`, one a
    style (or one for two styles: white the first, black the second), say which region takes which
    style; where none applies the photograph stays. `backbone` (from `load_backbone`) saves loading the
    network again. `on_step` is called after every evaluation.

    Raises UsageError for options that do not fit together, GencliError for a picture that cannot be
    read.
    """
    if not styles:
        raise UsageError("no style was given", "name at least one style picture")
    options = options or StylizeOptions()
    runtime = runtime or Runtime(torch.device("cpu"))
    pictures, regions = ([loaded(one, options.enough) for one in some] for some in ([content, *styles], masks))
    canvas = Canvas(pictures[0], pictures[1:], regions, options, runtime)
    if options.strength == 0:
        return canvas.render(canvas.content)
    backbone = backbone or load_backbone(options, runtime)
    check_memory(canvas.content.shape[-2:], options, backbone, runtime)
    wanted = weights(options, len(styles))
    plan = [(side, steps) for side, steps in schedule(options) if side == options.size or canvas.holds(side)]
    total = sum(steps * side**2 for side, steps in plan)
    painted = smaller = None
    done = 0
    numbers = count(1)

    for side, steps in plan:
        scale = canvas.at(side)
        objective = Objective(backbone, scale.content, scale.styles, wanted, scale.masks, options.tile)
        if painted is None or smaller is None:
            start = canvas.start(scale, seed)
        else:
            start = canvas.enlarge(painted, smaller, scale)

        def report(step: int, loss: float, best: Tensor, side: int = side, done: int = done) -> None:
            number = next(numbers)
            if on_step:
                fraction = (done + step * side**2) / total
                on_step(Step(fraction, number, side, loss, lambda: canvas.render(best)))

        painted = descend(objective, start, steps, _method(options, steps), report, scale.free)
        smaller, done = scale, done + steps * side**2
    assert painted is not None
    return canvas.render(painted)


def sketch(canvas: Canvas, backbone: Backbone, options: StylizeOptions) -> Tensor | None:
    """The large forms alone, (1, 3, h, w): the picture optimised at half of its size or `SKETCHED` pixels, if that is
    less, in `options.sketch` steps, and from `SKETCHED` on fewer after as many at half of that. None where the picture
    is too thin to be looked at so small, or no steps are wanted."""
    side = min(options.size // 2, SKETCHED)
    plan = [(side // 2, 1.0), (side, LATER)] if side == SKETCHED else [(side, 1.0)]
    wanted = weights(options, len(canvas.styles))
    painted = smaller = None
    for longest, share in plan:
        if not canvas.holds(longest) or not options.sketch:
            continue
        scale = canvas.at(longest)
        objective = Objective(backbone, scale.content, scale.styles, wanted, scale.masks)
        start = scale.content if painted is None or smaller is None else canvas.enlarge(painted, smaller, scale)
        steps = max(1, round(share * options.sketch))
        painted, smaller = descend(objective, start, steps, LBFGS, lambda *_: None, scale.free), scale
    return painted


def schedule(options: StylizeOptions) -> list[tuple[int, int]]:
    """(longest side, most steps) of each size, from about `start_size` by doubling up to `size`."""
    sides = [options.size]
    while sides[-1] >= 1.5 * options.start_size:
        sides.append(round(sides[-1] / 2))
    smaller = min(options.iterations, SETTLED)
    steps = [options.iterations, *(round(smaller * MORE_STEPS**i) for i in range(1, len(sides)))]
    return [*zip(sides, steps, strict=True)][::-1]


def weights(options: StylizeOptions, styles: int) -> Weights:
    """The objective's weights. `strength` s puts the content at ((1 - s) / s)² of the style."""
    shares = options.style_weight or (1.0,) * styles
    if len(shares) != styles:
        raise UsageError(f"--style-weight has {len(shares)} numbers for {styles} styles", "give one for each: 2,1")
    return Weights(
        content=normalised(options.content_layer),
        style=normalised(options.style_layer),
        styles=[share / sum(shares) for share in shares],
        ratio=content_weight(options.strength, options.style_loss),
        tv=options.tv,
        loss=options.style_loss,
        book=options.losses == "book",
    )


def normalised(layers: Mapping[str, float]) -> dict[str, float]:
    """Weights that add up to one, so that `strength` means the same however many layers there are."""
    total = sum(layers.values()) or 1.0
    return {layer: weight / total for layer, weight in layers.items()}


def load_backbone(options: StylizeOptions, runtime: Runtime) -> Backbone:
    """The network the options name, set up for pictures of any size; its layers are checked."""
    backbone = backbones.load(options.backbone, pooling=options.pooling, padding="replicate", device=runtime.device)
    for layer in (*options.content_layer, *options.style_layer):
        backbone.resolve(layer)
    backbone.to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
    return backbone


def check_memory(size: Sequence[int], options: StylizeOptions, backbone: Backbone, runtime: Runtime) -> None:
    """Raise GencliError when a picture of `size` (height, width) needs more memory than there is."""
    tiles.check_memory(size, memory_needed(size, options, backbone), options.tile, runtime)


def memory_needed(size: Sequence[int], options: StylizeOptions, backbone: Backbone) -> int:
    """Bytes it takes to optimise a picture of `size` (height, width), an estimate on the safe side.

    What every module puts out is kept for the gradient's way back, and the optimiser remembers pictures;
    in tiles, only one tile's activations are there at a time.
    """
    activations = activation_bytes(backbone, size, [*options.content_layer, *options.style_layer], options.tile)
    pictures = {"lbfgs": 2 * HISTORY + 14, "adam": 14, "sgd": 6}[options.optimizer] * 3 * size[0] * size[1]
    return activations + 4 * pictures


def _method(options: StylizeOptions, steps: int) -> Callable[[float], Method]:
    methods: dict[str, Callable[[float], Method]] = {
        "lbfgs": LBFGS,
        "adam": partial(Adam, steps=steps),
        "sgd": partial(SGD, rate=BOOK_RATE if options.losses == "book" else None),
    }
    return methods[options.optimizer]
