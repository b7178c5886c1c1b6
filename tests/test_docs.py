"""The README and the help keep in step: every command it shows can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import gencli
from gencli.app import HELP, build
from gencli.core.commands import DEFAULT_ACTION

ROOT = Path(gencli.__file__).parent.parent
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.is_file()]
SHELLS = {"", "sh", "bash", "shell", "console"}


def shown(text: str) -> list[str]:
    """The gencli command lines in a document's code blocks, and in code inside its sentences."""
    found = []
    for language, block in re.findall(r"^```(\S*)[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language in SHELLS:
            joined = re.sub(r"\\\n\s*", " ", block)
            found += [line.strip() for line in joined.splitlines()]
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    found += re.findall(r"`(gencli [^`\n]+)`", outside)
    return [command for line in found for command in commands(line.removeprefix("$ "))]


def commands(line: str) -> list[str]:
    """The gencli commands of a shell line: of its pipes and lists, without comments and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    parts: list[list[str]] = [[]]
    for word in lexer:
        if re.fullmatch(r"[|&;<>]+", word):
            parts.append([])
        else:
            parts[-1].append(word)
    return [shlex.join(part) for part in parts if part and Path(part[0]).name == "gencli"]


def check(line: str) -> None:
    """The commands named in a line exist, and each of its options does."""
    words = shlex.split(line)[1:]
    command: Any = typer.main.get_command(build())
    path = ["gencli"]
    while hasattr(command, "commands"):
        if words and words[0] in command.commands:
            path.append(words[0])
            command, words = command.commands[words[0]], words[1:]
        elif not words or words[0].startswith("-") or DEFAULT_ACTION not in command.commands or len(path) == 1:
            break
        else:
            command = command.commands[DEFAULT_ACTION]
    if hasattr(command, "commands") and DEFAULT_ACTION in command.commands and words[:1] not in (["-h"], ["--help"]):
        command = command.commands[DEFAULT_ACTION]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        placeholder = re.fullmatch(r"[A-Z…]+", words[0])
        assert placeholder, f"`{line}`: {' '.join(path)} has no command {words[0]}"
        return
    known = {"-h", "--help"} | {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    for word in words:
        if re.match(r"--?[A-Za-z]", word):
            assert word.partition("=")[0] in known, f"`{line}`: {' '.join(path)} has no option {word}"


@pytest.mark.skipif(not DOCUMENTS, reason="there are no documents here")
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_shown_can_be_typed(document: Path) -> None:
    lines = shown(document.read_text(encoding="utf-8"))
    assert lines or document.name != "README.md"
    for line in lines:
        check(line)


def every_command(command: Any, path: str = "gencli") -> dict[str, Any]:
    below = getattr(command, "commands", {})
    found = {path: command}
    for name, inner in below.items():
        found |= every_command(inner, f"{path} {name}")
    return found


def test_examples_in_the_help_can_be_typed() -> None:
    commands_ = every_command(typer.main.get_command(build()))
    examples = [
        found
        for text in (HELP, *(command.help or "" for command in commands_.values()))
        for line in text.splitlines()
        if re.match(r"\s*(cat .*)?gencli ", line)
        for found in commands(line.strip())
    ]
    assert len(examples) >= 4
    for line in examples:
        check(line)


def test_every_command_and_option_has_help() -> None:
    for path, command in every_command(typer.main.get_command(build())).items():
        assert command.help, path
        for param in command.params:
            assert getattr(param, "help", None), f"{path} {param.name}"


@pytest.mark.parametrize(
    "line",
    [
        "gencli bogus",
        "gencli models list --bogus",
        "gencli stylize a b --bogus 3",
        "gencli dream train --styl x",
    ],
)
def test_the_check_can_fail(line: str) -> None:
    with pytest.raises(AssertionError):
        check(line)


def test_command_lines_are_found_in_documents() -> None:
    text = (
        "Run `gencli info` and\n\n```sh\n$ gencli models \\\n    list --json | head -1 > out  # all\n"
        "cat a | gencli stylize - @ink -o - | other\n# gencli no\npip install gencli\n```\n"
        "```python\ngencli no\n```\n"
    )
    assert shown(text) == ["gencli models list --json", "gencli stylize - @ink -o -", "gencli info"]
