"""Reading on, a token at a time.

So little is to be computed for one token that on a CPU torch takes most of the time to get ready for it. There
the models' mathematics stands here once more, in numpy, which takes a third of the time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gencli.textgen.language import LanguageModel, State
from gencli.textgen.recurrent import Memory, Recurrent
from gencli.textgen.transformer import Cache, PreNormBlock, Transformer

Array: TypeAlias = npt.NDArray[np.float32]
Numbers: TypeAlias = npt.NDArray[np.float64]

TABLE = 1 << 22  # numbers, at most, of what all tokens put into the first layer's gates


class Steps(ABC):
    """Rows of a text that go on token by token."""

    @abstractmethod
    def step(self, tokens: Sequence[int]) -> Numbers:
        """A token more in each row (B,) → the logits (B, vocabulary) of what comes next."""

    @abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows, in this order, each as often as it is named."""


def begin(model: LanguageModel, tokens: Tensor) -> tuple[Numbers, Steps]:
    """Read how a text begins, int64 (1, T ≥ 1): the logits (1, vocabulary) of what comes next, and how to go on.

    The model is in evaluation mode.
    """
    device = next(model.parameters()).device
    with torch.inference_mode():
        logits, state = model.read(tokens.to(device))
    return _numbers(logits), _steps(model, state, device)


def _steps(model: LanguageModel, state: State, device: torch.device) -> Steps:
    if device.type == "cpu" and isinstance(model, Recurrent):
        return RecurrentSteps(model, state)
    if device.type == "cpu" and isinstance(model, Transformer):
        return TransformerSteps(model, state)
    return TorchSteps(model, state, device)


def _numbers(logits: Tensor) -> Numbers:
    found: Numbers = logits.to("cpu", torch.float64).numpy()
    return found


def _array(tensor: Tensor) -> Array:
    """A weight or a state; the memory is shared."""
    found: Array = tensor.detach().float().numpy()
    return found


class TorchSteps(Steps):
    """With any model, on any device."""

    def __init__(self, model: LanguageModel, state: State, device: torch.device) -> None:
        self.model, self.state, self.device = model, state, device

    def step(self, tokens: Sequence[int]) -> Numbers:
        with torch.inference_mode():
            logits, self.state = self.model.read(torch.tensor(tokens, device=self.device)[:, None], self.state)
        return _numbers(logits)

    def keep(self, rows: Sequence[int]) -> None:
        with torch.inference_mode():
            self.state = self.model.rows(self.state, torch.tensor(rows, device=self.device))


class RecurrentSteps(Steps):
    """LSTM and GRU, as PyTorch defines them.

    What a token puts into the first layer's gates depends on nothing else: a table knows it, if it is not too
    large.
    """

    def __init__(self, model: Recurrent, memory: Memory) -> None:
        self.cell = _lstm if model.cell == "lstm" else _gru
        self.memory = [[_array(tensor[layer]) for tensor in memory] for layer in range(model.layers.num_layers)]
        self.layers = [[_array(weight) for weight in weights] for weights in model.layers.all_weights]
        self.embedding = _array(model.embedding)
        self.head, self.bias = _array(model.dense.weight), _array(model.dense.bias)
        weight, _, bias, _ = self.layers[0]
        self.tabled = len(self.embedding) * len(bias) <= TABLE
        if self.tabled:
            self.embedding = self.embedding @ weight.T + bias

    def step(self, tokens: Sequence[int]) -> Numbers:
        x = self.embedding.take(tokens, 0)
        for layer, (weight_in, weight_hidden, bias_in, bias_hidden) in enumerate(self.layers):
            given = x if layer == 0 and self.tabled else x @ weight_in.T + bias_in
            hidden = self.memory[layer][0] @ weight_hidden.T + bias_hidden
            self.memory[layer] = self.cell(given, hidden, self.memory[layer])
            x = self.memory[layer][0]
        return (x @ self.head.T + self.bias).astype(np.float64)

    def keep(self, rows: Sequence[int]) -> None:
        self.memory = [[held[rows] for held in memory] for memory in self.memory]


def _lstm(given: Array, hidden: Array, memory: list[Array]) -> list[Array]:
    """Gates from the input and from what is remembered, (B, 4 · width) each → h and c. Gers et al. 2000."""
    gates, width = given + hidden, memory[0].shape[1]
    candidate = np.tanh(gates[:, 2 * width : 3 * width])
    open_ = _sigmoid(gates)  # the candidate's in vain: one long call is quicker than two
    c = open_[:, width : 2 * width] * memory[1] + open_[:, :width] * candidate
    return [open_[:, 3 * width :] * np.tanh(c), c]


def _gru(given: Array, hidden: Array, memory: list[Array]) -> list[Array]:
    """Gates from the input and from what is remembered, (B, 3 · width) each → h. Cho et al. 2014."""
    (h,) = memory
    width = h.shape[1]
    gates = _sigmoid(given[:, : 2 * width] + hidden[:, : 2 * width])
    candidate = np.tanh(given[:, 2 * width :] + gates[:, :width] * hidden[:, 2 * width :])
    return [candidate + gates[:, width:] * (h - candidate)]


