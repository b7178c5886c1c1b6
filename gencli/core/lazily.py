"""Importing only when needed: the command line's help must not wait for PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazily(**modules: str) -> Callable[[str], Any]:
    """A package's `__getattr__` for names that live in its modules: each is imported when it is first asked for."""

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(name)
        return getattr(import_module(modules[name]), name)

    return get
