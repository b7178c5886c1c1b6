"""`gencli models …`, `gencli data …` and `gencli info`: what the house holds."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gencli.core.commands import Group
from gencli.core.console import Console, size
from gencli.core.options import Common, command

models = typer.Typer(help="The models you trained, and the networks of others.", cls=Group, no_args_is_help=True)
data = typer.Typer(help="Picture sets to train with.", cls=Group, no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, ART/NAME, its folder, or `latest`.")]
Art = Annotated[str | None, typer.Option("--art", help="Only the models of this art.")]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Where known sets lie.", show_default="GENCLI_HOME/data")]


def _find(which: str, art: str | None = None):  # type: ignore[no-untyped-def]
    from gencli.core import store

    if art is None and which.count("/") == 1 and not Path(which).exists():
        art, which = which.split("/")
    return store.find(art, which)


@models.command("list")
@command
def list_models(common: Common, art: Art = None) -> None:
    """List the models of the store, those that ship, and the networks of others."""
    from gencli.core import store, weights

    console = Console.start(common)
    rows = [
        (model.art, model.name, model.state, size(model.size), f"{datetime.fromtimestamp(model.modified):%Y-%m-%d %H:%M}")
        for model in store.models(art)
    ]
    if art is None:
        rows += [("backbone", name, "built in", size(path.stat().st_size), "") for name, path in weights.built_in().items()]
        for name, source in weights.SOURCES.items():
            here = weights.is_here(name)
            rows.append(("backbone", name, "here" if here else "to pull" if source.url else "to put there", f"{source.megabytes:.0f} MB", ""))
    if common.json:
        for row in rows:
            console.record(dict(zip(("art", "name", "state", "size", "changed"), row, strict=True)))
    else:
        console.table("models", ("art", "name", "state", "size", "changed"), rows)


@models.command("show")
@command
def show_model(model: Model, common: Common, art: Art = None) -> None:
    """Show how a model was made."""
    import json

    console = Console.start(common)
    found = _find(model, art)
    about = {"name": found.name, "folder": str(found.folder), "state": found.state, "bytes": found.size, **found.config}
    if common.json:
        console.record(about)
    else:
        console.result(json.dumps(about, indent=2, ensure_ascii=False))


@models.command("path")
@command
def model_path(model: Model, common: Common, art: Art = None) -> None:
    """Print a model's folder."""
    console = Console.start(common)
    found = _find(model, art)
    console.record({"path": str(found.folder)}) if common.json else console.result(str(found.folder))


@models.command("remove")
@command
def remove_model(
    model: Model,
    common: Common,
    art: Art = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a model and all that belongs to it."""
    import sys

    from gencli.core import store
    from gencli.core.errors import UsageError

    console = Console.start(common)
    found = _find(model, art)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"{found.art}/{found.name} was not removed: nobody is there to be asked", "add --yes")
        typer.confirm(f"Remove {found.art}/{found.name} ({size(found.size)})?", abort=True, err=True)
    store.remove(found)
    console.note(f"removed {found.art}/{found.name}")


@models.command("export")
@command
def export_model(
    model: Model,
    common: Common,
    art: Art = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The zip file.", show_default="NAME.zip")] = None,
    training: Annotated[bool, typer.Option("--training", help="With what a resume needs.")] = False,
) -> None:
    """Put a model into one file, to keep or to give away."""
    from gencli.core import archive

    console = Console.start(common)
    found = _find(model, art)
    target = output or Path(f"{found.name}.zip")
    archive.export(found, target, with_training=training)
    console.record({"output": str(target)}) if common.json else console.result(str(target))


@models.command("import")
@command
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file made by `gencli models export`.")],
    common: Common,
    name: Annotated[str | None, typer.Option("--name", help="What to call it.", show_default="as it was called")] = None,
) -> None:
    """Take a model out of a file into the store."""
    from gencli.core import archive

    console = Console.start(common)
    made = archive.import_(file, name)
    console.record({"path": str(made.folder)}) if common.json else console.result(str(made.folder))


@models.command("pull")
@command
def pull_model(
    name: Annotated[str, typer.Argument(metavar="NETWORK", help="vgg16, vgg19, squeezenet1_1, googlenet, inception_v3 or resnet50.")],
    common: Common,
) -> None:
    """Download a network of others, checked by its hash."""
    from gencli.core import backbones, weights

    console = Console.start(common)
    if weights.is_here(name):
        console.note(f"{name} is here already")
    else:
        with console.bar(f"pulling {name}", units="bytes") as bar:
            backbones.keep(name, weights.pull(name, bar.update))
    path = weights.locate(name)
    console.record({"path": str(path)}) if common.json else console.result(str(path))


@data.command("list")
@command
def list_data(common: Common, data_root: DataRoot = None) -> None:
    """List the known picture sets and where they are."""
    from gencli.core import catalogue

    console = Console.start(common)
    for about in (catalogue.describe(name, data_root) for name in catalogue.names()):
        if common.json:
            console.record({"name": about.name, "about": about.about, "where": about.where and str(about.where)})
        else:
            console.result(f"{about.name}\t{about.where or 'not here'}\t{about.about}")


@data.command("show")
@command
def show_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known set.")], common: Common, data_root: DataRoot = None
) -> None:
    """Say what a picture set is, where it lies, and how to get it."""
    from gencli.core import catalogue
    from gencli.core.errors import UsageError

    console = Console.start(common)
    if name not in catalogue.names():
        raise UsageError(f"no picture set is called {name}", f"known are {', '.join(catalogue.names())}")
    about = catalogue.describe(name, data_root)
    values = {"name": about.name, "about": about.about, "where": about.where and str(about.where), "get": about.get, "licence": about.licence}
    if common.json:
        console.record(values)
    else:
        for key, value in values.items():
            console.result(f"{key}: {value or 'not here'}")


@command
def info(common: Common) -> None:
    """Versions, devices, folders, and what is built in."""
    import platform

    import torch

    import gencli
    from gencli.core import drawn, files, store, weights
    from gencli.core.device import devices

    console = Console.start(common)
    values: dict[str, object] = {
        "gencli": gencli.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "devices": list(devices().values()),
        "home": str(files.home()),
        "models": str(store.models_folder()),
        "weights": str(weights.folder()),
        "data": str(files.home() / "data"),
        "offline": files.offline(),
        "built in": list(weights.built_in()),
        "drawn": [f"@{name}" for name in drawn.names()],
    }
    if common.json:
        console.record(values)
        return
    for key, value in values.items():
        console.result(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
