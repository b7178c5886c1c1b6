"""The options of `gencli dream`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Training


@dataclass(frozen=True)
class BackboneTraining(Training):
    """How `gencli dream train` trains a classifier network to dream with."""

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
        smallest = 2 ** (len(self.widths) - 1)
        if min(self.sizes) < smallest:
            raise UsageError(
                f"--sizes {min(self.sizes)} vanishes in {len(self.widths)} blocks, which halve it after each",
                f"use at least {smallest}",
            )
