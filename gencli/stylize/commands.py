"""`gencli stylize …`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import (
    DataRoot,
    Format,
    From,
    MaxPixels,
    Name,
    PictureOutput,
    Resume,
    SaveEvery,
    SkipExisting,
    Strict,
    art,
)
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.filming import Filming
from gencli.core.options import Common, command, spelling, weighted
from gencli.core.sitting import Sitting
from gencli.stylize.options import StyleTraining, StylizeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gencli.core.recipe import Progress
    from gencli.core.remaking import Errand

app = art("gencli.stylize")

AT_ONE_LOOK = {"size", "strength", "style_weight", "style_scale", "keep_color", "tile", "sketch"}  # what it knows, too

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

Fast = Annotated[
    bool, typer.Option("--fast", help="At one look: with a painter that knows the style, or else a network for any.")
]
Painter = Annotated[
    str | None,
    typer.Option(
        "--model", help="At one look, with this network (see `train`). For a painter, all arguments are photographs."
    ),
]
StylePictures = Annotated[
    list[str] | None,
    typer.Argument(metavar="STYLE…", help="Pictures whose styles to learn. `@name` is an example (see `gencli info`)."),
]
Photographs = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Photographs to learn on: a known set (`gencli data list`), a folder or an archive; repeatable.",
        show_default="the drawn ones",
    ),
]


@app.command()
@command
def sample(
    pictures: Pictures,
    options: StylizeOptions,
    filming: Filming,
    common: Common,
    style: Styles = None,
    mask: Masks = None,
    output: PictureOutput = None,
    format: Format = None,
    save_every: SaveEvery = None,
    max_pixels: MaxPixels = None,
    fast: Fast = False,
    model: Painter = None,
    strict: Strict = False,
    skip_existing: SkipExisting = False,
) -> None:
    """Paint a photograph in the style of another picture.

    gencli stylize photo.jpg painting.jpg

    gencli stylize @harbour @swirls --strength 0.7 -o out.png

    gencli stylize photo.jpg @swirls @mosaic --style-weight 2,1

    gencli stylize a.jpg b.jpg --style painting.jpg -o painted/

    cat photo.jpg | gencli stylize - @ink -o - > painted.png

    With a network that has learnt to paint, at one look:

    gencli stylize photo.jpg painting.jpg --fast

    gencli stylize PHOTOS/ --model mine --style swirls=2 --style mosaic -o painted/ --skip-existing

    gencli stylize film.mp4 --model mine -o painted.mp4
    """
    from gencli.core import clips, images, outputs
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.core.remaking import Errand
    from gencli.stylize import optimize

    console = Console.start(common)
    if fast or model:
        if save_every:
            raise UsageError("--save-every is not for painting at one look", "leave it out, or --fast and --model")
        errand = Errand("painting", output, format, strict, skip_existing, max_pixels or DEFAULT_MAX_PIXELS)
        _at_one_look(console, pictures, style, options, filming, common, errand, model, mask or [])
        return
    given = [spelling(name) for name in sorted({*filming.given, *({"sketch"} & options.given)})]
    given += [flag for flag, there in (("--strict", strict), ("--skip-existing", skip_existing)) if there]
    if given:
        raise UsageError(f"{given[0]} is for painting at one look", "add --fast or --model NAME")
    contents, styles, shares = _sort_out(pictures, style, options)
    if films := [content for content in contents if clips.is_video(content)]:
        raise UsageError(f"{films[0]}: films are painted at one look", "add --fast or --model NAME")
    for moving in (content for content in contents if Path(content).is_file() and clips.is_clip(Path(content))):
        console.warn(f"{moving} moves: its first picture is painted; with --fast or --model all of them are")
    if shares:
        options = options.replace(style_weight=shares)
    if [*contents, *styles].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    most = max_pixels or DEFAULT_MAX_PIXELS

    load = partial(images.load, enough=options.enough, max_pixels=most)
    style_pictures = [load(s) for s in styles]
    masks = [load(m) for m in mask or []]
    # what is wrong with the last is found now, not in an hour; many pictures are read again, to spare memory
    alone = load(contents[0]) if len(contents) == 1 else None
    checked = [alone] if alone else (load(content) for content in contents if content != "-")
    extents = [picture.extent for picture in checked]
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


def _at_one_look(
    console: Console,
    pictures: list[str],
    style: list[str] | None,
    options: StylizeOptions,
    filming: Filming,
    common: Common,
    errand: Errand,
    model: str | None,
    masks: list[Path],
) -> None:
    """Paint with a trained network, which is loaded once."""
    from gencli.core import images
    from gencli.stylize import painting

    if unused := sorted(options.given - AT_ONE_LOOK):
        flag = spelling(unused[0])
        raise UsageError(f"{flag} is not for painting at one look", "leave it out, or leave out --fast and --model")
    wishes: Mapping[str, float]
    by_name = model is not None and painting.knows_names(model)
    if by_name:
        if options.style_weight:
            raise UsageError("--style-weight is for styles that are pictures", "write --style NAME=WEIGHT")
        contents, wishes = pictures, weighted("--style", style or [])
    else:
        contents, styles, shares = _sort_out(pictures, style, options)
        shares = shares or options.style_weight or (1.0,) * len(styles)
        if len(shares) != len(styles):
            raise UsageError(f"--style-weight has {len(shares)} numbers for {len(styles)} styles", "give one for each")
        wishes = {name: sum(share for one, share in zip(styles, shares, strict=True) if one == name) for name in styles}
        if masks and len(wishes) < len(styles):
            raise UsageError(
                "a style is named twice, and --mask says where each is", "name each once, or leave out --fast"
            )
    if [*contents, *wishes, *map(str, masks)].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    film = errand.is_film(contents, filming)
    # of one picture memory counts for more, of many the time: an eighth of it
    runtime = common.start(sparing=len(contents) == 1 and not Path(contents[0]).is_dir() and not film)
    if model:
        network = painting.load(model, runtime)
    else:
        any_style = bool(masks) or bool({"style_scale", "sketch"} & options.given)
        network, wishes = painting.knowing(wishes, runtime, any_style=any_style)
        by_name = isinstance(network, painting.Trained)
    read = partial(images.load, enough=options.enough, max_pixels=errand.max_pixels)
    options = _for_frames(options) if film and not by_name else options
    look = network.look(wishes, options, masks, read)
    suffix = "-".join(wishes if by_name else map(images.stem, wishes)) or network.config["styles"][0]
    record = {"model": network.name, "styles": wishes, "size": options.size, "strength": options.strength}
    if film:
        depends_on = [*masks, *(wishes if not by_name else ())]
        errand.film(console, contents[0], look, filming, suffix, record, options.to_dict(), depends_on=depends_on)
    else:
        errand.pictures(console, contents, look, read, suffix, record)


def _for_frames(options: StylizeOptions) -> StylizeOptions:
    """Without large forms, where they are not asked for: settled for each frame anew they would flicker."""
    return options if "sketch" in options.given else options.replace(sketch=0)


@app.command()
@command
def train(
    options: StyleTraining,
    common: Common,
    name: Name,
    styles: StylePictures = None,
    data: Photographs = None,
    data_root: DataRoot = None,
    base: From = None,
    resume: Resume = False,
) -> None:
    """Train a painter: a network that paints in a style at one look, or in several and between them.

    gencli stylize train painting.jpg --name mine --data PHOTOS

    gencli stylize train @swirls @mosaic @ink --name three --minutes 60

    gencli stylize photo.jpg --model mine

    gencli stylize train painting.jpg --name yours --from mine --data PHOTOS --minutes 10

    Or a network that paints in any style:

    gencli stylize train PAINTINGS/ --preset any --name mine-any --data PHOTOS --minutes 600
    """
    from gencli.stylize import learning

    console = Console.start(common)
    console.train(
        "stylize",
        partial(learning.train, styles or []),
        name,
        options,
        common,
        ("loss", "style", "content"),
        partial(_measured, console),
        resume=resume,
        base=base,
        data=data or [],
        data_root=data_root,
    )


def _measured(console: Console, progress: Progress) -> None:
    found = (progress.line or {})["evaluation"]
    console.note(
        f"epoch {progress.epoch}: distance from the style {found['style']:.3f} of the photographs' own, "
        f"from the photographs {found['content']:.3f}"
    )


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
    if not any("=" in one and not Path(one).exists() for one in style):
        return pictures, style, ()
    if options.style_weight:
        raise UsageError("the styles' weights were given twice", "write --style NAME=WEIGHT or --style-weight")
    weights = weighted("--style", style)
    return pictures, list(weights), tuple(weights.values())
