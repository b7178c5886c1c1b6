"""The options of translators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Options, Training, spelling
from gencli.gan.options import OPTIMIZERS, TRANSLATORS, GanTraining

KIND = "translator"  # of a model
SKETCH = "sketch"  # one that ships
NETS = ("quick", "unet", "unet-256", "resnet-6", "resnet-9")
LOSSES = ("lsgan", "ns", "hinge")  # whose verdicts may be about patches
SCHEDULES = ("linear", "cosine", "constant")
OF = {"l1": "pix2pix", "cycle": "cyclegan", "identity": "cyclegan", "buffer": "cyclegan"}  # what is of one alone
PERCEPTUAL = 10.0  # with pairs; there and back it takes a third of the time

# Isola et al. 2017: 286 pixels a side, cut down to 256
PAPER: Mapping[str, Any] = {"jitter": 30 / 256, "perceptual": 0.0, "judge_width": 64}


@dataclass(frozen=True)
class Translating(Options):
    """What translators have and other generators do not."""

    panel: ClassVar[str] = "From one kind of picture to another: --arch pix2pix or cyclegan"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "pix2pix": {**PAPER, "net": "unet-256", "l1": 100.0},
        # the textbook's, with the paper's buffer
        "cyclegan": {
            **PAPER, "net": "unet", "judge_width": 32, "judge_depth": 4, "jitter": 0.0, "cycle": 10.0, "identity": 1.0,
        },
        "cyclegan-paper": {**PAPER, "net": "resnet-9", "cycle": 10.0, "identity": 5.0},
    }  # fmt: skip

    net: Annotated[
        str,
        Flag(
            "The translator: gencli's quick one, the textbook's U-Net, or the papers' U-Net and residual networks.",
            choices=NETS,
        ),
    ] = "quick"
    task: Annotated[
        str | None,
        Flag(
            "Make the input of the target: colorize, superres=4, inpaint=boxes, denoise=0.1 or edges. Photographs are "
            "enough then."
        ),
    ] = None
    direction: Annotated[
        str | None,
        Flag("Which kind becomes which.", choices=("AtoB", "BtoA"), shown_default="AtoB; facades: BtoA"),
    ] = None
    split: Annotated[
        str | None,
        Flag(
            "How one set is two kinds: left-right, halves of each picture; Smiling, without an attribute and with it; "
            "or two classes, cat,dog.",
            shown_default="halves where all are twice as wide, classes where there are two",
        ),
    ] = None
    l1: Annotated[float, Flag("pix2pix: weight of the distance from the target.", 0)] = 100.0
    perceptual: Annotated[
        float | None,
        Flag(
            "Weight of the distance in what a backbone sees: from the target, or there and back.",
            0,
            shown_default=f"{PERCEPTUAL:g}; cyclegan: 0",
        ),
    ] = None
    cycle: Annotated[float, Flag("cyclegan: weight of the distance there and back.", 0)] = 5.0
    identity: Annotated[float, Flag("cyclegan: weight of changes to what is of the kind already.", 0)] = 5.0
    buffer: Annotated[int, Flag("cyclegan: earlier pictures that the judges are shown again.", 0, 10_000)] = 50
    jitter: Annotated[float, Flag("Pictures are so much larger than what is cut out of them for a step.", 0, 1)] = 0.12
    judge_width: Annotated[int, Flag("Channels of a judge's first layer.", 4, 512)] = 32
    judge_depth: Annotated[int, Flag("How often a judge halves a picture: its patches are larger then.", 1, 6)] = 3
    held_out: Annotated[float, Flag("Share of the pictures held out, where the set has no test part.", 0.001, 0.9)] = (
        0.05
    )


@dataclass(frozen=True)
class TranslateOptions(Options):
    """How `gencli gan translate` uses a translator."""

    reverse: Annotated[bool, Flag("The other way; for those that cyclegan trained.")] = False
    from_target: Annotated[
        bool,
        Flag(
            "The picture is what is wanted: make of it first what the translator starts from, as in training: grey, "
            "small, noisy, with holes, or lines."
        ),
    ] = False
    size: Annotated[
        int | None,
        Flag("Bring pictures to this longest side first.", 16, 32768, shown_default="as they are"),
    ] = None
    tile: Annotated[
        int | None,
        Flag("Work in tiles of this side.", 256, shown_default="1024, of what is larger than 1536"),
    ] = None


@dataclass(frozen=True)
class TranslatorTraining(Translating, Training):
    """How `gencli gan train --arch pix2pix` or `cyclegan` trains a translator."""

    usual: ClassVar[Mapping[str, float]] = {"minutes": 40.0}

    arch: Annotated[str, Flag("With pairs, or without.", choices=TRANSLATORS)] = "pix2pix"
    size: Annotated[int, Flag("Side of the pictures in pixels.", minimum=16, maximum=1024)] = 128
    loss: Annotated[str, Flag("What judges and translators minimise.", choices=LOSSES)] = "lsgan"
    batch_size: Annotated[int, Flag("Pictures a step.", minimum=1)] = 4
    optimizer: Annotated[str, Flag("How the weights are changed.", choices=OPTIMIZERS)] = "adam"
    rate: Annotated[float, Flag("Highest learning rate.", minimum=0)] = 4e-4
    d_rate: Annotated[float | None, Flag("The judges'.", minimum=0, shown_default="as the translators'")] = None
    beta1: Annotated[float, Flag("Adam's β₁.", 0, 0.999)] = 0.5
    beta2: Annotated[float, Flag("Adam's β₂.", 0.5, 0.99999)] = 0.999
    schedule: Annotated[str, Flag("Course of the learning rate.", choices=SCHEDULES)] = "linear"
    average: Annotated[float, Flag("Share of the running mean of the weights kept each step.", 0, 0.99999)] = 0.998
    flip: Annotated[bool, Flag("Mirror half of the pictures, left to right.")] = False
    referee: Annotated[bool, Flag("Watch the game: say what goes wrong.")] = True
    limit: Annotated[int | None, Flag("Most pictures to learn from.", minimum=2)] = None

    def settled(self) -> TranslatorTraining:
        """The options with what was left open decided."""
        usual = PERCEPTUAL if self.arch == "pix2pix" else 0.0
        return self.replace(perceptual=usual if self.perceptual is None else self.perceptual)

    @classmethod
    def of(cls, general: GanTraining, translating: Translating) -> TranslatorTraining:
        """Those that a person chose of both. Raises UsageError for options of other generators or translators."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(general.given - known):
            raise UsageError(
                f"{spelling(unknown[0])} is not for --arch {general.arch}",
                f"leave it out; what there is, is under '{Translating.panel}' in --help",
            )
        shared = {name: value for name, value in general.chosen.items() if name in known}
        for name in sorted(translating.given & OF.keys()):
            if shared.get("arch", OF[name]) != OF[name]:
                raise UsageError(f"{spelling(name)} is for --arch {OF[name]}", "leave it out")
        return cls.build({**shared, **translating.chosen})
