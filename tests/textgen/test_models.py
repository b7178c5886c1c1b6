"""Language models: counts, caches, windows, causality, rows, fresh weights, and that they learn."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gencli.core.errors import UsageError
from gencli.textgen import models
from gencli.textgen.language import READ_AT_ONCE, LanguageModel
from gencli.textgen.recurrent import Recurrent
from gencli.textgen.transformer import TextbookTransformer, Transformer, Windowed

VOCABULARY, WINDOW = 11, 8
ARCHITECTURES = ["lstm", "gru", "transformer", "transformer-book"]
TRANSFORMERS = ARCHITECTURES[2:]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(arch: str, seed: int = 0, **changes: Any) -> LanguageModel:
    """A small model whose weights are large enough for its inputs to matter, in evaluation mode."""
    sizes: dict[str, Any] = {"width": 12, "layers": 2, "context": WINDOW, "dropout": 0.0, "embedding": 6, "heads": 2}
    model = models.build(arch, VOCABULARY, **(sizes | {"feed_forward": None} | changes))
    model.initialise(generator(seed))
    if model.window is not None:
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    nn.init.normal_(weight, std=0.5, generator=generator(seed + 1))
    return model.eval()


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCABULARY, (rows, length), generator=generator(seed))


def size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------ sizes


@pytest.mark.parametrize(("arch", "gates"), [("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("embedding", [0, 6])
def test_size_of_recurrent_models(arch: str, gates: int, layers: int, embedding: int) -> None:
    h, inputs = 12, embedding or VOCABULARY
    recurrent = gates * h * (inputs + h + 2) + (layers - 1) * gates * h * (2 * h + 2)
    wanted = VOCABULARY * embedding + recurrent + h * VOCABULARY + VOCABULARY
    assert size(make(arch, width=h, layers=layers, embedding=embedding)) == wanted


def test_size_of_the_transformer() -> None:
    d, layers, inner = 16, 3, 40
    block = 3 * d * d + d * d + 2 * d * inner + 2 * d  # attention, feed-forward, two norms
    model = make("transformer", width=d, layers=layers, feed_forward=inner)
    assert size(model) == VOCABULARY * d + layers * block + d
    assert size(make("transformer", width=d)) == size(make("transformer", width=d, feed_forward=4 * d))


def test_size_of_the_textbook_transformer() -> None:
    """Token and position embeddings of 256, one block with 2 heads of 256 and 2048 units, dense."""
    v, d, heads, inner, length = VOCABULARY, 256, 2, 2048, 99
    attention = 3 * (d * heads * d + heads * d) + heads * d * d + d
    block = attention + 2 * d * inner + inner + d + 4 * d
    model = make("transformer-book", width=d, layers=1, heads=heads, feed_forward=inner, context=length)
    assert size(model) == v * d + length * d + block + d * v + v


# ------------------------------------------------------------------ states


@pytest.mark.parametrize("arch", [*ARCHITECTURES, "one-hot"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 13), min_size=1, max_size=6), st.integers(0, 99))
def test_reading_in_portions_is_reading_at_once(arch: str, portions: list[int], seed: int) -> None:
    """Also far beyond the window, which moves on at the same places whatever the portions are."""
    model = make("lstm", embedding=0) if arch == "one-hot" else make(arch)
    text = tokens(2, sum(portions), seed)
    with torch.inference_mode():
        whole, _ = model(text)
        state, found = None, []
        for part in text.split(portions, 1):
            logits, state = model(part, state)
            found.append(logits)
    assert whole.shape == (2, sum(portions), VOCABULARY)
    close(torch.cat(found, 1), whole)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, nullcontext])
def test_a_state_can_be_gone_on_from_twice(arch: str, mode: type[AbstractContextManager[None]]) -> None:
    """Going on changes no state, though caches share their memory."""
    model, begun, one, other = make(arch, context=32), tokens(1, 4), tokens(1, 3, 1), tokens(1, 3, 2)
    with mode():
        _, state = model(begun)
        _, state = model(tokens(1, 1, 3), state)  # has room for more now
        first, after_first = model(one, state)
        second, after_second = model(other, state)
        again, _ = model(one, state)
        close(again, first)
        assert not torch.allclose(first[:, 0], second[:, 0])
        for part, after in ((one, after_first), (other, after_second)):
            text = torch.cat([begun, tokens(1, 1, 3), part, begun], 1)
            close(model(begun, after)[0], model(text)[0][:, -4:])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_state_made_in_inference_mode_serves_outside_of_it(arch: str) -> None:
    model, text = make(arch), tokens(1, 6)
    with torch.inference_mode():
        _, state = model(text[:, :3])
        _, state = model(text[:, 3:4], state)
    with torch.no_grad():
        found, _ = model(text[:, 4:], state)
        close(found, model(text)[0][:, 4:])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_rows_of_a_state(arch: str) -> None:
    model, text, more = make(arch), tokens(3, 5), tokens(4, 6, 1)
    order = torch.tensor([2, 0, 0, 1])
    with torch.inference_mode():
        _, state = model(text)
        _, state = model(more[:3, :1], state)
        found, _ = model(more, model.rows(state, order))
        joined = torch.cat([text, more[:3, :1]], 1)[order]
        close(found, model(torch.cat([joined, more], 1))[0][:, 6:])


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_gradients_pass_through_states(arch: str) -> None:
    """As long as nobody cuts them: in portions they are those of the whole text."""
    model, text = make(arch), tokens(2, 7)

    def gradients(*portions: int) -> list[Tensor]:
        state, loss = None, torch.zeros(())
        for part in text.split(portions, 1):
            logits, state = model(part, state)
            loss = loss + logits.square().sum()
        return list(torch.autograd.grad(loss, list(model.parameters())))

    for found, wanted in zip(gradients(3, 1, 3), gradients(7), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_a_detached_memory_ends_the_graph() -> None:
    model = make("lstm")
    _, memory = model(tokens(2, 5))
    assert all(tensor.requires_grad for tensor in memory)
    cut = models.detached(memory)
    assert not any(tensor.requires_grad for tensor in cut)
    close(torch.stack(cut), torch.stack(memory))


# ------------------------------------------------------------------ what is seen


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nothing_is_known_of_the_future_or_of_other_rows(arch: str) -> None:
    """So padding behind a text does not matter to it either."""
    model, text = make(arch), tokens(3, WINDOW)
    changed = text.clone()
    changed[0, 5:] = (changed[0, 5:] + 1) % VOCABULARY
    with torch.inference_mode():
        before, after = model(text)[0], model(changed)[0]
        close(after[0, :5], before[0, :5])
        close(after[1:], before[1:])
        assert not torch.isclose(after[0, 5:], before[0, 5:]).all(-1).any()
        for row in range(3):
            close(model(text[row : row + 1])[0][0], before[row])


@pytest.mark.parametrize("arch", TRANSFORMERS)
@pytest.mark.parametrize("window", [1, 7, 8])
def test_a_full_window_moves_on_by_half(arch: str, window: int) -> None:
    """Each token is predicted from the window it falls into, as if the text began there."""
    model, text = make(arch, context=window), tokens(2, 30)
    starts = range(0, 30, window - window // 2)
    with torch.inference_mode():
        logits, state = model(text)
        for place in range(30):
            start = next(start for start in starts if place < start + window)
            close(logits[:, place], model(text[:, start : place + 1])[0][:, -1])
    assert state.length <= window
    assert all(held.shape[3] <= window for held in state.known)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("length", [1, 5, WINDOW, 2 * WINDOW + 1, READ_AT_ONCE + 3])
def test_read_gives_what_comes_after_a_prompt(arch: str, length: int) -> None:
    model, text = make(arch), tokens(1, length)
    seen = text if model.window is None else text[:, -WINDOW:]
    with torch.inference_mode():
        logits, state = model.read(text)
        close(logits, model(seen)[0][:, -1])
        more, _ = model.read(tokens(1, 2), state)
        close(more, model(torch.cat([seen, tokens(1, 2)], 1))[0][:, -1])


def test_dropout_is_for_training_only() -> None:
    """Also when a single token is read."""
    for arch in ARCHITECTURES:
        model, text = make(arch, dropout=0.5), tokens(4, 1)
        _, state = model(tokens(4, 2))
        close(model(text, state)[0], model(text, state)[0])
        model.train()
        with torch.random.fork_rng():
            assert not torch.allclose(model(text, state)[0], model(text, state)[0]), arch


# ------------------------------------------------------------------ against other people's formulas


def test_textbook_block_is_pytorchs_post_norm_layer() -> None:
    """With one head, whose width is the model's there too."""
    model = make("transformer-book", layers=1, heads=1, feed_forward=20)
    assert isinstance(model, TextbookTransformer)
    block: Any = model.blocks[0]
    layer = nn.TransformerEncoderLayer(12, 1, 20, dropout=0.0, batch_first=True, layer_norm_eps=1e-6)
    ours = block.state_dict()
    names = {
        "self_attn.in_proj_": "attention.inputs.",
        "self_attn.out_proj.": "attention.output.",
        "linear1.": "expand.",
        "linear2.": "contract.",
        "norm1.": "attention_norm.",
        "norm2.": "mlp_norm.",
    }
    theirs = {a + kind: ours[b + kind] for a, b in names.items() for kind in ("weight", "bias")}
    layer.load_state_dict(theirs)
    text = tokens(2, WINDOW)
    x = model.embedding[text] + model.positions
    mask = nn.Transformer.generate_square_subsequent_mask(WINDOW)
    close(model(text)[0], model.dense(layer(x, src_mask=mask, is_causal=True)))


