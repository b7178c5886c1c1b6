"""`gencli stylize …`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from gencli.core.errors import GencliError, UsageError
from gencli.core.options import Common, command, spelling, weighted
from gencli.core.sitting import Sitting
from gencli.stylize.options import Filming, StyleTraining, StylizeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL.Image import Image

    from gencli.core.images import Picture
    from gencli.core.recipe import Progress

app = art("gencli.stylize")

LARGEST_DRAWN = 1024  # pixels: examples for larger results are enlarged
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
    from gencli.stylize import optimize

    console = Console.start(common)
    if fast or model:
        wanted = _Looks(model, mask or [], strict, skip_existing, output, format, max_pixels or DEFAULT_MAX_PIXELS)
        _at_one_look(console, pictures, style, options, filming, common, wanted)
        return
    given = [spelling(name) for name in sorted({*filming.given, *({"sketch"} & options.given)})]
    given += [flag for flag, there in (("--strict", strict), ("--skip-existing", skip_existing)) if there]
    if given:
        raise UsageError(f"{given[0]} is for painting at one look", "add --fast or --model NAME")
    contents, styles, shares = _sort_out(pictures, style, options)
    if films := [content for content in contents if clips.is_video(content)]:
        raise UsageError(f"{films[0]}: films are painted at one look", "add --fast or --model NAME")
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


@dataclass(frozen=True)
class _Looks:
    """What pictures are painted with at one look, and where they go."""

    model: str | None
    masks: list[Path]
    strict: bool
    skip_existing: bool
    output: str | None
    format: str | None
    max_pixels: int


def _at_one_look(
    console: Console,
    pictures: list[str],
    style: list[str] | None,
    options: StylizeOptions,
    filming: Filming,
    common: Common,
    wanted: _Looks,
) -> None:
    """Paint with a trained network, which is loaded once."""
    from gencli.core import images
    from gencli.stylize import painting

    if unused := sorted(options.given - AT_ONE_LOOK):
        flag = spelling(unused[0])
        raise UsageError(f"{flag} is not for painting at one look", "leave it out, or leave out --fast and --model")
    wishes: Mapping[str, float]
    by_name = wanted.model is not None and painting.knows_names(wanted.model)
    if by_name:
        if options.style_weight:
            raise UsageError("--style-weight is for styles that are pictures", "write --style NAME=WEIGHT")
        contents, wishes = pictures, weighted("--style", style or [])
    else:
        contents, styles, shares = _sort_out(pictures, style, options)
        shares = shares or options.style_weight or (1.0,) * len(styles)
        if len(shares) != len(styles):
            raise UsageError(f"--style-weight has {len(shares)} numbers for {len(styles)} styles", "give one for each")
        wishes = dict(zip(styles, shares, strict=True))
    film = _is_film(contents, filming, wanted)
    if filming.given and not film:
        raise UsageError(f"{spelling(min(filming.given))} is for films", "name a film, or a folder of its frames")
    for flag, given in (("--strict", wanted.strict), ("--skip-existing", wanted.skip_existing)):
        if film and given:
            raise UsageError(f"{flag} is for pictures, and this is a film", "leave it out")
    runtime = common.start()
    if wanted.model:
        network = painting.load(wanted.model, runtime)
    else:
        any_style = bool(wanted.masks) or bool({"style_scale", "sketch"} & options.given)
        network, wishes = painting.knowing(wishes, runtime, any_style=any_style)
        by_name = isinstance(network, painting.Trained)

    def read(source: str | Path) -> Picture:
        size = min(options.size, LARGEST_DRAWN) if str(source).startswith("@") else None
        return images.load(source, size=size, max_pixels=wanted.max_pixels)

    options = _for_frames(options) if film and not by_name else options
    look = network.look(wishes, options, wanted.masks, read)
    suffix = "-".join(wishes if by_name else map(images.stem, wishes)) or network.config["styles"][0]
    record = {"model": network.name, "styles": wishes, "size": options.size, "strength": options.strength}
    if film:
        _paint_film(console, contents[0], look, suffix, options, filming, wanted, record)
    else:
        _paint_all(console, contents, look, read, suffix, wanted, record)


def _is_film(contents: list[str], filming: Filming, wanted: _Looks) -> bool:
    """Whether a film is painted, and not pictures. Raises UsageError for a film among other things."""
    from gencli.core import animations, clips

    # a folder may be either: it is a film where a film is wanted
    moving = filming.given or (wanted.output and animations.is_film_name(wanted.output))
    films = [one for one in contents if (moving if Path(one).is_dir() else clips.is_clip(Path(one)))]
    if films and len(contents) > 1:
        raise UsageError("a film is painted by itself", "paint one after another")
    return bool(films)


def _paint_film(
    console: Console,
    source: str,
    look: Callable[[Picture], Image],
    suffix: str,
    options: StylizeOptions,
    filming: Filming,
    wanted: _Looks,
    record: dict[str, Any],
) -> None:
    from gencli.core import animations, clips, images, outputs
    from gencli.core.kept import Frames
    from gencli.stylize.film import Painting

    clip = clips.open_clip(Path(source), wanted.max_pixels)
    place = animations.plan(images.stem(source), wanted.output, suffix=suffix, format=wanted.format)
    made_by = {"source": source, **record, **options.to_dict(), "temporal": filming.temporal}
    kept = Frames.begin(place.target.path, made_by, 0, lambda: 0, filming.resume)
    painting = Painting(clip, look, filming.temporal, kept)
    fps = filming.fps or clip.fps
    with console.bar(f"painting {images.stem(source)}", units="pictures") as bar:
        made = place.write(
            painting.frames(bar.update), outputs.note(), fps=fps, sound=clip.sound if fps == clip.fps else None
        )
    kept.clear()
    flicker = painting.flicker
    for one in made:
        console.made(one, {"source": source, "fps": fps, "flicker": flicker, **record})
    if flicker is not None:
        console.note(f"neighbouring pictures differ {flicker:.2f} times as much as the film's own")


def _paint_all(
    console: Console,
    contents: list[str],
    look: Callable[[Picture], Image],
    read: Callable[[str | Path], Picture],
    suffix: str,
    wanted: _Looks,
    record: dict[str, Any],
) -> None:
    """Pictures, and those in folders, one read and one written while one is painted."""
    from gencli.core import images, outputs
    from gencli.core.pipeline import pipeline
    from gencli.core.sources import pictures_in

    contents = pictures_in(contents)
    if contents.count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    names = [images.stem(content) for content in contents]
    targets = outputs.plan(names, wanted.output, suffix=suffix, format=wanted.format, fresh=not wanted.skip_existing)
    jobs = [
        job
        for job in zip(contents, targets, strict=True)
        if not (wanted.skip_existing and job[1].path and outputs.exists(job[1].path))
    ]
    note = outputs.note()
    failed = 0
    with console.bar("painting", units="pictures") as bar:
        painted = pipeline(jobs, lambda job: read(job[0]), look, lambda job, made: job[1].write(made, note))
        for done, (job, made) in enumerate(painted, 1):
            if isinstance(made, GencliError):
                if len(jobs) == 1:
                    raise made
                failed += 1
                console.warn(f"{job[0]}: {made.message}")
            else:
                console.made(made, {"content": job[0], **record})
            bar.update(done, len(jobs))
    if failed and (wanted.strict or failed == len(jobs)):
        raise GencliError(f"{failed} of {len(jobs)} pictures could not be painted", "see the warnings above")


def _for_frames(options: StylizeOptions) -> StylizeOptions:
    """Without large forms, where they are not asked for: settled for each frame anew they would flicker."""
    return options if "sketch" in options.given else StylizeOptions.build({**options.named(), "sketch": 0})


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
    if not any("=" in one for one in style):
        return pictures, style, ()
    if options.style_weight:
        raise UsageError("the styles' weights were given twice", "write --style NAME=WEIGHT or --style-weight")
    weights = weighted("--style", style)
    return pictures, list(weights), tuple(weights.values())
