"""The options of `gencli vae`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Training

FACES, DIGITS = "faces", "digits"  # models that ship

SMALL = 32  # pixels of a side up to which grey pictures count as small: digits, letters
LATENT = {"small": 20, "large": 128}
RATES = {"muon": 0.02, "adam": 4e-3, "rmsprop": 1e-3}
BATCH_SIZES = {"few": 512, "dense": 256, "other": 64}  # few: of a dense one with few latents
FEW_WIDTHS = (512, 512, 512)
WIDTHS = {
    "dense": (512, 512),
    "faces": (32, 64, 128, 256),
    "dense-book": (512,),
}
ARCHITECTURES = ("dense", "residual", "faces", "dense-book", "conv-book", "wide-book")
FOURIER, FEW_LATENTS = 64, 3
WARP = 0.025
VALUES_PER_BETA = 256
SUPERVISE = 20.0
LIKELIHOODS = ("bernoulli", "gaussian", "logistic")

BOOK: Mapping[str, Any] = {
    "likelihood": "bernoulli",
    "size": 28,
    "colors": "grey",
    "latent": 2,
    "batch_size": 128,
    "optimizer": "adam",
    "rate": 1e-3,
    "beta2": 0.999,
    "clip": 0.0,
    "schedule": "constant",
    "average": 0.0,
    "warp": 0.0,
    "supervise": 0.0,
}


@dataclass(frozen=True)
class VaeTraining(Training):
    """How `gencli vae train` trains a variational autoencoder."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "conv": {**BOOK, "arch": "conv-book"},
        "book": {**BOOK, "arch": "conv-book", "beta": 0.5},
        "conv-wide": {**BOOK, "arch": "wide-book", "optimizer": "rmsprop", "batch_size": 16, "epochs": 10.0},
        "dense": {**BOOK, "arch": "dense-book", "epochs": 50.0},
        "faces": {**BOOK, "arch": "faces", "size": 64, "colors": "rgb", "latent": 200, "rate": 5e-4, "flip": True},
    }

    size: Annotated[
        int | None,
        Flag("Side of the pictures in pixels.", minimum=8, maximum=256, shown_default="28 or 64, as the set"),
    ] = None
    colors: Annotated[str, Flag("Grey or colour pictures.", choices=("auto", "grey", "rgb"))] = "auto"
    latent: Annotated[
        int | None,
        Flag(
            "Latent dimensions.",
            minimum=1,
            maximum=4096,
            shown_default=f"{LATENT['small']} for small grey pictures, else {LATENT['large']}",
        ),
    ] = None
    arch: Annotated[
        str,
        Flag(
            "Dense layers, residual or strided convolutions, or a textbook's; auto: dense for small grey pictures, "
            "else residual.",
            choices=("auto", *ARCHITECTURES),
        ),
    ] = "auto"
    widths: Annotated[
        tuple[int, ...] | None,
        Flag(
            "Units of each dense layer, or channels of each halving.",
            minimum=1,
            shown_default="by the architecture and the size",
        ),
    ] = None
    blocks: Annotated[int, Flag("Residual blocks of each halving.", minimum=0)] = 1
    fourier: Annotated[
        int | None,
        Flag(
            "Random frequencies of the latents that a dense decoder sees too: few latents can then tell more apart.",
            minimum=0,
            shown_default=f"{FOURIER} for up to {FEW_LATENTS} latents, else 0",
        ),
    ] = None

    likelihood: Annotated[
        str,
        Flag(
            "What a pixel is distributed as; auto: bernoulli for grey pictures, else logistic.",
            choices=("auto", *LIKELIHOODS),
        ),
    ] = "auto"
    beta: Annotated[
        float | None,
        Flag(
            "Weight of the KL divergence: the higher, the better pictures from the prior, and the less comes back.",
            minimum=0,
            shown_default=f"1 for bernoulli, else the number of a picture's values / {VALUES_PER_BETA}",
        ),
    ] = None
    free_bits: Annotated[float, Flag("Nats of KL that each latent dimension has for nothing.", minimum=0)] = 0.0
    warm_up: Annotated[float, Flag("Share of the training in which the KL's weight rises from 0.", 0, 1)] = 0.0
    deterministic: Annotated[bool, Flag("A plain autoencoder: no noise in the latents, no KL.")] = False
    denoise: Annotated[
        float, Flag("Share of the pixels of each input made white; the target stays clean.", 0, 0.95)
    ] = 0.0
    supervise: Annotated[
        float | None,
        Flag(
            "Weight, times beta, of telling the set's attributes from the latents: small things are then learnt too, "
            "and can be edited.",
            minimum=0,
            shown_default=f"{SUPERVISE:g} for sets with attributes, else 0",
        ),
    ] = None
    conditional: Annotated[bool, Flag("Learn from the labels too: pictures can then be drawn of a class.")] = False

    batch_size: Annotated[
        int | None,
        Flag(
            "Pictures a step.", minimum=1, shown_default="{dense} for dense layers, else {other}".format(**BATCH_SIZES)
        ),
    ] = None
    optimizer: Annotated[
        str,
        Flag(
            "How the weights are changed; auto: muon for residual convolutions, else adam.",
            choices=("auto", "muon", "adam", "rmsprop"),
        ),
    ] = "auto"
    rate: Annotated[
        float | None,
        Flag("Highest learning rate.", minimum=0, shown_default=", ".join(f"{r:g} for {o}" for o, r in RATES.items())),
    ] = None
    beta2: Annotated[float, Flag("Adam's β₂: what it keeps of the gradients' mean square each step.", 0.5, 0.9999)] = (
        0.99
    )
    clip: Annotated[float, Flag("Largest norm of a gradient; 0: any.", minimum=0)] = 1.0
    schedule: Annotated[
        str,
        Flag(
            "Course of the learning rate: up and down a cosine, or the same throughout.", choices=("cosine", "constant")
        ),
    ] = "cosine"
    average: Annotated[
        float, Flag("Share of the running mean of the weights kept each step; 0: no mean.", 0, 0.99999)
    ] = 0.998
    flip: Annotated[bool, Flag("Mirror half of the pictures, left to right.")] = False
    warp: Annotated[
        float | None,
        Flag(
            "Pictures are turned, stretched, slanted and moved at random, by about this share.",
            minimum=0,
            maximum=0.5,
            shown_default=f"{WARP} for small grey pictures and more than {FEW_LATENTS} latents, else 0",
        ),
    ] = None
    held_out: Annotated[float, Flag("Share held out where the set has no test part.", 0.001, 0.9)] = 0.05
    limit: Annotated[int | None, Flag("Most pictures to learn from.", minimum=2, shown_default="all")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.deterministic and (self.beta not in {None, 0.0, 1.0} or self.free_bits or self.warm_up):
            raise UsageError(
                "--deterministic has no KL divergence to weigh", "leave out --beta, --free-bits and --warm-up"
            )
