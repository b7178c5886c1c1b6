"""The root command: assembles the arts, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

import gencli
from gencli.core.commands import Group
from gencli.core.errors import ExitCode, GencliError, Interrupted, UsageError

HELP = """The generative arts of deep learning in one command line.

    gencli stylize photo.jpg painting.jpg

    gencli stylize @harbour @swirls -o harbour.png

    gencli dream train --data PHOTOS --name mine --epochs 30

Everything runs right after installation, offline: small models ship with it."""


def build() -> typer.Typer:
    """The whole command line."""
    from gencli.dream.commands import app as dream
    from gencli.house.commands import data, info, models
    from gencli.stylize.commands import app as stylize

    app = typer.Typer(
        help=HELP,
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)] = False,
    ) -> None:
        pass

    app.add_typer(stylize, name="stylize", rich_help_panel="Arts")
    app.add_typer(dream, name="dream", rich_help_panel="Arts")
    app.add_typer(models, name="models", rich_help_panel="House")
    app.add_typer(data, name="data", rich_help_panel="House")
    app.command("info", rich_help_panel="House")(info)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"gencli {gencli.__version__}\n")
        raise typer.Exit


def run(arguments: list[str] | None = None) -> int:
    """Run one command; the exit code. Errors end here as two lines, and as a traceback under --debug."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = build()(arguments, prog_name="gencli", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else ExitCode.DONE
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _explain(error)
    except KeyboardInterrupt:
        return _explain(Interrupted("interrupted"))


def _explain(error: BaseException) -> int:
    from gencli.core.console import print_error

    if isinstance(error, typer.Abort):
        error = Interrupted("interrupted")
    elif not isinstance(error, GencliError):
        error = _as_usage_error(error) or GencliError(
            f"{type(error).__name__}: {error}", "this is a fault of gencli; --debug shows where it happened"
        )
    assert isinstance(error, GencliError)
    print_error(error)
    return error.exit_code


def _as_usage_error(error: BaseException) -> UsageError | None:
    """Typer's own complaints about arguments, in this house's words."""
    describe = getattr(error, "format_message", None)
    if describe is None:
        return None
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "gencli"
    message = str(describe()).strip().rstrip(".")
    return UsageError(message[:1].lower() + message[1:], f"`{command} --help` shows how it is used")
