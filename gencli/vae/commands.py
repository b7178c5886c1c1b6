"""`gencli vae …`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gencli.core.commands import DataRoot, Name, Resume, art
from gencli.core.console import Console
from gencli.core.errors import UsageError
from gencli.core.options import DEFAULT_EPOCHS, Common, command
from gencli.vae.options import VaeTraining

if TYPE_CHECKING:
    from gencli.core.pictures import PictureSet
    from gencli.core.recipe import Progress

app = art("Variational autoencoders: pictures as points of a space in which they can be changed.")

Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="Pictures: a drawn set (`@faces`, `@glyphs`), a known one (`gencli data list`), a folder or an archive; "
        "repeatable.",
    ),
]
Tested = Annotated[
    list[str] | None,
    typer.Option("--data", help="Pictures, as in `train`.", show_default="what was held out of the training set"),
]
Model = Annotated[str, typer.Option("--model", help="A trained model: its name, a path, or `latest`.")]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many pictures.")]
Class = Annotated[str | None, typer.Option("--class", help="Of this class only; for models that have learnt classes.")]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, max=10, help="Deviation of the latents: low is usual, high is odd.")
]
Grid = Annotated[bool, typer.Option("--grid/--files", help="All in one picture, or each in a file of its own.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="A file, a folder/, a pattern such as face-{i:03}.png, or - ."),
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
Samples = Annotated[int, typer.Option("--samples", min=1, help="Latents drawn for each picture's likelihood.")]
Pictures = Annotated[list[str], typer.Argument(metavar="PICTURE…", help="Pictures of any kind and size.")]


@app.command()
@command
def sample(
    common: Common,
    model: Model,
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
    from gencli.core import device, images, outputs
    from gencli.vae import trained

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    seed = device.new_seed() if common.seed is None else common.seed
    loaded = trained.load(model, runtime)
    label = loaded.label(class_)
    targets = outputs.plan([loaded.name] * (1 if grid else count), output, suffix="")
    if common.seed is None:
        console.note(f"seed {seed}")
    began = time.monotonic()
    pictures = loaded.drawn(count, seed, temperature, label)
    sheets = [images.grid(pictures)] if grid else list(pictures)
    how = {"model": loaded.name, "count": count, "temperature": temperature, "seed": seed}
    how |= {"class": class_} if class_ else {}
    for picture, target in zip(sheets, targets, strict=True):
        written = target.write(images.to_pillow(picture), outputs.note(seed))
        if written and console.as_json:
            console.record({"output": written, **how, "seconds": round(time.monotonic() - began, 3)})
        elif written:
            console.result(written)


@app.command()
@command
def reconstruct(pictures: Pictures, common: Common, model: Model, class_: Class = None, output: Output = None) -> None:
    """Show what comes back of pictures: the encoder's reading of them, decoded, below each.

    gencli vae reconstruct me.jpg you.png --model mine
    """
    import torch

    from gencli.core import device, images, outputs
    from gencli.vae import trained

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    loaded = trained.load(model, runtime)
    label = loaded.label(class_)
    if loaded.classes and label is None:
        raise UsageError(
            f"{loaded.name} reads pictures of a class", f"say which with --class: {', '.join(loaded.classes)}"
        )
    given = torch.cat([loaded.fitted(images.load(picture)) for picture in pictures])
    (target,) = outputs.plan([loaded.name], output, suffix="reconstructed")
    labels = None if label is None else torch.full((len(given),), label)
    returned = loaded.decode(loaded.encode(given, labels), labels)
    shown = given if loaded.net.shape[0] == 3 else trained.grey(given).expand(-1, 3, -1, -1)
    errors = (returned - shown).square().mean((1, 2, 3)).sqrt().tolist()
    written = target.write(images.to_pillow(images.grid(torch.cat([shown, returned]), columns=len(given))), {})
    named = dict(zip(pictures, (round(error, 4) for error in errors), strict=True))
    if written and console.as_json:
        console.record({"output": written, "model": loaded.name, "root_mean_square_error": named})
    elif written:
        for picture, error in named.items():
            console.note(f"{picture}: off by {error:.3f} of the range from black to white (root mean square)")
        console.result(written)


@app.command("map")
@command
def draw_map(
    common: Common,
    model: Model,
    data: Tested = None,
    data_root: DataRoot = None,
    axes: Axes = None,
    reach: Range = None,
    steps: Steps = 30,
    class_: Class = None,
    output: Output = None,
) -> None:
    """Draw the latent plane: what is decoded at each of its places, and where held-out pictures lie.

    With an output that ends in .html it is a page on which the picture follows the pointer.

        gencli vae map --model digits -o digits.html

        gencli vae map --model faces --axes 3,7 --range 3 -o plane.png
    """
    from gencli.core import device, outputs
    from gencli.vae import maps, trained

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    loaded = trained.load(model, runtime)
    label = loaded.label(class_)
    page = Path(output) if output is not None and output.endswith(".html") else None
    save = outputs.plan_text(page) if page else None
    targets = [] if save else outputs.plan([loaded.name], output, suffix="map")
    shown = None
    if save or (axes is None and loaded.net.latent > 2):
        with console.bar("reading pictures", units="pictures") as bar:
            shown = trained.held_out(loaded, data, data_root, bar.update)
    drawn = maps.draw(loaded, steps, axes=_axes(axes), reach=reach, label=label, shown=shown)
    if save:
        save(drawn.page())
    written = output if save else targets[0].write(drawn.sheet(), {})
    if written and console.as_json:
        console.record({"output": written, "model": loaded.name, "axes": drawn.plane.names, "steps": steps})
    elif written:
        console.result(written)


def _axes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(axis) for axis in text.split(",")]
    except ValueError:
        raise UsageError(f"--axes {text}: expected two whole numbers", "name two latents: 3,7") from None


@app.command()
@command
def evaluate(
    common: Common, model: Model, data: Tested = None, data_root: DataRoot = None, samples: Samples = 100
) -> None:
    """Measure a model on pictures it has not seen, in nats a picture.

    The log likelihood is estimated by importance weighting, from `--samples` latents a picture.

        gencli vae evaluate --model mine --samples 500
    """
    from gencli.core import device
    from gencli.vae import evaluation, trained
    from gencli.vae.training import measured

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    seed = device.new_seed() if common.seed is None else common.seed
    loaded = trained.load(model, runtime)
    with console.bar("reading pictures", units="pictures") as bar:
        held = trained.held_out(loaded, data, data_root, bar.update)
    deterministic = loaded.config["options"]["deterministic"]
    figures: dict[str, float | None] = {**measured(loaded.net, held, runtime, seed, deterministic)}
    with console.bar("weighing samples", units="pictures") as bar:
        likelihood = None
        if not deterministic:
            likelihood = evaluation.log_likelihood(loaded.net, held, runtime, samples, seed, bar.update)
    figures["log_likelihood"] = likelihood
    if console.as_json:
        console.record({"model": loaded.name, "seed": seed, "samples": samples, **figures})
    else:
        rows = [(name, "none" if value is None else f"{value:.6g}") for name, value in figures.items()]
        console.table(loaded.name, ("figure", "value"), rows)


@app.command()
@command
def train(
    options: VaeTraining,
    common: Common,
    name: Name,
    data: Data,
    data_root: DataRoot = None,
    resume: Resume = False,
) -> None:
    """Train a variational autoencoder on pictures.

    gencli vae train --data @faces --name faces --minutes 20

    gencli vae train --data mnist --name digits --latent 2

    gencli vae train --data PHOTOS --name mine --size 64 --flip
    """
    from gencli.core import datasets, device, runs, training
    from gencli.vae import models
    from gencli.vae.training import VaeRecipe, architecture, batches

    console = Console.start(common)
    runtime = device.start(common.device, common.precision, common.threads)
    with runs.begin("vae", name, options, common.seed, runtime, resume=resume) as run:
        options, seed = run.options, run.seed
        if options.steps is options.epochs is options.minutes is None:
            options = options.replace(epochs=DEFAULT_EPOCHS)
        size, channels = _form(options, data)
        with console.bar("reading pictures", units="pictures") as bar:
            learnt, held_out = datasets.train_and_test(
                data[0] if len(data) == 1 else data,
                size=size,
                channels=channels,
                root=data_root,
                report=bar.update,
                limit=options.limit,
                held_out=options.held_out,
                seed=seed,
            )
        if options.conditional and learnt.labels is None:
            raise UsageError(
                f"{learnt.name} has no labels for --conditional", "put the pictures of each class into a folder"
            )
        built = architecture(options, learnt)
        net = models.build(**built)
        models.initialise(net, device.generator(seed))
        recipe = VaeRecipe(net, options, held_out, runtime, seed)
        weights = sum(weight.numel() for weight in net.parameters())
        console.note(
            f"{name}: {len(learnt)} pictures of {size} × {size}, {len(held_out)} held out, {built['arch']}, "
            f"{weights:,} weights, {built['latent']} latents, seed {seed}"
        )
        config = replace(run, options=options).config(
            kind="variational autoencoder",
            architecture=built,
            classes=learnt.classes,
            data=_described(data, learnt),
        )
        with console.training(name, _figures, lambda progress: _measured(console, progress)) as report:
            result = training.train(
                recipe,
                batches(learnt, options, runtime, seed),
                run.folder,
                config=config,
                options=training.TrainingOptions(options.steps, options.epochs, options.minutes, best="negative_elbo"),
                runtime=runtime,
                resume=resume,
                resume_command=runs.resume_command("vae", name, data=data, data_root=data_root),
                report=report,
            )
        console.trained(result)


def _form(options: VaeTraining, data: list[str]) -> tuple[int, int]:
    """Side and channels of the pictures: those wanted, or those the set has."""
    from gencli.core import catalogue

    size, channels = catalogue.usual_form(data[0]) if len(data) == 1 else (64, 3)
    return options.size or size, {"auto": channels, "grey": 1, "rgb": 3}[options.colors]


def _described(data: list[str], learnt: PictureSet) -> dict[str, Any]:
    names = [one if one.startswith("@") or not Path(one).exists() else str(Path(one).absolute()) for one in data]
    return {"names": names, "name": learnt.name, "fingerprint": learnt.fingerprint}


def _figures(line: Mapping[str, Any]) -> dict[str, float]:
    return {name: line[name] for name in ("loss", "reconstruction", "kl") if name in line}


def _measured(console: Console, progress: Progress) -> None:
    found = (progress.line or {})["evaluation"]
    parts = (
        f"{found['reconstruction']:.2f} reconstruction, {found['kl']:.2f} KL, {found['active_units']:.0f} active units"
    )
    console.note(f"epoch {progress.epoch}: negative ELBO {found['negative_elbo']:.2f} nats held out ({parts})")
