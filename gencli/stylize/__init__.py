"""Paint a photograph in the style of another picture.

Style transfer. `from gencli.stylize import stylize` gives in Python what the command gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gencli.stylize.optimize import stylize as stylize
    from gencli.stylize.options import StylizeOptions as StylizeOptions

__all__ = ["StylizeOptions", "stylize"]


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: the command line's help must not wait for PyTorch."""
    if name == "stylize":
        from gencli.stylize.optimize import stylize

        return stylize
    if name == "StylizeOptions":
        from gencli.stylize.options import StylizeOptions

        return StylizeOptions
    raise AttributeError(name)
