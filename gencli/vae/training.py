"""Training a variational autoencoder (Kingma & Welling 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from gencli.core.averaging import RunningMean, measuring
from gencli.core.checkpoint import Stateful
from gencli.core.device import Runtime, generator, memory_format, precisely
from gencli.core.errors import UsageError
from gencli.core.images import grid, to_pillow
from gencli.core.muon import Muon
from gencli.core.pictures import Augmentation, Batch, PictureBatches, PictureSet, in_order
from gencli.core.recipe import Recipe, up_and_down
from gencli.core.tensors import halved
from gencli.vae import losses
from gencli.vae.losses import kl_divergence, reparameterize
from gencli.vae.models import Autoencoder
from gencli.vae.options import (
    BATCH_SIZES,
    FEW_LATENTS,
    FEW_WIDTHS,
    FOURIER,
    LATENT,
    RATES,
    SMALL,
    SUPERVISE,
    VALUES_PER_BETA,
    WARP,
    WIDTHS,
    VaeTraining,
)

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
WARM_UP = 0.03  # share of the training in which the rate rises
ACTIVE = 0.01  # variance of a latent's mean over pictures from which it counts as used (Burda et al. 2016)
CHANNELS, LEAST, MOST = 512, 16, 128  # of residual convolutions: times the side; at least; at most
COARSEST = 4  # pixels of a side
MEASURED = 8  # batches that give the running mean's batch norms their statistics
SHOWN = 8  # pictures in a row of a preview, and rows drawn from the prior


class VaeRecipe(Recipe):
    """An autoencoder, the running mean of its weights, and what it makes of held-out pictures. Its options are
    `settled`; `learnt` is what it is trained on."""

    def __init__(
        self,
        net: Autoencoder,
        options: VaeTraining,
        learnt: PictureBatches,
        held_out: PictureSet,
        runtime: Runtime,
        seed: int,
    ) -> None:
        self.options, self.learnt, self.held_out, self.runtime, self.seed = options, learnt, held_out, runtime, seed
        self.layout = memory_format(runtime.device)
        self.net = net.to(runtime.device).to(memory_format=self.layout).train()  # type: ignore[call-overload]
        self.mean = RunningMean(self.net, options.average) if options.average else None
        self.modules: Mapping[str, nn.Module] = {"net": self.net, **({"mean": self.mean.net} if self.mean else {})}
        self.known = learnt.pictures.attributes
        self.probe: nn.Linear | None = None
        if options.supervise:
            assert self.known is not None
            self.probe = nn.Linear(net.latent, self.known.shape[1]).to(runtime.device)
            nn.init.eye_(self.probe.weight)  # from zero, a small thing in no latent would be a saddle: hours go by
            nn.init.zeros_(self.probe.bias)
            self.modules = {**self.modules, "probe": self.probe}
        self.optimizers = optimizers(self.net, options, self.probe)
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.extras: Mapping[str, Stateful] = {"scaler": self.scaler, **({"mean": self.mean} if self.mean else {})}
        self.luck = torch.Generator(runtime.device).manual_seed(generator(seed, 1).initial_seed())
        self.generators = {"noise": self.luck}

        self.measured_at = 0  # step of the running mean whose batch norms were last measured

    @property
    def best(self) -> Autoencoder:
        """The model that is measured, shown and kept."""
        if self.mean is None:
            return self.net
        if self.measured_at != self.mean.steps:
            self.measured_at = self.mean.steps
            with torch.no_grad(), measuring(self.mean.net) as wanted:
                for index in range(min(MEASURED, len(self.learnt)) if wanted else 0):
                    self._passes(self.mean.net, self.learnt.batch(0, index))
        return self.mean.net

    def _passes(self, net: Autoencoder, batch: Batch) -> None:
        labels = batch.labels if net.classes else None
        mean, log_var = net.encode(batch.pictures.contiguous(memory_format=self.layout), labels)
        net.decode(reparameterize(mean, log_var, normal_like(mean, generator(self.learnt.seed, 5))), labels)

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        options, pictures = self.options, batch.pictures
        given = salted(pictures, options.denoise, self.luck) if options.denoise else pictures
        labels = batch.labels if self.net.classes else None
        with self.runtime.autocast():
            mean, log_var = self.net.encode(given.contiguous(memory_format=self.layout), labels)
            latents = mean if options.deterministic else reparameterize(mean, log_var, normal_like(mean, self.luck))
            logits = self.net.decode(latents, labels)
        reconstruction = self.net.negative_log_likelihood(logits.float(), pictures).mean()
        divergence = kl_divergence(mean.float(), log_var.float())  # (B, L)
        kl = divergence.sum(1).mean()
        weight = kl_weight(options, progress)
        loss = reconstruction + weight * (losses.free_bits(divergence, options.free_bits) if options.free_bits else kl)
        found = {"reconstruction": reconstruction, "kl": kl}
        for module in self.modules.values():
            module.zero_grad()
        if self.probe is not None:
            found["attributes"] = self._telling(latents.float(), batch)
            loss = loss + (options.supervise or 0.0) * (options.beta or 1.0) * found["attributes"]
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers.values():
            self.scaler.unscale_(optimizer)
        if options.clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), options.clip)
        for optimizer in self.optimizers.values():
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.mean is not None:
            self.mean.update(self.net)
        return {name: value.detach() for name, value in {"loss": loss, **found}.items()}

    def _telling(self, latents: Tensor, batch: Batch) -> Tensor:
        """−log p(attributes | latents) in nats a picture, by a linear classifier that learns along."""
        assert self.probe is not None and self.known is not None
        truth = self.known[batch.indices].to(latents)
        logits = self.probe(latents)
        return nn.functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1).mean()

    def rate(self, progress: float) -> float:
        return up_and_down(progress, WARM_UP) if self.options.schedule == "cosine" else 1.0

    def evaluate(self) -> dict[str, float]:
        """The figures on the held-out pictures."""
        return measured(self.best, self.held_out, self.runtime, self.seed, self.options.deterministic)

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """Held-out pictures above what comes back of them, and pictures drawn from the prior."""
        net = self.best.eval()
        shown = self.held_out.spread(SHOWN)
        (batch,) = in_order(shown, SHOWN, device=self.runtime.device)
        labels = batch.labels if net.classes else None
        mean, _ = net.encode(batch.pictures, labels)
        latents = normal((SHOWN * (SHOWN // 2), net.latent), generator(self.seed, 2), self.runtime.device)
        classes = torch.arange(len(latents), device=latents.device) % net.classes if net.classes else None
        rows = [batch.pictures, net.decode(mean, labels).sigmoid(), net.decode(latents, classes).sigmoid()]
        if net is self.net:
            net.train()
        return to_pillow(grid(torch.cat(rows).expand(-1, 3, -1, -1).cpu(), columns=len(shown)))

    def export(self) -> dict[str, Tensor]:
        """The weights that are measured, in half precision."""
        return halved(self.best.state_dict())


def optimizers(
    net: Autoencoder, options: VaeTraining, probe: nn.Module | None = None
) -> dict[str, torch.optim.Optimizer]:
    """What changes the weights, and a probe's. Muon is for those of layers; biases, batch norms and the probe get Adam
    at a tenth of its rate."""
    assert options.rate is not None
    beside = [] if probe is None else [*probe.parameters()]
    if options.optimizer == "rmsprop":
        return {"net": torch.optim.RMSprop([*net.parameters(), *beside], options.rate, alpha=0.9, eps=1e-7)}
    betas = (0.9, options.beta2)
    if options.optimizer == "adam":
        return {"net": torch.optim.Adam([*net.parameters(), *beside], options.rate, betas, fused=True)}
    matrices = [weight for module in net.modules() if isinstance(module, LAYERS) for weight in [module.weight]]
    known = {id(weight) for weight in matrices}
    others = [weight for weight in net.parameters() if id(weight) not in known and weight is not net.log_scale]
    groups: list[dict[str, Any]] = [{"params": [*others, *beside], "lr": options.rate / 10}]
    if net.log_scale is not None:  # it has far to go: from a blur to the last detail
        groups.append({"params": [net.log_scale], "lr": options.rate})
    return {
        "layers": Muon([{"params": matrices}], options.rate),
        "others": torch.optim.Adam(groups, options.rate, betas, fused=True),
    }


def salted(pictures: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Pictures with a share of their pixels, drawn anew for each, made white in all channels."""
    noise = torch.rand(len(pictures), 1, *pictures.shape[2:], generator=draw, device=pictures.device)
    return pictures.masked_fill(noise < share, 1.0)


