"""`gencli dream …`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import DataRoot, Name, Resume, art
from gencli.core.console import Console
from gencli.core.options import Common, command
from gencli.dream.options import BackboneTraining

if TYPE_CHECKING:
    from gencli.core.recipe import Progress

app = art("gencli.dream")

Data = Annotated[
    str, typer.Option("--data", help="Labelled pictures: a known set (`gencli data list`), a folder, a zip or a tar.")
]


@app.command()
@command
def train(
    options: BackboneTraining,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    resume: Resume = False,
) -> None:
    """Train a classifier network, a backbone, on labelled pictures.

    Labels are the names of the first level of folders. The network can then be looked through by its name:

        gencli dream train --data PHOTOS --name mine --epochs 30

        gencli stylize photo.jpg painting.jpg --backbone mine
    """
    from gencli.dream import learning

    console = Console.start(common)
    console.train(
        "dream",
        learning.train,
        name,
        options,
        common,
        ("loss", "accuracy"),
        partial(_measured, console),
        resume=resume,
        data=data,
        data_root=data_root,
    )


def _measured(console: Console, progress: Progress) -> None:
    found = (progress.line or {})["evaluation"]
    top1, top5 = found["top1"], found["top5"]
    console.note(f"epoch {progress.epoch}: top-1 {top1:.1%}, top-5 {top5:.1%} of the held-out pictures")
