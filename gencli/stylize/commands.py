"""`gencli stylize …`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import Format, MaxPixels, PictureOutput, SaveEvery, art
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.options import Common, command, weighted
from gencli.core.sitting import Sitting
from gencli.stylize.options import StylizeOptions

if TYPE_CHECKING:
    from gencli.core.images import Picture

app = art("gencli.stylize")

LARGEST_DRAWN = 1024  # pixels: examples for larger results are enlarged

Pictures = Annotated[
    list[str],
    typer.Argument(
        metavar="CONTENT STYLE…",
        help="A photograph and one or several styles. `-` is standard input, `@name` an example (see `gencli info`).",
    ),
]
Styles = Annotated[
    list[str] | None,
    typer.Option(
        "--style", metavar="PICTURE[=WEIGHT]", help="A style; repeatable. All arguments are then photographs."
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option("--mask", help="Where a style applies (white) and where not (black); one a style, in their order."),
]


@app.command()
@command
def sample(
    pictures: Pictures,
    options: StylizeOptions,
    common: Common,
    style: Styles = None,
    mask: Masks = None,
    output: PictureOutput = None,
    format: Format = None,
    save_every: SaveEvery = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Paint a photograph in the style of another picture.

    gencli stylize photo.jpg painting.jpg

    gencli stylize @harbour @swirls --strength 0.7 -o out.png

    gencli stylize photo.jpg @swirls @mosaic --style-weight 2,1

    gencli stylize a.jpg b.jpg --style painting.jpg -o painted/

    cat photo.jpg | gencli stylize - @ink -o - > painted.png
    """
    from gencli.core import images, outputs
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.stylize import optimize

    console = Console.start(common)
    contents, styles, shares = _sort_out(pictures, style, options)
    if shares:
        options = options.replace(style_weight=shares)
    if [*contents, *styles].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    most = max_pixels or DEFAULT_MAX_PIXELS

    def load(source: str | Path) -> Picture:
        drawn = str(source).startswith("@")  # as large as it is needed, while drawing takes seconds
        return images.load(source, size=min(options.size, LARGEST_DRAWN) if drawn else None, max_pixels=most)

    style_pictures = [load(s) for s in styles]
    masks = [load(m) for m in mask or []]
    # what is wrong with the last is found now, not in an hour; many pictures are read again, to spare memory
    alone = load(contents[0]) if len(contents) == 1 else None
    checked = [alone] if alone else (load(content) for content in contents if content != "-")
    extents = [picture.rgb.shape[-2:] for picture in checked]
    suffix = "-".join(picture.name for picture in style_pictures)
    targets = outputs.plan([images.stem(content) for content in contents], output, suffix=suffix, format=format)
    if save_every and any(target.path is None for target in targets):
        raise UsageError("--save-every cannot write to standard output", "name a file with -o")
    runtime = common.start()
    seed = console.seed(common)
    backbone = optimize.load_backbone(options, runtime)
    for height, width in extents:
        optimize.check_memory(images.fit(height, width, options.size), options, backbone, runtime)
    painter = partial(optimize.stylize, options=options, masks=masks, seed=seed, runtime=runtime, backbone=backbone)
    record = {"seed": seed, "styles": styles, "size": options.size, "strength": options.strength}
    record |= {"backbone": options.backbone}
    for content, target in zip(contents, targets, strict=True):
        picture = alone or load(content)
        sitting = Sitting(console, target, save_every, outputs.note(seed), {"content": content, **record})
        sitting.paint(partial(painter, picture, *style_pictures), f"{picture.name} in the style of {suffix}")


def _sort_out(
    pictures: list[str], style: list[str] | None, options: StylizeOptions
) -> tuple[list[str], list[str], tuple[float, ...]]:
    """Contents, styles, and the styles' weights if they were written with the styles."""
    if not style:
        if len(pictures) < 2:
            raise UsageError(
                "a photograph and a style are needed", "gencli stylize photo.jpg painting.jpg, or photo.jpg @swirls"
            )
        return pictures[:1], pictures[1:], ()
    if not any("=" in one for one in style):
        return pictures, style, ()
    if options.style_weight:
        raise UsageError("the styles' weights were given twice", "write --style NAME=WEIGHT or --style-weight")
    weights = weighted("--style", style)
    return pictures, list(weights), tuple(weights.values())
