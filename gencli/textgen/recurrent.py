"""Recurrent language models: LSTM and GRU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.textgen.language import LanguageModel

Memory = tuple[Tensor, ...]  # of each layer, (layers, B, width): h and c of an LSTM, h of a GRU


class Recurrent(LanguageModel):
    """Layers of LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000) or GRU (Cho et al. 2014).

    `embedding` is the width in which tokens come in; 0 feeds them one-hot. Dropout stands between the layers
    and before the dense softmax, not in the recurrence (Zaremba et al. 2014).
    """

    GATES: ClassVar[dict[str, int]] = {"lstm": 4, "gru": 3}

    def __init__(self, cell: str, vocabulary: int, width: int, layers: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.vocabulary, self.cell = vocabulary, cell
        if embedding:
            self.embedding = nn.Parameter(torch.empty(vocabulary, embedding))
        else:
            self.register_buffer("embedding", torch.eye(vocabulary), persistent=False)
        layer = nn.LSTM if cell == "lstm" else nn.GRU
        between = dropout if layers > 1 else 0.0
        self.layers = layer(embedding or vocabulary, width, layers, batch_first=True, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, vocabulary)

    def features(self, tokens: Tensor, state: Memory | None = None) -> tuple[Tensor, Memory]:
        inputs = F.embedding(tokens, self.embedding)  # (B, T, embedding)
        if self.cell == "lstm":
            outputs, memory = self.layers(inputs, state)
            return self.dropout(outputs), memory
        outputs, hidden = self.layers(inputs, None if state is None else state[0])
        return self.dropout(outputs), (hidden,)

    def rows(self, state: Memory, indices: Tensor) -> Memory:
        return tuple(tensor.index_select(1, indices) for tensor in state)

    def hidden_matrices(self) -> Iterator[tuple[nn.Parameter, int]]:
        for weight_in, weight_hidden, *_ in self.layers.all_weights:
            yield weight_in, self.GATES[self.cell]
            yield weight_hidden, self.GATES[self.cell]

    def head(self, features: Tensor) -> Tensor:
        return self.dense(features)

    @torch.no_grad()
    def initialise(self, draw: torch.Generator) -> None:
        """Orthogonal recurrent weights (Saxe et al. 2014); the forget gates open (Jozefowicz et al. 2015)."""
        if isinstance(self.embedding, nn.Parameter):
            nn.init.normal_(self.embedding, generator=draw)
        gates = self.GATES[self.cell]
        for weight_in, weight_hidden, bias_in, bias_hidden in self.layers.all_weights:
            for gate in range(gates):
                nn.init.xavier_uniform_(weight_in.chunk(gates)[gate], generator=draw)
                nn.init.orthogonal_(weight_hidden.chunk(gates)[gate], generator=draw)
            bias_in.zero_()
            bias_hidden.zero_()
            if self.cell == "lstm":
                bias_in.chunk(gates)[1].fill_(1.0)  # the gates are input, forget, cell, output
        nn.init.xavier_uniform_(self.dense.weight, generator=draw)
        nn.init.zeros_(self.dense.bias)
