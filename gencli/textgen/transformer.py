"""Transformers: a modern one, and the textbook's. Both see a window of tokens at once.

A text may be longer. Its tokens are read into the window one after the other; when it is full, it moves on:
its last half is read anew, as if the text began there. So a token is predicted from between half a window and
a whole one, as in training, and no key in the cache knows of a token outside of the window.
Letting the oldest keys go one by one instead would save that reading, but what a layer has made of the
tokens it cannot see any more would stay in the others, which no training has shown; and learned positions
would not allow it. What a token is predicted from depends on its place in the text only, never on the
portions in which the text was read.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.textgen.language import LanguageModel

Rotation = tuple[Tensor, Tensor]

LEAST_ROOM = 64  # tokens


class Cache:
    """The window's tokens (B, n), and each block's keys and values, (B, 2, heads, ≥ n, head width).

    Buffers have room for more, and are shared: going on from a cache writes behind what it knows, which it
    never looks at. Only who comes first may do so: `used` counts the tokens that stand in the buffers.
    """

    def __init__(self, tokens: Tensor, known: list[Tensor], used: list[int]) -> None:
        self.tokens, self.known, self.used = tokens, known, used
        self.length = tokens.shape[1]

    def before(self, tokens: Tensor, limit: int) -> Cache:
        """A cache of these tokens (B, n) and more (B, T), whose keys and values the blocks are to `add`."""
        longer, length = torch.cat([self.tokens, tokens], 1), self.length
        if not self.known:
            return Cache(longer, [], [longer.shape[1]])
        buffer = self.known[0]
        free = buffer.shape[3] >= longer.shape[1] and self.used[0] == length
        # in a graph nothing may be overwritten; nor outside of inference mode what was made in it
        if free and not torch.is_grad_enabled() and buffer.is_inference() == torch.is_inference_mode_enabled():
            self.used[0] = longer.shape[1]
            return Cache(longer, self.known, self.used)
        size = min(max(2 * longer.shape[1], LEAST_ROOM), limit)
        return Cache(longer, [_with_room(held[:, :, :, :length], size) for held in self.known], [longer.shape[1]])

    def add(self, block: int, new: Tensor) -> Tensor:
        """Put a block's newest keys and values (B, 2, heads, T, head width) in; all of them, (B, 2, heads, n, …)."""
        if block == len(self.known):  # nothing came before
            self.known.append(new)
            return new
        count = new.shape[3]
        self.known[block].narrow(3, self.length - count, count).copy_(new)
        return self.known[block].narrow(3, 0, self.length)

    def rows(self, indices: Tensor) -> Cache:
        known = [held[:, :, :, : self.length].index_select(0, indices) for held in self.known]
        return Cache(self.tokens.index_select(0, indices), known, [self.length])


def _with_room(held: Tensor, size: int) -> Tensor:
    *outer, length, width = held.shape
    return torch.cat([held, held.new_empty(*outer, size - length, width)], 3)


class Attention(nn.Module):
    """Causal multi-head attention (Vaswani et al. 2017), with rotary positions where they are given.

    There is no dropout of the weights: the fused kernels for CPUs have none, and it helps little.
    """

    def __init__(self, width: int, heads: int, head_width: int, bias: bool) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.inputs = nn.Linear(width, 3 * heads * head_width, bias)
        self.output = nn.Linear(heads * head_width, width, bias)

    def forward(self, x: Tensor, cache: Cache, block: int, rotation: Rotation | None = None) -> Tensor:
        rows, count, _ = x.shape
        projected = self.inputs(x).view(rows, count, 3, self.heads, self.head_width)
        if rotation is not None:
            projected = rotate(projected, rotation)
        query, new = projected.permute(0, 2, 3, 1, 4).split_with_sizes((1, 2), 1)  # (B, …, heads, T, head width)
        keys, values = cache.add(block, new).unbind(1)
        mask = None
        if 1 < count < cache.length:  # `is_causal` would count the queries from the first key on
            mask = torch.ones(count, cache.length, dtype=torch.bool, device=x.device).tril(cache.length - count)
        causal = 1 < count == cache.length
        mixed = F.scaled_dot_product_attention(query.squeeze(1), keys, values, mask, is_causal=causal)
        return self.output(mixed.transpose(1, 2).reshape(rows, count, -1))


def rotary(length: int, head_width: int) -> Rotation:
    """Cosines and sines (length, 3, 1, head width) that turn pairs of features by angles that grow with the position.

    Su et al. 2021. Feature i is paired with i + head width / 2; the sines' signs are those `rotate` needs. Of the
    three, queries and keys are turned and values left alone, which takes fewer operations than keeping them apart.
    """
    half = head_width // 2
    speeds = 10_000 ** (-torch.arange(half, dtype=torch.float64) / half)  # radians a position
    speeds = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64).view(3, 1, 1) * speeds
    angles = torch.arange(length, dtype=torch.float64).view(-1, 1, 1, 1) * speeds
    cosines, sines = angles.cos(), angles.sin()
    return torch.cat([cosines, cosines], -1).float(), torch.cat([-sines, sines], -1).float()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn features (…, T, 3, heads, head width) by the angles of their positions, (T, 3, 1, head width)."""
    cosines, sines = rotation
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, -1), sines).type_as(x)


class PreNormBlock(nn.Module):
    """x + attention(norm x), then x + feed-forward(norm x): gradients pass unscaled (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.attention = Attention(width, heads, width // heads, bias=False)
        self.expand = nn.Linear(width, feed_forward, bias=False)
        self.contract = nn.Linear(feed_forward, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache, block: int, rotation: Rotation) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x), cache, block, rotation))
        return x + self.dropout(self.contract(F.relu(self.expand(self.mlp_norm(x))).square()))


class PostNormBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + feed-forward(x)), as in Vaswani et al. 2017 and in the textbook,
    where each head is as wide as the model."""

    def __init__(self, width: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, width, bias=True)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.expand, self.contract = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, cache: Cache, block: int) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, cache, block)))
        return self.mlp_norm(x + self.dropout(self.contract(F.relu(self.expand(x)))))


class Windowed(LanguageModel):
    """A Transformer whose window moves on by half of it."""

    window: int
    blocks: nn.ModuleList

    @abstractmethod
    def look(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Tokens (B, T), the last of those in the window → features (B, T, width).

        Adds their keys and values to the cache.
        """

    def features(self, tokens: Tensor, state: Cache | None = None) -> tuple[Tensor, Cache]:
        cache = Cache(tokens[:, :0], [], [0]) if state is None else state
        found = []
        while tokens.shape[1]:
            if cache.length == self.window:
                cache = self.moved_on(cache.tokens)
            room = self.window - cache.length
            new, tokens = tokens[:, :room], tokens[:, room:]
            cache = cache.before(new, self.window)
            found.append(self.look(new, cache))
        return (found[0] if len(found) == 1 else torch.cat(found, 1)), cache

    def moved_on(self, tokens: Tensor) -> Cache:
        """What goes on from a full window, (B, window)."""
        kept = tokens[:, self.window - self.window // 2 :]
        moved = Cache(kept, [], [kept.shape[1]])
        if kept.shape[1]:
            self.look(kept, moved)
        return moved

    def rows(self, state: Cache, indices: Tensor) -> Cache:
        return state.rows(indices)

    def hidden_matrices(self) -> Iterator[tuple[nn.Parameter, int]]:
        for block in self.blocks:
            for name, module in block.named_modules():
                if isinstance(module, nn.Linear):
                    yield (
                        cast(nn.Parameter, module.weight),
                        3 if name == "attention.inputs" else 1,
                    )  # queries, keys and values


class Transformer(Windowed):
    """Decoder-only Transformer: norms before each part, rotary positions, the embedding tied to the output
    (Press & Wolf 2017), squared ReLU (So et al. 2021), no biases.

    The norms are layer norms without bias: on CPUs they take a fifth of the time of RMS norms.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        window: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.vocabulary, self.window = vocabulary, window
        self.embedding = nn.Parameter(torch.empty(vocabulary, width))
        self.blocks = nn.ModuleList(PreNormBlock(width, heads, feed_forward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=False)
        self.dropout = nn.Dropout(dropout)
        cosines, sines = rotary(window, width // heads)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)

    def look(self, tokens: Tensor, cache: Cache) -> Tensor:
        start, count = cache.length - tokens.shape[1], tokens.shape[1]
        rotation = self.cosines.narrow(0, start, count), self.sines.narrow(0, start, count)
        x = self.dropout(F.embedding(tokens, self.embedding))
        for index, block in enumerate(self.blocks):
            x = block(x, cache, index, rotation)
        return self.norm(x)

    def head(self, features: Tensor) -> Tensor:
        return F.linear(features, self.embedding)

    @torch.no_grad()
    def initialise(self, draw: torch.Generator) -> None:
        """Normal weights of 0.02; what adds to the residual stream is smaller the more do (Radford et al. 2019)."""
        nn.init.normal_(self.embedding, std=0.02, generator=draw)
        residual = 0.02 / (2 * len(self.blocks)) ** 0.5
        for block in self.blocks:
            assert isinstance(block, PreNormBlock)
            for part, std in _parts(block, 0.02, residual):
                nn.init.normal_(part.weight, std=std, generator=draw)
        for norm in self.modules():
            if isinstance(norm, nn.LayerNorm):
                nn.init.ones_(norm.weight)


def _parts(block: PreNormBlock, inner: float, residual: float) -> Iterable[tuple[nn.Linear, float]]:
    return (
        (block.attention.inputs, inner),
        (block.attention.output, residual),
        (block.expand, inner),
        (block.contract, residual),
    )


class TextbookTransformer(Windowed):
    """The textbook's: learned positions, norms behind each part, ReLU, biases, an output layer of its own.

    Padding may stand behind a text: it is never attended to from before it, so only the loss must leave it out.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        layers: int,
        heads: int,
        window: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.vocabulary, self.window = vocabulary, window
        self.embedding = nn.Parameter(torch.empty(vocabulary, width))
        self.positions = nn.Parameter(torch.empty(window, width))
        self.blocks = nn.ModuleList(PostNormBlock(width, heads, feed_forward, dropout) for _ in range(layers))
        self.dense = nn.Linear(width, vocabulary)

    def look(self, tokens: Tensor, cache: Cache) -> Tensor:
        positions = self.positions[cache.length - tokens.shape[1] : cache.length]
        x = F.embedding(tokens, self.embedding) + positions
        for index, block in enumerate(self.blocks):
            x = block(x, cache, index)
        return x

    def head(self, features: Tensor) -> Tensor:
        return self.dense(features)

    @torch.no_grad()
    def initialise(self, draw: torch.Generator) -> None:
        """As Keras does: small uniform embeddings, and uniform weights after Glorot & Bengio 2010."""
        for table in (self.embedding, self.positions):
            nn.init.uniform_(table, -0.05, 0.05, generator=draw)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight, generator=draw)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, Attention):
                for projection in module.inputs.weight.chunk(3):  # queries, keys and values, each by itself
                    nn.init.xavier_uniform_(projection, generator=draw)
