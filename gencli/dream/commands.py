"""`gencli dream …`."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import DataRoot, Format, From, MaxPixels, Name, PictureOutput, Resume, SaveEvery, art
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.options import Common, command, spelling
from gencli.core.sitting import Sitting
from gencli.dream.options import BackboneTraining, DreamOptions, Exploration, Motion, Visualization

if TYPE_CHECKING:
    from gencli.core.clips import Clip
    from gencli.core.images import Picture
    from gencli.core.recipe import Progress

app = art("gencli.dream")

Photographs = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO…", help="Photographs. `-` is standard input, `@name` an example (see `gencli info`)."
    ),
]
Network = Annotated[str, typer.Option("--backbone", help="The network to look into.")]
Mask = Annotated[str | None, typer.Option("--mask", help="A picture that is white where to dream, black where not.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="Pictures, in folders by class or unlabelled: a known set (`gencli data list`), a folder, a zip or a tar.",
    ),
]


@app.command()
@command
def sample(
    photographs: Photographs,
    options: DreamOptions,
    motion: Motion,
    common: Common,
    mask: Mask = None,
    output: PictureOutput = None,
    format: Format = None,
    save_every: SaveEvery = None,
    max_pixels: MaxPixels = None,
) -> None:
    """Let a network dream of a photograph, or of a film.

    gencli dream photo.jpg

    gencli dream @lake --class "king penguin" -o penguins.png

    gencli dream photo.jpg --layer conv3_2 --layer conv5_1=0.5 --size 1024

    gencli dream photo.jpg --guide flowers.jpg --mask sky.png

    gencli dream photo.jpg --frames 60 --zoom 1.04 --rotate 1 -o zoom.gif

    gencli dream film.mp4 --size 320 -o dream.mp4

    cat photo.jpg | gencli dream - -o - > dream.png
    """
    from gencli.core import clips, images, outputs
    from gencli.core.decode import DEFAULT_MAX_PIXELS
    from gencli.dream.dreaming import Dreamer

    console = Console.start(common)
    most = max_pixels or DEFAULT_MAX_PIXELS
    if [*photographs, mask, *options.guide].count("-") > 1:
        raise UsageError("standard input can be read once only", "name one picture `-`")

    def load(source: str) -> images.Picture:
        drawn = options.size if source.startswith("@") else None
        return images.load(source, size=drawn, enough=options.size, max_pixels=most)

    where = None if mask is None else load(mask)
    if motion.frames or any(clips.is_clip(Path(source)) for source in photographs):
        if len(photographs) > 1:
            raise UsageError("a film is made of one photograph, or of one film", "make one after another")
        if save_every:
            raise UsageError("--save-every is for photographs", "a film's pictures are kept while it is made")
        (source,) = photographs
        clip = clips.open_clip(Path(source), most) if clips.is_clip(Path(source)) else None
        _film(console, source, clip or load(source), where, options, motion, common, output, format)
        return
    if given := motion.given - {"frames"}:
        raise UsageError(f"{spelling(min(given))} is for films", "add --frames, or name a film")
    # what is wrong with the last is found now, not in an hour; many pictures are read again, to spare memory
    alone = load(photographs[0]) if len(photographs) == 1 else None
    for source in [] if alone else photographs:
        if source != "-":
            load(source)
    targets = outputs.plan([images.stem(one) for one in photographs], output, suffix="dream", format=format)
    if save_every and any(target.path is None for target in targets):
        raise UsageError("--save-every cannot write to standard output", "name a file with -o")
    dreamer = Dreamer(options, runtime=common.start())
    seed = console.seed(common)
    record = {"seed": seed, "size": options.size, "backbone": options.backbone}
    for source, target in zip(photographs, targets, strict=True):
        photograph = dreamer.look_at(alone or load(source), where)
        sitting = Sitting(console, target, save_every, outputs.note(seed), {"photograph": source, **record})
        sitting.paint(partial(dreamer.paint, photograph, seed), f"dreaming of {images.stem(source)}")


def _film(
    console: Console,
    source: str,
    shown: Clip | Picture,
    mask: Picture | None,
    options: DreamOptions,
    motion: Motion,
    common: Common,
    output: str | None,
    format: str | None,
) -> None:
    """A zoom into one photograph, or a dream over a film."""
    from gencli.core import animations, images, outputs
    from gencli.core.clips import Clip
    from gencli.core.kept import Frames
    from gencli.dream import film
    from gencli.dream.dreaming import Dreamer

    if isinstance(shown, Clip) and motion.frames:
        raise UsageError("--frames zooms into a photograph; this is a film", "leave --frames out")
    if mask and not isinstance(shown, Clip):
        raise UsageError("--mask is for photographs and films, not for a zoom", "leave one out")
    place = animations.plan(images.stem(source), output, suffix="dream", format=format)
    made_by = {"source": source, "mask": mask and mask.name, **options.to_dict(), **motion.to_dict()}
    kept = Frames.begin(
        place.target.path,
        {name: value for name, value in made_by.items() if name not in {"frames", "fps", "resume"}},
        common.seed,
        partial(console.seed, common),
        motion.resume,
    )
    dreamer = Dreamer(options, runtime=common.start())
    sound = None
    with console.bar(f"dreaming of {images.stem(source)}", units="pictures") as bar:
        if isinstance(shown, Clip):
            sound = shown.sound if motion.fps in {None, shown.fps} else None
            made, fps = film.over(dreamer, shown, mask, motion, kept, bar.update), motion.fps or shown.fps
        else:
            made, fps = film.zoom(dreamer, shown, motion, kept, bar.update), motion.fps or film.FPS
        paths = place.write(made, outputs.note(kept.seed), fps=fps, sound=sound)
    kept.clear()
    for made_path in paths:
        console.made(made_path, {"source": source, "seed": kept.seed, "fps": fps})


@app.command("layers")
@command
def list_layers(
    common: Common,
    backbone: Network = "vgg-mini",
    picture: Annotated[
        str | None, typer.Option("--picture", help="Also what answers most strongly in this picture.")
    ] = None,
) -> None:
    """List what can be dreamt of: a network's layers, and the channels that see most in a picture.

    gencli dream layers

    gencli dream layers --backbone googlenet --picture photo.jpg
    """
    from dataclasses import asdict

    from gencli.core import backbones, images
    from gencli.dream import exploring

    console = Console.start(common)
    seen = images.load(picture) if picture else None
    net = backbones.load(backbone, padding="replicate", device=common.start().device)
    found = exploring.layers(net, seen)
    if common.json:
        for one in found:
            console.record({"backbone": net.name, **asdict(one)})
        return
    columns = ["layer", "channels", "one in … pixels", "sees … pixels"]
    rows = [[one.layer, str(one.channels), str(one.stride), str(2 * one.radius + 1)] for one in found]
    if seen:
        columns.append("strongest channels")
        for row, one in zip(rows, found, strict=True):
            row.append(" ".join(f"{index} ({mean:.2g})" for index, mean in one.strongest))
    console.table(net.name, columns, rows)
    if net.classes:
        console.note(f"{len(net.classes)} classes, such as {', '.join(net.classes[:: -(-len(net.classes) // 5)])}")


@app.command()
@command
def explore(
    photograph: Annotated[str, typer.Argument(metavar="PHOTO", help="A photograph.")],
    options: Exploration,
    common: Common,
    output: PictureOutput = None,
    format: Format = None,
) -> None:
    """Try settings of layers on a photograph: a sheet of small dreams, and how to make each of them large.

    gencli dream explore photo.jpg

    gencli dream explore photo.jpg --systematic --side 320
    """
    from gencli.core import images, outputs, sheets
    from gencli.dream import dreaming, exploring

    console = Console.start(common)
    picture = images.load(photograph, size=options.side if photograph.startswith("@") else None)
    (target,) = outputs.plan([images.stem(photograph)], output, suffix="explored", format=format)
    runtime = common.start()
    net = dreaming.load_backbone(options, runtime)
    seed = console.seed(common)
    settings = exploring.settings(net, options, seed)
    made = []
    with console.bar(f"exploring {images.stem(photograph)}", units="pictures") as bar:
        for dreamt in exploring.tried(picture, settings, options, net, runtime):
            made.append(dreamt)
            bar.update(len(made), len(settings))
    labels = [f"{number} {setting.flags}" for number, setting in enumerate(settings, 1)]
    whole = sheets.sheet(made, labels, options.columns)
    also = "".join(f" {spelling(name)} {value}" for name, value in options.named().items() if name in exploring.LARGE)
    for number, setting in enumerate(settings, 1):
        console.note(f"{number}: gencli dream {shlex.quote(photograph)} {setting.flags}{also}")
    record = [asdict(setting) for setting in settings]
    console.made(target.write(whole, outputs.note(seed)), {"photograph": photograph, "settings": record})


@app.command("visualize")
@command
def draw(
    options: Visualization,
    common: Common,
    each: Annotated[bool, typer.Option("--each", help="Every term in a picture of its own, on a sheet.")] = False,
    output: PictureOutput = None,
    format: Format = None,
) -> None:
    """Draw out of noise what a channel, a layer or a class would most like to see.

    gencli dream visualize --channel conv4_2:17

    gencli dream visualize --class goldfish --class teapot --each -o classes.png
    """
    from gencli.core import outputs, sheets
    from gencli.dream import dreaming
    from gencli.dream.objective import total
    from gencli.dream.visualizing import visualize

    console = Console.start(common)
    (target,) = outputs.plan([options.backbone], output, suffix="visualized", format=format)
    net = dreaming.load_backbone(options, common.start())
    terms = dreaming.terms_of(options, net)
    seed = console.seed(common)
    note, record = outputs.note(seed), {"seed": seed, "backbone": options.backbone, "terms": [*terms]}
    if not each:
        sitting = Sitting(console, target, None, note, record)
        sitting.paint(partial(visualize, total(terms.values()), net, options, seed=seed), f"visualizing {net.name}")
        return
    drawn = []
    with console.bar(f"visualizing {net.name}", units="pictures") as bar:
        for term in terms.values():
            drawn.append(visualize(term, net, options, seed=seed))
            bar.update(len(drawn), len(terms))
    console.made(target.write(sheets.sheet(drawn, [*terms]), note), record)


@app.command()
@command
def train(
    options: BackboneTraining,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    base: From = None,
    resume: Resume = False,
) -> None:
    """Train a classifier network, a backbone, on pictures, to dream with.

    Labels are the names of the first level of folders; pictures without any teach by how they are turned. The network
    can then be looked through by its name:

        gencli dream train --data PHOTOS --name mine --epochs 30

        gencli dream train --data PHOTOS --name mine --from vgg-mini --rate 0.02

        gencli dream photo.jpg --backbone mine
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
        base=base,
        data=data,
        data_root=data_root,
    )


def _measured(console: Console, progress: Progress) -> None:
    found = (progress.line or {})["evaluation"]
    top1, top5 = found["top1"], found["top5"]
    console.note(f"epoch {progress.epoch}: top-1 {top1:.1%}, top-5 {top5:.1%} of the held-out pictures")
