"""`gencli models …`, `gencli data …` and `gencli info`: what the house holds."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gencli.core import store, weights
from gencli.core.commands import App, DataRoot
from gencli.core.console import Console, size
from gencli.core.errors import GencliError, UsageError
from gencli.core.options import Common, command
from gencli.house import ABOUT

models = App(ABOUT["models"])
data = App(ABOUT["data"])

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name, ART/NAME, its folder, or `latest`.")]
Art = Annotated[str | None, typer.Option("--art", help="Only the models of this art.")]


def _find(which: str, art: str | None) -> store.Model:
    if art is None and which.endswith("/latest") and not Path(which).exists():
        art, which = which.split("/")[-2:]
    return store.find(art, which)


@models.command("list")
@command
def list_models(common: Common, art: Art = None) -> None:
    """List the models of the store, those that ship, and the networks of others."""
    console = Console.start(common)
    found: list[dict[str, Any]] = [
        {
            "art": model.art,
            "name": model.name,
            "state": model.state,
            "bytes": model.size,
            "changed": model.modified,
        }
        for model in (*store.models(art), *store.built_in(art))
    ]
    if art is None:
        found += [_network(name) for name in (*weights.built_in(), *weights.SOURCES)]
    if common.json:
        for about in found:
            console.record(about)
        return
    rows = [
        (
            about["art"],
            about["name"],
            about["state"],
            size(about["bytes"]),
            f"{datetime.fromtimestamp(about['changed']):%Y-%m-%d %H:%M}" if about["changed"] else "",
        )
        for about in found
    ]
    console.table("models", ("art", "name", "state", "size", "changed"), rows)


def _network(name: str) -> dict[str, Any]:
    """A network that ships, or one of others."""
    if built_in := weights.built_in().get(name):
        return {
            "art": "backbone",
            "name": name,
            "state": "built in",
            "bytes": built_in.stat().st_size,
            "changed": None,
        }
    source = weights.SOURCES[name]
    state = "here" if weights.is_here(name) else "to pull" if source.url else "to put there"
    return {
        "art": "backbone",
        "name": name,
        "state": state,
        "bytes": round(source.megabytes * 1e6),
        "changed": None,
    }


@models.command("show")
@command
def show_model(model: Model, common: Common, art: Art = None) -> None:
    """Show how a model was made."""
    console = Console.start(common)
    if art is None and model in weights.SOURCES:
        about = _network(model) | asdict(weights.SOURCES[model])
    elif art is None and model in weights.built_in():
        about = _network(model) | {"file": str(weights.built_in()[model])} | weights.describe(weights.built_in()[model])
    else:
        found = _find(model, art)
        about = {"name": found.name, "folder": str(found.folder), "state": found.state, "bytes": found.size}
        about |= found.config
    if common.json:
        console.record(about)
    else:
        console.result(json.dumps(about, indent=2, ensure_ascii=False))


@models.command("path")
@command
def model_path(model: Model, common: Common, art: Art = None) -> None:
    """Print a model's folder, or a network's file."""
    console = Console.start(common)
    if art is None and model in weights.built_in():
        _say_where(console, weights.built_in()[model])
    elif art is None and model in weights.SOURCES:
        _say_where(console, weights.locate(model))
    else:
        _say_where(console, _find(model, art).folder)


def _say_where(console: Console, path: Path, key: str = "path") -> None:
    if console.as_json:
        console.record({key: str(path)})
    else:
        console.result(str(path))


@models.command("remove")
@command
def remove_model(
    model: Model,
    common: Common,
    art: Art = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a model and all that belongs to it."""
    console = Console.start(common)
    found = _find(model, art)
    called = f"{found.art}/{found.name}"
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise UsageError(f"{called} was not removed: nobody is there to be asked", "add --yes")
        typer.echo(f"Remove {called} ({size(found.size)})? [y/N] ", err=True, nl=False)
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise GencliError(f"{called} was not removed")
    store.remove(found)
    console.note(f"removed {called}")


@models.command("export")
@command
def export_model(
    model: Model,
    common: Common,
    art: Art = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The zip file.", show_default="NAME.zip")
    ] = None,
    training: Annotated[bool, typer.Option("--training", help="With what a resume needs.")] = False,
) -> None:
    """Put a model into one file, to keep or to give away."""
    from gencli.core import archive

    console = Console.start(common)
    found = _find(model, art)
    target = output or _free(f"{found.name}.zip")
    archive.export(found, target, with_training=training)
    _say_where(console, target, "output")


def _free(name: str) -> Path:
    """A file of the current folder that is not there yet: `name`, or with -2, -3 … put to it."""
    path = Path(name)
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(choice for choice in itertools.chain([path], numbered) if not choice.exists())


@models.command("import")
@command
def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file made by `gencli models export`.")],
    common: Common,
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it.", show_default="as it was called")
    ] = None,
) -> None:
    """Take a model out of a file into the store."""
    from gencli.core import archive

    console = Console.start(common)
    _say_where(console, archive.import_(file, name).folder)


@models.command("pull")
@command
def pull_model(
    name: Annotated[str, typer.Argument(metavar="NETWORK", help=f"{', '.join(weights.SOURCES)}.")],
    common: Common,
) -> None:
    """Download a network of others, checked by its hash."""
    console = Console.start(common)
    if weights.is_here(name):
        console.note(f"{name} is here already")
    else:
        with console.bar(f"pulling {name}", units="bytes") as bar:
            file = weights.pull(name, bar.update)
        from gencli.core import backbones

        backbones.keep(name, file)
    _say_where(console, weights.locate(name))


@data.command("list")
@command
def list_data(common: Common, data_root: DataRoot = None) -> None:
    """List the picture sets that are drawn or known, and where they are."""
    from gencli.core import catalogue

    console = Console.start(common)
    for about in (catalogue.describe(name, data_root) for name in catalogue.all_names()):
        if common.json:
            console.record({"name": about.name, "about": about.about, "where": about.where})
        else:
            console.result(f"{about.name}\t{about.where or 'not here'}\t{about.about}")


@data.command("show")
@command
def show_data(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A known set.")],
    common: Common,
    data_root: DataRoot = None,
) -> None:
    """Say what a picture set is, where it lies, and how to get it."""
    from gencli.core import catalogue

    console = Console.start(common)
    if name not in catalogue.all_names():
        raise UsageError(f"no picture set is called {name}", f"known are {', '.join(catalogue.all_names())}")
    values = asdict(catalogue.describe(name, data_root))
    if common.json:
        console.record(values)
        return
    for key, value in values.items():
        console.result(f"{key}: {value or 'not here'}")


@command
def info(common: Common) -> None:
    """Versions, devices, folders, and what is built in."""
    import platform

    import torch

    import gencli
    from gencli.core import drawn, files
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
        "built in": [*weights.built_in(), *(f"{model.art}/{model.name}" for model in store.built_in())],
        "drawn": [f"@{name}" for name in drawn.names()],
    }
    if common.json:
        console.record(values)
        return
    for key, value in values.items():
        console.result(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
