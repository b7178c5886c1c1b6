"""How fast an epoch of `gencli vae train` is beside the well-known plain example's, at equal loss, and where it goes.

    python benchmarks/vae.py --data-root DATA          # MNIST, from DATA/MNIST/raw
    python benchmarks/vae.py                           # drawn letters and digits instead

The plain example is how most people meet variational autoencoders on MNIST: 784 – 400 – 20 – 400 – 784 units, ReLU,
binary cross-entropy and KL divergence summed, Adam at 1e-3 on batches of 128, each picture through torchvision's
`MNIST` and `ToTensor` in a `DataLoader` with no workers, shuffled. gencli trains the same network with its own
recipe and loop (`--arch dense-book --widths 400 --latent 20 --batch-size 128 --rate 1e-3 --schedule constant
--average 0 --clip 0 --beta2 0.999 --warp 0`), from the same first weights: with Glorot's, which gencli draws otherwise,
it was a nat behind after three epochs. Only the order and the noise differ, and that gencli's loss is a mean over the
batch, which Adam does not notice.

The two take turns, an epoch each, for a machine's speed changes; the ratio is the median of the pairs'. Both epochs
are without an evaluation on held-out pictures. gencli's has all else that its loop does: the log, the checks for
numbers that are not finite, and saving a state to resume from at its end. The plain one reads the loss after each
step, as it always does, but prints nothing. The held-out losses are computed by one function for both; the training
losses are what each of them minimises, a picture.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST, VisionDataset
from torchvision.transforms import ToTensor

from gencli.core import datasets, training
from gencli.core.device import Runtime, start
from gencli.core.pictures import Batch, PictureBatches, PictureSet, in_order
from gencli.vae import models
from gencli.vae.options import VaeTraining
from gencli.vae.training import VaeRecipe, architecture, batches, settled

SEED = 1
ASKED_RATIO, ASKED_SHARE, EQUAL = 2.5, 0.8, 1.0  # times as fast; of gencli's epoch in the model; nats
MODEL = ("forward and loss", "backward", "optimiser")
ASIDE = "aside"
OPTIONS = VaeTraining(
    arch="dense-book",
    widths=(400,),
    latent=20,
    batch_size=128,
    rate=1e-3,
    schedule="constant",
    average=0.0,
    clip=0.0,
    beta2=0.999,
    warp=0.0,
    likelihood="bernoulli",
    size=28,
    colors="grey",
)


def negative_elbo(probabilities: Tensor, pictures: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """Of a batch, in nats, summed over its pictures: binary cross-entropy and KL divergence."""
    reconstruction = F.binary_cross_entropy(probabilities.flatten(1), pictures.flatten(1), reduction="sum")
    return reconstruction - 0.5 * (1 + log_var - mean.square() - log_var.exp()).sum()


class Items(MNIST):  # type: ignore[misc]
    """torchvision's `MNIST`, given its pictures instead of reading them: an item takes its usual way."""

    def __init__(self, pictures: PictureSet) -> None:
        assert pictures.labels is not None
        VisionDataset.__init__(self, "", transform=ToTensor())
        self.data, self.targets = pictures.pictures[:, 0].clone(), pictures.labels


