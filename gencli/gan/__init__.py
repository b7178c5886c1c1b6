"""Adversarial networks: a generator learns to draw what a discriminator takes for real.

`from gencli.gan import load, sample, train` gives in Python what the commands give.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.gan.learning import train as train
    from gencli.gan.trained import load as load
    from gencli.gan.trained import sample as sample

__all__ = ["load", "sample", "train"]

__getattr__ = lazily(load="gencli.gan.trained", sample="gencli.gan.trained", train="gencli.gan.learning")
