"""`gencli stylize …`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import art
from gencli.core.console import Bar, Console
from gencli.core.errors import UsageError
from gencli.core.options import Common, command, weighted
from gencli.stylize.options import StylizeOptions

if TYPE_CHECKING:
    from PIL import Image

    from gencli.core.images import Picture
    from gencli.core.outputs import Target
    from gencli.stylize.optimize import Step

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
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="A file, a folder, a pattern (`{name}`, `{i}`), or `-`.",
        show_default="CONTENT-STYLE.png",
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", help="png, jpg, webp, tiff, bmp or gif.", show_default="by extension")
]
SaveEvery = Annotated[
    int | None, typer.Option("--save-every", min=1, help="Also save the picture after every so many steps.")
]
MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", min=1, help="The largest picture read.", show_default="100 million")
]


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
    targets = outputs.plan([_stem(content) for content in contents], output, suffix=suffix, format=format)
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
        sitting = _Sitting(console, target, save_every, outputs.note(seed), {"content": content, **record})
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


@dataclass
class _Sitting:
    """One picture painted: what is shown meanwhile, and what is written, however it ends."""

    console: Console
    target: Target
    save_every: int | None
    note: Mapping[str, str]
    record: Mapping[str, object]
    latest: Step | None = None

    def paint(self, painter: Callable[..., Image.Image], title: str) -> None:
        began = time.monotonic()
        with self.console.bar(title, units="%") as bar:
            try:
                painted = painter(on_step=partial(self.follow, bar))
            except BaseException:
                if self.latest:  # nothing is lost: what there is so far is a picture too
                    self.write(self.latest.render(), {"unfinished": True})
                    self.console.warn("the work was cut short; the picture written is as far as it came")
                raise
        self.write(painted, {"seconds": round(time.monotonic() - began, 2)})

    def follow(self, bar: Bar, step: Step) -> None:
        """Show a step, and keep its picture where `--save-every` asks for it, beside the result."""
        self.latest = step
        bar.update(round(100 * step.fraction), 100, {"size": step.size, "loss": step.loss})
        bar.show(step.render)
        if self.save_every and step.number % self.save_every == 0:
            assert self.target.path is not None
            path = self.target.path.with_stem(f"{self.target.path.stem}-step-{step.number:04}")
            replace(self.target, path=path, base=None).write(step.render(), self.note)

    def write(self, painted: Image.Image, how: Mapping[str, object]) -> None:
        self.console.made(self.target.write(painted, self.note), {**self.record, **how})


def _stem(content: str) -> str:
    return "stdin" if content == "-" else Path(content.removeprefix("@")).stem
