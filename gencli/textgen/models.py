"""Language models by name."""

from __future__ import annotations

from gencli.core.errors import UsageError
from gencli.textgen.language import LanguageModel
from gencli.textgen.recurrent import Memory, Recurrent
from gencli.textgen.transformer import TextbookTransformer, Transformer

__all__ = ["LanguageModel", "build", "detached"]


def build(
    arch: str,
    vocabulary: int,
    *,
    width: int,
    layers: int,
    context: int,
    dropout: float,
    embedding: int,
    heads: int,
    feed_forward: int | None,
) -> LanguageModel:
    """A model whose weights are still to be drawn or loaded.

    `arch` is lstm, gru, transformer or transformer-book. Of the rest recurrent models use the `embedding`'s
    width (0: one-hot); Transformers `context`, the length of their window, `heads`, and the width of their
    `feed_forward` layers (None: four times `width`).

    Raises UsageError for an architecture that there is not, and for widths that heads cannot share.
    """
    if arch in Recurrent.GATES:
        return Recurrent(arch, vocabulary, width, layers, embedding, dropout)
    kinds = {"transformer": Transformer, "transformer-book": TextbookTransformer}
    if arch not in kinds:
        raise UsageError(
            f"--arch {arch}: there is no such architecture", f"use {', '.join([*Recurrent.GATES, *kinds])}"
        )
    if arch == "transformer" and width % (2 * heads):
        raise UsageError(
            f"--width {width} cannot be shared by {heads} heads, whose features are turned in pairs",
            f"use a multiple of {2 * heads}",
        )
    return kinds[arch](vocabulary, width, layers, heads, context, feed_forward or 4 * width, dropout)


def detached(memory: Memory) -> Memory:
    """A recurrent model's state, cut from the graph that made it (truncated back-propagation through time)."""
    return tuple(tensor.detach() for tensor in memory)
