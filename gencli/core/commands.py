"""The shape all commands share, `gencli ART ACTION` where the action may be left out, and their help."""

from __future__ import annotations

import difflib
import importlib
import inspect
import itertools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gencli.core.errors import ExitCode
from gencli.core.options import EVERYWHERE

DEFAULT_ACTION = "sample"
_NAMES_WIDTH = 28  # of the column of flags: longer ones have a line of their own
_EXAMPLE = re.compile(r"    |gencli |[^\n]*\| gencli ")  # how a paragraph of examples begins

DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Where known sets lie.", show_default="GENCLI_HOME/data")
]
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
Grid = Annotated[bool, typer.Option("--grid/--files", help="All in one picture, or each in a file of its own.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", help="A file, a folder/, a pattern such as face-{i:03}.png, or - ."),
]
PictureOutput = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="A file, a folder, a pattern (`{name}`, `{i}`), or `-`.",
        show_default="named after the pictures",
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", help="png, jpg, webp, tiff, bmp or gif.", show_default="by extension")
]
SaveEvery = Annotated[
    int | None, typer.Option("--save-every", min=1, help="Also save the picture after every so many steps.")
]
MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", min=1, help="The largest picture read.", show_default="100 million")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail if any picture cannot be read.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out pictures whose results are there already.")
]
Points = Annotated[int, typer.Option("--points", min=2, max=1000, help="How many random points, without pictures.")]
Way = Annotated[
    str, typer.Option("--path", help="line, sphere (the direction turns evenly) or circle (through two points).")
]
Loop = Annotated[bool, typer.Option("--loop/--once", help="Back to the first point, or end at the last.")]
Frames = Annotated[int, typer.Option("--frames", min=2, max=100_000, help="Pictures of the film.")]
Fps = Annotated[float, typer.Option("--fps", min=0.1, max=240, help="Pictures a second.")]
Side = Annotated[int, typer.Option("--size", min=8, max=4096, help="Side of the film in pixels.")]
Name = Annotated[str, typer.Option("--name", help="What the model is called in the store.")]
From = Annotated[str | None, typer.Option("--from", help="A model to go on from, with its architecture.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run of that name, exactly.")]

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class _Help:
    """Help as plain text: Typer draws its own with Rich, which takes longer to import than all the rest."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False  # with None, some versions of Typer import Pydantic to make sense of it
        return option

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """The docstring: paragraphs are wrapped, but for examples."""
        _write_text(formatter, getattr(self, "help", None))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        _write_text(formatter, getattr(self, "epilog", None))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments and options panel by panel; in each, what is required first."""
        params = sorted(self.get_params(ctx), key=lambda param: not param.required)  # type: ignore[attr-defined]
        _write_sections(formatter, [(_panel(param), _record(param, ctx)) for param in params])


class Command(_Help, TyperCommand):
    """An action. Some of its flags mean something without a value too, which Typer cannot express."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        bare: dict[str, str] = getattr(self.callback, "bare", {})
        given: list[str] = []
        for word, following in itertools.pairwise([*args, "-"]):
            given += [word, bare[word]] if word in bare and following.startswith("-") else [word]
        return super().parse_args(ctx, given)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [param for param in self.get_params(ctx) if param.param_type_name == "argument"]
        return [*(argument.metavar or argument.name.upper() for argument in arguments), "[OPTIONS]"]


class Group(_Help, TyperGroup):
    """Commands in the order they were added, groups first. Without arguments it shows its help, and fails."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            typer.echo(ctx.get_help(), err=True)  # results alone go to standard output
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["COMMAND", "[ARGUMENTS]", "[OPTIONS]"]

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: not isinstance(self.commands[name], TyperGroup))

    def format_options(self, ctx: Any, formatter: Any) -> None:
        found = [(name, self.commands[name]) for name in self.list_commands(ctx)]
        rows = [(_panel(command), (name, command.get_short_help_str(200))) for name, command in found]
        _write_sections(formatter, rows)
        super().format_options(ctx, formatter)


class ArtGroup(Group):
    """An art: `gencli ART photo.jpg` means `gencli ART sample photo.jpg`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["[ACTION]", "[ARGUMENTS]", "[OPTIONS]"]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and DEFAULT_ACTION in self.commands and args[0] not in (*self.commands, *ctx.help_option_names):
            meant = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.8)
            if meant and not Path(args[0]).exists():
                ctx.fail(f"there is no action or file {args[0]}; did you mean {meant[0]}?")
            args = [DEFAULT_ACTION, *args]
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if DEFAULT_ACTION in self.commands:
            action = f"{ctx.command_path} {DEFAULT_ACTION}"
            _write_text(formatter, f"Without an action: {DEFAULT_ACTION}. Its options: `{action} --help`.")


class App(typer.Typer):
    """A Typer whose commands read as this house's do. Its help needs no Rich."""

    def __init__(self, help_text: str, group: type[Group] = Group) -> None:
        super().__init__(
            help=help_text,
            cls=group,
            add_completion=False,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )

    def command(self, name: str | None = None, **settings: Any) -> _Decorator:  # type: ignore[override]
        return super().command(name, cls=Command, **settings)


def art(package: str) -> App:
    """The Typer of an art. Its help is the first paragraph of the package's docstring."""
    about = importlib.import_module(package).__doc__ or ""
    return App(about.split("\n\n")[0], ArtGroup)


def _panel(described: Any) -> str:
    if isinstance(panel := getattr(described, "rich_help_panel", None), str):
        return panel
    if described.name == "help":
        return EVERYWHERE
    return {"argument": "Arguments", "option": "Options"}.get(getattr(described, "param_type_name", ""), "Actions")


def _record(param: Any, ctx: Any) -> tuple[str, str] | None:
    """A parameter's name and help; of an argument only what to write for it, as in the usage."""
    record: tuple[str, str] | None = param.get_help_record(ctx)
    if record is None or param.param_type_name != "argument":
        return record
    return param.metavar or param.name.upper(), record[1].replace("  [required]", "")


def _write_sections(formatter: Any, rows: Iterable[tuple[str, tuple[str, str] | None]]) -> None:
    sections: dict[str, list[tuple[str, str]]] = {}
    for panel, row in rows:
        if row is not None:
            sections.setdefault(panel, []).append((_bold(row[0]), row[1]))
    for panel in sorted(sections, key=lambda name: {"Options": 1, EVERYWHERE: 2}.get(name, 0)):
        with formatter.section(_bold(panel)):
            formatter.write_dl(sections[panel], col_max=_NAMES_WIDTH)


def _write_text(formatter: Any, text: str | None) -> None:
    with formatter.indentation():
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text or "")):
            formatter.write_paragraph()
            if _EXAMPLE.match(paragraph):
                indent = " " * (formatter.current_indent + 4)
                formatter.write("".join(f"{indent}{line.strip()}\n" for line in paragraph.splitlines()))
            else:
                formatter.write_text(paragraph)


def _bold(text: str) -> str:
    """Bold on a terminal; what prints help takes it out elsewhere."""
    return text if os.environ.get("NO_COLOR") else typer.style(text, bold=True)
