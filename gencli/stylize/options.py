"""The options of `gencli stylize`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Options, Training

ANY_STYLE = "any style"  # the kind of network that is no painter of some
STYLE_LAYERS = {"conv1_1": 1.0, "conv2_1": 1.0, "conv3_1": 1.0, "conv4_1": 1.0, "conv5_1": 1.0}


@dataclass(frozen=True)
class Comparing(Options):
    """What a painted picture is compared in with its photograph and its style."""

    content_layer: Annotated[dict[str, float], Flag("Layer that holds the photograph's structure; repeatable.", 0)] = (
        field(default_factory=lambda: {"conv4_1": 1.0})
    )
    style_layer: Annotated[dict[str, float], Flag("Layer that holds the style; repeatable.", 0)] = field(
        default_factory=lambda: dict(STYLE_LAYERS)
    )
    style_loss: Annotated[
        str, Flag("What is compared: Gram matrices, or mean and covariance.", choices=("gram", "w2"))
    ] = "w2"
    tv: Annotated[float, Flag("Weight of total variation: higher is smoother.", 0)] = 0.0
    backbone: Annotated[str, Flag("The network to see with.")] = "vgg-mini"
    pooling: Annotated[str, Flag("Pooling in the network.", choices=("max", "average", "l2"))] = "average"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, layers in (("--content-layer", self.content_layer), ("--style-layer", self.style_layer)):
            if not layers or not all(weight >= 0 for weight in layers.values()):
                raise UsageError(f"{name}: give at least one layer, with a weight that is not negative")


@dataclass(frozen=True)
class StylizeOptions(Comparing):
    """How `gencli stylize` paints one picture in the style of others (Gatys et al. 2016)."""

    size: Annotated[int, Flag("Longest side of the result in pixels.", 16, 32768)] = 512
    strength: Annotated[float, Flag("0 is the photograph, 1 all style.", 0, 1)] = 0.5
    style_weight: Annotated[
        tuple[float, ...], Flag("How much of each style, in their order.", 0, shown_default="as much of each")
    ] = ()
    style_scale: Annotated[float, Flag("Size of the style's strokes.", 0.1, 10)] = 1.0
    keep_color: Annotated[
        str | None,
        Flag("Keep the photograph's colours.", choices=("luminance", "histogram", "covariance")),
    ] = None
    optimizer: Annotated[str, Flag("How the picture is improved.", choices=("lbfgs", "adam", "sgd"))] = "lbfgs"
    init: Annotated[str, Flag("What to start from.", choices=("content", "noise", "style"))] = "content"
    iterations: Annotated[int, Flag("Most steps at the full size; smaller sizes take more.", 1)] = 18
    sketch: Annotated[
        int,
        Flag("At one look in any style: steps by which the large forms are settled first, on a small picture.", 0),
    ] = 16
    start_size: Annotated[int, Flag("Longest side to begin with, doubled up to --size.", 16)] = 128
    tile: Annotated[
        int | None, Flag("Work in tiles of this side: less memory, same picture.", 64, shown_default="whole")
    ] = None
    losses: Annotated[
        str,
        Flag(
            "Relative to the photograph's distance from the style, or the textbook's sums.",
            choices=("relative", "book"),
        ),
    ] = "relative"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Gatys, Ecker & Bethge 2016
        "gatys": {
            "backbone": "vgg19",
            "content_layer": {"conv4_2": 1.0},
            "style_layer": STYLE_LAYERS,
            "style_loss": "gram",
            "pooling": "average",
            "init": "noise",
            "iterations": 500,
            "start_size": 32768,
        },
        # the textbook's: height 400, fixed weights on sums of squares, plain gradient descent
        "book": {
            "backbone": "vgg19",
            "content_layer": {"conv5_2": 1.0},
            "style_layer": STYLE_LAYERS,
            "style_loss": "gram",
            "pooling": "max",
            "optimizer": "sgd",
            "losses": "book",
            "tv": 1.0,
            "iterations": 4000,
            "start_size": 32768,
        },
    }

    @property
    def enough(self) -> int:
        """The longest side in pixels at which a picture or a style is looked at."""
        return round(self.size * max(1.0, self.style_scale))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.style_weight and not sum(self.style_weight) > 0:
            raise UsageError("--style-weight: at least one weight must be more than 0")
        if self.losses == "book" and self.style_loss != "gram":
            raise UsageError(f"--losses book compares Gram matrices, not {self.style_loss}", "add --style-loss gram")


@dataclass(frozen=True)
class StyleTraining(Comparing, Training):
    """How `gencli stylize train` trains a network that paints in styles at one look (Johnson et al. 2016)."""

    usual: ClassVar[Mapping[str, float]] = {"minutes": 40.0}
    mixed: ClassVar[bool] = True

    any_style: Annotated[bool, Flag("Learn to paint in any style: those named are examples.")] = False
    width: Annotated[int, Flag("Channels at full size; 2 times as many at half, then 4 and 5⅓ times.", 4, 128)] = 12
    blocks: Annotated[
        tuple[int, ...], Flag("Residual blocks at full size (none), half, quarter, and so on.", 0, 16)
    ] = (0, 0, 2, 2, 2)
    ends: Annotated[int, Flag("Side of the first and the last convolution in pixels.", 1, 15)] = 5
    noise: Annotated[int, Flag("Maps of noise that strokes can come from, wherever there are blocks.", 0, 64)] = 8
    own_encoder: Annotated[
        bool, Flag("The network learns to see by itself and draws the whole picture anew, as was published.")
    ] = False
    style_size: Annotated[int, Flag("Longest side of the styles in pixels: larger means larger strokes.", 16)] = 512
    size: Annotated[int, Flag("Side of the pictures trained on in pixels, cut out of larger ones.", 16, 1024)] = 256
    batch_size: Annotated[int, Flag("Pictures a step.", minimum=1)] = 4
    rate: Annotated[float, Flag("Highest learning rate.", minimum=0)] = 2e-3
    clip: Annotated[float, Flag("Largest norm of a gradient; 0: any.", minimum=0)] = 1.0
    average: Annotated[
        float, Flag("Share of the running mean of the weights kept each step; 0: no mean.", 0, 0.99999)
    ] = 0.99
    held_out: Annotated[float, Flag("Share of the photographs held out.", 0.001, 0.9)] = 0.02
    limit: Annotated[int | None, Flag("Most photographs to learn from.", minimum=2, shown_default="all")] = None

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # each step in a style of its own
        "any": {"any_style": True, "batch_size": 1, "rate": 3e-3, "size": 224},
        # the network of Johnson et al. 2016
        "johnson": {"width": 32, "blocks": (0, 0, 5), "ends": 9, "noise": 0, "own_encoder": True},
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.ends % 2:
            raise UsageError(f"--ends {self.ends}: it must be odd", "such as 9, or 5, which is faster")
        if not 2 <= len(self.blocks) <= 6 or self.blocks[0] or not self.blocks[-1]:
            raise UsageError(
                f"--blocks {','.join(map(str, self.blocks))}: expected 0 at full size and some at the smallest",
                "give a number for each of 2 to 6 sizes, such as 0,0,2,2,2",
            )
