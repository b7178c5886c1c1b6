"""How fast translators learn, and how near to their targets they come.

    python benchmarks/translation.py --parts steps
    python benchmarks/translation.py --parts pairs --data facades --data-root DATA --minutes 40 --keep sheet.png
    python benchmarks/translation.py --parts pairs --data PHOTOS --task colorize --size 64 --minutes 30

**Steps.** A step of the textbook's CycleGAN at 256 pixels, by gencli and in the plain way: contiguous memory, a pass
for each picture and each verdict, and judges that gather gradients while translators learn. Both take the same pictures
in turns; the ratio is the median of the turns'.

**Pairs.** pix2pix is trained, and what it makes of held-out inputs is compared with their targets; so are two that know
nothing: the mean of the targets it learnt from, and the input itself.

    l1            mean absolute difference of values in [0, 1]
    perceptual    squared difference in what a backbone sees, relative to how much that varies
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gencli.core import backbones
from gencli.core.device import Runtime, generator, start
from gencli.core.images import grid, to_pillow
from gencli.core.pictures import PictureSet
from gencli.gan import losses
from gencli.gan.options import BACKBONE, GanTraining
from gencli.gan.translation import learning, pairs, trained
from gencli.gan.translation.batches import Both
from gencli.gan.translation.options import Translating, TranslatorTraining
from gencli.gan.translation.tasks import Task, spoilt
from gencli.gan.translation.training import CycleRecipe, built, form, resemblance

TURNS, SIDE = 7, 256
SHOWN = 6
ASKED_TIMES, ASKED_SHARE = 1.25, 0.75


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
        print(f"{name:<8}{statistics.median(each):.3f} s a step of CycleGAN at {SIDE} pixels")
    ratio = statistics.median(p / g for p, g in zip(seconds["plain"], seconds["gencli"], strict=True))
    print(f"times as fast, median of {TURNS} turns: {ratio:.2f}, asked >= {ASKED_TIMES:g}\n", flush=True)


def plain(options: TranslatorTraining, batch: Both, runtime: Runtime) -> Callable[[], None]:
    """A step as it is commonly written."""
    nets = dict(built(form(options), ["there", "back"], 1))
    (there, judge_other), (back, judge_one) = nets.values()
    for net in (there, back, judge_one, judge_other):
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
    options = TranslatorTraining(
        minutes=given.minutes, size=given.size, task=given.task, **({"net": given.net} if given.net else {})
    )
    learning.train([given.data], "measured", options, data_root=given.data_root, seed=1, runtime=runtime)
    translator = trained.load("measured", runtime)
    kinds = pairs.load(
        [given.data], size=given.size, paired=True, task=given.task is not None, held_out=options.held_out,
        root=given.data_root, seed=1,
    )  # fmt: skip
    wanted = kinds.held_after.spread(given.count).pictures.float().to(runtime.device) / 255
    if given.task:
        before = spoilt(Task.parse(given.task), wanted, generator(2))
    else:
        assert kinds.held_before is not None
        before = kinds.held_before.spread(given.count).pictures.float().to(runtime.device) / 255
    net = translator.way(reverse=False)
    with torch.no_grad():
        made = torch.cat([net(one) for one in before.split(1)])
    mean = (kinds.after.pictures.float().mean(0) / 255).to(runtime.device).expand_as(wanted)
    backbone = backbones.load(BACKBONE, pooling="average", device=runtime.device)
    found = {
        name: resemblance(backbone, some, wanted) for name, some in (("made", made), ("mean", mean), ("input", before))
    }
    print(f"{len(wanted)} held-out pairs of {given.size} pixels, {options.net}, {given.minutes:g} minutes")
    for figure in ("l1", "perceptual"):
        shares = ", ".join(
            f"× {found['made'][figure] / found[other][figure]:.2f} of the {other}'s" for other in ("mean", "input")
        )
        numbers = "".join(f"{found[name][figure]:>10.4f}" for name in found)
        print(f"{figure:<12}{numbers}  {shares}, asked <= {ASKED_SHARE:g}")
    if given.keep:
        rows = torch.cat([part[:SHOWN] for part in (before, made, wanted)])
        to_pillow(grid(rows.cpu(), columns=SHOWN)).save(given.keep)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="steps,pairs", help="of these")
    parser.add_argument("--data", default="facades", help="pairs, or with a task photographs")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--task")
    parser.add_argument("--net")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--count", type=int, default=64, help="held-out pairs at most")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--keep", type=Path, help="a sheet of inputs, what is made of them, and targets")
    given = parser.parse_args()
    runtime = start("auto", threads=given.threads)
    if "steps" in given.parts:
        steps(runtime)
    if "pairs" in given.parts:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["GENCLI_HOME"] = folder
            of_pairs(given, runtime)


if __name__ == "__main__":
    main()
