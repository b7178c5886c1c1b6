"""`gencli stylize …`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import art
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.options import Common, command
from gencli.stylize.options import StylizeOptions

if TYPE_CHECKING:
    from PIL import Image

    from gencli.core.outputs import Target
    from gencli.stylize.optimize import Step

app = art("Paint a photograph in the style of another picture.")

Pictures = Annotated[
    list[str],
    typer.Argument(
        metavar="CONTENT… STYLE",
        help="Photographs, and last the style. `-` is standard input, `@name` an example (`gencli info` lists them).",
    ),
]
Styles = Annotated[
    list[str] | None,
    typer.Option("--style", metavar="PICTURE[=WEIGHT]", help="A style; repeatable. All arguments are then photographs."),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option("--mask", help="Where a style applies (white) and where not (black); one a style, in their order."),
]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="A file, a folder, a pattern (`{name}`, `{i}`), or `-`.", show_default="CONTENT-STYLE.png"),
]
Format = Annotated[str | None, typer.Option("--format", help="png, jpg, webp, tiff, bmp or gif.", show_default="by extension")]
SaveEvery = Annotated[int | None, typer.Option("--save-every", min=1, help="Also save the picture after every so many steps.")]
MaxPixels = Annotated[int | None, typer.Option("--max-pixels", min=1, help="The largest picture read.", show_default="100 million")]


@app.command()
@command
def sample(
    pictures: Pictures,
    options: StylizeOptions,
    common: Common,
    style: Styles = None,
    mask: Masks = None,
    output: Output = None,
    format: Format = None,
    save_every: SaveEvery = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Paint a photograph in the style of another picture.

        gencli stylize photo.jpg painting.jpg

        gencli stylize @harbour @swirls --strength 0.7 -o out.png

        gencli stylize a.jpg b.jpg painting.jpg -o painted/

        gencli stylize photo.jpg --style @swirls=2 --style @mosaic=1

        cat photo.jpg | gencli stylize - @ink -o - > painted.png
    """
    from gencli.core import device, images, outputs
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.stylize import optimize

    console = Console.start(common)
    contents, styles, shares = _sort_out(pictures, style, options)
    if shares:
        options = options.replace(style_weight=shares)
    if [*contents, *styles].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    most = max_pixels or DEFAULT_MAX_PIXELS
    style_pictures = [images.load(s, max_pixels=most) for s in styles]
    masks = [images.load(m, max_pixels=most) for m in mask or []]
    suffix = "-".join(picture.name for picture in style_pictures)
    targets = outputs.plan([_stem(content) for content in contents], output, suffix=suffix, format=format)
    steps_targets = _steps_targets(targets, save_every)

    runtime = device.start(common.device, common.precision, common.threads)
    seed = secrets.randbits(32) if common.seed is None else common.seed
    if common.seed is None:
        console.note(f"seed {seed}")
    backbone = optimize.load_backbone(options, runtime)
    note = outputs.note(seed)

    for content, target, between in zip(contents, targets, steps_targets, strict=True):
        began = time.monotonic()
        picture = images.load(content, max_pixels=most)
        latest: list[Step] = []
        with console.bar(f"{picture.name} in the style of {suffix}", units="%") as bar:

            def on_step(step: Step) -> None:
                latest[:] = [step]
                bar.update(round(100 * step.fraction), 100, {"size": step.size, "loss": step.loss})
                bar.show(step.render)
                if between and save_every and step.number % save_every == 0:
                    _numbered(between, step.number).write(step.render(), note)

            try:
                painted = optimize.stylize(
                    picture, *style_pictures, options=options, masks=masks, seed=seed, runtime=runtime, backbone=backbone, on_step=on_step
                )
            except BaseException:
                if latest:  # nothing is lost: what there is so far is a picture too
                    _write(console, latest[0].render(), target, note, None)
                    console.warn("the work was cut short; the picture written is as far as it came")
                raise
        record = {"content": content, "styles": styles, "size": options.size, "strength": options.strength, "backbone": options.backbone}
        _write(console, painted, target, note, {"seed": seed, "seconds": round(time.monotonic() - began, 2), **record})


def _sort_out(
    pictures: list[str], style: list[str] | None, options: StylizeOptions
) -> tuple[list[str], list[str], tuple[float, ...]]:
    """Contents, styles, and the styles' weights if they were written with the styles."""
    from gencli.core.options import weighted

    if style:
        if any("=" in s for s in style) and options.style_weight:
            raise UsageError("the styles' weights were given twice", "write --style NAME=WEIGHT or --style-weight")
        weights = {s: 1.0 for s in style} if not any("=" in s for s in style) else weighted("--style", style)
        given = tuple(weights.values()) if any("=" in s for s in style) else ()
        return pictures, list(weights), given
    if len(pictures) < 2:
        raise UsageError("a photograph and a style are needed", "gencli stylize photo.jpg painting.jpg, or photo.jpg @swirls")
    styles = max(1, len(options.style_weight))
    if styles >= len(pictures):
        raise UsageError(
            f"--style-weight has {styles} numbers, but only {len(pictures)} pictures were named",
            "name the photograph first, then the styles",
        )
    return pictures[:-styles], pictures[-styles:], ()


def _stem(content: str) -> str:
    return "stdin" if content == "-" else Path(content.removeprefix("@")).stem


def _steps_targets(targets: list[Target], save_every: int | None) -> list[Target | None]:
    """Where the pictures between go: beside the result."""
    if save_every and any(target.path is None for target in targets):
        raise UsageError("--save-every cannot write to standard output", "name a file with -o")
    return [target if save_every else None for target in targets]


def _numbered(target: Target, step: int) -> Target:
    from dataclasses import replace

    assert target.path is not None
    return replace(target, path=target.path.with_stem(f"{target.path.stem}-step-{step:04}"), base=None)


def _write(
    console: Console, painted: Image.Image, target: Target, note: Mapping[str, str], record: Mapping[str, object] | None
) -> None:
    written = target.write(painted, note)
    if console.as_json and written is not None and record is not None:
        console.record({"output": written, **record})
    elif written is not None:
        console.result(written)