class Plain(nn.Module):
    """The example's network and its training, an epoch at a time."""

    def __init__(self, pictures: PictureSet) -> None:
        super().__init__()
        self.inward, self.mean, self.log_var = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
        self.between, self.outward = nn.Linear(20, 400), nn.Linear(400, 784)
        self.adam = torch.optim.Adam(self.parameters(), 1e-3)
        self.items: DataLoader[Any] = DataLoader(Items(pictures), batch_size=128, shuffle=True)
        self.loss, self.seconds = 0.0, list[float]()  # of the last epoch, a picture; of each epoch

    def encode(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        features = self.inward(pictures.flatten(1)).relu()
        return self.mean(features), self.log_var(features)

    def decode(self, latents: Tensor) -> Tensor:
        probabilities: Tensor = self.outward(self.between(latents).relu()).sigmoid()
        return probabilities

    def epoch(self) -> None:
        began, total = time.perf_counter(), 0.0
        for pictures, _ in self.items:
            self.adam.zero_grad()
            mean, log_var = self.encode(pictures)
            deviation = (0.5 * log_var).exp()
            latents = mean + torch.randn_like(deviation) * deviation
            loss = negative_elbo(self.decode(latents), pictures, mean, log_var)
            loss.backward()
            total += loss.item()
            self.adam.step()
        self.seconds.append(time.perf_counter() - began)
        self.loss = total / len(self.items.dataset)  # type: ignore[arg-type]


class Watch:
    """Seconds of each part of each epoch: a part lasts until the next begins."""

    def __init__(self) -> None:
        self.epochs: list[Counter[str]] = []
        self.current: Counter[str] = Counter()  # what comes before the first epoch belongs to none
        self.part, self.moment = ASIDE, time.perf_counter()

    def begin(self, part: str) -> None:
        now = time.perf_counter()
        self.current[self.part] += now - self.moment  # type: ignore[assignment]
        self.part, self.moment = part, now

    def begin_epoch(self) -> None:
        self.begin("loop and log")
        self.current = Counter()
        self.epochs.append(self.current)


class TimedBatches:
    """gencli's batches on the watch."""

    def __init__(self, given: PictureBatches, watch: Watch) -> None:
        self.given, self.watch = given, watch

    def __len__(self) -> int:
        return len(self.given)

    def batch(self, epoch: int, index: int) -> Batch:
        if index == 0:
            self.watch.begin_epoch()
        self.watch.begin("batches")
        found = self.given.batch(epoch, index)
        self.watch.begin("loop and log")
        return found


class TimedScaler(torch.amp.GradScaler):
    """It scales nothing, but a step calls it just before backward, just before the optimiser, and just after it."""

    def __init__(self, watch: Watch) -> None:
        super().__init__("cpu", enabled=False)
        self.watch = watch

    def scale(self, outputs: Any) -> Any:
        self.watch.begin("backward")
        return outputs

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        self.watch.begin("optimiser")
        return super().step(optimizer, *args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        self.watch.begin("loop and log")


class Timed(VaeRecipe):
    """gencli's recipe on the watch; where the loop would evaluate, the watch stands still and `meanwhile` is called."""

    def __init__(
        self, plain: Plain, pictures: PictureSet, held_out: PictureSet, watch: Watch, meanwhile: Callable[[], None]
    ) -> None:
        options = settled(OPTIONS, pictures)
        net = models.build(**architecture(options, pictures))
        assert isinstance(net.encoder, nn.Sequential) and isinstance(net.decoder, nn.Sequential)
        ours = net.encoder[1], net.mean, net.log_var, net.decoder[0], net.decoder[2]
        for mine, theirs in zip(
            ours, (plain.inward, plain.mean, plain.log_var, plain.between, plain.outward), strict=True
        ):
            mine.load_state_dict(theirs.state_dict())
        runtime = Runtime(torch.device("cpu"))
        super().__init__(net, options, batches(pictures, options, runtime, SEED), held_out, runtime, SEED)
        self.scaler = TimedScaler(watch)
        self.watch, self.meanwhile = watch, meanwhile
        self.losses: list[Tensor] = []

    def step(self, batch: Batch, progress: float) -> Any:
        self.watch.begin("forward and loss")
        found = super().step(batch, progress)
        self.losses.append(found["loss"])
        return found

    def evaluate(self) -> dict[str, float]:
        self.watch.begin(ASIDE)
        self.meanwhile()
        self.watch.begin("saving")
        return {}

    def preview(self) -> Any:
        return None


def race(plain: Plain, pictures: PictureSet, held_out: PictureSet, epochs: int) -> Timed:
    """`epochs` of each in turn, the plain example's first."""

    def meanwhile() -> None:
        if len(plain.seconds) < epochs:
            plain.epoch()

    watch = Watch()
    recipe = Timed(plain, pictures, held_out, watch, meanwhile)
    order = TimedBatches(recipe.learnt, watch)
    plain.epoch()
    with tempfile.TemporaryDirectory() as folder:
        training.train(
            recipe,
            order,
            Path(folder) / "benchmark",
            config={"art": "vae", "kind": "benchmark", "options": recipe.options.to_dict()},
            options=training.TrainingOptions(epochs=epochs),
            runtime=recipe.runtime,
        )
        watch.begin(ASIDE)
    return recipe


@torch.no_grad()
def judge(
    encode: Callable[[Tensor], tuple[Tensor, Tensor]], decode: Callable[[Tensor], Tensor], held_out: PictureSet
) -> float:
    """The negative ELBO, nats a picture, with one sample of the latents each; `decode` gives probabilities."""
    total, draw = 0.0, torch.Generator().manual_seed(SEED)
    for batch in in_order(held_out, 500):
        mean, log_var = encode(batch.pictures)
        latents = mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=draw)
        total += float(negative_elbo(decode(latents), batch.pictures, mean, log_var))
    return total / len(held_out)


def show(name: str, *figures: str) -> None:
    print(f"{name:34}" + "".join(f"{figure:>12}" for figure in figures), flush=True)


def report(plain: Plain, ours: Timed, held_out: PictureSet) -> None:
    epochs = ours.watch.epochs
    seconds = [epoch.total() - epoch[ASIDE] for epoch in epochs]
    ratio = statistics.median(theirs / mine for theirs, mine in zip(plain.seconds, seconds, strict=True))
    last = ours.losses[-len(ours.losses) // len(epochs) :]
    trained = plain.loss, float(torch.stack(last).mean())
    net = ours.best.eval()
    held = (
        judge(plain.encode, plain.decode, held_out),
        judge(net.encode, lambda latents: net.decode(latents).sigmoid(), held_out),
    )
    show("", "plain", "gencli", "asked")
    show("seconds an epoch, median", *(f"{statistics.median(each):.2f}" for each in (plain.seconds, seconds)))
    show("times as fast, median of the pairs", "", f"{ratio:.2f}", f">= {ASKED_RATIO}")
    apart = f"within {EQUAL:g}"
    show("loss of the last epoch, nats", *(f"{value:.2f}" for value in trained), apart)
    show("held-out negative ELBO, nats", *(f"{value:.2f}" for value in held), apart)

    total: Counter[str] = Counter()
    for epoch in epochs:
        total.update(epoch)
    del total[ASIDE]
    print()
    show("share of gencli's epochs", "", "gencli", "asked")
    for part, spent in total.most_common():
        show(part, "", f"{spent / total.total():.1%}")
    share = sum(total[part] for part in MODEL) / total.total()
    show("forward, backward and optimiser", "", f"{share:.1%}", f">= {ASKED_SHARE:.0%}")

    equal = all(abs(theirs - mine) <= EQUAL for theirs, mine in (trained, held))
    reached = {"ratio": ratio >= ASKED_RATIO, "equal loss": equal, "share": share >= ASKED_SHARE}
    print("\n" + ", ".join(f"{name}: {'reached' if yes else 'NOT reached'}" for name, yes in reached.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="where MNIST/raw lies, its files plain or .gz; drawn without")
    parser.add_argument("--epochs", type=int, default=3, help="of each")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()

    start("cpu", threads=chosen.threads)
    data = "mnist" if chosen.data_root else "@glyphs"
    learnt, held_out = datasets.train_and_test(data, size=28, channels=1, root=chosen.data_root)
    torch.manual_seed(SEED)  # the plain example draws from PyTorch's own generator
    plain = Plain(learnt)
    ours = race(plain, learnt, held_out, chosen.epochs)
    print(f"{learnt.name}: {len(learnt):,} pictures, {len(held_out):,} held out, ", end="")
    print(f"{chosen.epochs} epochs each, {chosen.threads} threads\n")
    report(plain, ours, held_out)


if __name__ == "__main__":
    main()
