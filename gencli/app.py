"""The root command: assembles the arts, and turns errors into messages and exit codes."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Annotated

import typer

import gencli
from gencli.core.commands import App, art
from gencli.core.errors import ExitCode, GencliError, Interrupted, UsageError
from gencli.house import ABOUT as HOUSE

HELP = """The generative arts of deep learning in one command line.

    gencli stylize photo.jpg painting.jpg
    gencli stylize @harbour @swirls -o harbour.png
    gencli textgen --prompt "Once upon"
    gencli textgen train --data book.txt --name mine
    gencli vae train --data @faces --name faces --minutes 30
    gencli gan train --data @faces --name faces --minutes 60
    gencli dream train --data PHOTOS --name mine --epochs 30

Everything runs right after installation, offline: small models ship with it."""


ARTS = ("stylize", "textgen", "dream", "vae", "gan")


def build(only: str | None = None) -> typer.Typer:
    """The whole command line; or with only one command's actions, for to import all of them takes time."""
    app = App(HELP)

    @app.callback()
    def root(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
        ] = False,
    ) -> None:
        pass

    for name in ARTS:
        known = only in {None, name}
        art_app = importlib.import_module(f"gencli.{name}.commands").app if known else art(f"gencli.{name}")
        app.add_typer(art_app, name=name, rich_help_panel="Arts")
    if only in {None, *HOUSE}:
        house = importlib.import_module("gencli.house.commands")
        app.add_typer(house.models, name="models", rich_help_panel="House")
        app.add_typer(house.data, name="data", rich_help_panel="House")
        app.command("info", help=HOUSE["info"], rich_help_panel="House")(house.info)
    else:
        for name, text in HOUSE.items():
            app.add_typer(App(text), name=name, rich_help_panel="House")
    return app


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gencli {gencli.__version__}\n")
        raise typer.Exit


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code. Errors end here as two lines, under --debug after a traceback."""
    arguments = sys.argv[1:] if arguments is None else arguments
    _open_streams()
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        return _explain(error)


def _open_streams() -> None:
    """Have streams where the shell closed them (`>&-`), and let any file's name be printed."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        whole = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if whole else "backslashreplace")


def _invoke(arguments: list[str]) -> int:
    """Parse and run, around Typer's own `main`, which words errors and interruptions in its own way."""
    command = typer.main.get_command(build(next((word for word in arguments if not word.startswith("-")), "")))
    try:
        with command.make_context("gencli", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    return ExitCode.DONE


def _explain(error: BaseException) -> int:
    from gencli.core.console import print_error

    shown = error if isinstance(error, GencliError) else _translated(error)
    print_error(shown)
    return shown.exit_code


def _translated(error: BaseException) -> GencliError:
    """An error of a library or of the machine in this house's words."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Interrupted("interrupted")
    if describe := getattr(error, "format_message", None):  # Typer's complaints about arguments
        context = getattr(error, "ctx", None)
        message = " ".join(str(describe()).split()).rstrip(".")
        hint = f"`{context.command_path if context else 'gencli'} --help` shows how it is used"
        return UsageError(message[:1].lower() + message[1:], hint)
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return GencliError(f"{where}{error.strerror}", "--debug shows what was being done")
    if type(error).__name__ in {"MemoryError", "OutOfMemoryError"}:  # Python's, and that of GPUs
        return GencliError(
            "there is not enough memory", "try smaller sizes or fewer at a time, or close other programs"
        )
    return GencliError(f"{type(error).__name__}: {error}", "this is a fault of gencli; --debug shows where it happened")
