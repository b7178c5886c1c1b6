"""How fast translators learn, and how near to their targets they come.

    python benchmarks/translation.py --parts steps
    python benchmarks/translation.py --parts pairs --data facades --data-root DATA --minutes 40 --keep sheet.png
    python benchmarks/translation.py --parts pairs --data PHOTOS --task colorize --size 64 --minutes 30
    python benchmarks/translation.py --parts kinds --attribute glasses --size 64 --minutes 38

**Steps.** A step of the textbook's CycleGAN at 256 pixels, by gencli and in the plain way: contiguous memory, features
enlarged and then convolved, a pass for each picture and each verdict, and judges that gather gradients while
translators learn; and that of gencli's own layers. All take the same pictures in turns; the ratio is the median of the
turns'.

**Pairs.** pix2pix is trained, and what it makes of held-out inputs is compared with their targets; so are two that know
nothing: the mean of the targets it learnt from, and the input itself.

    l1            mean absolute difference of values in [0, 1]
    perceptual    squared difference in what a backbone sees, relative to how much that varies
    colour        mean absolute difference of what is left without lightness, for --task colorize

**Kinds.** CycleGAN learns to give drawn faces an attribute, and to take it away, from those of `@faces` without it and
others with it. A small network that has learnt from drawings which of them have it judges what is made; as these are
drawn by code, it is also known what the same face looks like with it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gencli.core import backbones
from gencli.core.device import Runtime, generator, start
from gencli.core.drawn import faces
from gencli.core.enlarging import LargerConv2d
from gencli.core.images import grid, to_pillow
from gencli.core.pictures import PictureSet
from gencli.gan import losses
from gencli.gan.options import BACKBONE, GanTraining
from gencli.gan.translation import evaluation, learning, trained
from gencli.gan.translation.batches import Both
from gencli.gan.translation.options import Translating, TranslatorTraining
from gencli.gan.translation.trained import TrainedTranslator
from gencli.gan.translation.training import CycleRecipe, built, form

TURNS, SIDE = 7, 256
SHOWN = 6
ASKED_TIMES, ASKED_SHARE, ASKED_RIGHT = 1.25, 0.75, 0.85


def steps(runtime: Runtime) -> None:
    """Turns of both ways to take a step, with the same networks at the start."""
    options = TranslatorTraining.of(GanTraining.build({}, "cyclegan"), Translating.build({}, "cyclegan"))
    options = options.replace(average=0.0)
    draw = generator(1)
    few = PictureSet(torch.randint(256, (2, 3, SIDE, SIDE), generator=draw, dtype=torch.uint8), fingerprint="noise")
    batch = Both(*(torch.rand(1, 3, SIDE, SIDE, generator=draw).to(runtime.device) for _ in range(2)))
    backbone = backbones.load(BACKBONE, device=runtime.device)
    nets = dict(built(form(options), ["there", "back"], 1))
    recipe = CycleRecipe(nets, options, backbone, (few, few), None, runtime, 1)
    ways: dict[str, Callable[[], object]] = {
        "plain": plain(options, batch, runtime),
        "of our layers": plain(options, batch, runtime, spelt_out=False),
        "gencli": lambda: recipe.step(batch, 0.0),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS + 1):
        for name, step in ways.items():
            began = time.perf_counter()
            step()
            if runtime.device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    for name, each in seconds.items():
        print(f"{name:<14}{statistics.median(each):.3f} s a step of CycleGAN at {SIDE} pixels")
    for name in ("plain", "of our layers"):
        ratio = statistics.median(p / g for p, g in zip(seconds[name], seconds["gencli"], strict=True))
        print(f"times as fast as {name}, median of {TURNS} turns: {ratio:.2f}, asked >= {ASKED_TIMES:g}", flush=True)


def spell_out(net: nn.Module) -> None:
    """Make its enlarged convolutions what they stand for, in place: enlarging, edges, convolution."""
    for name, layer in [*net.named_children()]:
        if isinstance(layer, LargerConv2d):
            more = layer.kernel_size[0] - 2
            edges = nn.ReflectionPad2d(1) if layer.edges == "reflect" else nn.ZeroPad2d((1, more, 1, more))
            plainly = nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size[0])
            plainly.load_state_dict(layer.state_dict())
            setattr(net, name, nn.Sequential(nn.Upsample(scale_factor=2), edges, plainly))
        else:
            spell_out(layer)


def plain(options: TranslatorTraining, batch: Both, runtime: Runtime, *, spelt_out: bool = True) -> Callable[[], None]:
    """A step as it is commonly written; its layers, too, if they are `spelt_out`."""
    nets = dict(built(form(options), ["there", "back"], 1))
    (there, judge_other), (back, judge_one) = nets.values()
    for net in (there, back, judge_one, judge_other):
        if spelt_out:
            spell_out(net)
        net.to(runtime.device).train()
    makers = torch.optim.Adam(itertools.chain(there.parameters(), back.parameters()), options.rate, (0.5, 0.999))
    judges = torch.optim.Adam(
        itertools.chain(judge_one.parameters(), judge_other.parameters()), options.rate, (0.5, 0.999)
    )
    one, other = batch.before, batch.after

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean()

    def step() -> None:
        fake_other, fake_one = there(one), back(other)
        again_one, again_other = back(fake_other), there(fake_one)
        same_other, same_one = there(other), back(one)
        loss = losses.generator_loss("lsgan", judge_other(fake_other)) + losses.generator_loss(
            "lsgan", judge_one(fake_one)
        )
        loss = loss + 2 * options.cycle * (apart(again_one, one) + apart(again_other, other))
        loss = loss + 2 * options.identity * (apart(same_one, one) + apart(same_other, other))
        makers.zero_grad()
        loss.backward()
        makers.step()
        judges.zero_grad()
        for judge, real, fake in ((judge_other, other, fake_other), (judge_one, one, fake_one)):
            losses.discriminator_loss("lsgan", judge(real), judge(fake.detach())).backward()
        judges.step()

    return step


def of_pairs(given: argparse.Namespace, runtime: Runtime) -> None:
    """Train on pairs, and measure on those held out."""
    options = TranslatorTraining(minutes=given.minutes, size=given.size, task=given.task, **chosen(given))
    learning.train([given.data], "measured", options, data_root=given.data_root, seed=1, runtime=runtime)
    translator = trained.load("measured", runtime)
    kinds = evaluation.compared(translator, None, given.data_root)
    found = evaluation.evaluate(translator, kinds, given.count, seed=2)
    count = min(given.count, len(kinds.held_after))
    steps = translator.config["training"]["steps"]
    print(f"{count} held-out pairs of {given.size} pixels, {options.net}, {given.minutes:g} minutes, {steps:,} steps")
    print(f"{'':<12}{'made':>10}{'mean':>10}{'input':>10}{'of the mean':>14}{'of the input':>14}")
    for figure in ("l1", "perceptual", "colour"):
        if figure in found:
            made, mean, before = (found[figure + of] for of in ("", " of the mean", " of the input"))
            shares = f"{made / mean:>13.2f}×{made / before:>13.2f}×"
            print(f"{figure:<12}{made:>10.4f}{mean:>10.4f}{before:>10.4f}{shares}, asked <= {ASKED_SHARE:g}")
    if given.keep:
        evaluation.sheet(translator, kinds, SHOWN, seed=2).save(given.keep)


def of_kinds(given: argparse.Namespace, runtime: Runtime) -> None:
    """Train on drawn faces without an attribute and others with it, and let one who knows it judge what is made."""
    options = TranslatorTraining(
        arch="cyclegan", split=given.attribute, minutes=given.minutes, size=given.size, **chosen(given)
    )
    learning.train(["@faces"], "measured", options, seed=1, runtime=runtime)
    translator = trained.load("measured", runtime)
    knows, known = knower(given.attribute, given.size, runtime)
    print(f"{given.attribute}, {given.size} pixels, {options.net}, {given.minutes:g} minutes")
    print(f"of drawings that it has not seen the judge knows {known:.1%}")
    chosen_faces = faces.pick_faces(given.count, 3)
    bare, dressed = (drawn(chosen_faces.switched(given.attribute, on), given.size, runtime) for on in (False, True))
    differs = (bare - dressed).abs().amax(1, keepdim=True) > 0.02
    for name, before, wanted, reverse in (("with", bare, dressed, False), ("without", dressed, bare, True)):
        made = translated(translator, before, reverse=reverse)
        again = translated(translator, made, reverse=not reverse)
        right = float((knows(made) == (not reverse)).float().mean())
        strangers = float((before - before.roll(1, 0)).abs().mean())
        elsewhere = float((made - before).abs().mean(1, keepdim=True)[~differs].mean())
        print(f"made {name}: judged right {right:.1%}, asked >= {ASKED_RIGHT:.0%}")
        print(
            f"    changed elsewhere {elsewhere:.4f}; there and back {apart(again, before):.4f}; others {strangers:.4f}"
        )
        print(f"    from its own drawing {apart(made, wanted):.4f}, before {apart(before, wanted):.4f}")
        if given.keep:
            sheet(given.keep.with_stem(f"{given.keep.stem}-{name}"), [before, made, again, wanted])


def knower(attribute: str, size: int, runtime: Runtime) -> tuple[Callable[[Tensor], Tensor], float]:
    """Who has learnt from drawings which of them have an attribute, and how often that is right."""
    which = faces.ATTRIBUTES.index(attribute)

    def half(seed: int, count: int) -> tuple[Tensor, Tensor]:
        some = faces.pick_faces(count, seed)
        some = replace(some, labels=some.labels.copy())
        some.labels[:, which] = np.arange(count) % 2
        return drawn(some, size, runtime), torch.from_numpy(some.labels[:, which]).to(runtime.device)

    pictures, labels = half(4, 6000)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((3, 24, 48, 96)):
        layers += [nn.Conv2d(before, after, 4, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(1)).to(runtime.device)
    net(pictures[:2])
    optimizer, draw = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05), generator(5)
    for _ in range(4):
        for rows in torch.randperm(len(pictures), generator=draw).to(runtime.device).split(50):
            loss = nn.functional.binary_cross_entropy_with_logits(net(pictures[rows])[:, 0], labels[rows].float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    net.eval()

    @torch.no_grad()
    def knows(some: Tensor) -> Tensor:
        return torch.cat([net(part)[:, 0] > 0 for part in some.split(100)])

    tested, truth = half(6, 1000)
    return knows, float((knows(tested) == truth).float().mean())


def drawn(chosen_faces: faces.Faces, size: int, runtime: Runtime) -> Tensor:
    return torch.from_numpy(faces.paint(chosen_faces, size)).float().div(255).to(runtime.device)


@torch.no_grad()
def translated(translator: TrainedTranslator, pictures: Tensor, *, reverse: bool = False) -> Tensor:
    net = translator.way(reverse=reverse)
    return torch.cat([net(one) for one in pictures.split(1)])


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().mean())


def sheet(place: Path, rows: list[Tensor]) -> None:
    to_pillow(grid(torch.cat([row[:SHOWN] for row in rows]).cpu(), columns=SHOWN)).save(place)


def chosen(given: argparse.Namespace) -> dict[str, Any]:
    """Options of the training that are not its defaults."""
    usual = TranslatorTraining()
    found = {}
    for flag, _, value in (one.partition("=") for one in given.option):
        name = flag.replace("-", "_")
        default = getattr(usual, name)
        found[name] = float(value) if default is None else type(default)(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="steps,pairs,kinds", help="of these")
    parser.add_argument("--data", default="facades", help="pairs, or with a task photographs")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--task")
    parser.add_argument("--attribute", default="glasses", help="of drawn faces")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the training, as judge-width=64"
    )
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=40.0, help="of each training")
    parser.add_argument("--count", type=int, default=200, help="held-out pictures at most")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a sheet of inputs, what is made of them, and targets")
    given = parser.parse_args()
    runtime = start("auto", threads=given.threads)
    if "steps" in given.parts:
        steps(runtime)
    for part, measure in (("pairs", of_pairs), ("kinds", of_kinds)):
        if part in given.parts:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["GENCLI_HOME"] = folder
                measure(given, runtime)


if __name__ == "__main__":
    main()
