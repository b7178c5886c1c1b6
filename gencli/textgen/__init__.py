"""Train language models on texts, and let them write.

`from gencli.textgen import generate, train` gives in Python what the commands give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.textgen.training import train as train
    from gencli.textgen.writer import generate as generate

__all__ = ["generate", "train"]

__getattr__ = lazily(generate="gencli.textgen.writer", train="gencli.textgen.training")
