"""Training translators: with pairs (Isola et al. 2017), or there and back again without (Zhu et al. 2017)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from gencli.core.averaging import RunningMean
from gencli.core.backbones import Backbone
from gencli.core.checkpoint import Stateful
from gencli.core.device import Runtime, generator, memory_format
from gencli.core.images import grid, to_pillow
from gencli.core.metrics import Likeness
from gencli.core.pictures import PictureSet, in_order
from gencli.core.recipe import Recipe, level_and_down, up_and_down
from gencli.core.tensors import halved
from gencli.gan import losses
from gencli.gan.referee import Evidence, Referee
from gencli.gan.training import Game, diversity, norms, optimizer
from gencli.gan.translation import networks
from gencli.gan.translation.batches import Both
from gencli.gan.translation.networks import Translation, Translator
from gencli.gan.translation.options import TranslatorTraining
from gencli.gan.translation.tasks import Task, finished, spoilt

SEEN = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")  # of the backbone, where pictures are compared
SHOWN = 6  # held-out pictures in a preview
MEASURED = 64  # and those that are measured, at most
WARM_UP = 0.02  # share of the training in which the rate rises, along a cosine
QUICK = (32, 64, 128, 128)


class Buffer:
    """Pictures made earlier. A judge is shown one of them in place of half of the new ones, so that it does not forget
    what it has learnt (Shrivastava et al. 2017)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: Tensor | None = None  # (n, 3, H, W)

    def take(self, new: Tensor, draw: torch.Generator) -> Tensor:
        """As many pictures as there are `new` ones (N, 3, H, W), which are kept."""
        if not self.size:
            return new
        shown = []
        self.kept = None if self.kept is None else self.kept.to(new)  # it comes back from a file on the CPU
        for picture in new.detach().split(1):
            if self.kept is None or len(self.kept) < self.size:
                self.kept = picture if self.kept is None else torch.cat([self.kept, picture])
                shown.append(picture)
                continue
            chance, which = torch.rand(2, generator=draw, device=draw.device).tolist()
            if chance < 0.5:
                shown.append(picture)
                continue
            place = int(which * self.size)
            shown.append(self.kept[place : place + 1].clone())
            self.kept[place] = picture[0]
        return torch.cat(shown)

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = state_dict["kept"]


