"""The published DCGAN: how fast gencli trains it, and how much sooner gencli's own networks draw as well.

    python benchmarks/dcgan.py --data-root DATA                  # CelebA's faces, from DATA/celeba
    python benchmarks/dcgan.py                                   # drawn faces instead
    python benchmarks/dcgan.py --data-root DATA --parts quality --minutes 30 --sheets FOLDER

**Speed.** The plain example is how most people meet adversarial training: the networks of Radford et al. 2016 for
64 × 64 pixels, batches of 64, Adam at 2e-4, binary cross-entropy, a `DataLoader` with two workers that decode JPEG
files (of 64 × 64 pixels, so they have as little to do as can be), and five losses and verdicts read with `.item()` at
each step. gencli trains the same networks with its own recipe and loop (`--preset dcgan --batch-size 64`), from the
same first weights, on a GPU with `--compile`. The two take turns, some steps each, for a machine's speed changes; the
ratio is the median of the turns'.

In each turn, the convolutions that a step needs are also called alone, with the same shapes: what PyTorch's
convolutions take is the floor below which no training of these networks comes, and its share of gencli's step is told.

**Quality.** The same preset, in the same batches, trains for `--minutes`, then gencli's default for half of that. Both
are judged by the Fréchet distance of 2,000 samples from the pictures, in the features of the network that ships.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from gencli.core import datasets, training
from gencli.core.device import Runtime, drawing_from, generator, memory_format, start
from gencli.core.images import grid, to_pillow
from gencli.core.pictures import Batch, PictureBatches, PictureSet
from gencli.gan import evaluation, learning, networks, trained
from gencli.gan.options import BACKBONE, GanTraining
from gencli.gan.training import GanRecipe, batches, form, settled

SEED, SIZE, BATCH, RATE = 1, 64, 64, 2e-4
FILES = 2048  # JPEG files: enough for a DataLoader, which does not know that they come again
SAMPLES = 2_000
TURNS = 7  # of each
STEPS, GPU_STEPS = 5, 100  # how long a turn is
ASKED_RATIO, GPU_ASKED_RATIO, ASKED_SHARE, ASKED_TIME = 1.05, 3, 0.85, 0.5
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def now() -> float:
    """Seconds, once all that was given to a GPU is done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


