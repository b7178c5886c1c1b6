"""The options of `gencli gan`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Training

FACES = "faces"  # a model that ships
BACKBONE = "vgg-mini"  # that ships, in which pictures are compared
ARCHITECTURES = ("resnet", "dcgan", "dense", "mnist-book", "frogs-book", "celeba-book")
TRANSLATORS = ("pix2pix", "cyclegan")
NORMS = ("none", "batch", "spectral")  # of a discriminator
CONDITIONS = ("projection", "multiply")
LOSSES = ("ns", "minimax", "lsgan", "hinge", "wgan", "relativistic")
WITH_TARGETS = ("ns", "minimax", "lsgan")  # losses whose verdicts have labels, which can be smoothed and made noisy
OPTIMIZERS = ("adam", "rmsprop")
LARGEST = 256  # pixels a side that generators draw
R1 = 0.05  # between 0.01 and 0.1, which both did better than 1 in minutes on a CPU; longer games were not tried

PAPER: Mapping[str, Any] = {
    "loss": "ns",
    "optimizer": "adam",
    "schedule": "constant",
    "average": 0.0,
    "augment": 0.0,
    "r1": 0.0,
    "referee": False,
}
ADAM: Mapping[str, Any] = {**PAPER, "rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
DENSE: Mapping[str, Any] = {
    "arch": "dense", "norm": "none", "size": 28, "colors": "grey", "latent": 100, "d_widths": (512, 256),
}  # fmt: skip
WASSERSTEIN: Mapping[str, Any] = {
    **PAPER, **DENSE, "widths": (64, 128, 256, 512), "d_steps": 5, "batch_size": 100, "steps": 40_000,
}  # fmt: skip
TRANSLATION: Mapping[str, Any] = {
    **ADAM, "schedule": "linear", "size": 256, "batch_size": 1, "epochs": 200.0,
}  # fmt: skip


@dataclass(frozen=True)
class GanTraining(Training):
    """How `gencli gan train` trains a generator against a discriminator."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "dense-slides": {**ADAM, **DENSE, "widths": (256, 512, 1024), "batch_size": 64},
        "dcgan-mnist": {
            **ADAM, "arch": "mnist-book", "norm": "none", "size": 28, "colors": "grey", "latent": 64, "dropout": 0.3,
            "batch_size": 100, "steps": 50_000,
        },
        "dcgan-frogs": {
            **PAPER, "arch": "frogs-book", "norm": "none", "size": 32, "colors": "rgb", "latent": 32, "dropout": 0.4,
            "optimizer": "rmsprop", "rate": 4e-4, "d_rate": 8e-4, "beta2": 0.9, "clip": 1.0, "decay": 1e-8,
            "batch_size": 20, "steps": 10_000, "label_noise": 0.05,
        },
        "dcgan-celeba": {
            **ADAM, "arch": "celeba-book", "norm": "none", "size": 64, "colors": "rgb", "latent": 128, "dropout": 0.2,
            "rate": 1e-4, "beta1": 0.9, "batch_size": 32, "epochs": 100.0, "label_noise": 0.05,
        },
        "dcgan": {
            **ADAM, "arch": "dcgan", "norm": "batch", "size": 64, "colors": "rgb", "latent": 100,
            "widths": (64, 128, 256, 512), "d_widths": (64, 128, 256, 512), "deviation": 0.02, "batch_size": 128,
        },
        "cgan": {
            **ADAM, **DENSE, "latent": 64, "widths": (128, 256, 512), "d_widths": (256, 128), "conditional": "labels",
            "condition": "multiply", "batch_size": 64, "steps": 50_000,
        },
        "wgan": {
            **WASSERSTEIN, "loss": "wgan", "optimizer": "rmsprop", "rate": 5e-5, "beta2": 0.99, "clip_weights": 0.01,
        },
        "wgan-gp": {
            **WASSERSTEIN, "loss": "wgan", "gradient_penalty": 10.0, "rate": 1e-4, "beta1": 0.0, "beta2": 0.9,
        },
        "pix2pix": {**TRANSLATION, "arch": "pix2pix", "loss": "ns", "flip": True},
        "cyclegan": {**TRANSLATION, "arch": "cyclegan", "loss": "lsgan"},
        "cyclegan-paper": {**TRANSLATION, "arch": "cyclegan", "loss": "lsgan", "flip": True},
    }  # fmt: skip

    size: Annotated[
        int | None,
        Flag(
            "Side of the pictures in pixels.",
            minimum=8,
            maximum=1024,
            shown_default="28 or 64, as the set; translators: 128",
        ),
    ] = None
    colors: Annotated[str, Flag("Grey or colour pictures.", choices=("auto", "grey", "rgb"))] = "auto"
    latent: Annotated[int, Flag("Numbers a picture is drawn from.", minimum=1, maximum=4096)] = 64
    arch: Annotated[
        str,
        Flag(
            "gencli's residual networks, DCGAN's, dense layers, a textbook's; or from one kind of picture to another, "
            "in pairs or not.",
            choices=(*ARCHITECTURES, *TRANSLATORS),
        ),
    ] = "resnet"
    widths: Annotated[
        tuple[int, ...] | None,
        Flag(
            "The generator's channels at each side from half the picture's on, or units of each dense layer.",
            minimum=1,
            shown_default="by the architecture and the size",
        ),
    ] = None
    d_widths: Annotated[
        tuple[int, ...] | None,
        Flag("The discriminator's, from the picture on.", minimum=1, shown_default="by the architecture and the size"),
    ] = None
    norm: Annotated[str, Flag("What the discriminator's layers are normalised by.", choices=NORMS)] = "none"
    dropout: Annotated[float, Flag("Share of the discriminator's features left out.", 0, 0.95)] = 0.0
    deviation: Annotated[
        float | None,
        Flag("Weights begin normal, with this deviation.", minimum=0, shown_default="uniform, after Glorot & Bengio"),
    ] = None
    conditional: Annotated[
        str | None,
        Flag(
            "Draw pictures of a class, one of the set's; or by attributes: Smiling,Male.",
            shown_default="all alike",
            bare="labels",
        ),
    ] = None
    condition: Annotated[
        str,
        Flag("How classes are told: by a vector beside the latents and along the features, or one multiplied in.",
             choices=CONDITIONS),
    ] = "projection"  # fmt: skip

    loss: Annotated[
        str, Flag("What both minimise.", choices=(*LOSSES, "wgan-gp"), shown_default="ns; translators: lsgan")
    ] = "ns"
    gradient_penalty: Annotated[
        float | None,
        Flag("Weight of the critic's gradient penalty.", minimum=0, shown_default="10 for wgan-gp, else 0"),
    ] = None
    clip_weights: Annotated[
        float | None,
        Flag("Hold the critic's weights within ± this.", minimum=0, shown_default="0.01 for wgan, else not at all"),
    ] = None
    r1: Annotated[
        float | None,
        Flag(
            "Weight of the discriminator's R1 penalty.", minimum=0, shown_default=f"{R1:g}, but 0 for wgan and wgan-gp"
        ),
    ] = None
    r1_every: Annotated[int, Flag("Steps from one R1 penalty to the next, which then weighs so much more.", 1)] = 8
    label_noise: Annotated[float, Flag("The discriminator's labels are off by up to this.", 0, 1)] = 0.0
    smoothing: Annotated[float, Flag("The label of real pictures is 1 less this.", 0, 1)] = 0.0
    augment: Annotated[
        float | None,
        Flag(
            "Share of the pictures that each kind of change happens to before the discriminator looks at them.",
            0,
            1,
            shown_default="by the set's size: 1 for 1,000 pictures, 0 for 100,000",
        ),
    ] = None
    flip: Annotated[bool, Flag("Mirror half of the pictures, left to right.")] = False

    batch_size: Annotated[int, Flag("Pictures a step.", minimum=1, shown_default="32; translators: 4")] = 32
    d_steps: Annotated[int, Flag("The discriminator's steps for each of the generator's.", minimum=1)] = 1
    optimizer: Annotated[str, Flag("How the weights are changed.", choices=OPTIMIZERS)] = "adam"
    # twice as much drew better digits after five minutes; of 32 × 32 faces one run with it ran away, one hardly learnt
    rate: Annotated[float, Flag("Highest learning rate.", minimum=0, shown_default="0.0005; translators: 0.0004")] = (
        5e-4
    )
    d_rate: Annotated[float | None, Flag("The discriminator's.", minimum=0, shown_default="as the generator's")] = None
    beta1: Annotated[
        float,
        Flag(
            "Adam's β₁: what it keeps of the gradients' mean each step.", 0, 0.999, shown_default="0; translators: 0.5"
        ),
    ] = 0.0
    beta2: Annotated[
        float,
        Flag(
            "Adam's β₂, or RMSprop's α: the same of their mean square.",
            0.5,
            0.99999,
            shown_default="0.99; translators: 0.999",
        ),
    ] = 0.99
    clip: Annotated[float, Flag("Largest value in a gradient; 0: any.", minimum=0)] = 0.0
    decay: Annotated[float, Flag("The rate falls as 1 / (1 + decay · steps).", minimum=0)] = 0.0
    schedule: Annotated[
        str,
        Flag(
            "Course of the learning rate: down a cosine, in the second half down a line, or the same throughout.",
            choices=("cosine", "linear", "constant"),
            shown_default="cosine; translators: linear",
        ),
    ] = "cosine"
    average: Annotated[
        float, Flag("Share of the running mean of the generator's weights kept each step; 0: no mean.", 0, 0.99999)
    ] = 0.998
    referee: Annotated[bool, Flag("Watch the game: say what goes wrong, and act where it is safe.")] = True
    limit: Annotated[int | None, Flag("Most pictures to learn from.", minimum=1, shown_default="all")] = None
    compile: Annotated[
        bool, Flag("Compile the networks first, with torch.compile: a minute or more, and then a GPU waits less.")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.label_noise or self.smoothing) and self.loss not in WITH_TARGETS:
            raise UsageError(
                f"the loss {self.loss} has no labels to change",
                f"leave out --label-noise and --smoothing, or use --loss {', '.join(WITH_TARGETS)}",
            )
