"""Paint a photograph in the style of another picture.

Style transfer. `from gencli.stylize import stylize` gives in Python what the command gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.stylize.learning import train as train
    from gencli.stylize.optimize import stylize as stylize
    from gencli.stylize.options import StyleTraining as StyleTraining
    from gencli.stylize.options import StylizeOptions as StylizeOptions
    from gencli.stylize.painting import restyle as restyle

__all__ = ["StyleTraining", "StylizeOptions", "restyle", "stylize", "train"]

__getattr__ = lazily(
    StyleTraining="gencli.stylize.options",
    StylizeOptions="gencli.stylize.options",
    restyle="gencli.stylize.painting",
    stylize="gencli.stylize.optimize",
    train="gencli.stylize.learning",
)
