"""The rules of the house, read from the code itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import gencli

PACKAGE = Path(gencli.__file__).parent
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "weights" not in path.relative_to(PACKAGE).parts)
ARTS = {path.parent.name for path in PACKAGE.glob("*/commands.py")} - {"core"}
TERMINAL = {"typer", "click", "rich"}
TERMINAL_FILES = {"app.py", "core/options.py", "core/console.py", "core/commands.py"}
HEAVY = {"torch", "torchvision", "numpy", "PIL", "safetensors"}


def name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(nodes: list[ast.stmt] | Iterator[ast.AST]) -> Iterator[str]:
    """The modules imported by these statements; `from gencli.core import store` is gencli.core.store."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import(path: Path) -> set[str]:
    """Top-level packages that a module imports when it is imported itself, but for what only types need."""
    return {module.split(".")[0] for module in imports(tree(path).body)}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_arrows_point_down(path: Path) -> None:
    place = path.relative_to(PACKAGE).parts[0]
    for module in imports(ast.walk(tree(path))):
        if not module.startswith("gencli."):
            continue
        part = module.split(".")[1]
        if place == "core":
            assert part in {"core", "__version__"}, f"core knows no art, but imports {module}"
        elif place in ARTS:
            assert part in {place, "core", "__version__"}, f"{place} knows no other art, but imports {module}"
        else:
            assert place in {"app.py", "__main__.py", "__init__.py"}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_commands_and_the_console_know_the_terminal(path: Path) -> None:
    if name(path) in TERMINAL_FILES or path.name == "commands.py":
        return
    found = {module.split(".")[0] for module in imports(ast.walk(tree(path)))}
    assert found.isdisjoint(TERMINAL)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_what_help_imports_imports_nothing_heavy(path: Path) -> None:
    package = path.name == "__init__.py" and len(path.relative_to(PACKAGE).parts) <= 2
    if package or path.name in {"commands.py", "__main__.py"} or name(path) in TERMINAL_FILES:
        assert at_import(path).isdisjoint(HEAVY)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_unpickled(path: Path) -> None:
    modules = {module.split(".")[0] for module in imports(ast.walk(tree(path)))}
    assert modules.isdisjoint({"pickle", "cPickle", "dill", "joblib", "shelve", "marshal"})
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called in {"torch.load", "torch.hub.load", "torch.jit.load"}:
            assert called == "torch.load" and given.get("weights_only") == "True", f"line {node.lineno}"
        if called in {"np.load", "numpy.load"}:
            assert given.get("allow_pickle", "False") == "False", f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_library_code_never_prints(path: Path) -> None:
    assert not any(isinstance(node, ast.Call) and ast.unparse(node.func) == "print" for node in ast.walk(tree(path)))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_public_functions_say_what_they_do(path: Path) -> None:
    module = tree(path)
    if path.name == "__init__.py" and not module.body:
        return
    if path.name != "__main__.py":
        assert ast.get_docstring(module), "the module has no docstring"
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if path.name == "__main__.py" or any(ast.unparse(d) == "overload" for d in node.decorator_list):
                continue
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_nothing_is_left_to_do(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert not re.search(r"(?m)^\s*(import pdb|breakpoint\(\))", text)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_random_numbers_come_from_generators_of_their_own(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"torch.manual_seed", "random.seed", "np.random.seed"}, f"line {node.lineno}"
            if called in {"torch.rand", "torch.randn", "torch.randint", "torch.randperm"}:
                assert any(keyword.arg == "generator" for keyword in node.keywords), f"line {node.lineno}"


@pytest.mark.parametrize("path", [path for path in FILES if "Flag(" in path.read_text(encoding="utf-8")], ids=name)
def test_every_option_does_something(path: Path) -> None:
    """Some code reads it, beside the check of its value: the art's, or for what all have, the floor's."""
    nodes = list(ast.walk(tree(path)))
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    checks = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == "__post_init__"]
    within = {id(node) for one in checks for node in ast.walk(one)}
    lines = [node for one in classes for node in one.body if isinstance(node, ast.AnnAssign)]
    flags = {ast.unparse(line.target) for line in lines if "Flag(" in ast.unparse(line.annotation)}
    rooms = {path.relative_to(PACKAGE).parts[0], "core"}
    near = [other for other in FILES if other.parent == PACKAGE or other.relative_to(PACKAGE).parts[0] in rooms]
    nodes = [node for other in near for node in ast.walk(tree(other)) if id(node) not in within]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    named = [node for other in near if other != path for node in ast.walk(tree(other))]  # and then read by name
    words = {node.value for node in named if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    read |= {word.removeprefix("--").replace("-", "_") for word in words}
    assert flags <= read, f"nothing reads {sorted(flags - read)}"


def test_there_are_arts() -> None:
    assert {"stylize", "dream"} <= ARTS
