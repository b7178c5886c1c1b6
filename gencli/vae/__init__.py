"""Variational autoencoders: pictures as points of a space in which they can be changed.

`from gencli.vae import edit, sample, train` gives in Python what the commands give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.vae.editing import edit as edit
    from gencli.vae.learning import train as train
    from gencli.vae.trained import load as load
    from gencli.vae.trained import sample as sample

__all__ = ["edit", "load", "sample", "train"]

__getattr__ = lazily(
    edit="gencli.vae.editing", load="gencli.vae.trained", sample="gencli.vae.trained", train="gencli.vae.learning"
)
