"""Training a generator against a discriminator (Goodfellow et al. 2014)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from gencli.core.averaging import RunningMean, measuring
from gencli.core.checkpoint import Stateful
from gencli.core.device import Runtime, compiled, drawing_from, generator, memory_format
from gencli.core.images import grid, to_pillow
from gencli.core.metrics import Likeness
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet
from gencli.core.recipe import Recipe, level_and_down, up_and_down
from gencli.core.tensors import halved
from gencli.gan import augment, losses, networks
from gencli.gan.networks import Discriminator, Form, Generator
from gencli.gan.options import R1, GanTraining
from gencli.gan.referee import ALIKE, ALIKE_OF_CLASS, Evidence, Referee

WARM_UP = 0.02  # share of the training in which the rate rises
SHOWN = 8  # pictures in a row of a preview, and rows
MEASURED = 8  # batches that give the running mean's batch norms their statistics
COMPARED = 64  # samples and pictures that the referee compares
MEASURED_ON = 500  # pictures, at most, that a Fréchet distance is measured from
DRAWN_AT_ONCE = 64
CHANNELS, LEAST, MOST = 512, 16, 128  # of gencli's networks: times the side; at least; at most


class GanRecipe(Recipe):
    """Both networks, the running mean of the generator's weights, and a referee. The options are `settled`;
    `likeness` measures the samples."""

    def __init__(
        self,
        nets: tuple[Generator, Discriminator],
        options: GanTraining,
        learnt: PictureSet,
        runtime: Runtime,
        seed: int,
        likeness: Likeness | None = None,
    ) -> None:
        self.options, self.runtime, self.seed, self.likeness = options, runtime, seed, likeness
        self.layout = memory_format(runtime.device)
        self.generator, self.discriminator = nets
        for net in nets:
            net.to(runtime.device).to(memory_format=self.layout).train()  # type: ignore[call-overload]
        self.draws: Callable[..., Tensor] = compiled(self.generator) if options.compile else self.generator
        self.judges: Callable[..., Tensor] = compiled(self.discriminator) if options.compile else self.discriminator
        self.mean = RunningMean(self.generator, options.average) if options.average else None
        self.modules: Mapping[str, nn.Module] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            **({"mean": self.mean.net} if self.mean else {}),
        }
        self.optimizers = {
            "generator": optimizer(self.generator, options, options.rate),
            "discriminator": optimizer(
                self.discriminator, options, options.rate if options.d_rate is None else options.d_rate
            ),
        }
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        alike = ALIKE_OF_CLASS if self.generator.form.classes else ALIKE
        self.referee = Referee(critic=options.loss == "wgan", alike=alike)
        self.game = Game()
        self.extras: Mapping[str, Stateful] = {
            "scaler": self.scaler,
            "referee": self.referee,
            "game": self.game,
            **({"mean": self.mean} if self.mean else {}),
        }
        self.luck = torch.Generator(runtime.device).manual_seed(generator(seed, 1).initial_seed())
        self.generators = {"luck": self.luck}
        self.fixed = latents(SHOWN * SHOWN, self.generator.form, generator(seed, 2), runtime.device)
        self.fixed_labels = shown_labels(self.generator.form, SHOWN * SHOWN, runtime.device)
        some = learnt.spread(COMPARED)
        self.wanted = diversity(some.pictures.float() / 255, some.labels if self.generator.form.classes else None)

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        for real, labels in self._parts(batch):
            with self.runtime.autocast():
                fake = self.draws(latents(len(real), self.generator.form, self.luck, real.device), labels)
            found = self._teach_discriminator(real, fake.detach(), labels)
        # the last drawn, whose gradient the discriminator's steps did not need, serve the generator too
        found |= self._teach_generator(fake, real, labels)
        if self.mean is not None:
            self.mean.update(self.generator)
        self.game.steps += 1
        return {name: value.detach() for name, value in found.items()}

    def _parts(self, batch: Batch) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The pictures, with their classes if any, of each of the discriminator's steps.

        Those of a class stand side by side: their differences are seen together (`networks.Differences`), and a
        generator that draws one picture of each class and no other is found out.
        """
        count = self.options.d_steps
        pictures = batch.pictures.contiguous(memory_format=self.layout).tensor_split(count)
        if not self.generator.form.classes:
            yield from ((part, None) for part in pictures)
            return
        assert batch.labels is not None
        for part, labels in zip(pictures, batch.labels.tensor_split(count), strict=True):
            order = labels.argsort(stable=True)
            yield part[order], labels[order]

    def _teach_discriminator(self, real: Tensor, fake: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        options, net = self.options, self.discriminator
        seen_real, seen_fake = self._changed(real), self._changed(fake)
        with drawing_from(self.luck), self.runtime.autocast():
            on_real, on_fake = self.judges(seen_real, labels).float(), self.judges(seen_fake, labels).float()
        loss = losses.discriminator_loss(
            options.loss, on_real, on_fake, self._labels(on_real, 1 - options.smoothing), self._labels(on_fake, 0.0)
        )
        whole = loss
        if options.gradient_penalty:
            shares = torch.rand(len(real), generator=self.luck, device=real.device)
            with drawing_from(self.luck):
                penalty = losses.gradient_penalty(lambda x: net(x, labels), seen_real, seen_fake, shares)
            whole = whole + options.gradient_penalty * penalty
        if options.r1 and self.game.steps % options.r1_every == 0:
            with drawing_from(self.luck):
                penalty = losses.r1_penalty(lambda x: net(x, labels), seen_real)
            whole = whole + options.r1 * options.r1_every * penalty
        self._change(net, whole, "discriminator")
        if options.clip_weights:
            losses.clip_weights(net, options.clip_weights)
        return {
            "d_loss": loss,
            "ahead": (on_real > on_fake).float().mean(),
            "rejected": nn.functional.softplus(-on_fake).mean(),
        }

    def _teach_generator(self, fake: Tensor, real: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        net = self.discriminator.requires_grad_(False)
        compared = self.options.loss == "relativistic"
        seen_fake, seen_real = self._changed(fake), self._changed(real) if compared else None
        with drawing_from(self.luck), self.runtime.autocast():
            on_fake = self.judges(seen_fake, labels).float()
            on_real = None if seen_real is None else self.judges(seen_real, labels).float()
        loss = losses.generator_loss(self.options.loss, on_fake, on_real)
        self._change(self.generator, loss, "generator")
        net.requires_grad_(True)
        return {"g_loss": loss}

    def _changed(self, pictures: Tensor) -> Tensor:
        return augment.augment(pictures, self.options.augment or 0.0, self.luck)

    def _labels(self, logits: Tensor, value: float) -> Tensor | None:
        """What the discriminator is told that pictures are; None where it is not told."""
        if not self.options.label_noise and value in {0.0, 1.0}:
            return None
        noise = torch.rand(logits.shape, generator=self.luck, device=logits.device) * self.options.label_noise
        return value - noise if value > 0.5 else value + noise

    def _change(self, net: nn.Module, loss: Tensor, name: str) -> None:
        net.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizers[name])
        if self.options.clip:
            nn.utils.clip_grad_value_(net.parameters(), self.options.clip)
        self.scaler.step(self.optimizers[name])
        self.scaler.update()

    def rate(self, progress: float) -> float:
        courses = {"cosine": up_and_down(progress, WARM_UP), "linear": level_and_down(progress), "constant": 1.0}
        course = courses[self.options.schedule]
        return course / (1 + self.options.decay * self.game.steps)

    @property
    def best(self) -> Generator:
        """The generator that is shown and kept."""
        if self.mean is None:
            return self.generator
        if self.game.measured != self.mean.steps:
            self.game.measured = self.mean.steps
            form, draw = self.mean.net.form, generator(self.seed, 3)
            with torch.no_grad(), measuring(self.mean.net) as wanted:
                for _ in range(MEASURED if wanted else 0):
                    labels = shown_labels(form, self.options.batch_size, self.fixed.device)
                    self.mean.net(latents(self.options.batch_size, form, draw, self.fixed.device), labels)
        return self.mean.net

    def evaluate(self) -> dict[str, float]:
        """The Fréchet distance from the pictures of as many samples."""
        if self.likeness is None:
            return {}
        form, device, count = self.generator.form, self.runtime.device, self.likeness.real.count
        some = latents(count, form, generator(self.seed, 4), device)
        return {"frechet": self.likeness.distance(self._drawn(some, shown_labels(form, count, device)))}

    def preview(self) -> Image.Image:
        """The same latents every time: how the pictures of each grow."""
        drawn = self._drawn(self.fixed, self.fixed_labels)
        return to_pillow(grid(drawn.expand(-1, 3, -1, -1).cpu(), columns=SHOWN))

    @torch.no_grad()
    def _drawn(self, some: Tensor, labels: Tensor | None) -> Tensor:
        """Pictures by the generator that is kept."""
        net = self.best.eval()
        classes = itertools.repeat(None) if labels is None else labels.split(DRAWN_AT_ONCE)
        drawn = [net(part, known).float() for part, known in zip(some.split(DRAWN_AT_ONCE), classes, strict=False)]
        if net is self.generator:
            net.train()
        return torch.cat(drawn)

    def export(self) -> dict[str, Tensor]:
        """The generator's weights, in half precision."""
        return halved(self.best.state_dict())

    def remarks(self, means: Mapping[str, float]) -> Sequence[str]:
        """What the referee has to say."""
        if not self.options.referee:
            return []
        with torch.no_grad():
            self.generator.eval()
            drawn = self.generator(self.fixed, self.fixed_labels).float().cpu()
            self.generator.train()
            before, self.game.norms = self.game.norms, norms(self.generator)
        seen = Evidence(
            means["ahead"],
            means["rejected"],
            diversity(drawn, self.fixed_labels),
            self.wanted,
            before is None or not torch.equal(before, self.game.norms),
            max(abs(means["d_loss"]), abs(means["g_loss"])) if self.options.loss != "wgan" else 0.0,
        )
        return self.referee.look(seen)


class Optimizing(Protocol):
    """Options that say how weights are changed."""

    @property
    def optimizer(self) -> str: ...
    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...


class Game:
    """What else a training must remember."""

    def __init__(self) -> None:
        self.steps, self.measured = 0, -1
        self.norms: Tensor | None = None  # of the generator's weights when the referee last looked

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "norms": self.norms}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self.norms, self.measured = state_dict["steps"], state_dict["norms"], -1


