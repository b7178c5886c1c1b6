"""`gencli gan translate`, and what other commands of the art do with translators."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import Format, MaxPixels, PictureOutput, SkipExisting, Strict
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.filming import Filming
from gencli.core.options import Common, command
from gencli.gan.translation.options import SKETCH, TranslateOptions

if TYPE_CHECKING:
    from pathlib import Path

    from gencli.core.remaking import Errand
    from gencli.gan.translation.trained import TrainedTranslator

COLUMNS = 8  # of a sheet

Pictures = Annotated[
    list[str],
    typer.Argument(metavar="PICTURE…", help="Pictures, folders of them, a film, or `-`; `@name` is an example."),
]
Translator = Annotated[str, typer.Option("--model", help="A trained translator: its name, a path, or `latest`.")]
Mask = Annotated[
    str | None,
    typer.Option("--mask", help="A picture that is white where to fill in; for those that learnt --task inpaint."),
]


@command
def translate(
    pictures: Pictures,
    options: TranslateOptions,
    filming: Filming,
    common: Common,
    model: Translator = SKETCH,
    mask: Mask = None,
    output: PictureOutput = None,
    format: Format = None,
    max_pixels: MaxPixels = None,
    strict: Strict = False,
    skip_existing: SkipExisting = False,
) -> None:
    """Make a picture one of another kind: of a line drawing a face, or what a model of yours has learnt.

    gencli gan translate drawing.png --size 256

    gencli gan translate portrait.jpg --from-target --size 256

    gencli gan translate plan.png --model facades

    gencli gan translate PHOTOS/ --model winter --reverse -o summer/ --skip-existing

    cat grey.jpg | gencli gan translate - --model colors -o - > colored.png
    """
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.core.remaking import Errand

    errand = Errand("translating", output, format, strict, skip_existing, max_pixels or DEFAULT_MAX_PIXELS)
    carry_out(pictures, options, filming, common, model, errand, mask)


def carry_out(
    pictures: list[str],
    options: TranslateOptions,
    filming: Filming,
    common: Common,
    model: str,
    errand: Errand,
    mask: str | None = None,
) -> None:
    """Translate pictures or a film."""
    from gencli.core import images
    from gencli.gan.translation import trained

    console = Console.start(common)
    if [*pictures, mask].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    film = errand.is_film(pictures, filming)
    read = partial(images.load, enough=options.size, max_pixels=errand.max_pixels)
    where = None if mask is None else read(mask)
    loaded = trained.load(model, common.start())
    seed = console.seed(common) if loaded.by_chance(options) else None
    look = loaded.look(options, where, seed or 0)
    how = {"model": loaded.name, **options.to_dict(), "mask": mask}
    if film:
        errand.film(console, pictures[0], look, filming, loaded.name, how, {}, seed, [mask] if mask else [])
    else:
        errand.pictures(console, pictures, look, read, loaded.name, how, seed)


def measure(
    console: Console,
    translator: TrainedTranslator,
    common: Common,
    data: list[str] | None,
    data_root: Path | None,
    samples: int,
    backbone: str | None,
    sheet: str | None,
) -> None:
    """Say how good a translator is, and make a sheet."""
    from gencli.core import outputs
    from gencli.gan.translation import evaluation

    seed = console.seed(common)
    (place,) = outputs.plan([translator.name], sheet, suffix="sheet") if sheet else (None,)
    with console.bar("reading pictures", units="pictures") as bar:
        kinds = evaluation.compared(translator, data, data_root, bar.update)
    found = evaluation.evaluate(translator, kinds, samples, seed, backbone, console.stages("pictures"))
    console.figures(translator.name, found, seed=seed, samples=min(samples, len(kinds.held_after)))
    if place:
        console.made(place.write(evaluation.sheet(translator, kinds, COLUMNS, seed), outputs.note(seed)), {})