class TranslatorRecipe(Recipe):
    """What both ways of training have in common: networks with a name each, of which `translators` are kept."""

    def __init__(
        self,
        translators: Mapping[str, Translator],
        judges: Mapping[str, nn.Module],
        options: TranslatorTraining,
        backbone: Backbone,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.options, self.backbone, self.runtime, self.seed = options, backbone, runtime, seed
        self.layout = memory_format(runtime.device)
        self.translators, self.judges = translators, judges
        for net in (*translators.values(), *judges.values()):
            net.to(runtime.device).to(memory_format=self.layout).train()  # type: ignore[call-overload]
        self.means = {name: RunningMean(net, options.average) for name, net in translators.items() if options.average}
        self.modules: Mapping[str, nn.Module] = {
            **translators,
            **judges,
            **{f"mean of {name}": mean.net for name, mean in self.means.items()},
        }
        self.optimizers = {
            **{name: optimizer(net, options, options.rate) for name, net in translators.items()},
            **{
                name: optimizer(net, options, options.rate if options.d_rate is None else options.d_rate)
                for name, net in judges.items()
            },
        }
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.buffers = {name: Buffer(options.buffer if self.buffered else 0) for name in judges}
        self.referee, self.game = Referee(), Game()
        self.extras: Mapping[str, Stateful] = {
            "scaler": self.scaler,
            "referee": self.referee,
            "game": self.game,
            **{f"mean of {name}": mean for name, mean in self.means.items()},
        }
        self.own: Mapping[str, Stateful] = {
            f"buffer of {name}": buffer for name, buffer in self.buffers.items() if buffer.size
        }
        self.luck = torch.Generator(runtime.device).manual_seed(generator(seed, 1).initial_seed())
        self.generators = {"luck": self.luck}

    buffered = False

    def best(self, name: str) -> Translator:
        """The translator of that name as it is shown and kept."""
        return self.means[name].net if self.means else self.translators[name]

    @torch.no_grad()
    def made(self, name: str, pictures: Tensor) -> Tensor:
        """What a translator makes of pictures (N, 3, H, W), one after another, as people use it."""
        net = self.best(name)
        return torch.cat([net(one) for one in pictures.split(1)]).float()

    def teach_translators(self, loss: Tensor) -> None:
        """A step of all translators down a loss."""
        for net in self.translators.values():
            net.zero_grad()
        self.scaler.scale(loss).backward()
        for name in self.translators:
            self.scaler.step(self.optimizers[name])
        for name, mean in self.means.items():
            mean.update(self.translators[name])

    def teach_judge(self, name: str, real: Tensor, fake: Tensor, given: Tensor | None = None) -> dict[str, Tensor]:
        """A step of a judge, by pictures of its kind and such that were made."""
        judge = self.judges[name].requires_grad_(True)
        fake = self.buffers[name].take(fake.detach(), self.luck)
        with self.runtime.autocast():
            on_real, on_fake = self.verdicts(judge, real, fake, given)
        loss = losses.discriminator_loss(self.options.loss, on_real, on_fake)
        judge.zero_grad()
        # half: judges are to learn more slowly than translators (Isola et al. 2017); lsgan's has that half in it
        share = 1.0 if self.options.loss == "lsgan" else 0.5
        self.scaler.scale(share * loss).backward()
        self.scaler.step(self.optimizers[name])
        return {
            "d_loss": loss,
            "ahead": (on_real.mean((1, 2, 3))[:, None] > on_fake.mean((1, 2, 3))).float().mean(),
            "rejected": nn.functional.softplus(-on_fake).mean(),
        }

    def verdicts(self, judge: nn.Module, real: Tensor, fake: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """A judge's logits for both, (N, 1, h, w), of which there may be unequal numbers: in one pass, for its norms
        are of each picture alone."""
        both = torch.cat([real, fake])
        if given is not None:
            both = torch.cat([given.repeat(2, 1, 1, 1), both], 1)
        on_real, on_fake = judge(both).float().split([len(real), len(fake)])
        return on_real, on_fake

    def deceived(self, name: str, fake: Tensor, given: Tensor | None = None) -> Tensor:
        """How little a judge is deceived (0-dim); nothing is learnt by it."""
        judge = self.judges[name].requires_grad_(False)
        on_fake = judge(fake if given is None else torch.cat([given, fake], 1)).float()
        return losses.generator_loss(self.options.loss, on_fake)

    def apart(self, made: Tensor, wanted: Tensor) -> Tensor:
        """How far pictures are from each other in what the backbone sees, relative to how much that varies (0-dim)."""
        with self.runtime.autocast():
            seen = self.backbone(made, SEEN)
            with torch.no_grad():
                there = self.backbone(wanted, SEEN)
        return seen_apart(seen, there).mean()

    def rate(self, progress: float) -> float:
        if self.options.schedule == "cosine":
            return up_and_down(progress, WARM_UP)
        return level_and_down(progress) if self.options.schedule == "linear" else 1.0

    def export(self) -> dict[str, Tensor]:
        """The translators' weights, in half precision."""
        return halved(
            {
                f"{name}.{part}": value
                for name in self.translators
                for part, value in self.best(name).state_dict().items()
            }
        )

    @property
    def architecture(self) -> dict[str, Any]:
        """How the networks are built, for `config.json`."""
        return asdict(self.translators["there"].form)

    @abstractmethod
    def samples(self) -> tuple[Tensor, Tensor]:
        """What was made of the held-out pictures that are shown, and pictures of the kind they should be."""

    def remarks(self, means: Mapping[str, float]) -> Sequence[str]:
        """What the referee has to say."""
        if not self.options.referee:
            return []
        made, wanted = self.samples()
        before = self.game.norms
        self.game.norms = torch.cat([norms(net) for net in self.translators.values()])
        worst = max(abs(value) for name, value in means.items() if name.endswith("_loss"))
        changed = before is None or not torch.equal(before, self.game.norms)
        return self.referee.look(
            Evidence(means["ahead"], means["rejected"], diversity(made.cpu()), diversity(wanted.cpu()), changed, worst)
        )


class PairedRecipe(TranslatorRecipe):
    """pix2pix: what is made is to be near its target, and to be taken for one, beside what it was made from."""

    def __init__(
        self,
        nets: tuple[Translator, nn.Module],
        options: TranslatorTraining,
        backbone: Backbone,
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
    ) -> None:
        super().__init__({"there": nets[0]}, {"judge": nets[1]}, options, backbone, runtime, seed)
        some = _whole(held_out.spread(MEASURED), options.size, runtime)
        self.task = None if options.task is None else Task.parse(options.task)
        if self.task is None:
            self.tested = Both(some[:, :3], some[:, 3:])
        else:
            self.tested = Both(spoilt(self.task, some, generator(seed, 6)), some)

    def step(self, batch: Both, progress: float) -> Mapping[str, Tensor]:
        before, after = (part.contiguous(memory_format=self.layout) for part in (batch.before, batch.after))
        options = self.options
        with self.runtime.autocast():
            fake = self.translators["there"](before).float()
            deceived = self.deceived("judge", fake, before)
        distance = (fake - after).abs().mean()
        loss = deceived + options.l1 * 2 * distance  # the paper's colours are in [-1, 1]
        if options.perceptual:
            loss = loss + options.perceptual * self.apart(fake, after)
        self.teach_translators(loss)
        found = self.teach_judge("judge", after, fake, before)
        self.scaler.update()
        found |= {"g_loss": deceived, "l1": distance}
        return {name: value.detach() for name, value in found.items()}

    def evaluate(self) -> dict[str, float]:
        """On held-out pairs."""
        made = finished(self.task, self.tested.before, self.made("there", self.tested.before))
        return resemblance(self.backbone, made, self.tested.after)

    def samples(self) -> tuple[Tensor, Tensor]:
        before = self.tested.before[:SHOWN]
        return finished(self.task, before, self.made("there", before)), self.tested.after[:SHOWN]

    def preview(self) -> Image.Image:
        """Inputs, what is made of them, targets: a row each."""
        made, wanted = self.samples()
        rows = torch.cat([self.tested.before[:SHOWN], made, wanted])
        return to_pillow(grid(rows.cpu(), columns=len(made)))


class CycleRecipe(TranslatorRecipe):
    """CycleGAN: what is made is to be taken for the other kind, and made back again to be what it was."""

    buffered = True

    def __init__(
        self,
        nets: Mapping[str, tuple[Translator, nn.Module]],
        options: TranslatorTraining,
        backbone: Backbone,
        held_out: tuple[PictureSet, PictureSet],
        likeness: Likeness | None,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.likeness = likeness
        translators = {name: translator for name, (translator, _) in nets.items()}
        judges = {f"judge of {name}": judge for name, (_, judge) in nets.items()}
        super().__init__(translators, judges, options, backbone, runtime, seed)
        self.tested = Both(*(_whole(kind.spread(MEASURED), options.size, runtime) for kind in held_out))

    def step(self, batch: Both, progress: float) -> Mapping[str, Tensor]:
        one, other = (part.contiguous(memory_format=self.layout) for part in (batch.before, batch.after))
        options, there, back = self.options, self.translators["there"], self.translators["back"]
        with self.runtime.autocast():
            fake_other, same_other = _at_once(there, one, other, options.identity)
            fake_one, same_one = _at_once(back, other, one, options.identity)
            again_one, again_other = back(fake_other).float(), there(fake_one).float()
            deceived = self.deceived("judge of there", fake_other) + self.deceived("judge of back", fake_one)
        # the paper's colours are in [-1, 1]
        cycle = 2 * ((again_one - one).abs().mean() + (again_other - other).abs().mean())
        loss = deceived + options.cycle * cycle
        if same_one is not None and same_other is not None:
            same = 2 * ((same_one - one).abs().mean() + (same_other - other).abs().mean())
            loss = loss + options.identity * same
        if options.perceptual:
            loss = loss + options.perceptual * (self.apart(again_one, one) + self.apart(again_other, other))
        self.teach_translators(loss)
        found = [
            self.teach_judge("judge of there", other, fake_other),
            self.teach_judge("judge of back", one, fake_one),
        ]
        self.scaler.update()
        means = {name: torch.stack([each[name] for each in found]).mean() for name in found[0]}
        return {name: value.detach() for name, value in {**means, "g_loss": deceived, "cycle": cycle / 4}.items()}

    def evaluate(self) -> dict[str, float]:
        """On held-out pictures: how far they are from what they are made back to, in [0, 1], and how far what is made
        of the first kind is from the other, as a set."""
        there = self.made("there", self.tested.before)
        back = self.made("back", self.tested.after)
        away = [
            (self.made("back", there) - self.tested.before).abs().mean(),
            (self.made("there", back) - self.tested.after).abs().mean(),
        ]
        found = {"cycle": float(sum(away)) / 2}
        if self.likeness is not None and len(there) > 1:
            found["frechet"] = self.likeness.distance(there)
        return found

    def samples(self) -> tuple[Tensor, Tensor]:
        return self.made("there", self.tested.before[:SHOWN]), self.tested.after[:SHOWN]

    def preview(self) -> Image.Image:
        """Pictures of one kind, what is made of them, and of that again; the same the other way: a row each."""
        rows = []
        for pictures, way, other in ((self.tested.before, "there", "back"), (self.tested.after, "back", "there")):
            shown = pictures[:SHOWN]
            made = self.made(way, shown)
            rows += [shown, made, self.made(other, made)]
        least = min(map(len, rows))
        return to_pillow(grid(torch.cat([row[:least] for row in rows]).cpu(), columns=least))


def _whole(pictures: PictureSet, size: int, runtime: Runtime) -> Tensor:
    """All pictures of a set, in order, so large: (N, 3, size, size) in [0, 1]."""
    (batch,) = in_order(pictures, len(pictures), size=size, device=runtime.device)
    return batch.pictures


def _at_once(net: Translator, pictures: Tensor, own: Tensor, identity: float) -> tuple[Tensor, Tensor | None]:
    """What a translator makes of pictures, and of such that are of its kind already, if that is asked for: in one
    pass."""
    if not identity:
        return net(pictures).float(), None
    made = net(torch.cat([pictures, own])).float()
    return made[: len(pictures)], made[len(pictures) :]


def seen_apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    """Distances of pictures by their features in some layers: squared, relative to how much the other's vary, the mean
    over layers; (N,)."""
    each = []
    for layer, features in one.items():
        there = other[layer].float()
        unit = there.flatten(2).var(-1, correction=0).mean(-1).clamp_min(1e-6)
        each.append((features.float() - there).square().mean((1, 2, 3)) / unit)
    return torch.stack(each).mean(0)


@torch.no_grad()
def resemblance(backbone: Backbone, made: Tensor, wanted: Tensor) -> dict[str, float]:
    """How far pictures (N, 3, H, W) are from others: `l1`, the mean absolute difference of values in [0, 1], and
    `perceptual`, that in what a backbone sees."""
    found = [
        seen_apart(backbone(one, SEEN), backbone(other, SEEN))
        for one, other in zip(made.split(8), wanted.split(8), strict=True)
    ]
    return {"l1": float((made - wanted).abs().mean()), "perceptual": float(torch.cat(found).mean())}


def form(options: TranslatorTraining) -> Translation:
    """How the networks that the options ask for are built."""
    return Translation(
        options.net,
        widths=QUICK if options.net == "quick" else (),
        judge_width=options.judge_width,
        judge_depth=options.judge_depth,
        paired=options.arch == "pix2pix",
    )


def built(
    shape: Translation, names: Sequence[str], seed: int, *, alike: bool = False
) -> Iterator[tuple[str, tuple[Translator, nn.Module]]]:
    """Translators of such names with their judges, their weights drawn; those between kinds that are much `alike` begin
    with what they are given."""
    draw = generator(seed)
    for index, name in enumerate(names):
        one = shape if index == 0 else shape.reversed()
        nets = networks.build(one), networks.judge(one)
        for net in nets:
            networks.initialise(net, draw)
        if alike:
            networks.begin_alike(nets[0])
        yield name, nets