def test_transformer_is_what_the_papers_say() -> None:
    """Written out position by position, with rotations as complex numbers."""
    model = make("transformer", layers=1)
    assert isinstance(model, Transformer)
    block: Any = model.blocks[0]
    (text,) = tokens(1, 5)
    d, heads, half = 12, 2, 3

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt() * weight

    def turned(x: Tensor, position: int) -> Tensor:
        pairs = torch.complex(x[:half], x[half:])
        angles = torch.tensor([position * 10_000 ** (-i / half) for i in range(half)])
        pairs = pairs * torch.polar(torch.ones(half), angles)
        return torch.cat([pairs.real, pairs.imag])

    xs = [model.embedding[token] for token in text]
    projected = [(block.attention.inputs.weight @ norm(x, block.attention_norm.weight)).view(3, heads, 6) for x in xs]
    for t in reversed(range(5)):
        mixed = []
        for h in range(heads):
            query = turned(projected[t][0, h], t)
            scores = torch.stack([query @ turned(projected[s][1, h], s) / math.sqrt(6) for s in range(t + 1)])
            mixed.append(sum(w * projected[s][2, h] for s, w in enumerate(scores.softmax(0))))
        x = xs[t] + block.attention.output.weight @ torch.cat(mixed)  # type: ignore[arg-type]
        x = x + block.contract.weight @ F.relu(block.expand.weight @ norm(x, block.mlp_norm.weight)).square()
        assert x.shape == (d,)
        close(model(text[None])[0][0, t], model.embedding @ norm(x, model.norm.weight))


