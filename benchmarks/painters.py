"""How fast painters are beside the published network, and how near they come to what optimisation finds.

    python benchmarks/painters.py --data PHOTOS --minutes 40 --keep FOLDER          # trains both, 40 minutes each
    python benchmarks/painters.py --model swirls --style @swirls                    # one that is there already
    python benchmarks/painters.py --parts speed

**Speed.** The network of Johnson et al. 2016 (3 → 32 → 64 → 128 channels, five residual blocks, 9 × 9 ends) and
gencli's paint the same picture in turns; the ratio is the median of the turns'.

**Quality.** Both are trained with the same loss on the same pictures for as long, and then paint photographs that they
have not seen, which `gencli stylize` paints too.

    style      distance from the style, 1 for the photograph: mean and covariance of the features of five layers
    gram       the same by Gram matrices
    content    distance from the photograph's features, relative to how much these vary
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gencli.core import backbones, images
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format, start
from gencli.core.images import Picture, to_pillow
from gencli.stylize import learning, painting, training
from gencli.stylize.feedforward import Painter, initialise
from gencli.stylize.optimize import load_backbone, stylize
from gencli.stylize.options import StyleTraining, StylizeOptions

PHOTOGRAPHS = ["@lake", "@harbour", "@face", "@street"]
RIVALS = {"published": "johnson", "gencli": None}
TURNS, SIZE = 9, (384, 512)
ASKED_TIMES, ASKED_PUBLISHED, ASKED_OPTIMISED = 4.0, 1.1, 1.5


def speed(runtime: Runtime) -> None:
    """Turns of both networks, untrained: it makes no difference to the time."""
    picture, shares = torch.rand(1, 3, *SIZE, generator=generator(1)), torch.tensor([[0.5, 0.5]])
    backbone = backbones.load(pooling=StyleTraining().pooling, device=runtime.device)
    backbone.to(memory_format=memory_format(runtime.device))  # type: ignore[call-overload]
    nets = {name: built(preset, backbone, runtime) for name, preset in RIVALS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in nets}
    for turn in range(TURNS + 1):
        for name, net in nets.items():
            began = time.perf_counter()
            with torch.no_grad():
                net(backbone, picture.to(runtime.device), shares.to(runtime.device)).sum().item()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    for name, net in nets.items():
        weights = sum(weight.numel() for weight in net.parameters())
        print(f"{name:<12}{weights:>10,} weights  {statistics.median(seconds[name]):.3f} s for {SIZE[1]} × {SIZE[0]}")
    ratio = statistics.median(p / g for p, g in zip(seconds["published"], seconds["gencli"], strict=True))
    print(f"times as fast, median of {TURNS} turns: {ratio:.2f}, asked >= {ASKED_TIMES:g}\n", flush=True)


def built(preset: str | None, backbone: Backbone, runtime: Runtime) -> Painter:
    net = Painter(training.form(StyleTraining.build({}, preset), 1, backbone))
    initialise(net, generator(1), [torch.rand(1, 3, 64, 64, generator=generator(2))])
    return net.to(runtime.device).to(memory_format=memory_format(runtime.device)).eval()  # type: ignore[call-overload]


def quality(given: argparse.Namespace, runtime: Runtime) -> None:
    """What both painters, and the optimiser, make of photographs."""
    style = images.load(given.style, size=512)
    rivals: dict[str, Callable[[Picture], Tensor]] = {}
    if given.model:
        rivals[given.model] = painter(given.model, given.style, given.size, runtime)
    else:
        for name, preset in RIVALS.items():
            plan = StyleTraining.build({"minutes": given.minutes}, preset)
            learning.train(
                [given.style], name, plan, data=given.data, data_root=given.data_root, seed=1, runtime=runtime
            )
            rivals[name] = painter(name, given.style, given.size, runtime)
    slow = StylizeOptions(size=given.size)
    backbone = load_backbone(slow, runtime)
    rivals["optimised"] = lambda photograph: (
        images.load(stylize(photograph, style, options=slow, seed=1, runtime=runtime, backbone=backbone)).rgb
    )
    sized = learning.sized(style.opaque.to(runtime.device), given.size)
    comparisons = {
        loss: training.Comparison(StyleTraining(style_loss=loss), backbone, runtime) for loss in ("w2", "gram")
    }
    studied = comparisons["w2"].study([sized])
    print(f"{'':<24}{'seconds':>9}{'style':>9}{'gram':>9}{'content':>9}")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
    for source in given.photographs:
        photograph = images.load(source, size=given.size)
        before = learning.sized(photograph.opaque.to(runtime.device), given.size)
        for name, make in rivals.items():
            began = time.perf_counter()
            made = make(photograph).to(runtime.device)
            took = time.perf_counter() - began
            with torch.no_grad():
                style_distance, content = (float(part) for part in comparisons["w2"](made, before, studied))
                gram = float(comparisons["gram"](made, before, studied)[0])
            found[name].append((style_distance, content))
            label = f"{images.stem(source)} {name}"
            print(f"{label:<24}{took:>9.2f}{style_distance:>9.4f}{gram:>9.4f}{content:>9.3f}", flush=True)
            if given.keep:
                given.keep.mkdir(parents=True, exist_ok=True)
                to_pillow(made).save(given.keep / f"{label.replace(' ', '-')}.png")
    means = {name: [statistics.mean(part) for part in zip(*rows, strict=True)] for name, rows in found.items()}
    mine = given.model or "gencli"
    for other, asked in (("published", ASKED_PUBLISHED), ("optimised", ASKED_OPTIMISED)):
        if other in means:
            ratio, content = (a / b for a, b in zip(means[mine], means[other], strict=True))
            print(f"beside {other}: style distance × {ratio:.2f}, asked <= {asked:g}; content distance × {content:.2f}")


def painter(model: str, style: str, size: int, runtime: Runtime) -> Callable[[Picture], Tensor]:
    network = painting.load(model, runtime)
    known = images.stem(style) if isinstance(network, painting.Trained) else style
    look = network.look({known: 1.0}, StylizeOptions(size=size))
    return lambda photograph: images.load(look(photograph)).rgb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", default=PHOTOGRAPHS)
    parser.add_argument("--parts", default="speed,quality", help="of these")
    parser.add_argument("--style", default="@swirls")
    parser.add_argument("--model", help="a painter of that style; trained anew without, and the published one too")
    parser.add_argument("--data", action="append", default=[], help="photographs to train on; the drawn ones without")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0, help="of each training")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    runtime = start("auto", threads=given.threads)
    if "speed" in given.parts:
        speed(runtime)
    if "quality" in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            if not given.model:
                os.environ["GENCLI_HOME"] = folder
            quality(given, runtime)


if __name__ == "__main__":
    main()
