"""How fast `gencli stylize` gets where the textbook's procedure ends, at equal network and objective.

    python benchmarks/stylize.py                       # drawn pictures, 256 pixels, five minutes
    python benchmarks/stylize.py photo.jpg painting.jpg --method sgd --steps 1000 --judge squeezenet1_1

The textbook's procedure works at one size, computes the targets anew at each step, and takes a fixed
number of steps of Adam or of gradient descent down its own objective, the Gram matrices'. Its best loss is
the mark; the figure is the time gencli needs to reach it over the time the textbook needed. The two take
turns, each on its own clock, for a machine's speed changes. Both results are also scored by a network that
took no part, with the same relative distances (lower is better).

gencli starts at the full size too, unless `--start-size` says otherwise: small sizes first make larger
forms, which look better, but end in another local minimum, up to one per cent higher.

Against 300 steps of Adam at 256 pixels, six pairs of a photograph and a painting took 0.10 … 0.15 of the
time. Down gencli's own objective (`--style-loss w2`) the textbook's last digits cost more: photographs
0.20 … 0.31, drawn pairs 0.11 … 0.13; against plain gradient descent 0.03 and 0.08.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

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

TURN = 2  # the textbook's steps between two of gencli's
PAIRS = [("@harbour", "@swirls"), ("@lake", "@woodcut"), ("@face", "@mosaic")]


class Textbook:
    """The textbook's procedure, a step at a time: its seconds, and its best loss and picture so far."""

    def __init__(self, canvas: Canvas, backbone: Backbone, options: StylizeOptions, method: str) -> None:
        self.scale, self.backbone, self.options, self.method = canvas.at(options.size), backbone, options, method
        self.x = self.scale.content.clone()
        self.best, self.lowest, self.seconds, self.steps = self.x, math.inf, 0.0, 0
        self.adam, self.sgd = torch.optim.Adam([self.x], 0.02, (0.9, 0.99)), SGD()

    def step(self) -> None:
        began = time.perf_counter()
        content, styles = self.scale.content, self.scale.styles
        loss, gradient = Objective(self.backbone, content, styles, weights(self.options, 1))(self.x)  # targets anew
        if float(loss) < self.lowest:
            self.lowest, self.best = float(loss), self.x.clone()
        if self.method == "sgd":
            self.x = self.sgd.step(self.x, gradient)
        else:
            self.x.grad = gradient
            self.adam.step()
            self.x.clamp_(0, 1)
        self.steps += 1
        self.seconds += time.perf_counter() - began


@dataclass
class Ours:
    """gencli's way down: the least loss after each step at the full size, and the seconds till then."""

    losses: list[float]
    seconds: list[float]
    picture: Image.Image | None = None  # the last

    def reached(self, mark: float) -> float:
        """Seconds until a loss was reached; infinity if it never was."""
        return next((spent for loss, spent in zip(self.losses, self.seconds, strict=True) if loss <= mark), math.inf)


def race(
    pair: Sequence[Picture], book: Textbook, steps: int, options: StylizeOptions, backbone: Backbone, runtime: Runtime
) -> Ours:
    """gencli and `steps` of the textbook in turn, so that a machine's slow minutes hit both; each on its own clock."""
    ours = Ours([], [])
    spent, began = 0.0, time.perf_counter()

    class Reached(Exception):  # noqa: N818 - it is no fault
        pass

    def on_step(step: Step) -> None:
        nonlocal spent, began
        spent += time.perf_counter() - began
        if step.size == options.size:
            ours.losses.append(min([step.loss, *ours.losses[-1:]]))
            ours.seconds.append(spent)
            ours.picture = step.render()
        for _ in range(min(TURN, steps - book.steps)):
            book.step()
        if book.steps == steps and ours.reached(book.lowest) < math.inf:
            raise Reached
        began = time.perf_counter()

    with suppress(Reached):
        stylize(*pair, options=options, backbone=backbone, runtime=runtime, on_step=on_step)
    while book.steps < steps:
        book.step()
    return ours


def score(picture: Tensor, canvas: Canvas, judge: Backbone, options: StylizeOptions) -> float:
    """The objective as another network sees it: convolution layers spread over its depth."""
    layers = [name for name in judge.layers if not name.startswith(("pool", "max", "norm"))]
    chosen = [layers[round(i * (len(layers) - 2) / 4)] for i in range(5)]
    seen = replace(options, content_layer={chosen[3]: 1.0}, style_layer=dict.fromkeys(chosen, 1.0))
    scale = canvas.at(options.size)
    return float(Objective(judge, scale.content, scale.styles, weights(seen, 1))(picture)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", help="content, style, content, style, …; drawn pairs without")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=300, help="of the textbook's procedure")
    parser.add_argument("--iterations", type=int, default=400, help="most of gencli's, at the full size")
    parser.add_argument("--method", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--style-loss", choices=("gram", "w2"), default="gram", help="of both; gram is the textbook's")
    parser.add_argument("--optimizer", choices=("lbfgs", "adam"), default="lbfgs", help="gencli's")
    parser.add_argument("--start-size", type=int, help="gencli's smallest size; the full one without")
    parser.add_argument("--backbone", default="vgg-mini")
    parser.add_argument("--judge", help="a backbone that took no part")
    chosen = parser.parse_args()

    options = StylizeOptions(
        size=chosen.size,
        backbone=chosen.backbone,
        iterations=chosen.iterations,
        style_loss=chosen.style_loss,
        optimizer=chosen.optimizer,
        start_size=chosen.start_size or chosen.size,
    )
    runtime = start("auto")
    backbone = load_backbone(options, runtime)
    judge = backbones.load(chosen.judge, padding="replicate", device=runtime.device) if chosen.judge else None
    ratios = []
    if len(chosen.pictures) % 2:
        parser.error("each content needs a style")
    pairs = [*zip(chosen.pictures[::2], chosen.pictures[1::2], strict=True)] or PAIRS
    for names in pairs:
        pair = [images.load(name) for name in names]
        canvas = Canvas(pair[0], pair[1:], [], options, runtime)
        book = Textbook(canvas, backbone, options, chosen.method)
        ours = race(pair, book, chosen.steps, options, backbone, runtime)
        seconds = ours.reached(book.lowest)
        ratios.append(seconds / book.seconds)
        print(f"{names[0]} + {names[1]} at {chosen.size}: textbook {book.lowest:.4f} in {book.seconds:.1f} s, ", end="")
        print(f"gencli as low in {seconds:.1f} s: {ratios[-1]:.3f} of the time", flush=True)
        if judge is not None and ours.picture is not None:
            mine = images.load(ours.picture).rgb.to(runtime.device)
            theirs = book.best.clamp(0, 1)
            print(f"  {judge.name} judges: textbook {score(theirs, canvas, judge, options):.4f}, ", end="")
            print(f"gencli {score(mine, canvas, judge, options):.4f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f} over {len(ratios)} pairs, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
