"""Train language models on texts, and let them write.

`from gencli.textgen import generate, train` gives in Python what the commands give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gencli.textgen.training import train as train
    from gencli.textgen.writer import generate as generate

__all__ = ["generate", "train"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line's help must not wait for PyTorch."""
    if name == "generate":
        from gencli.textgen.writer import generate

        return generate
    if name == "train":
        from gencli.textgen.training import train

        return train
    raise AttributeError(name)
