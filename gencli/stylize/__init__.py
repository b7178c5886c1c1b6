"""Paint a photograph in the style of another picture.

Style transfer. `from gencli.stylize import stylize` gives in Python what the command gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.stylize.optimize import stylize as stylize
    from gencli.stylize.options import StylizeOptions as StylizeOptions

__all__ = ["StylizeOptions", "stylize"]

__getattr__ = lazily(stylize="gencli.stylize.optimize", StylizeOptions="gencli.stylize.options")
