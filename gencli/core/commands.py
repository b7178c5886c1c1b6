"""The shape all commands share: `gencli ART ACTION`, where the action may be left out."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import typer
from typer.core import TyperGroup

DEFAULT_ACTION = "sample"


class Group(TyperGroup):
    """A group whose commands stand in the order they were added."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


class ArtGroup(Group):
    """An art: `gencli ART photo.jpg` means `gencli ART sample photo.jpg`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_for_help = args and args[0] in ctx.help_option_names
        if args and args[0] not in self.commands and not asks_for_help and DEFAULT_ACTION in self.commands:
            args = [DEFAULT_ACTION, *args]
        return super().parse_args(ctx, args)


def art(help_text: str) -> typer.Typer:
    """The Typer of an art."""
    return typer.Typer(help=help_text, cls=ArtGroup, no_args_is_help=True, rich_markup_mode="markdown")


def command_line() -> str:
    """The command as it was typed: what a result or a checkpoint says it was made with."""
    return shlex.join(["gencli", *sys.argv[1:]])
