"""What every language model offers.

A model reads tokens and says, at each, what may come next. What it remembers of the tokens read so far is
its *state*: handed back in, reading goes on where it stopped, so writing costs the same at each token.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

READ_AT_ONCE = 1024  # tokens of a prompt

State = Any  # of a model's own kind; never changed: reading on makes a new one


class LanguageModel(nn.Module, ABC):
    """Tokens → logits of the tokens that come next."""

    vocabulary: int
    window: int | None = None  # the most tokens it sees at once; None: there is no limit

    @abstractmethod
    def features(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Tokens, int64 (B, T) → what `head` reads the next token from, (B, T, width), and the state after them.

        `state` None is the beginning of a text.
        """

    @abstractmethod
    def head(self, features: Tensor) -> Tensor:
        """(…, width) → logits (…, vocabulary)."""

    @abstractmethod
    def rows(self, state: State, indices: Tensor) -> State:
        """The state of some rows, int64 (N,), each as often as it is named."""

    @abstractmethod
    def hidden_matrices(self) -> Iterator[tuple[nn.Parameter, int]]:
        """The matrices between hidden features, and of how many that stand one below the other each is made."""

    @abstractmethod
    def initialise(self, draw: torch.Generator) -> None:
        """Fresh weights for a model on the CPU."""

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Tokens, int64 (B, T) → logits (B, T, vocabulary) and the state after them."""
        features, state = self.features(tokens, state)
        return self.head(features), state

    def read(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read tokens, int64 (B, T ≥ 1), for what comes after the last: logits (B, vocabulary) and the state.

        Takes a prompt of any length: in pieces, and without what a window leaves behind anyway.
        """
        if self.window is not None and tokens.shape[1] >= self.window:
            tokens, state = tokens[:, -self.window :], None
        for piece in tokens.split(READ_AT_ONCE, dim=1):
            features, state = self.features(piece, state)
        return self.head(features[:, -1]), state