class Plain:
    """The example's training, some steps at a time."""

    def __init__(self, nets: tuple[nn.Module, nn.Module], folder: Path, device: torch.device) -> None:
        self.generator, self.discriminator = (net.to(device).train() for net in nets)
        self.device = device
        self.adams = [torch.optim.Adam(net.parameters(), RATE, (0.5, 0.999)) for net in nets]
        self.loss = nn.BCEWithLogitsLoss()
        at_size = transforms.Resize(SIZE), transforms.CenterCrop(SIZE)
        look = transforms.Compose([*at_size, transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
        files = ImageFolder(str(folder), look)
        self.items: DataLoader[Any] = DataLoader(files, BATCH, shuffle=True, num_workers=2, drop_last=True)
        self.pictures = self._endless()
        next(self.pictures)  # the workers have begun

    def _endless(self) -> Iterator[Tensor]:
        while True:
            for pictures, _ in self.items:
                yield pictures

    def step(self) -> None:
        for_generator, for_discriminator = self.adams
        real = next(self.pictures).to(self.device)
        ones, zeros = torch.ones(len(real), device=self.device), torch.zeros(len(real), device=self.device)
        self.discriminator.zero_grad()
        on_real = self.discriminator(real)
        loss_real = self.loss(on_real, ones)
        loss_real.backward()
        said_real = on_real.mean().item()
        fake = self.generator(torch.randn(len(real), 100, device=self.device))
        on_fake = self.discriminator(fake.detach())
        loss_fake = self.loss(on_fake, zeros)
        loss_fake.backward()
        said_fake = on_fake.mean().item()
        lost = (loss_real + loss_fake).item()
        for_discriminator.step()
        self.generator.zero_grad()
        on_fake = self.discriminator(fake)
        deceived = self.loss(on_fake, ones)
        deceived.backward()
        said_then = on_fake.mean().item()
        for_generator.step()
        if not all(map(torch.isfinite, map(torch.tensor, (said_real, said_fake, lost, said_then, deceived.item())))):
            raise SystemExit("the plain example's losses are not finite")


class Published(nn.Module):
    """One of gencli's networks with pictures in [-1, 1], as the example has them."""

    def __init__(self, net: networks.Generator | networks.Discriminator) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.net.body(x)
        return found.tanh() if isinstance(self.net, networks.Generator) else found.flatten()


def built(learnt: PictureSet, options: GanTraining) -> tuple[networks.Generator, networks.Discriminator]:
    """The published networks, always with the same first weights."""
    draw = generator(SEED)
    with drawing_from(draw):
        nets = networks.build(form(options, learnt, 0))
    for net in nets:
        networks.initialise(net, draw, options.deviation)
    return nets


@dataclass
class Floor:
    """The convolutions of one step of the training, to be called alone: the fewest that give all gradients."""

    calls: list[Callable[[], object]] = field(default_factory=list)

    def seconds(self) -> float:
        began = now()
        for call in self.calls:
            call()
        return now() - began

    @torch.no_grad()
    def add(self, net: nn.Module, given: Tensor, looks: int, teaches: int, passes: int) -> None:
        """A network's: run `looks` times, taught `teaches` times, and `passes` times only passed through."""
        layers: list[tuple[nn.Module, Tensor, Tensor]] = []

        def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            layers.append((layer, inputs[0].detach().clone(), torch.randn_like(output)))

        hooks = [layer.register_forward_hook(note) for layer in net.modules() if isinstance(layer, CONVOLUTIONS)]
        net(given)
        for hook in hooks:
            hook.remove()
        for place, (layer, entered, gradient) in enumerate(layers):
            self.calls += [self._forward(layer, entered)] * looks
            self.calls += [self._backward(layer, entered, gradient, (place > 0, True))] * teaches
            self.calls += [self._backward(layer, entered, gradient, (True, False))] * passes

    @staticmethod
    def _forward(layer: nn.Module, entered: Tensor) -> Callable[[], object]:
        def call() -> object:
            with torch.no_grad():
                return layer(entered)

        return call

    @staticmethod
    def _backward(layer: Any, entered: Tensor, gradient: Tensor, wanted: tuple[bool, bool]) -> Callable[[], object]:
        transposed = isinstance(layer, nn.ConvTranspose2d)
        rest = layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding, layer.groups

        def call() -> object:
            return torch.ops.aten.convolution_backward(
                gradient, entered, layer.weight.detach(), None, *rest, [*wanted, False]
            )

        return call


class Turns:
    """gencli's batches, which stop before each turn for the others to have theirs."""

    def __init__(self, given: PictureBatches, steps: int, others: Callable[[], None]) -> None:
        self.given, self.steps, self.others = given, steps, others
        self.seconds: list[float] = []  # of each of gencli's turns
        self.began: float | None = None
        self.count = 0

    def __len__(self) -> int:
        return len(self.given)

    def batch(self, epoch: int, index: int) -> Batch:
        if self.count % self.steps == 0:
            self.stop()
            self.others()
            self.began = now()
        self.count += 1
        return self.given.batch(epoch, index)

    def stop(self) -> None:
        if self.began is not None:
            self.seconds.append(now() - self.began)


def speed(learnt: PictureSet, runtime: Runtime) -> None:
    """Turns of the plain example, of the convolutions alone and of gencli, and what comes of them."""
    gpu = runtime.device.type == "cuda"
    steps, asked = (GPU_STEPS, GPU_ASKED_RATIO) if gpu else (STEPS, ASKED_RATIO)
    plan = {"batch_size": BATCH, "steps": TURNS * steps, "compile": gpu}
    options = settled(GanTraining.build(plan, "dcgan"), learnt)
    floor, layout = Floor(), memory_format(runtime.device)
    latents, pictures = torch.randn(BATCH, 100), torch.rand(BATCH, 3, SIZE, SIZE).contiguous(memory_format=layout)
    drawn, seen = (Published(net).to(runtime.device).to(memory_format=layout) for net in built(learnt, options))
    floor.add(drawn, latents.to(runtime.device), 1, 1, 0)
    floor.add(seen, pictures.to(runtime.device), 3, 2, 1)
    drawn, seen = (Published(net) for net in built(learnt, options))
    theirs, alone = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "faces").mkdir()
        for index in range(min(FILES, len(learnt))):
            to_pillow(learnt.pictures[index].float() / 255).save(Path(folder) / "faces" / f"{index}.jpg", quality=95)
        plain = Plain((drawn, seen), Path(folder), runtime.device)
        plain.step()
        floor.seconds()

        def others() -> None:
            began = now()
            for _ in range(steps):
                plain.step()
            theirs.append(now() - began)
            alone.append(steps * statistics.median(floor.seconds() for _ in range(3)))

        order = Turns(batches(learnt, options, runtime, SEED), steps, others)
        training.train(
            GanRecipe(built(learnt, options), options, learnt, runtime, SEED),
            order,
            Path(folder) / "run",
            config={"art": "gan", "kind": "benchmark", "options": options.to_dict()},
            options=training.TrainingOptions(steps=TURNS * steps, evaluate_steps=10 * TURNS * steps),
            runtime=runtime,
        )
        order.stop()
    mine = order.seconds[1:]  # the first turn is for warming up, the last has the end of the training in it
    turns = [*zip(theirs[1:], alone[1:], mine, strict=True)][:-1]
    ratio = statistics.median(plain / ours for plain, _, ours in turns)
    share = statistics.median(floor / ours for _, floor, ours in turns)
    show("", "plain", "gencli", "asked")
    rates = (statistics.median(steps * BATCH / turn[which] for turn in turns) for which in (0, 2))
    show("pictures a second, median", *(f"{rate:.1f}" for rate in rates))
    show("times as fast, median of the turns", "", f"{ratio:.3f}", f">= {asked}")
    show("convolutions' share of a step", "", f"{share:.1%}", f">= {ASKED_SHARE:.0%}")
    print(flush=True)


def quality(
    data: str, root: Path | None, learnt: PictureSet, minutes: float, sheets: Path | None, run: Runtime
) -> None:
    """Both trained, the default for half of the time, and judged."""
    plans = {
        "published": GanTraining.build({"batch_size": BATCH, "minutes": minutes}, "dcgan"),
        "default": GanTraining(minutes=minutes * ASKED_TIME, size=SIZE),
    }
    found = {}
    show("", "steps", "minutes", "frechet")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GENCLI_HOME"] = folder
        for name, plan in plans.items():
            result = learning.train([data], name, plan, data_root=root, seed=SEED, runtime=run)
            model = trained.load(name, run)
            judged = evaluation.evaluate(model, learnt, SAMPLES, SEED, BACKBONE)
            found[name] = judged.figures["frechet"]
            show(name, f"{result.steps:,}", f"{result.seconds / 60:.1f}", f"{found[name]:.3f}")
            if sheets:
                sheets.mkdir(parents=True, exist_ok=True)
                to_pillow(grid(model.drawn(64, SEED), columns=8)).save(sheets / f"{name}.png")
    reached = "reached" if found["default"] <= found["published"] else "NOT reached"
    print(f"\nas near in {ASKED_TIME:g} of the time: {reached}")


def show(name: str, *figures: str) -> None:
    print(f"{name:36}" + "".join(f"{figure:>12}" for figure in figures), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="where celeba lies; drawn faces without")
    parser.add_argument("--parts", default="speed,quality", help="of these")
    parser.add_argument("--minutes", type=float, default=20.0, help="of the published networks; gencli has half")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sheets", type=Path, help="a folder for 64 samples of each")
    chosen = parser.parse_args()

    runtime = start("auto", threads=chosen.threads)
    data = "celeba" if chosen.data_root else "@faces:8000"
    learnt = datasets.load(data, size=SIZE, channels=3, root=chosen.data_root)
    print(f"{learnt.name}: {len(learnt):,} pictures of {SIZE} × {SIZE}, on {runtime.device}\n", flush=True)
    if "speed" in chosen.parts:
        speed(learnt, runtime)
    if "quality" in chosen.parts:
        quality(data, chosen.data_root, learnt, chosen.minutes, chosen.sheets, runtime)


if __name__ == "__main__":
    main()
