"""`gencli gan …`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import (
    Count,
    Data,
    DataRoot,
    Format,
    Fps,
    Frames,
    Grid,
    Loop,
    MaxPixels,
    Model,
    Name,
    Output,
    PictureOutput,
    Points,
    Resume,
    Side,
    SkipExisting,
    Strict,
    Way,
    art,
)
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.filming import Filming
from gencli.core.options import Common, command, spelling
from gencli.gan.options import BACKBONE, FACES, TRANSLATORS, GanTraining
from gencli.gan.translation.options import TranslateOptions, Translating, TranslatorTraining

if TYPE_CHECKING:
    from torch import Tensor

    from gencli.core.recipe import Progress
    from gencli.core.remaking import Errand

app = art("gencli.gan")

SHOWN = 12  # neighbours

Classes = Annotated[
    list[str] | None,
    typer.Option("--class", help="Of this class; repeatable, and A,B names several.", show_default="all in turn"),
]
Truncation = Annotated[
    float | None,
    typer.Option(
        "--truncation", min=0.01, max=10, help="Latents within ± this only: low is usual.", show_default="all there are"
    ),
]
Tested = Annotated[
    list[str] | None,
    typer.Option("--data", help="Pictures to compare with, as in `train`.", show_default="those it was trained on"),
]
Samples = Annotated[int, typer.Option("--samples", min=2, help="Pictures drawn, and pictures of the set, at most.")]
Backbone = Annotated[
    str | None,
    typer.Option(
        "--backbone",
        help="The network in whose features pictures are compared.",
        show_default=f"{BACKBONE}, and Inception where it is there",
    ),
]
Neighbours = Annotated[
    str | None,
    typer.Option("--neighbours", help="Also a sheet of the samples nearest to a picture of the set, and these."),
]


Pictures = Annotated[
    list[str],
    typer.Argument(metavar="PICTURE…", help="Pictures, folders of them, a film, or `-`; `@name` is an example."),
]
Given = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE…", help="Of a translator: pictures to make others of (see `translate`)."),
]
Translator = Annotated[str, typer.Option("--model", help="A trained translator: its name, a path, or `latest`.")]
Mask = Annotated[
    str | None,
    typer.Option("--mask", help="A picture that is white where to fill in; for those that learnt --task inpaint."),
]


@app.command()
@command
def sample(
    common: Common,
    pictures: Given = None,
    model: Model = FACES,
    count: Count = 64,
    classes: Classes = None,
    truncation: Truncation = None,
    grid: Grid = True,
    output: Output = None,
) -> None:
    """Draw pictures that nobody has seen.

    gencli gan -o faces.png

    gencli gan sample --model digits --class 3,8 --count 20

    gencli gan sample --count 100 --truncation 1 --files -o faces/

    gencli gan sample plan.png --model facades
    """
    from gencli.core import images, outputs
    from gencli.core.remaking import Errand
    from gencli.gan import trained

    if pictures:
        _translate(pictures, TranslateOptions(), Filming(), common, model, Errand("translating", output))
        return
    console = Console.start(common)
    runtime = common.start()
    loaded = trained.load(model, runtime)
    names = _names(classes)
    loaded.labels(1, names)  # whether it has them
    targets = outputs.plan([loaded.name] * (1 if grid else count), output, suffix="")
    seed = console.seed(common)
    began = time.monotonic()
    drawn = loaded.drawn(count, seed, truncation, names)
    sheets = [images.grid(drawn)] if grid else list(drawn)
    how = {"model": loaded.name, "count": count, "truncation": truncation, "classes": names, "seed": seed}
    for sheet, target in zip(sheets, targets, strict=True):
        written = target.write(images.to_pillow(sheet), outputs.note(seed))
        console.made(written, {**how, "seconds": round(time.monotonic() - began, 3)})


def _names(classes: list[str] | None) -> list[str]:
    return [name.strip() for one in classes or [] for name in one.split(",")]


@app.command()
@command
def translate(
    pictures: Pictures,
    options: TranslateOptions,
    filming: Filming,
    common: Common,
    model: Translator = "latest",
    mask: Mask = None,
    output: PictureOutput = None,
    format: Format = None,
    max_pixels: MaxPixels = None,
    strict: Strict = False,
    skip_existing: SkipExisting = False,
) -> None:
    """Make a picture one of another kind.

    gencli gan translate plan.png --model facades

    gencli gan translate PHOTOS/ --model winter --reverse -o summer/ --skip-existing

    cat grey.jpg | gencli gan translate - --model colors -o - > colored.png
    """
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.core.remaking import Errand

    errand = Errand("translating", output, format, strict, skip_existing, max_pixels or DEFAULT_MAX_PIXELS)
    _translate(pictures, options, filming, common, model, errand, mask)


def _translate(
    pictures: list[str],
    options: TranslateOptions,
    filming: Filming,
    common: Common,
    model: str,
    errand: Errand,
    mask: str | None = None,
) -> None:
    from gencli.core import images
    from gencli.gan.translation import trained

    console = Console.start(common)
    if [*pictures, mask].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")
    film = errand.is_film(pictures, filming)
    read = partial(images.load, max_pixels=errand.max_pixels)
    where = None if mask is None else read(mask)
    loaded = trained.load(model, common.start())
    look = loaded.look(options, where)
    how = {"model": loaded.name, **options.to_dict(), "mask": mask}
    if film:
        errand.film(console, pictures[0], look, filming, loaded.name, how, {})
    else:
        errand.pictures(console, pictures, look, read, loaded.name, how)


@app.command()
@command
def walk(
    common: Common,
    model: Model = FACES,
    points: Points = 6,
    classes: Classes = None,
    path: Way = "sphere",
    loop: Loop = True,
    frames: Frames = 144,
    fps: Fps = 24,
    size: Side = 256,
    truncation: Truncation = None,
    output: Output = None,
) -> None:
    """Walk through what a generator can draw, as a film: from point to point, and from class to class.

    A file's ending says what is made: .gif, .webp, .png, .mp4; f-{i:03}.png makes pictures.

        gencli gan walk --points 8 --seed 4 -o faces.webp

        gencli gan walk --model digits --points 10 -o count.gif

        gencli gan walk --points 2 --path circle --frames 240 -o circle.mp4
    """
    import torch

    from gencli.core import animations, device, outputs, paths
    from gencli.gan import trained

    console = Console.start(common)
    runtime = common.start()
    paths.check(path)
    loaded = trained.load(model, runtime)
    labels = loaded.labels(points, _names(classes))
    film = animations.plan(loaded.name, output, suffix="walk")
    seed = console.seed(common)
    began = time.monotonic()
    draw = device.generator(seed, 1)
    way = paths.path(path, loaded.latents(points, seed, truncation), frames, closed=loop, draw=draw)
    length = way.shape[1]
    if labels is not None:  # classes change along straight lines
        way = torch.cat([way, paths.path("line", loaded.shares(labels), frames, closed=loop, draw=draw)], 1)

    def drawn(some: Tensor) -> Tensor:
        return loaded.draw(some[:, :length], None if labels is None else some[:, length:])

    with console.bar("drawing", units="pictures") as bar:
        written = film.write(animations.frames(drawn, way, size, bar.update), outputs.note(seed), fps=fps, loop=loop)
    how = {"model": loaded.name, "path": path, "frames": frames, "fps": fps, "seed": seed}
    for place in written:
        console.made(place, {**how, "seconds": round(time.monotonic() - began, 3)})


@app.command()
@command
def evaluate(
    common: Common,
    model: Model = FACES,
    data: Tested = None,
    data_root: DataRoot = None,
    samples: Samples = 2000,
    backbone: Backbone = None,
    neighbours: Neighbours = None,
) -> None:
    """Measure a generator: its pictures beside those it learnt from, in what a network sees.

    Figures compare only with those of the same backbone and as many samples. `memorised` is the share of samples that
    lie much nearer to a picture of the set than the set's own pictures lie to each other. A translator is measured by
    what it makes of pictures that were held out.

        gencli gan evaluate --model mine

        gencli gan evaluate --model mine --backbone inception_v3 --samples 10000 --neighbours heart.png
    """
    from gencli.core import outputs
    from gencli.gan import evaluation, trained
    from gencli.gan.translation import evaluation as of_translators
    from gencli.gan.translation import trained as translators

    console = Console.start(common)
    runtime = common.start()
    if translators.is_one(model):
        if neighbours:
            raise UsageError(f"--neighbours is for generators, and {model} translates", "leave it out")
        translator = translators.load(model, runtime)
        seed = console.seed(common)
        with console.bar("reading pictures", units="pictures") as bar:
            kinds = of_translators.compared(translator, data, data_root, bar.update)
        found = of_translators.evaluate(translator, kinds, samples, seed, backbone, console.stages("pictures"))
        console.figures(translator.name, found, seed=seed, samples=min(samples, len(kinds.held_after)))
        return
    loaded = trained.load(model, runtime)
    seed = console.seed(common)
    (sheet,) = outputs.plan([loaded.name], neighbours, suffix="neighbours") if neighbours else (None,)
    with console.bar("reading pictures", units="pictures") as bar:
        pictures = evaluation.compared(loaded, data, data_root, samples, bar.update)
    judged = evaluation.evaluate(loaded, pictures, samples, seed, backbone, console.stages("pictures"))
    shares = {f"class {name}": share for name, share in judged.classes.items()}
    console.figures(loaded.name, {**judged.figures, **shares}, seed=seed, samples=samples)
    if sheet:
        console.made(sheet.write(evaluation.neighbours(judged, pictures, SHOWN), outputs.note(seed)), {})


@app.command()
@command
def train(
    options: GanTraining,
    translating: Translating,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    resume: Resume = False,
) -> None:
    """Train a generator against a discriminator, or a translator from one kind of picture to another.

    gencli gan train --data @faces --name my-faces --minutes 30

    gencli gan train --data mnist --conditional --name mnist

    gencli gan train --data celeba --conditional Smiling,Male --name people

    gencli gan train --data PHOTOS --name mine --size 64 --flip

    gencli gan train --arch pix2pix --data facades --name facades

    gencli gan train --arch pix2pix --data PHOTOS --task colorize --name colors

    gencli gan train --arch cyclegan --data SUMMER --data WINTER --name winter
    """
    from gencli.gan import learning
    from gencli.gan.translation import learning as translators

    console = Console.start(common)
    if options.arch in TRANSLATORS or (resume and translators.begun(name)):
        console.train(
            "gan",
            translators.train,
            name,
            TranslatorTraining.of(options, translating),
            common,
            ("g_loss", "d_loss", "ahead"),
            partial(_resembling, console),
            resume=resume,
            data=data,
            data_root=data_root,
        )
        return
    if translating.given:
        flag = spelling(min(translating.given))
        raise UsageError(f"{flag} is for translators", "add --arch pix2pix or --arch cyclegan")
    console.train(
        "gan",
        learning.train,
        name,
        options,
        common,
        ("d_loss", "g_loss", "ahead"),
        partial(_measured, console),
        resume=resume,
        data=data,
        data_root=data_root,
    )


def _measured(console: Console, progress: Progress) -> None:
    distance = (progress.line or {})["evaluation"]["frechet"]
    console.note(f"epoch {progress.epoch}: samples at a Fréchet distance of {distance:.3f}")


def _resembling(console: Console, progress: Progress) -> None:
    figures = (progress.line or {})["evaluation"]
    told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    console.note(f"epoch {progress.epoch}: held-out pictures: {told}")
