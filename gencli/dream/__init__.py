"""Let a network dream of a photograph, and train networks that dream of what they have seen.

`from gencli.dream import dream` gives in Python what the command gives; `Layer`, `Channel`, `category` and `guide` are
what to dream of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gencli.core.lazily import lazily

if TYPE_CHECKING:
    from gencli.dream.dreaming import dream as dream
    from gencli.dream.dreaming import load_backbone as load_backbone
    from gencli.dream.objective import Channel as Channel
    from gencli.dream.objective import Layer as Layer
    from gencli.dream.objective import category as category
    from gencli.dream.objective import guide as guide
    from gencli.dream.options import DreamOptions as DreamOptions
    from gencli.dream.options import Visualization as Visualization
    from gencli.dream.visualizing import visualize as visualize

__all__ = [
    "Channel",
    "DreamOptions",
    "Layer",
    "Visualization",
    "category",
    "dream",
    "guide",
    "load_backbone",
    "visualize",
]

__getattr__ = lazily(
    Channel="gencli.dream.objective",
    DreamOptions="gencli.dream.options",
    Layer="gencli.dream.objective",
    Visualization="gencli.dream.options",
    category="gencli.dream.objective",
    dream="gencli.dream.dreaming",
    guide="gencli.dream.objective",
    load_backbone="gencli.dream.dreaming",
    visualize="gencli.dream.visualizing",
)