def optimizer(net: nn.Module, options: Optimizing, rate: float) -> torch.optim.Optimizer:
    """What changes a network's weights: Adam, or RMSprop."""
    if options.optimizer == "rmsprop":
        return torch.optim.RMSprop(net.parameters(), rate, alpha=options.beta2)
    return torch.optim.Adam(net.parameters(), rate, (options.beta1, options.beta2), fused=True)


def latents(count: int, form: Form, draw: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal latents (N, L), drawn where the generator is."""
    return torch.randn((count, form.latent), generator=draw, device=draw.device).to(device)


def shown_labels(form: Form, count: int, device: torch.device) -> Tensor | None:
    """Every class in turn (N,); None where there are none."""
    return torch.arange(count, device=device) % form.classes if form.classes else None


def diversity(pictures: Tensor, labels: Tensor | None = None) -> float:
    """The mean absolute difference of values of two pictures (N, C, H, W): 0 where all are alike.

    With labels (N,), of two of the same class: pictures may differ by their class alone.
    """
    if labels is not None:
        found = [diversity(kind) for one in labels.unique() if len(kind := pictures[(labels == one).cpu()]) > 1]
        return sum(found) / len(found) if found else diversity(pictures)
    if len(pictures) < 2:
        return 0.0
    ordered = pictures.flatten(1).sort(0).values  # Σ |xᵢ − xⱼ| over pairs, from the ranks
    count = len(pictures)
    weights = 2 * torch.arange(count, dtype=pictures.dtype) - count + 1
    return float((weights @ ordered).mean()) / (count * (count - 1) / 2)


def norms(net: nn.Module) -> Tensor:
    """The norm of each of a network's weights, in float64: the same only as long as none of them changes."""
    return torch.stack([weight.detach().to("cpu").double().norm() for weight in net.parameters()])


def batches(pictures: PictureSet, options: GanTraining, runtime: Runtime, seed: int) -> PictureBatches:
    """Training batches in random order, for all of the discriminator's steps in one; of few pictures, each several
    times."""
    wanted = options.batch_size * options.d_steps * runtime.world_size
    if len(pictures) < wanted:
        pictures = pictures.subset(torch.arange(wanted) % len(pictures))
    augmentation = Augmentation(flip=options.flip)
    size = options.batch_size * options.d_steps
    return PictureBatches(pictures, size, seed, augmentation, None, runtime.device, runtime.rank, runtime.world_size)


def settled(options: GanTraining, learnt: PictureSet) -> GanTraining:
    """The options with all that was left open decided for a picture set."""
    size = learnt.shape[-1]
    depth = networks.levels(size)
    if options.arch == "dense":
        widths: tuple[int, ...] = (256, 512, 1024)
        d_widths: tuple[int, ...] = (512, 256)
    elif options.arch == "dcgan":
        widths = d_widths = tuple(64 << level for level in range(depth))
    else:
        widths = d_widths = channels(size, depth) if options.arch == "resnet" else ()
    wasserstein = options.loss in {"wgan", "wgan-gp"}
    penalty = options.gradient_penalty
    if penalty is None:
        penalty = 10.0 if options.loss == "wgan-gp" else 0.0
    clip = options.clip_weights
    if clip is None:
        clip = 0.01 if options.loss == "wgan" and not penalty else 0.0
    return options.replace(
        widths=options.widths or widths,
        d_widths=options.d_widths or d_widths,
        loss="wgan" if wasserstein else options.loss,
        gradient_penalty=penalty,
        clip_weights=clip,
        r1=(0.0 if wasserstein else R1) if options.r1 is None else options.r1,
        augment=augment.strength(len(learnt)) if options.augment is None else options.augment,
    )


def channels(size: int, depth: int) -> tuple[int, ...]:
    """Of gencli's networks at each side, the finest first: twice as many at half the side."""
    return tuple(min(max(CHANNELS // side // 8 * 8, LEAST), MOST) for side in networks.sides(size, depth))


def form(options: GanTraining, learnt: PictureSet, classes: int) -> Form:
    """The form of both networks for a picture set, by options that are `settled`."""
    channels, height, width = learnt.shape
    return Form(
        options.arch,
        (channels, height, width),
        options.latent,
        tuple(options.widths or ()),
        tuple(options.d_widths or ()),
        classes,
        options.condition,
        options.norm,
        options.dropout,
    )
