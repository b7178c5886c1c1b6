"""How good an autoencoder is on pictures it has not seen."""

from __future__ import annotations

import torch

from gencli.core import backbones
from gencli.core.datasets import Report
from gencli.core.device import Runtime, generator, precisely
from gencli.core.metrics import Likeness
from gencli.core.pictures import PictureSet, in_order
from gencli.core.stages import Stage, unwatched
from gencli.vae.losses import importance_weighted, reparameterize
from gencli.vae.models import Autoencoder
from gencli.vae.trained import Trained
from gencli.vae.training import measured, normal

AT_ONCE = 2000  # latents decoded side by side
COMPARED = 2000  # pictures of either kind, at most, in a Fréchet distance


def evaluate(
    loaded: Trained, pictures: PictureSet, samples: int, seed: int, stage: Stage = unwatched
) -> dict[str, float | None]:
    """A model's figures on pictures it has not seen: those of its training, the log likelihood from so many `samples`
    a picture, and the Fréchet distance of what it draws. None: not for a plain autoencoder, or for one picture."""
    deterministic = loaded.config["options"]["deterministic"]
    figures: dict[str, float | None] = {**measured(loaded.net, pictures, loaded.runtime, seed, deterministic)}
    figures |= {"log_likelihood": None, "frechet": None}
    if not deterministic:
        with stage("weighing samples") as told:
            figures["log_likelihood"] = log_likelihood(loaded.net, pictures, loaded.runtime, samples, seed, told)
        figures["frechet"] = frechet(loaded, pictures, seed) if len(pictures) > 1 else None
    return figures


@torch.no_grad()
def log_likelihood(
    net: Autoencoder,
    pictures: PictureSet,
    runtime: Runtime,
    samples: int,
    seed: int,
    report: Report | None = None,
) -> float:
    """The mean importance-weighted estimate of log p(picture), in nats (Burda et al. 2016), from so many samples of
    the latents each. Leaves the model as it was."""
    training = net.training
    net.eval()
    draw, total = generator(seed, 4), 0.0
    rows = max(1, AT_ONCE // samples)
    for batch in in_order(pictures, rows, device=runtime.device):
        labels = batch.labels if net.classes else None
        mean, log_var = net.encode(batch.pictures, labels)  # (N, L)
        noise = normal((samples, *mean.shape), draw, mean.device)
        latents = reparameterize(mean, log_var, noise)  # (K, N, L)
        repeated = None if labels is None else labels.repeat(samples)
        logits = net.decode(latents.flatten(0, 1), repeated)
        loss = net.negative_log_likelihood(logits, batch.pictures.repeat(samples, 1, 1, 1))
        if report:
            report(int(batch.indices[-1]) + 1, len(pictures))
        weighted = importance_weighted(-loss.view(samples, -1), latents, mean, log_var)
        total += float(precisely(weighted).sum())
    net.train(training)
    return total / len(pictures)


def frechet(loaded: Trained, pictures: PictureSet, seed: int) -> float:
    """The Fréchet distance between pictures and as many drawn from the prior, in what the built-in backbone sees.

    Raises GencliError for fewer than 2 pictures.
    """
    shown = pictures.spread(COMPARED)
    return Likeness(backbones.load(device=loaded.runtime.device), shown).distance(loaded.drawn(len(shown), seed))