def test_half_precision_under_autocast() -> None:
    for arch in TRANSFORMERS:
        model, text = make(arch), tokens(2, 6)
        with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
            _, state = model(text[:, :3])
            found, _ = model(text[:, 3:], state)
        torch.testing.assert_close(found.float(), model(text)[0][:, 3:], atol=0.5, rtol=0.1)


# ------------------------------------------------------------------ fresh weights


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_fresh_weights_come_from_the_generator_alone(arch: str) -> None:
    def weights(seed: int) -> Tensor:
        model = models.build(
            arch, 9, width=8, layers=2, context=4, dropout=0.0, embedding=4, heads=2, feed_forward=None
        )
        model.initialise(generator(seed))
        return torch.cat([weight.detach().flatten() for weight in model.parameters()])

    first = weights(1)
    torch.rand(3)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)
    assert first.isfinite().all()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_fresh_model_knows_nothing(arch: str) -> None:
    """Its loss is not much more than that of guessing, ln of the vocabulary."""
    model = models.build(
        arch, 50, width=64, layers=2, context=32, dropout=0.0, embedding=16, heads=4, feed_forward=None
    )
    model.initialise(generator())
    text = torch.randint(50, (8, 33), generator=generator(1))
    with torch.no_grad():
        logits, _ = model(text[:, :-1])
        loss = float(F.cross_entropy(logits.flatten(0, 1), text[:, 1:].flatten()))
    assert loss == pytest.approx(math.log(50), abs=0.8)


