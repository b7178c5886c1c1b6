"""How fast `gencli stylize` gets where the textbook's procedure ends, at equal network and objective.

    python benchmarks/stylize.py                       # drawn pictures, 256 pixels, five minutes
    python benchmarks/stylize.py photo.jpg painting.jpg --method sgd --steps 1000 --judge squeezenet1_1

The textbook's procedure works at one size, computes the targets anew at each step, and takes a fixed
number of steps of Adam or of gradient descent. Its best loss is the mark; the figure is the time gencli
needs to reach it over the time the textbook needed. Both results are also scored by a network that took
no part, with the same relative distances (lower is better).

gencli starts at the full size too, unless `--start-size` says otherwise: small sizes first make larger
forms, which look better, but end in another local minimum, up to one per cent higher. The longer the
textbook's run, the more its last digits cost either way: against 500 steps of Adam at 512 pixels L-BFGS
needs a fifth to a third of the time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from gencli.core import backbones, images
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, start
from gencli.core.images import Picture
from gencli.stylize.canvas import Canvas
from gencli.stylize.descent import SGD
from gencli.stylize.objective import Objective
from gencli.stylize.optimize import Step, load_backbone, stylize, weights
from gencli.stylize.options import StylizeOptions

PAIRS = [("@harbour", "@swirls"), ("@lake", "@woodcut"), ("@face", "@mosaic")]


def textbook(
    canvas: Canvas, backbone: Backbone, options: StylizeOptions, steps: int, method: str
) -> tuple[float, float, Tensor]:
    """(seconds, best loss, picture) of the textbook's procedure."""
    scale = canvas.at(options.size)
    x = scale.content.clone()
    best, lowest, began, reached = x.clone(), math.inf, time.perf_counter(), 0.0
    adam, sgd = torch.optim.Adam([x], 0.02, (0.9, 0.99)), SGD()
    for _ in range(steps):
        objective = Objective(backbone, scale.content, scale.styles, weights(options, 1))  # targets, each step
        loss, gradient = objective(x)
        if float(loss) < lowest:
            lowest, best, reached = float(loss), x.clone(), time.perf_counter() - began
        if method == "sgd":
            x = sgd.step(x, gradient)
        else:
            x.grad = gradient
            adam.step()
            x.clamp_(0, 1)
    return reached, lowest, best


def ours(
    pair: Sequence[Picture], backbone: Backbone, options: StylizeOptions, runtime: Runtime, mark: float
) -> tuple[float, float, Image.Image]:
    """(seconds, loss, picture) of gencli's when it has reached the mark, or when it gets no further."""
    began, lowest, latest = time.perf_counter(), math.inf, None

    class Reached(Exception):  # noqa: N818 - it is no fault
        pass

    def on_step(step: Step) -> None:
        nonlocal lowest, latest
        if step.size == options.size:
            lowest, latest = min(lowest, step.loss), step
            if lowest <= mark:
                raise Reached

    with suppress(Reached):
        stylize(*pair, options=options, backbone=backbone, runtime=runtime, on_step=on_step)
    seconds = time.perf_counter() - began
    assert latest is not None
    return seconds, lowest, latest.render()


def score(picture: Tensor, canvas: Canvas, judge: Backbone, options: StylizeOptions) -> float:
    """The objective as another network sees it: convolution layers spread over its depth."""
    layers = [name for name in judge.layers if not name.startswith(("pool", "max", "norm"))]
    chosen = [layers[round(i * (len(layers) - 2) / 4)] for i in range(5)]
    seen = replace(options, content_layer={chosen[3]: 1.0}, style_layer=dict.fromkeys(chosen, 1.0))
    scale = canvas.at(options.size)
    return float(Objective(judge, scale.content, scale.styles, weights(seen, 1))(picture)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", help="content and style; drawn pairs without")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300, help="of the textbook's procedure")
    parser.add_argument("--iterations", type=int, default=400, help="most of gencli's, at the full size")
    parser.add_argument("--method", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--optimizer", choices=("lbfgs", "adam"), default="lbfgs", help="gencli's")
    parser.add_argument("--start-size", type=int, help="gencli's smallest size; the full one without")
    parser.add_argument("--backbone", default="vgg-mini")
    parser.add_argument("--judge", help="a backbone that took no part")
    chosen = parser.parse_args()

    options = StylizeOptions(
        size=chosen.size,
        backbone=chosen.backbone,
        iterations=chosen.iterations,
        optimizer=chosen.optimizer,
        start_size=chosen.start_size or chosen.size,
    )
    runtime = start("auto")
    backbone = load_backbone(options, runtime)
    judge = backbones.load(chosen.judge, padding="replicate", device=runtime.device) if chosen.judge else None
    ratios = []
    for names in [chosen.pictures] if chosen.pictures else PAIRS:
        pair = [images.load(name) for name in names]
        canvas = Canvas(pair[0], pair[1:], [], options, runtime)
        book_seconds, mark, book_picture = textbook(canvas, backbone, options, chosen.steps, chosen.method)
        seconds, lowest, painted = ours(pair, backbone, options, runtime, mark)
        ratios.append(seconds / book_seconds if lowest <= mark else math.inf)
        print(f"{names[0]} + {names[1]} at {chosen.size}: textbook {mark:.4f} in {book_seconds:.1f} s, ", end="")
        print(f"gencli {lowest:.4f} in {seconds:.1f} s: {ratios[-1]:.3f} of the time", flush=True)
        if judge is not None:
            mine = images.load(painted).rgb.to(runtime.device)
            theirs = book_picture.clamp(0, 1)
            print(f"  {judge.name} judges: textbook {score(theirs, canvas, judge, options):.4f}, ", end="")
            print(f"gencli {score(mine, canvas, judge, options):.4f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} over {len(ratios)} pairs, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
