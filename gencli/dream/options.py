"""The options of `gencli dream`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Options, Training

ENERGIES = ("contrast", "mean-square", "l2")
POOLINGS = ("max", "average", "l2")
TASKS = ("labels", "rotation")


@dataclass(frozen=True)
class Seeing(Options):
    """What to dream of, and through which network."""

    panel: ClassVar[str] = "What to dream of"

    layer: Annotated[
        dict[str, float],
        Flag(
            "A layer that is to answer more strongly; repeatable.",
            shown_default="what the network is best at, if nothing is named",
        ),
    ] = field(default_factory=dict)
    channel: Annotated[dict[str, float], Flag("One channel of a layer, such as conv4_2:17; repeatable.")] = field(
        default_factory=dict
    )
    class_: Annotated[dict[str, float], Flag("A class that the network knows; repeatable.")] = field(
        default_factory=dict
    )
    guide: Annotated[dict[str, float], Flag("A picture to dream towards; repeatable.")] = field(default_factory=dict)
    guide_layer: Annotated[
        str | None, Flag("The layer in which guides are met.", shown_default="one of middle depth")
    ] = None
    energy: Annotated[
        str, Flag("How a layer's answer is measured: by its contrast, or as in the textbooks.", choices=ENERGIES)
    ] = "contrast"
    border: Annotated[int, Flag("Positions at each layer's edges that are left out.", 0)] = 0
    backbone: Annotated[str, Flag("The network to dream with.")] = "vgg-mini"
    pooling: Annotated[str, Flag("Pooling in the network.", choices=POOLINGS)] = "max"


@dataclass(frozen=True)
class DreamOptions(Seeing):
    """What `gencli dream` dreams of, and how it climbs there."""

    panel: ClassVar[str] = "Options"

    size: Annotated[int, Flag("Longest side of the result in pixels.", 16, 32768)] = 512
    strength: Annotated[float, Flag("0 is the photograph, 1 all that was dreamt.", 0, 1)] = 1.0
    keep_color: Annotated[bool, Flag("Keep the photograph's colours.")] = False
    octaves: Annotated[
        int | None, Flag("Sizes, from small to large.", 1, 32, shown_default="from about 180 pixels up")
    ] = None
    octave_scale: Annotated[float, Flag("How much larger each is than the one before.", 1.05, 4)] = 1.35
    steps: Annotated[int, Flag("Steps at each size.", 1)] = 18
    rate: Annotated[float, Flag("How far the first step at the full size goes.", 0)] = 0.1
    rate_scale: Annotated[float, Flag("The same at each smaller size, as a share of the next larger one's.", 0, 4)] = (
        0.6
    )
    fall: Annotated[float, Flag("By which share the last step is shorter.", 0, 1)] = 0.95
    color: Annotated[float, Flag("How far colours go beside lightness: 1 as far.", 0, 2)] = 0.3
    max_loss: Annotated[
        float | None, Flag("Go on to the next size once the objective is above this.", shown_default="never")
    ] = None
    jitter: Annotated[int, Flag("Most pixels that the picture is moved by for a step.", 0)] = 32
    normalize: Annotated[
        str,
        Flag(
            "What a gradient is divided by: its deviation, its mean absolute value or its norm.",
            choices=("deviation", "mean", "norm"),
        ),
    ] = "deviation"
    smooth: Annotated[
        tuple[float, ...],
        Flag("A gradient is blurred by so many pixels, and the blurred ones added up; 0 is the gradient as it is.", 0),
    ] = (1.65,)
    parametrize: Annotated[
        str,
        Flag("What is climbed in: pixels, or frequencies and lightness and colour.", choices=("pixels", "fourier")),
    ] = "pixels"
    gamut: Annotated[
        str,
        Flag(
            "Near black and white: slow down; or be cut off after each step, or at the end.",
            choices=("soft", "clip", "late"),
        ),
    ] = "soft"
    detail: Annotated[
        str,
        Flag(
            "When the photograph's detail comes in at each size: before the steps, or after them as in the textbook.",
            choices=("before", "book"),
        ),
    ] = "before"
    tv: Annotated[float, Flag("Weight of total variation: higher is smoother.", 0)] = 0.0
    tile: Annotated[
        int | None,
        Flag("Work in tiles of this side: less memory, and no seams.", 64, shown_default="512 where memory is short"),
    ] = None

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Chollet, Deep Learning with Python: steps of 20 in [-1, 1] are 10 in [0, 1]
        "book": {
            "backbone": "inception_v3",
            "layer": {"mixed4": 1.0, "mixed5": 1.5, "mixed6": 2.0, "mixed7": 2.5},
            "energy": "mean-square",
            "border": 2,
            "octaves": 3,
            "octave_scale": 1.4,
            "steps": 30,
            "rate": 10.0,
            "rate_scale": 1.0,
            "fall": 0.0,
            "color": 1.0,
            "max_loss": 15.0,
            "jitter": 0,
            "normalize": "norm",
            "smooth": (0.0,),
            "gamut": "late",
            "detail": "book",
        },
        # Mordvintsev, Olah & Tyka 2015
        "google": {
            "backbone": "googlenet",
            "layer": {"inception4c": 1.0},
            "energy": "l2",
            "octaves": 4,
            "octave_scale": 1.4,
            "steps": 10,
            "rate": 1.5 / 255,
            "rate_scale": 1.0,
            "fall": 0.0,
            "color": 1.0,
            "jitter": 32,
            "normalize": "mean",
            "smooth": (0.0,),
            "gamut": "clip",
        },
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.smooth:
            raise UsageError("--smooth: give at least one number", "0 is the gradient as it is")


@dataclass(frozen=True)
class Motion(Options):
    """How `gencli dream` moves: an endless zoom into a photograph, or from frame to frame of a film."""

    panel: ClassVar[str] = "Motion"

    frames: Annotated[
        int | None, Flag("Make an endless zoom of so many pictures, each dreamt from the one before.", 2, 100_000)
    ] = None
    zoom: Annotated[float, Flag("How much nearer each is than the one before.", 0.5, 2)] = 1.05
    rotate: Annotated[float, Flag("By how many degrees it is turned, clockwise.", -180, 180)] = 0.0
    shift: Annotated[tuple[float, ...], Flag("By how many pixels it is moved: right,down.")] = (0.0, 0.0)
    frame_steps: Annotated[int, Flag("Steps at each size, from the second picture on.", 1)] = 3
    blend: Annotated[float, Flag("Of a film: how much of a picture's dream the next one begins with.", 0, 1)] = 0.7
    fps: Annotated[float | None, Flag("Pictures a second.", 0.1, 240, shown_default="12, or the film's")] = None
    resume: Annotated[bool, Flag("Go on with a film that was interrupted, from the pictures it has.")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shift) != 2:
            raise UsageError(f"--shift: {len(self.shift)} numbers", "give two, such as 2,-1: right and down")


@dataclass(frozen=True)
class Visualization(Seeing):
    """What `gencli dream visualize` draws out of noise, and how."""

    panel: ClassVar[str] = "Options"

    size: Annotated[int, Flag("Side of the picture in pixels.", 32, 4096)] = 224
    steps: Annotated[int, Flag("Steps.", 1)] = 200
    rate: Annotated[float, Flag("Adam's learning rate.", 0)] = 0.05
    jitter: Annotated[int, Flag("Most pixels that the picture is moved by for a step.", 0)] = 8
    wobble: Annotated[bool, Flag("Move, turn and stretch the picture a little for every step.")] = True
    parametrize: Annotated[
        str, Flag("What is climbed in: the frequencies of a picture, or its pixels.", choices=("fourier", "pixels"))
    ] = "fourier"


@dataclass(frozen=True)
class Exploration(Options):
    """How `gencli dream explore` tries settings of layers."""

    count: Annotated[int, Flag("How many settings.", 1, 400, short="-n")] = 12
    systematic: Annotated[bool, Flag("Every layer alone instead, the first one first.")] = False
    side: Annotated[int, Flag("Longest side of each picture in pixels.", 32, 2048)] = 224
    columns: Annotated[int | None, Flag("Pictures in a row.", 1, shown_default="as square as may be")] = None
    steps: Annotated[int, Flag("Steps at each size.", 1)] = 10
    energy: Annotated[
        str, Flag("How a layer's answer is measured: by its contrast, or as in the textbooks.", choices=ENERGIES)
    ] = "contrast"
    backbone: Annotated[str, Flag("The network to dream with.")] = "vgg-mini"
    pooling: Annotated[str, Flag("Pooling in the network.", choices=POOLINGS)] = "max"


@dataclass(frozen=True)
class BackboneTraining(Training):
    """How `gencli dream train` trains a classifier network to dream with."""

    task: Annotated[
        str | None,
        Flag(
            "What it learns: the labels; or without any, how far pictures were turned.",
            choices=TASKS,
            shown_default="labels where there are some",
        ),
    ] = None
    widths: Annotated[tuple[int, ...], Flag("Channels of each block of convolutions.", minimum=1)] = (
        32,
        64,
        128,
        192,
        256,
    )
    depths: Annotated[tuple[int, ...], Flag("Convolutions in each block.", minimum=1)] = (1, 2, 2, 2, 2)
    sizes: Annotated[
        tuple[int, ...], Flag("Side of the pictures in pixels: small at first, then larger.", minimum=8)
    ] = (32, 64)
    grow_at: Annotated[float, Flag("Share of the training after which the last of --sizes is reached.", 0, 1)] = 0.8
    batch_size: Annotated[int, Flag("Pictures a step.", minimum=2)] = 128
    rate: Annotated[float, Flag("Highest learning rate.", minimum=0)] = 0.2
    schedule: Annotated[str, Flag("Course of the learning rate.", choices=("onecycle", "cosine"))] = "onecycle"
    momentum: Annotated[float, Flag("Nesterov momentum.", 0, 1)] = 0.9
    weight_decay: Annotated[float, Flag("Weight decay of the convolutions and the classifier.", minimum=0)] = 5e-4
    label_smoothing: Annotated[float, Flag("Share of each target spread over all classes.", 0, 1)] = 0.1
    crop: Annotated[float, Flag("Smallest share of a picture that a training crop keeps.", 0.05, 1)] = 0.5
    held_out: Annotated[float, Flag("Share held out where the set has no test part.", 0.001, 0.9)] = 0.05
    teacher: Annotated[
        str | None, Flag("A backbone whose view of the pictures softens the labels.", shown_default="none")
    ] = None
    teacher_size: Annotated[int, Flag("Side of the pictures the teacher sees.", minimum=32)] = 128
    teacher_weight: Annotated[float, Flag("Share of the targets that is the teacher's.", 0, 1)] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) != len(self.depths):
            raise UsageError(
                f"--widths has {len(self.widths)} blocks and --depths {len(self.depths)}", "give as many of each"
            )
        if self.teacher and self.task == "rotation":
            raise UsageError("--teacher softens labels, and --task rotation learns none", "leave one of them out")
        smallest = 2 ** (len(self.widths) - 1)
        if min(self.sizes) < smallest:
            raise UsageError(
                f"--sizes {min(self.sizes)} vanishes in {len(self.widths)} blocks, which halve it after each",
                f"use at least {smallest}",
            )