def test_recurrent_weights_are_orthogonal_and_forget_gates_open() -> None:
    model = make("lstm", width=16)
    assert isinstance(model, Recurrent)
    for _, hidden, bias_in, bias_hidden in model.layers.all_weights:
        for gate in hidden.chunk(4):
            close(gate @ gate.mT, torch.eye(16))
        assert (bias_in + bias_hidden).chunk(4)[1].eq(1).all()
        assert (bias_in + bias_hidden).sum() == 16


def test_residual_weights_shrink_with_the_depth() -> None:
    model = models.build(
        "transformer", 50, width=64, layers=8, context=8, dropout=0.0, embedding=0, heads=4, feed_forward=None
    )
    model.initialise(generator())
    assert isinstance(model, Windowed)
    block: Any = model.blocks[3]
    assert float(block.expand.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert float(block.contract.weight.detach().std()) == pytest.approx(0.02 / 4, rel=0.05)


# ------------------------------------------------------------------ learning


@pytest.mark.parametrize(
    ("arch", "rate"), [("lstm", 0.01), ("gru", 0.01), ("transformer", 3e-3), ("transformer-book", 3e-3)]
)
def test_learns_to_count(arch: str, rate: float) -> None:
    """A cycle in which the same token comes three times, so what comes next takes more than the last token."""
    cycle = torch.tensor([1, 2, 1, 3, 1, 4])
    model = models.build(arch, 5, width=32, layers=1, context=24, dropout=0.0, embedding=8, heads=2, feed_forward=None)
    model.initialise(generator())
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    loss = torch.zeros(())
    for step in range(160 if rate < 0.01 else 50):
        starts = torch.arange(6)[:, None] + step
        text = cycle[(starts + torch.arange(25)) % 6]
        logits, _ = model(text[:, :-1])
        loss = F.cross_entropy(logits[:, 4:].flatten(0, 1), text[:, 5:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    by_the_last_token = math.log(3) / 2
    assert float(loss.detach()) < by_the_last_token / 3


def test_a_padded_batch_teaches_what_its_texts_do() -> None:
    """With padding left out of the loss, its embedding has no gradient and all others are the same."""
    model, text, padding = make("transformer-book"), tokens(1, 6) % (VOCABULARY - 1), VOCABULARY - 1
    padded = torch.cat([text, torch.full((1, 2), padding)], 1)

    def gradients(text: Tensor) -> dict[str, Tensor]:
        logits, _ = model(text[:, :-1])
        loss = F.cross_entropy(logits[0], text[0, 1:], ignore_index=padding)
        names, weights = zip(*model.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))

    with_padding = gradients(padded)
    assert not with_padding["embedding"][padding].any()
    for name, wanted in gradients(text).items():
        close(with_padding[name], wanted)


# ------------------------------------------------------------------ by name


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_weights_go_into_a_new_model(arch: str) -> None:
    model, other = make(arch, 1), make(arch, 2)
    text = tokens(1, WINDOW)
    assert not torch.allclose(model(text)[0], other(text)[0])
    other.load_state_dict(model.state_dict())
    assert torch.equal(model(text)[0], other(text)[0])
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


def test_what_cannot_be_built() -> None:
    with pytest.raises(UsageError, match="--arch rnn"):
        make("rnn")
    with pytest.raises(UsageError, match=r"--width 12 .* 4 heads") as caught:
        make("transformer", heads=4)
    assert caught.value.hint == "use a multiple of 8"
    assert make("transformer-book", heads=5).vocabulary == VOCABULARY