def _sigmoid(x: Array) -> Array:
    half: Array = 0.5 * np.tanh(0.5 * x) + 0.5  # without e^x, which may be too large
    return half


class TransformerSteps(Steps):
    """`transformer.Transformer`: its keys and values stand in buffers with room for a whole window.

    A layer norm takes the mean out of the residual stream. So it changes nothing to leave it out of all that is
    added to it; then the norms need not look for it. And their weights are multiplied into the matrix behind.
    """

    def __init__(self, model: Transformer, cache: Cache) -> None:
        self.model = model
        embedding = _array(model.embedding)
        self.embedding = embedding - embedding.mean(1, keepdims=True)
        self.head, self.eps = (embedding * _array(model.norm.weight)).T, model.norm.eps
        self.blocks = [_Block(block) for block in model.blocks if isinstance(block, PreNormBlock)]
        # of queries, keys and values; as (window, 3, 1, 2, head width / 2), whose halves are turned as pairs
        cosines, sines = (_array(part).reshape(model.window, 3, 1, 2, -1) for part in (model.cosines, model.sines))
        width = model.cosines.shape[-1]
        scale = np.array([1 / math.sqrt(width), 1, 1], np.float32).reshape(3, 1, 1, 1)
        self.cosines, self.sines = cosines * scale, sines * scale  # a query's products are scaled in attention
        self._take_over(cache)

    def _take_over(self, cache: Cache) -> None:
        rows, window, self.length = len(cache.tokens), self.model.window, cache.length
        self.tokens = np.empty((rows, window), np.int64)
        self.tokens[:, : self.length] = cache.tokens.numpy()
        heads, width = self.blocks[0].heads, self.cosines.shape[-1] * 2
        self.known = [np.empty((rows, 2, heads, window, width), np.float32) for _ in self.blocks]
        for buffer, held in zip(self.known, cache.known, strict=False):  # a window of one keeps nothing
            buffer[:, :, :, : self.length] = _array(held[:, :, :, : self.length])

    def step(self, tokens: Sequence[int]) -> Numbers:
        if self.length == self.model.window:
            with torch.inference_mode():
                self._take_over(self.model.moved_on(torch.from_numpy(self.tokens)))
        self.tokens[:, self.length] = tokens
        x = self.embedding.take(tokens, 0)
        for block, known in zip(self.blocks, self.known, strict=True):
            x = block.step(x, known, self.length, self.cosines[self.length], self.sines[self.length])
        self.length += 1
        return (x @ self.head * _norm_scale(x, self.eps)).astype(np.float64)

    def keep(self, rows: Sequence[int]) -> None:
        self.tokens = self.tokens[rows]
        self.known = [held[rows] for held in self.known]


class _Block:
    """A `PreNormBlock`'s matrices, and what it makes of one token."""

    def __init__(self, block: PreNormBlock) -> None:
        attention = block.attention
        self.heads, self.eps = attention.heads, (block.attention_norm.eps, block.mlp_norm.eps)
        self.inputs = (_array(attention.inputs.weight) * _array(block.attention_norm.weight)).T
        self.expand = (_array(block.expand.weight) * _array(block.mlp_norm.weight)).T
        added = (_array(layer.weight) for layer in (attention.output, block.contract))
        self.output, self.contract = ((weight - weight.mean(0)).T for weight in added)

    def step(self, x: Array, known: Array, length: int, cosines: Array, sines: Array) -> Array:
        """Features (B, width); puts the token's key and value behind the `length` that are known."""
        rows = len(x)
        pairs = (x @ self.inputs * _norm_scale(x, self.eps[0])).reshape(rows, 3, self.heads, 2, -1)
        turned = (pairs * cosines + pairs[..., ::-1, :] * sines).reshape(rows, 3, self.heads, -1)
        known[:, :, :, length] = turned[:, 1:]
        keys, values = known[:, 0, :, : length + 1], known[:, 1, :, : length + 1]  # (B, heads, n, head width)
        scores = keys @ turned[:, 0, :, :, None]  # (B, heads, n, 1)
        weights = np.exp(scores - np.maximum.reduce(scores, 2, keepdims=True))
        mixed = weights.swapaxes(2, 3) @ values / np.add.reduce(weights, 2, keepdims=True)
        x = x + mixed.reshape(rows, -1) @ self.output
        inner = np.maximum(x @ self.expand, 0) * _norm_scale(x, self.eps[1])
        inner *= inner
        total: Array = x + inner @ self.contract
        return total


def _norm_scale(x: Array, eps: float) -> Array:
    """What a layer norm (Ba et al. 2016) multiplies rows (B, width) without a mean by, (B, 1)."""
    scale: Array = 1 / np.sqrt(np.einsum("ij,ij->i", x, x) / x.shape[1] + eps)
    return scale[:, None]
