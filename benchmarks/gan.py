"""How good gencli's generators are on digits in a given time, judged by a classifier that they know nothing of.

    python benchmarks/gan.py --data-root DATA --minutes 15      # MNIST, from DATA/MNIST/raw
    python benchmarks/gan.py --minutes 5                        # drawn digits instead

Three train one after another, for so many minutes each: the preset `dcgan-mnist`, gencli's default, and the default
with `--conditional`. The judge is a small convolutional network that has learnt the train part's digits here, and is
measured on the test part first: it should be right on 99 % and more.

    frechet      distance of 10,000 samples from the test part's pictures, in what the judge sees before it decides
    confident    samples of whose class the judge is surer than 0.95; of the test part's pictures beside it
    classes      the rarest and the most frequent class among the samples, as the judge sees them
    as asked     of the conditional one: samples that the judge takes for the class they were asked to be
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core import datasets
from gencli.core.device import Runtime, drawing_from, generator, start
from gencli.core.images import grid, to_pillow
from gencli.core.metrics import Moments, frechet_distance
from gencli.core.pictures import Augmentation, PictureBatches, PictureSet, in_order
from gencli.core.recipe import up_and_down
from gencli.gan import learning, trained
from gencli.gan.options import GanTraining
from gencli.gan.trained import Trained

SEED = 1
EPOCHS, RATE, BATCH = 4, 3e-3, 128  # of the judge
SURE = 0.95
SAMPLES = 10_000
ASKED_RATIO, ASKED_RIGHT, ASKED_JUDGE, ASKED_SHARES = 2.0, 0.97, 0.99, (0.07, 0.13)


class Judge(nn.Module):
    """Digits (N, 1, 28, 28) in [0, 1] → what it sees (N, 128), from which `decide` makes logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(128 * 9, 128), nn.ReLU(),
        )  # fmt: skip
        self.decide = nn.Linear(128, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        seen: Tensor = self.look(pictures)
        return seen


def taught(learnt: PictureSet) -> Judge:
    """A judge that knows the classes of a set, in evaluation mode."""
    with drawing_from(generator(SEED)):
        judge = Judge(len(learnt.classes))
    adam = torch.optim.Adam(judge.parameters(), RATE)
    order = PictureBatches(learnt, BATCH, SEED, Augmentation(warp=0.03))
    steps = EPOCHS * len(order)
    for step in range(steps):
        batch = order.batch(*divmod(step, len(order)))
        adam.param_groups[0]["lr"] = RATE * up_and_down(step / steps, 0.1)
        assert batch.labels is not None
        loss = F.cross_entropy(judge.decide(judge(batch.pictures)), batch.labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return judge.eval()


@dataclass(frozen=True)
class Verdict:
    """What the judge sees in pictures: their moments, their likeliest classes (N,) and how sure it is of these (N,)."""

    moments: Moments
    classes: Tensor
    sure: Tensor

    @property
    def shares(self) -> Tensor:
        return self.classes.bincount(minlength=10).double() / len(self.classes)


@torch.no_grad()
def judged(judge: Judge, pictures: Tensor) -> Verdict:
    """Of pictures (N, 1, H, W) in [0, 1]."""
    moments, found = Moments(), []
    for some in pictures.split(500):
        seen = judge(some)
        moments.add(seen)
        found.append(judge.decide(seen).softmax(1).max(1))
    return Verdict(moments, torch.cat([one.indices for one in found]), torch.cat([one.values for one in found]))


def trained_for(name: str, options: GanTraining, data: str, root: Path | None, runtime: Runtime) -> Trained:
    result = learning.train([data], name, options, data_root=root, seed=SEED, runtime=runtime)
    print(f"{name}: {result.steps:,} steps in {result.seconds / 60:.1f} minutes", flush=True)
    return trained.load(name, runtime)


def show(name: str, *figures: str) -> None:
    print(f"{name:24}" + "".join(f"{figure:>14}" for figure in figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="where MNIST/raw lies, its files plain or .gz; drawn without")
    parser.add_argument("--minutes", type=float, default=15.0, help="of each training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help="of `preset,default,conditional` these")
    parser.add_argument("--sheets", type=Path, help="a folder for 100 samples of each")
    chosen = parser.parse_args()

    runtime = start("auto", threads=chosen.threads)
    data = "mnist" if chosen.data_root else "@digits:60000"
    learnt, held_out = datasets.train_and_test(data, size=28, channels=1, root=chosen.data_root)
    judge = taught(learnt)
    pictures = torch.cat([batch.pictures for batch in in_order(held_out, 500)])
    real = judged(judge, pictures)
    assert held_out.labels is not None
    right = float((real.classes == held_out.labels).double().mean())
    print(
        f"the judge is right on {right:.2%} of {len(held_out):,} test pictures, asked >= {ASKED_JUDGE:.0%}", flush=True
    )

    plans = {
        "preset": GanTraining.build({"minutes": chosen.minutes, "steps": None}, "dcgan-mnist"),
        "default": GanTraining(minutes=chosen.minutes),
        "conditional": GanTraining(minutes=chosen.minutes, conditional="labels"),
    }
    plans = {name: plan for name, plan in plans.items() if not chosen.only or name in chosen.only.split(",")}
    distances, asked = {}, math.nan
    rows = [("", "frechet", "confident", "rarest", "commonest", "as asked")]
    rows.append(("test pictures", "", f"{float((real.sure > SURE).double().mean()):.1%}", *extremes(real), ""))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GENCLI_HOME"] = folder
        for name, plan in plans.items():
            model = trained_for(name, plan, data, chosen.data_root, runtime)
            samples = model.drawn(SAMPLES, SEED)[:, :1]
            found = judged(judge, samples)
            distances[name] = frechet_distance(found.moments, real.moments)
            words = ""
            if (labels := model.labels(SAMPLES, ())) is not None:
                asked = float((found.classes == labels).double().mean())
                words = f"{asked:.1%}"
            sure = f"{float((found.sure > SURE).double().mean()):.1%}"
            rows.append((name, f"{distances[name]:.3f}", sure, *extremes(found), words))
            if chosen.sheets:
                chosen.sheets.mkdir(parents=True, exist_ok=True)
                to_pillow(grid(samples[:100].expand(-1, 3, -1, -1), columns=10)).save(chosen.sheets / f"{name}.png")
            low, high = ASKED_SHARES
            within = bool(((found.shares >= low) & (found.shares <= high)).all())
            print(f"{name}: all classes within {low:.0%} and {high:.0%}: {'yes' if within else 'NO'}", flush=True)
    print()
    for row in rows:
        show(*row)
    if {"preset", "default"} <= distances.keys():
        ratio = distances["preset"] / distances["default"]
        print(f"\nthe default's distance is {ratio:.2f} times as small as the preset's, asked >= {ASKED_RATIO:g}")
    if not math.isnan(asked):
        print(f"as asked: {asked:.1%}, asked >= {ASKED_RIGHT:.0%}")


def extremes(verdict: Verdict) -> tuple[str, str]:
    return f"{float(verdict.shares.min()):.1%}", f"{float(verdict.shares.max()):.1%}"


if __name__ == "__main__":
    main()
