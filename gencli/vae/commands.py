"""`gencli vae …`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import (
    Class,
    Count,
    Data,
    DataRoot,
    Fps,
    Frames,
    From,
    Grid,
    Loop,
    Model,
    Name,
    Output,
    Points,
    Resume,
    Side,
    Tested,
    Way,
    art,
)
from gencli.core.console import Console
from gencli.core.errors import GencliError, UsageError
from gencli.core.options import Common, command, numbers, weighted, whole_numbers
from gencli.vae.options import DIGITS, FACES, VaeTraining

if TYPE_CHECKING:
    from torch import Tensor

    from gencli.core.recipe import Progress
    from gencli.vae.concepts import Concept
    from gencli.vae.trained import Box, Trained

app = art("gencli.vae")

Temperature = Annotated[
    float, typer.Option("--temperature", min=0, max=10, help="Deviation of the latents: low is usual, high is odd.")
]
Axes = Annotated[
    str | None,
    typer.Option(
        "--axes", help="Two latents, from 1: 3,7.", show_default="the two principal components, if more than two"
    ),
]
Range = Annotated[
    float | None,
    typer.Option("--range", min=0.01, max=100, help="From -R to R, evenly.", show_default="by the normal quantiles"),
]
Steps = Annotated[int, typer.Option("--steps", min=2, max=100, help="Pictures along each axis.")]
Show = Annotated[
    str, typer.Option("--show", help="In a picture: manifold (decoded pictures), scatter (held-out ones), or both.")
]
Samples = Annotated[int, typer.Option("--samples", min=1, help="Latents drawn for each picture's likelihood.")]
Pictures = Annotated[list[str], typer.Argument(metavar="PICTURE…", help="Pictures of any kind and size.")]
Stops = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PICTURE]…", help="Pictures to walk between.", show_default="random points"),
]
Edited = Annotated[list[str] | None, typer.Argument(metavar="[PICTURE]…", help="Pictures of any kind and size.")]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        "-a",
        metavar="NAME[=STRENGTH]",
        help="What to change, and how strongly: 1 (the default) as much as it is in pictures that have it; repeatable.",
    ),
]
Listed = Annotated[bool, typer.Option("--list", help="Name what can be changed, and how well it is told apart.")]
Strip = Annotated[bool, typer.Option("--strip", help="A row of pictures for each attribute (default: for all).")]
Strengths = Annotated[str, typer.Option("--strengths", help="Strengths of a strip.")]
PutBack = Annotated[bool, typer.Option("--put-back", help="Put the change back into the whole picture.")]
Crop = Annotated[
    str | None,
    typer.Option("--crop", metavar="X,Y,SIDE", help="The square to change.", show_default="the central square"),
]
WithPictures = Annotated[
    str | None, typer.Option("--with", help="Pictures that show --attribute NAME, to learn it from: a folder, …")
]
WithoutPictures = Annotated[str | None, typer.Option("--without", help="Pictures that do not.")]
Labelled = Annotated[
    list[str] | None, typer.Option("--data", help="A labelled set: learn all its attributes or classes first.")
]


@app.command()
@command
def sample(
    common: Common,
    model: Model = FACES,
    count: Count = 64,
    class_: Class = None,
    temperature: Temperature = 1.0,
    grid: Grid = True,
    output: Output = None,
) -> None:
    """Make pictures by drawing from the prior.

    gencli vae sample --model mine --count 100 -o sheet.png

    gencli vae sample --model letters --class Q --files -o q-{i:03}.png
    """
    from gencli.core import images, outputs
    from gencli.vae import trained

    console = Console.start(common)
    runtime = common.start()
    loaded = trained.load(model, runtime)
    label = loaded.label(class_)
    targets = outputs.plan([loaded.name] * (1 if grid else count), output, suffix="")
    seed = console.seed(common)
    began = time.monotonic()
    pictures = loaded.drawn(count, seed, temperature, label)
    sheets = [images.grid(pictures)] if grid else list(pictures)
    how = {"model": loaded.name, "count": count, "temperature": temperature, "seed": seed}
    how |= {"class": class_} if class_ else {}
    for picture, target in zip(sheets, targets, strict=True):
        written = target.write(images.to_pillow(picture), outputs.note(seed))
        console.made(written, {**how, "seconds": round(time.monotonic() - began, 3)})


@app.command()
@command
def reconstruct(
    pictures: Pictures, common: Common, model: Model = FACES, class_: Class = None, output: Output = None
) -> None:
    """Show what comes back of pictures: the encoder's reading of them, decoded, below each.

    gencli vae reconstruct me.jpg you.png --model mine
    """
    import torch

    from gencli.core import images, outputs
    from gencli.vae import trained

    console = Console.start(common)
    runtime = common.start()
    loaded = trained.load(model, runtime)
    labels = loaded.labels(len(pictures), class_)
    given = torch.cat([loaded.fitted(images.load(picture)) for picture in pictures])
    (target,) = outputs.plan([loaded.name], output, suffix="reconstructed")
    returned = loaded.decode(loaded.encode(given, labels), labels)
    shown = given if loaded.net.shape[0] == 3 else trained.grey(given).expand(-1, 3, -1, -1)
    errors = (returned - shown).square().mean((1, 2, 3)).sqrt().tolist()
    written = target.write(
        images.to_pillow(images.grid(torch.cat([shown, returned]), columns=len(given))), outputs.note()
    )
    named = dict(zip(pictures, (round(error, 4) for error in errors), strict=True))
    for picture, error in named.items():
        console.note(f"{picture}: off by {error:.3f} of the range from black to white (root mean square)")
    console.made(written, {"model": loaded.name, "root_mean_square_error": named})


@app.command("map")
@command
def draw_map(
    common: Common,
    model: Model = DIGITS,
    data: Tested = None,
    data_root: DataRoot = None,
    axes: Axes = None,
    reach: Range = None,
    steps: Steps = 30,
    show: Show = "both",
    class_: Class = None,
    output: Output = None,
) -> None:
    """Draw the latent plane: what is decoded at each of its places, and where held-out pictures lie.

    With an output that ends in .html it is a page on which the picture follows the pointer.

        gencli vae map -o digits.html

        gencli vae map --model faces --axes 3,7 --range 3 --show manifold -o plane.png
    """
    from gencli.core import outputs
    from gencli.vae import maps, trained

    console = Console.start(common)
    runtime = common.start()
    if show not in maps.KINDS:
        raise UsageError(f"there is no map {show}", f"choose one of {', '.join(maps.KINDS)}")
    chosen = None if axes is None else whole_numbers("--axes", axes)
    loaded = trained.load(model, runtime)
    label = loaded.label(class_)
    page = Path(output) if output is not None and output.endswith(".html") else None
    save = outputs.plan_text(page) if page else None
    targets = [] if save else outputs.plan([loaded.name], output, suffix="map")
    shown, needed = None, show == "scatter" or (axes is None and loaded.net.latent > 2)
    if needed or save or show == "both":
        with console.bar("reading pictures", units="pictures") as bar:
            try:
                shown = trained.held_out(loaded, data, data_root, bar.update)
            except GencliError as error:
                if data or needed:
                    raise
                console.warn(f"the map is without pictures: {error.message}")
    drawn = maps.draw(loaded, steps, axes=chosen, reach=reach, label=label, shown=shown)
    if save:
        save(drawn.page())
    written = output if save else targets[0].write(drawn.picture(show), outputs.note())
    console.made(written, {"model": loaded.name, "axes": drawn.plane.names, "steps": steps})


@app.command()
@command
def walk(
    common: Common,
    model: Model = FACES,
    pictures: Stops = None,
    points: Points = 4,
    path: Way = "line",
    loop: Loop = True,
    frames: Frames = 96,
    fps: Fps = 24,
    size: Side = 256,
    temperature: Temperature = 1.0,
    class_: Class = None,
    output: Output = None,
) -> None:
    """Walk through the latent space, as a film: between pictures, or random points.

    A file's ending says what is made: .gif, .webp, .png, .mp4; f-{i:03}.png makes pictures.

        gencli vae walk me.jpg you.jpg --path sphere -o us.gif

        gencli vae walk --points 6 --seed 1

        gencli vae walk --points 2 --path circle --frames 240 -o circle.mp4
    """
    import torch

    from gencli.core import animations, device, images, outputs, paths
    from gencli.vae import trained
    from gencli.vae.training import normal

    console = Console.start(common)
    runtime = common.start()
    paths.check(path)
    seed = console.seed(common)
    loaded = trained.load(model, runtime)
    labels = loaded.labels(1, class_)
    film = animations.plan(loaded.name, output, suffix="walk")
    if pictures:
        given = torch.cat([loaded.fitted(images.load(picture)) for picture in pictures])
        stops = loaded.encode(given, None if labels is None else labels.expand(len(given)))
    else:
        stops = normal((points, loaded.net.latent), device.generator(seed), torch.device("cpu")) * temperature
    began = time.monotonic()

    def draw(some: Tensor) -> Tensor:
        return loaded.decode(some, None if labels is None else labels.expand(len(some)))

    latents = paths.path(path, stops, frames, closed=loop, draw=device.generator(seed, 1))
    with console.bar("decoding", units="pictures") as bar:
        shown = animations.frames(draw, latents, size, bar.update)
        written = film.write(shown, outputs.note(seed), fps=fps, loop=loop)
    how = {"model": loaded.name, "path": path, "frames": frames, "fps": fps, "seed": seed}
    for place in written:
        console.made(place, {**how, "seconds": round(time.monotonic() - began, 3)})


@app.command()
@command
def edit(
    common: Common,
    model: Model = FACES,
    pictures: Edited = None,
    attributes: Attributes = None,
    listed: Listed = False,
    strip: Strip = False,
    strengths: Strengths = "-3,-2,-1,0,1,2,3",
    put_back: PutBack = False,
    crop: Crop = None,
    with_: WithPictures = None,
    without: WithoutPictures = None,
    data: Labelled = None,
    data_root: DataRoot = None,
    class_: Class = None,
    output: Output = None,
) -> None:
    """Change one thing about a picture: add a smile, take the glasses off.

    A model learns what the labels of its pictures name when it is trained; more with --data, or from examples.

        gencli vae edit me.jpg --attribute smiling=2 --attribute glasses=-1

        gencli vae edit me.jpg --attribute beard --put-back -o bearded.jpg

        gencli vae edit me.jpg --strip -o strips.png

        gencli vae edit me.jpg -a moustache --with MOUSTACHES --without SHAVEN

        gencli vae edit --list
    """
    from gencli.core import images, outputs
    from gencli.vae import concepts, editing, trained

    console = Console.start(common)
    runtime = common.start()
    wishes, steps = weighted("--attribute", attributes or []), numbers("--strengths", strengths)
    box = None if crop is None else _box(crop)
    _check_edit(pictures, wishes, (with_, without), listed=listed, strip=strip, learnt=bool(data))
    loaded = trained.load(model, runtime)
    labels = loaded.labels(1, class_)
    originals = [images.load(picture) for picture in pictures or []]
    names = [original.name for original in originals]
    targets = outputs.plan(names, output, suffix="strip" if strip else "edit") if pictures else []
    known = concepts.load(loaded.folder)
    if data or (with_ and without):
        examples = (next(iter(wishes)), with_, without) if with_ and without else None
        known |= _learnt(console, loaded, examples, data or [], data_root)
        concepts.keep(loaded, known)
    if not known and not wishes:
        raise UsageError(
            f"{loaded.name} knows no attributes yet", "teach it some: --data with labels, or --with and --without"
        )
    if listed or not pictures:
        _list_concepts(console, loaded.name, known)
    changes = [(concepts.chosen(known, name, loaded.name), strength) for name, strength in wishes.items()]
    for original, target in zip(originals, targets, strict=True):
        edit = editing.Edit(loaded, original, box, labels)
        if strip:
            picture = edit.strip([concept for concept, _ in changes] or list(known.values()), steps)
        else:
            picture = edit.put_back(changes) if put_back else edit.changed(changes)
        how = {"model": loaded.name, "attributes": {concept.name: strength for concept, strength in changes}}
        console.made(target.write(picture, outputs.note()), how)


def _check_edit(
    pictures: list[str] | None,
    wishes: Mapping[str, float],
    examples: tuple[str | None, str | None],
    *,
    listed: bool,
    strip: bool,
    learnt: bool,
) -> None:
    """Raise UsageError for options of `edit` that do not make sense together."""
    if any(examples) and not (all(examples) and len(wishes) == 1):
        raise UsageError(
            "what examples show needs two kinds of them and one name",
            "give --with PICTURES --without PICTURES --attribute NAME",
        )
    if pictures and not wishes and not strip:
        raise UsageError("nothing is to be changed", "give --attribute NAME=STRENGTH; --list shows the names")
    if not pictures and not listed and not learnt and not any(examples):
        raise UsageError("there is nothing to edit", "name a picture, or see with --list what can be changed")


def _learnt(
    console: Console, loaded: Trained, examples: tuple[str, str, str] | None, data: list[str], root: Path | None
) -> Mapping[str, Concept]:
    """What is learnt now: of a name, pictures that show it, and pictures that do not, or else from a labelled set."""
    from gencli.vae import concepts, trained

    with console.bar("reading pictures", units="pictures") as bar:
        if examples:
            return concepts.learn_between(loaded, *examples, bar.update)
        return concepts.learn(loaded, *trained.parts(loaded, data, root, bar.update))


def _box(text: str) -> Box:
    from gencli.vae.trained import Box

    where = whole_numbers("--crop", text)
    if len(where) != 3:
        raise UsageError(f"--crop {text}: expected three numbers", "give X,Y,SIDE in pixels")
    left, top, side = where
    return Box(top, left, side)


def _list_concepts(console: Console, model: str, known: Mapping[str, Concept]) -> None:
    """What a model can change, the clearest first."""
    ordered = sorted(known.values(), key=lambda concept: -(concept.separation or 0))
    if console.as_json:
        for concept in ordered:
            console.record({"attribute": concept.name, "separation": concept.separation, "model": model})
        return
    rows = [(one.name, "unknown" if one.separation is None else f"{one.separation:.3f}") for one in ordered]
    console.table(f"{model}: how often two held-out pictures are told apart", ("attribute", "separation"), rows)


@app.command()
@command
def evaluate(
    common: Common, model: Model = DIGITS, data: Tested = None, data_root: DataRoot = None, samples: Samples = 100
) -> None:
    """Measure a model on pictures it has not seen, in nats a picture.

    The log likelihood is estimated by importance weighting, from `--samples` latents a picture. The Fréchet distance
    is that of pictures drawn from the prior, in what the built-in network sees.

        gencli vae evaluate --model mine --samples 500
    """
    from gencli.vae import evaluation, trained

    console = Console.start(common)
    runtime = common.start()
    seed = console.seed(common)
    loaded = trained.load(model, runtime)
    with console.bar("reading pictures", units="pictures") as bar:
        held = trained.held_out(loaded, data, data_root, bar.update)
    figures = evaluation.evaluate(loaded, held, samples, seed, console.stages("pictures"))
    console.figures(loaded.name, figures, seed=seed, samples=samples)


@app.command()
@command
def train(
    options: VaeTraining,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    base: From = None,
    resume: Resume = False,
) -> None:
    """Train a variational autoencoder on pictures.

    gencli vae train --data @faces --name faces --minutes 20

    gencli vae train --data mnist --name digits --latent 2

    gencli vae train --data PHOTOS --name mine --size 64 --flip

    gencli vae train --data PHOTOS --name ours --from mine --minutes 10
    """
    from gencli.vae import learning

    console = Console.start(common)
    console.train(
        "vae",
        learning.train,
        name,
        options,
        common,
        ("loss", "reconstruction", "kl"),
        partial(_measured, console),
        resume=resume,
        base=base,
        data=data,
        data_root=data_root,
    )


def _measured(console: Console, progress: Progress) -> None:
    found = (progress.line or {})["evaluation"]
    parts = (
        f"{found['reconstruction']:.2f} reconstruction, {found['kl']:.2f} KL, {found['active_units']:.0f} active units"
    )
    console.note(f"epoch {progress.epoch}: negative ELBO {found['negative_elbo']:.2f} nats held out ({parts})")