def normal(shape: tuple[int, ...], draw: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal numbers, drawn where the generator is."""
    return torch.randn(shape, generator=draw, device=draw.device).to(device)


def normal_like(x: Tensor, draw: torch.Generator) -> Tensor:
    """Standard normal numbers of the shape, type and device of `x`."""
    return normal(tuple(x.shape), draw, x.device).to(x.dtype)


def kl_weight(options: VaeTraining, progress: float) -> float:
    """Of the KL divergence in the loss: rises in a straight line over the share `warm_up` (Bowman et al. 2016)."""
    if options.deterministic:
        return 0.0
    assert options.beta is not None
    return options.beta * (min(progress / options.warm_up, 1.0) if options.warm_up else 1.0)


def batches(pictures: PictureSet, options: VaeTraining, runtime: Runtime, seed: int) -> PictureBatches:
    """Training batches in random order, mirrored and warped if wanted."""
    assert options.batch_size is not None
    augmentation = Augmentation(flip=options.flip, warp=options.warp or 0.0)
    return PictureBatches(
        pictures,
        options.batch_size,
        seed,
        augmentation,
        None,
        runtime.device,
        runtime.rank,
        runtime.world_size,
    )


@torch.no_grad()
def measured(
    net: Autoencoder, pictures: PictureSet, runtime: Runtime, seed: int, deterministic: bool = False
) -> dict[str, float]:
    """An autoencoder's figures on pictures, in nats a picture, with one sample of the latents each.

    `negative_elbo` = `reconstruction` + `kl`; `active_units` is how many latents tell pictures apart. Leaves the
    model as it was.
    """
    training = net.training
    net.eval()
    draw = generator(seed, 3)
    reconstruction = divergence = 0.0
    means = []
    for batch in in_order(pictures, 500, device=runtime.device):
        labels = batch.labels if net.classes else None
        mean, log_var = net.encode(batch.pictures, labels)
        noise = normal(tuple(mean.shape), draw, mean.device)
        latents = mean if deterministic else reparameterize(mean, log_var, noise)
        logits = net.decode(latents, labels)
        reconstruction += float(precisely(net.negative_log_likelihood(logits, batch.pictures)).sum())
        divergence += 0.0 if deterministic else float(precisely(kl_divergence(mean, log_var)).sum())
        means.append(mean.cpu())
    net.train(training)
    count = len(pictures)
    active = int((torch.cat(means).var(0, correction=0) > ACTIVE).sum())
    figures = {"negative_elbo": (reconstruction + divergence) / count, "reconstruction": reconstruction / count}
    return {**figures, "kl": divergence / count, "active_units": float(active)}


def halvings(size: int) -> tuple[int, ...]:
    """Channels of each halving of pictures of `size` pixels: down to 4 × 4 or an odd side, twice as many at half the
    side. Raises UsageError for an odd size."""
    sides = []
    while size % 2 == 0 and size > COARSEST:
        size //= 2
        sides.append(size)
    if not sides:
        raise UsageError(
            f"pictures of {size} × {size} pixels cannot be halved", "use an even --size, or --arch dense for small ones"
        )
    return tuple(min(max(CHANNELS // side // 8 * 8, LEAST), MOST) for side in sides)


def settled(options: VaeTraining, learnt: PictureSet) -> VaeTraining:
    """The options with all that was left open decided for a picture set."""
    channels, height, width = learnt.shape
    small = channels == 1 and max(height, width) <= SMALL
    arch = options.arch if options.arch != "auto" else "dense" if small else "residual"
    latent = options.latent or LATENT["small" if small else "large"]
    few = arch == "dense" and latent <= FEW_LATENTS
    kind = "few" if few else "dense" if arch == "dense" else "other"
    optimizer = ("muon" if arch == "residual" else "adam") if options.optimizer == "auto" else options.optimizer
    widths = FEW_WIDTHS if few else halvings(height) if arch == "residual" else WIDTHS.get(arch, ())
    likelihood = options.likelihood
    if likelihood == "auto":
        likelihood = "bernoulli" if channels == 1 else "logistic"
    # a likelihood takes each value for evidence of its own, while neighbours in a photograph tell much the same
    beta = 1.0 if likelihood == "bernoulli" else channels * height * width / VALUES_PER_BETA
    return options.replace(
        arch=arch,
        latent=latent,
        widths=options.widths or widths,
        fourier=(FOURIER if few else 0) if options.fourier is None else options.fourier,
        likelihood=likelihood,
        beta=beta if options.beta is None else options.beta,
        supervise=(SUPERVISE if learnt.attributes is not None else 0.0)
        if options.supervise is None
        else options.supervise,
        optimizer=optimizer,
        rate=RATES[optimizer] if options.rate is None else options.rate,
        batch_size=options.batch_size or BATCH_SIZES[kind],
        warp=(WARP if small and not few else 0.0) if options.warp is None else options.warp,
    )


def architecture(options: VaeTraining, learnt: PictureSet) -> dict[str, Any]:
    """What `models.build` takes for a picture set, by options that are `settled`."""
    return {
        "arch": options.arch,
        "shape": list(learnt.shape),
        "latent": options.latent,
        "widths": list(options.widths or ()),
        "blocks": options.blocks,
        "classes": len(learnt.classes) if options.conditional else 0,
        "likelihood": options.likelihood,
        "fourier": options.fourier,
    }
