"""How fast painters are beside the published network, and how near they come to what optimisation finds.

    python benchmarks/painters.py --data PHOTOS --minutes 40 --keep FOLDER          # trains both, 40 minutes each
    python benchmarks/painters.py --data PHOTOS --steps 400                         # or as many steps
    python benchmarks/painters.py --model swirls --style @swirls                    # one that is there already
    python benchmarks/painters.py --parts quality --fast --style @ink --style a.jpg # whichever --fast would take
    python benchmarks/painters.py --parts speed

**Speed.** The network of Johnson et al. 2016 (3 → 32 → 64 → 128 channels, five residual blocks, 9 × 9 ends), written as
it is in public, the same of gencli's layers, and gencli's own paint the same picture in turns; the ratio is the median
of the turns'.

**Quality.** Both are trained with the same loss on the same pictures, for as long or for as many steps, and then paint
photographs that they have not seen, which `gencli stylize` paints too.

    style      distance from the style, 1 for the photograph: mean and covariance of the features of five layers
    gram       the same by Gram matrices
    content    distance from the photograph's features, relative to how much these vary

Optimisation finds what `vgg-mini` takes for the style, down to single pixels. What another network sees, with which
nothing was made, says a `--scorer`: `squeezenet1_1` or `bvlc_googlenet`, by name or as a file of its weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import torch
from torch import Tensor, nn

from gencli.core import backbones, images
from gencli.core.backbones import Backbone
from gencli.core.device import Runtime, generator, memory_format, start
from gencli.core.images import Picture, to_pillow
from gencli.stylize import learning, painting, training
from gencli.stylize.feedforward import Painter, initialise
from gencli.stylize.optimize import load_backbone, stylize
from gencli.stylize.options import StyleTraining, StylizeOptions
from gencli.stylize.painting import AnyTrained, Trained
from gencli.stylize.training import Comparison

PHOTOGRAPHS = ["@lake", "@harbour", "@face", "@street"]
RIVALS = {"published": "johnson", "gencli": None}
TURNS, SIZE = 9, (384, 512)
ASKED_TIMES, ASKED_PUBLISHED, ASKED_OPTIMISED = 4.0, 1.1, 1.5
SCORERS = {  # where they look for the style, and for the photograph
    "squeezenet1_1": (("conv1", "fire3", "fire5", "fire7", "fire9"), "fire7"),
    "bvlc_googlenet": (("conv1", "conv2", "inception_3b", "inception_4c", "inception_5b"), "inception_4c"),
}


class PlainLayer(nn.Sequential):
    """A layer as the published network is commonly written."""

    def __init__(self, before: int, after: int, side: int, *, down: int = 1, larger: bool = False, relu: bool = True):
        modules: list[nn.Module] = [nn.ReflectionPad2d(side // 2), nn.Conv2d(before, after, side, down)]
        if larger:
            modules.insert(0, nn.Upsample(scale_factor=2, mode="nearest"))
        if after > 3:
            modules.append(nn.InstanceNorm2d(after, affine=True))
        super().__init__(*modules, *([nn.ReLU()] if relu else []))


class PlainBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.found = nn.Sequential(PlainLayer(channels, channels, 3), PlainLayer(channels, channels, 3, relu=False))

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = x + self.found(x)
        return found


def plain() -> nn.Sequential:
    """The published network as it is commonly written."""
    smaller = [PlainLayer(3, 32, 9), PlainLayer(32, 64, 3, down=2), PlainLayer(64, 128, 3, down=2)]
    larger = [PlainLayer(128, 64, 3, larger=True), PlainLayer(64, 32, 3, larger=True), PlainLayer(32, 3, 9, relu=False)]
    return nn.Sequential(*smaller, *(PlainBlock(128) for _ in range(5)), *larger)


def speed(runtime: Runtime) -> None:
    """Turns of the networks, untrained: it makes no difference to the time."""
    picture = torch.rand(1, 3, *SIZE, generator=generator(1)).to(runtime.device)
    shares = torch.tensor([[0.5, 0.5]], device=runtime.device)
    layout = memory_format(runtime.device, backward=False)
    backbone = backbones.load(pooling=StyleTraining().pooling, device=runtime.device)
    backbone.to(memory_format=layout)  # type: ignore[call-overload]
    published = plain().to(runtime.device).eval()
    nets: dict[str, nn.Module] = {"published": published}
    runs: dict[str, Callable[[], Tensor]] = {"published": lambda: published(picture)}
    for name, preset in {"of our layers": "johnson", "gencli": None}.items():
        nets[name] = built(preset, backbone, runtime).to(memory_format=layout)  # type: ignore[call-overload]
        runs[name] = partial(nets[name], backbone, picture, shares)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(TURNS + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            with torch.no_grad():
                run().sum().item()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    for name, net in nets.items():
        weights = sum(weight.numel() for weight in net.parameters())
        print(f"{name:<14}{weights:>10,} weights  {statistics.median(seconds[name]):.3f} s for {SIZE[1]} × {SIZE[0]}")
    for name in ("published", "of our layers"):
        ratio = statistics.median(p / g for p, g in zip(seconds[name], seconds["gencli"], strict=True))
        print(f"times as fast as {name}, median of {TURNS} turns: {ratio:.2f}, asked >= {ASKED_TIMES:g}", flush=True)


def built(preset: str | None, backbone: Backbone, runtime: Runtime) -> Painter:
    net = Painter(training.form(StyleTraining.build({}, preset), 1, backbone))
    initialise(net, generator(1), [torch.rand(1, 3, 64, 64, generator=generator(2))])
    return net.to(runtime.device).eval()


def quality(given: argparse.Namespace, scorers: dict[str, Comparison], runtime: Runtime) -> None:
    """What both painters, or one that is there, and the optimiser make of photographs."""
    found: dict[str, list[list[tuple[float, float]]]] = {}
    print(f"{'':<40}{'seconds':>9}" + "".join(f"{name + ', content':>24}" for name in scorers))
    for style in given.style:
        picture = images.load(style, size=given.size)
        sized = learning.sized(picture.opaque.to(runtime.device), given.size)
        studied = {name: comparison.study([sized]) for name, comparison in scorers.items()}
        rivals = makers(given, style, picture, runtime)
        for source in given.photographs:
            photograph = images.load(source, size=given.size)
            before = learning.sized(photograph.opaque.to(runtime.device), given.size)
            for name, make in rivals.items():
                began = time.perf_counter()
                made = make(photograph).to(runtime.device)
                took = time.perf_counter() - began
                with torch.no_grad():
                    distances = [comparison(made, before, studied[name]) for name, comparison in scorers.items()]
                row = [(float(of_style), float(content)) for of_style, content in distances]
                found.setdefault(name, []).append(row)
                label = f"{images.stem(source)} {images.stem(style)} {name}"
                numbers = "".join(f"{of_style:>15.4f}{content:>9.3f}" for of_style, content in row)
                print(f"{label:<40}{took:>9.2f}{numbers}", flush=True)
                if given.keep:
                    given.keep.mkdir(parents=True, exist_ok=True)
                    to_pillow(made).save(given.keep / f"{label.replace(' ', '-')}.png")
    for which, scorer in enumerate(scorers):
        means = {
            name: [statistics.mean(row[which][part] for row in rows) for part in range(2)]
            for name, rows in found.items()
        }
        for name, other in product(means, means):
            asked = ASKED_OPTIMISED if other == "optimised" else ASKED_PUBLISHED
            if name not in ("optimised", other) and other.startswith(("optimised", "published")):
                ratio, content = (a / b for a, b in zip(means[name], means[other], strict=True))
                said = f"style distance × {ratio:.2f}, asked <= {asked:g}; content distance × {content:.2f}"
                print(f"{name} beside {other}, as {scorer} sees it: {said}")


def makers(
    given: argparse.Namespace, style: str, picture: Picture, runtime: Runtime
) -> dict[str, Callable[[Picture], Tensor]]:
    """What paints in a style."""
    rivals: dict[str, Callable[[Picture], Tensor]] = {}
    if given.fast:
        network, wishes = painting.knowing({style: 1.0}, runtime)
        rivals["fast"] = painter(network, wishes, given.size)
    elif given.model:
        for name in given.model:
            network = painting.load(name, runtime)
            wanted = style if isinstance(network, AnyTrained) else images.stem(style)
            rivals[network.name] = painter(network, {wanted: 1.0}, given.size)
    else:
        how_long = {"steps": given.steps} if given.steps else {"minutes": given.minutes}
        for name, preset in RIVALS.items():
            plan = StyleTraining.build(how_long, preset)
            trained = f"{name}-{images.stem(style)}"
            made = learning.train(
                [style], trained, plan, data=given.data, data_root=given.data_root, seed=1, runtime=runtime
            )
            print(f"{trained}: {made.steps:,} steps", flush=True)
            rivals[name] = painter(painting.load(trained, runtime), {images.stem(style): 1.0}, given.size)
    slow = StylizeOptions(size=given.size)
    backbone = load_backbone(slow, runtime)
    rivals["optimised"] = lambda photograph: (
        images.load(stylize(photograph, picture, options=slow, seed=1, runtime=runtime, backbone=backbone)).rgb
    )
    return rivals


def comparisons(scorers: Sequence[str], runtime: Runtime) -> dict[str, Comparison]:
    """What measures, by the name of the column."""
    own = load_backbone(StylizeOptions(), runtime)
    found = {
        name: Comparison(StyleTraining(style_loss=loss), own, runtime)
        for name, loss in (("style", "w2"), ("gram", "gram"))
    }
    for name in scorers:
        other = backbones.load(name, device=runtime.device)
        layers, content = SCORERS[other.name]
        options = StyleTraining(style_layer=dict.fromkeys(layers, 1.0), content_layer={content: 1.0})
        found[other.name] = Comparison(options, other, runtime)
    return found


def painter(network: Trained | AnyTrained, wishes: Mapping[str, float], size: int) -> Callable[[Picture], Tensor]:
    look = network.look(wishes, StylizeOptions(size=size))
    return lambda photograph: images.load(look(photograph)).rgb


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", default=PHOTOGRAPHS)
    parser.add_argument("--parts", default="speed,quality", help="of these")
    parser.add_argument("--style", action="append", help="repeatable; @swirls without")
    parser.add_argument("--scorer", action="append", default=[], help="another network to measure with; repeatable")
    parser.add_argument(
        "--model",
        action="append",
        help="a painter of that style, repeatable; without, two are trained, the published network and gencli's",
    )
    parser.add_argument("--fast", action="store_true", help="of each style what `gencli stylize --fast` would take")
    parser.add_argument("--data", action="append", default=[], help="photographs to train on; the drawn ones without")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0, help="of each training")
    parser.add_argument("--steps", type=int, help="of each, in place of minutes: both learn from the same pictures")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a folder for the pictures")
    given = parser.parse_args()
    given.style = given.style or ["@swirls"]
    runtime = start("auto", threads=given.threads)
    if "speed" in given.parts:
        speed(runtime)
    if "quality" in given.parts:
        scorers = comparisons(given.scorer, runtime)
        with tempfile.TemporaryDirectory() as folder:
            if not (given.model or given.fast):
                os.environ["GENCLI_HOME"] = folder
            quality(given, scorers, runtime)


if __name__ == "__main__":
    main()
