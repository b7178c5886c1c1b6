"""`gencli gan …`."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import (
    Data,
    DataRoot,
    Fps,
    Frames,
    Loop,
    Model,
    Name,
    Output,
    Points,
    Resume,
    Side,
    Way,
    art,
)
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.filming import Filming
from gencli.core.options import Common, command, spelling
from gencli.gan.options import BACKBONE, FACES, TRANSLATORS, GanTraining
from gencli.gan.translation.commands import carry_out, measure, translate
from gencli.gan.translation.options import SKETCH, TranslateOptions, Translating, TranslatorTraining

if TYPE_CHECKING:
    from torch import Tensor

    from gencli.core.recipe import Progress

app = art("gencli.gan")

SHOWN = 12  # neighbours
USUAL_COUNT = 64  # samples

Classes = Annotated[
    list[str] | None,
    typer.Option("--class", help="Of this class; repeatable, and A,B names several.", show_default="all in turn"),
]
HowMany = Annotated[
    int | None, typer.Option("--count", "-n", min=1, help="How many pictures.", show_default=str(USUAL_COUNT))
]
Together = Annotated[
    bool | None,
    typer.Option("--grid/--files", help="All in one picture, or each in a file of its own.", show_default="grid"),
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
Sheet = Annotated[
    str | None, typer.Option("--sheet", help="Of a translator: also a sheet of inputs, what it makes, and targets.")
]
Drawing = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A trained model: its name, a path, or `latest`.",
        show_default=f"{FACES}; where pictures are given, {SKETCH}",
    ),
]
Given = Annotated[
    list[str] | None,
    typer.Argument(metavar="PICTURE…", help="Of a translator: pictures to make others of (see `translate`)."),
]


@app.command()
@command
def sample(
    common: Common,
    pictures: Given = None,
    model: Drawing = None,
    count: HowMany = None,
    classes: Classes = None,
    truncation: Truncation = None,
    grid: Together = None,
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
        meant = {
            "--class": classes or None,
            "--truncation": truncation,
            "--count": count,
            "--files" if grid is False else "--grid": grid,
        }
        for flag, given in meant.items():
            if given is not None:
                raise UsageError(f"{flag} is for generators, and pictures are for translators", "leave one of them out")
        errand = Errand("translating", output)
        carry_out(pictures, TranslateOptions(), Filming(), common, model or SKETCH, errand)
        return
    count, grid = count or USUAL_COUNT, grid is not False
    console = Console.start(common)
    runtime = common.start()
    loaded = trained.load(model or FACES, runtime)
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


app.command()(translate)


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
    sheet: Sheet = None,
) -> None:
    """Measure a generator: its pictures beside those it learnt from, in what a network sees.

    Figures compare only with those of the same backbone and as many samples. `memorised` is the share of samples that
    lie much nearer to a picture of the set than the set's own pictures lie to each other. A translator is measured by
    what it makes of pictures that were held out.

        gencli gan evaluate --model mine

        gencli gan evaluate --model mine --backbone inception_v3 --samples 10000 --neighbours heart.png

        gencli gan evaluate --model facades --sheet facades.png
    """
    from gencli.core import outputs
    from gencli.gan import evaluation, trained
    from gencli.gan.translation import trained as translators

    console = Console.start(common)
    runtime = common.start()
    if translators.is_one(model):
        if neighbours:
            raise UsageError(f"--neighbours is for generators, and {model} translates", "use --sheet")
        measure(console, translators.load(model, runtime), common, data, data_root, samples, backbone, sheet)
        return
    loaded = trained.load(model, runtime)
    if sheet:
        raise UsageError(f"--sheet is for translators, and {model} is none", "use --neighbours, or `gencli gan sample`")
    seed = console.seed(common)
    (place,) = outputs.plan([loaded.name], neighbours, suffix="neighbours") if neighbours else (None,)
    with console.bar("reading pictures", units="pictures") as bar:
        pictures = evaluation.compared(loaded, data, data_root, samples, bar.update)
    judged = evaluation.evaluate(loaded, pictures, samples, seed, backbone, console.stages("pictures"))
    shares = {f"class {name}": share for name, share in judged.classes.items()}
    console.figures(loaded.name, {**judged.figures, **shares}, seed=seed, samples=samples)
    if place:
        console.made(place.write(evaluation.neighbours(judged, pictures, SHOWN), outputs.note(seed)), {})


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

    gencli gan train --arch cyclegan --data @faces --split glasses --name glasses
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
