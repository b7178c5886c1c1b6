"""Writing: exact distributions, fair draws, stop strings, streams, rows, prompts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gencli.core.errors import GencliError, UsageError
from gencli.textgen import models, sampling
from gencli.textgen.language import LanguageModel
from gencli.textgen.sampling import Piece, Stops, Strategy, Stream, distribution, draw, generate, joined, likeliest
from gencli.textgen.steps import Numbers
from gencli.textgen.tokenizers import Bytes, Characters, Symbols, Tokenizer, Words

LETTERS = Characters("\nabcdefgh")  # 0 is the unknown token, 1 the line end, a is 2


class Chain(LanguageModel):
    """What comes next depends on the last token only, and exactly: rows cannot disturb each other by rounding.

    It remembers how often it read how many rows and tokens.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.vocabulary = table.shape[1]
        self.table = nn.Parameter(table)
        self.shapes: list[tuple[int, ...]] = []

    def features(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        self.shapes.append(tuple(tokens.shape))
        assert not self.training
        assert state is None or len(state) == len(tokens)
        return self.table[tokens], tokens[:, -1]

    def head(self, features: Tensor) -> Tensor:
        return features

    def rows(self, state: Any, indices: Tensor) -> Any:
        return state[indices]

    def hidden_matrices(self) -> Iterator[tuple[nn.Parameter, int]]:
        return iter(())

    def initialise(self, draw: torch.Generator) -> None:
        nn.init.normal_(self.table, generator=draw)


def write(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, strategies: Sequence[Strategy], **how: Any
) -> list[str]:
    """Whole texts."""
    return joined(generate(model, tokenizer, prompt, strategies, **how), len(strategies))


def chain(size: int = 10, seed: int = 0) -> Chain:
    """A chain whose tokens follow each other with all kinds of probabilities."""
    return Chain(2 * torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))


def telling(tokenizer: Tokenizer, text: str) -> Chain:
    """A chain that writes this text, whose tokens all differ."""
    ids = tokenizer.encode(text).tolist()
    assert len(set(ids)) == len(ids)
    table = torch.zeros(tokenizer.size, tokenizer.size)
    for before, after in zip([*ids[-1:], *ids], ids, strict=False):
        table[before, after] = 100.0
    return Chain(table)


def network(arch: str = "lstm", size: int = LETTERS.size, **changes: Any) -> LanguageModel:
    sizes: dict[str, Any] = {"width": 16, "layers": 2, "context": 12, "dropout": 0.1, "embedding": 8, "heads": 2}
    model = models.build(arch, size, **(sizes | {"feed_forward": None} | changes))
    model.initialise(torch.Generator().manual_seed(3))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(3)
    return model


# ------------------------------------------------------------------ distributions

LOGITS = np.log(np.array([[0.05, 0.3, 0.1, 0.3, 0.2, 0.05]]))


def reference(probabilities: list[float], strategy: Strategy) -> list[float]:
    """The same by plain Python, token by token."""
    order = sorted(range(len(probabilities)), key=lambda token: (-probabilities[token], token))
    weights = {token: probabilities[token] ** (1 / strategy.temperature) for token in order[: strategy.top_k]}
    total = sum(weights.values())
    weights = {token: weight / total for token, weight in weights.items()}
    if strategy.top_p is not None:
        before = [0.0, *accumulate(weights.values())]
        weights = {
            t: w for (t, w), mass in zip(weights.items(), before, strict=False) if not mass or mass < strategy.top_p
        }
    if strategy.min_p is not None:
        most = max(weights.values())
        weights = {token: weight for token, weight in weights.items() if weight >= strategy.min_p * most}
    total = sum(weights.values())
    return [weights.get(token, 0.0) / total for token in range(len(probabilities))]


STRATEGIES = [
    Strategy(1.0),
    Strategy(0.5),
    Strategy(1.7),
    Strategy(1.0, top_k=3),
    Strategy(1.0, top_p=0.75),
    Strategy(1.0, min_p=0.4),
    Strategy(1.3, top_k=5, top_p=0.9, min_p=0.2),
]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_distribution_is_the_one_of_the_definition(strategy: Strategy) -> None:
    found = distribution(LOGITS, strategy)
    assert found.dtype == np.float64
    assert found[0].tolist() == pytest.approx(reference(np.exp(LOGITS)[0].tolist(), strategy), abs=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=12),
    st.sampled_from([0.1, 0.7, 1.0, 3.0]),
    st.none() | st.integers(1, 15),
    st.none() | st.floats(0, 0.999),
    st.none() | st.floats(0, 1),
)
def test_any_distribution_is_the_one_of_the_definition(
    logits: list[int], temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> None:
    strategy = Strategy(temperature, top_k, top_p, min_p)
    exact = np.array([logits], np.float64)
    plain = np.exp(exact - exact.max())[0].tolist()
    wanted = reference(plain, strategy)
    if top_p is not None:  # a place in the sum too near to p for rounding
        ranked = sorted(reference(plain, Strategy(temperature, top_k)), reverse=True)
        assume(all(abs(mass - top_p) > 1e-5 for mass in accumulate(ranked)))
    if min_p is not None:
        most = max(wanted)
        assume(all(abs(p / most - min_p) > 1e-9 for p in wanted))
    found = distribution(exact, strategy)[0].tolist()
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_top_k_takes_exactly_k_of_equals() -> None:
    logits = np.array([[1.0, 2, 2, 2, 0], [3, 3, 3, 3, 3]])
    assert distribution(logits, Strategy(1.0, top_k=2)).tolist() == [[0, 0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0, 0]]


def test_top_p_takes_the_fewest_that_reach_it() -> None:
    def kept(p: float) -> list[int]:
        return distribution(LOGITS, Strategy(1.0, top_p=p))[0].nonzero()[0].tolist()

    assert kept(0) == [1]  # of equals the first; and always one
    assert kept(0.3) == [1]
    assert kept(0.31) == [1, 3]
    assert kept(0.6) == [1, 3]
    assert kept(0.8) == [1, 3, 4]
    assert kept(1.0) == [0, 1, 2, 3, 4, 5]


def test_temperature_nought_is_the_likeliest_token() -> None:
    logits = np.array([[0.0, 5, 5, 1], [7, 6, 5, 4]])
    for strategy in (Strategy(0), Strategy(0, top_k=3, top_p=0.5), Strategy(0.0, min_p=1)):
        assert distribution(logits, strategy).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("temperature", [1e-8, 1e-300, 5e-324])
def test_next_to_no_temperature(temperature: float) -> None:
    logits = np.array([[-1e4, 3e4, 2.99e4]])
    assert distribution(logits, Strategy(temperature)).tolist() == [[0, 1, 0]]


def test_great_heat_makes_all_alike() -> None:
    assert distribution(LOGITS, Strategy(1e300))[0].tolist() == pytest.approx([1 / 6] * 6)


def test_repetition_penalty() -> None:
    """Recent tokens' logits are divided by it, or multiplied where negative, once each."""
    logits = np.array([[2.0, -1.0, 3.0, 0.5], [2.0, -1.0, 3.0, 0.5]])
    found = distribution(logits, Strategy(1.0, repetition_penalty=2), np.array([[0, 1, 0], [2, 2, 2]]))
    wanted = torch.tensor([[1.0, -2.0, 3.0, 0.5], [2.0, -1.0, 1.5, 0.5]]).double().softmax(-1)
    np.testing.assert_allclose(found, wanted)
    greedy = distribution(logits, Strategy(0, repetition_penalty=2), np.array([[2], [1]]))
    assert greedy.argmax(-1).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"temperature": -0.1}, "temperature -0.1"),
        ({"temperature": math.nan}, "temperature nan"),
        ({"temperature": math.inf}, "temperature inf"),
        ({"temperature": 1, "top_k": 0}, "top_k 0"),
        ({"temperature": 1, "top_p": 1.1}, "top_p 1.1"),
        ({"temperature": 1, "min_p": -1}, "min_p -1"),
        ({"temperature": 1, "repetition_penalty": 0.5}, "repetition_penalty 0.5"),
    ],
)
def test_strategies_that_make_no_sense(values: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        Strategy(**values)


# ------------------------------------------------------------------ draws


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_draws_are_fair(strategy: Strategy) -> None:
    """20,000 tokens against the exact probabilities (Pearson 1900); what is left out never comes."""
    rows, length = 50, 400
    logits = torch.cat([torch.full((1, 1), -100.0), torch.from_numpy(LOGITS)], 1).expand(7, -1)  # the unknown first
    texts = write(
        Chain(logits.clone()), Characters("abcdef"), "a", [strategy] * rows, length=length, seed=1, echo=False
    )
    counts = Counter("".join(texts))
    assert sum(counts.values()) == rows * length
    wanted = reference(np.exp(LOGITS)[0].tolist(), strategy)
    possible = {letter: p for letter, p in zip("abcdef", wanted, strict=True) if p}
    assert counts.keys() == possible.keys()
    chi_square = sum((counts[letter] - 20_000 * p) ** 2 / (20_000 * p) for letter, p in possible.items())
    freedom = len(possible) - 1
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-300, 1e-9, 0.1, 0.5, 1.0]), min_size=1, max_size=20), st.floats(0, 1))
def test_what_has_no_probability_is_never_drawn(weights: list[float], uniform: float) -> None:
    assume(any(weights))
    for luck in (0.0, min(uniform, 1 - 2**-53), 1 - 2**-53):
        (token,) = draw(np.array([weights]), np.array([luck]))
        assert weights[token] > 0


def test_draws_invert_the_distribution() -> None:
    probabilities = np.array([[0.25, 0.0, 0.5, 0.25]] * 6)
    uniform = np.array([0, 0.2499, 0.25, 0.7499, 0.75, 0.9999])
    assert draw(probabilities, uniform) == [0, 0, 2, 2, 3, 3]


def test_predictions_that_are_no_numbers() -> None:
    broken = Chain(torch.full((10, 10), math.nan))
    with pytest.raises(GencliError, match="not numbers"):
        write(broken, LETTERS, "a", [Strategy(1.0)], length=3, seed=0)


def test_likeliest() -> None:
    probabilities = np.array([0.1, 0.4, 0.0, 0.4, 0.1])
    assert likeliest(probabilities, 3) == [(1, 0.4), (3, 0.4), (0, 0.1)]
    assert [token for token, _ in likeliest(probabilities, 9)] == [1, 3, 0, 4]


# ------------------------------------------------------------------ texts


@pytest.mark.parametrize("arch", ["lstm", "gru", "transformer", "transformer-book"])
def test_greedy_text_is_what_the_model_holds_likeliest(arch: str) -> None:
    """Against reading the whole text anew for each token, within the window."""
    model = network(arch, context=64).eval()
    text = "abba"
    with torch.inference_mode():
        for _ in range(40):
            logits, _ = model(torch.as_tensor(LETTERS.encode(text).astype("int64"))[None])
            text += LETTERS.decode([1 + int(logits[0, -1, 1:].argmax())])  # but for the unknown token
    assert write(model, LETTERS, "abba", [Strategy(0.0)], length=40, seed=0) == [text]


@pytest.mark.parametrize("arch", ["lstm", "transformer"])
def test_the_same_seed_gives_the_same_text(arch: str) -> None:
    model = network(arch)

    def text(seed: int) -> list[str]:
        return write(model, LETTERS, "ab", [Strategy(1.0)], length=60, seed=seed)

    assert text(1) == text(1)
    torch.rand(1)
    assert text(1) == text(1)
    assert text(1) != text(2)


def test_rows_are_independent() -> None:
    """What a row says depends on its number and strategy, and not on others, which may end before it."""
    model, plain, wild, tame = chain(), Strategy(1.0), Strategy(1.5), Strategy(0.5, top_k=4)

    def texts(*strategies: Strategy, stop: str | None = None) -> list[str]:
        return write(model, LETTERS, "ab", strategies, length=50, seed=5, stop=[stop] if stop else [])

    several = texts(plain, wild, plain, tame)
    assert len(set(several)) == 4
    assert texts(plain) == several[:1]
    assert texts(plain, plain, plain, tame)[2:] == several[2:]
    stop = several[1][20:23]
    assert 1 <= sum(stop in text for text in several) <= 3  # some end early and some do not
    assert texts(plain, wild, plain, tame, stop=stop) == ["ab" + text[2:].partition(stop)[0] for text in several]


def test_a_row_that_has_ended_is_no_more_work() -> None:
    model = chain()
    texts = write(model, LETTERS, "ab", [Strategy(1.0)] * 6, length=40, seed=5, stop=["h"], echo=False)
    lengths = sorted(len(text) + 1 for text in texts)
    assert lengths[0] < lengths[-1] < 40
    assert model.shapes[0] == (1, 2)  # the prompt is read once for all of them
    longest = lengths[-1]
    assert [rows for rows, _ in model.shapes[1:]] == [sum(n > step for n in lengths) for step in range(1, longest)]


def test_pieces_add_up_to_the_text() -> None:
    model, strategies = network("gru"), [Strategy(0.9), Strategy(1.2), Strategy(0.9)]
    texts = ["", "", ""]
    for piece in generate(model, LETTERS, "ab", strategies, length=30, seed=2, stop=["ca"]):
        assert piece.text
        texts[piece.row] += piece.text
    assert texts == write(model, LETTERS, "ab", strategies, length=30, seed=2, stop=["ca"])
    assert all(text.startswith("ab") for text in texts)


def test_text_comes_as_soon_as_it_is_certain() -> None:
    """The model has not read a token yet whose text is handed out."""
    model = telling(LETTERS, "abcdefgh")
    pieces = generate(model, LETTERS, "a", [Strategy(0.0)], length=3, seed=0)
    assert next(pieces) == Piece(0, "a")
    assert model.shapes == []
    assert next(pieces) == Piece(0, "b")
    assert model.shapes == [(1, 1)]
    assert [piece.text for piece in pieces] == ["c", "d"]
    assert model.shapes == [(1, 1)] * 3


def test_echo_and_length() -> None:
    model = telling(LETTERS, "abcdefgh")
    assert write(model, LETTERS, "ab", [Strategy(0.0)], length=3, seed=0) == ["abcde"]
    assert write(model, LETTERS, "ab", [Strategy(0.0)], length=3, seed=0, echo=False) == ["cde"]
    assert write(model, LETTERS, "ab", [Strategy(0.0)], length=0, seed=0) == ["ab"]
    assert write(model, LETTERS, "", [Strategy(0.0)], length=0, seed=0) == [""]


def test_a_model_in_training_goes_back_to_it() -> None:
    model = network().train()
    write(model, LETTERS, "ab", [Strategy(1.0)], length=3, seed=0)
    assert model.training and model.get_submodule("dropout").training
    pieces = generate(model, LETTERS, "ab", [Strategy(1.0)], length=3, seed=0)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert model.training


def test_a_penalty_knows_what_was_written() -> None:
    """Greedy, the chain goes round in circles; with a penalty it finds other ways."""
    model, size = chain(), 12
    plain = write(model, LETTERS, "a", [Strategy(0.0)], length=size, seed=0)[0]
    varied = write(model, LETTERS, "a", [Strategy(0.0, repetition_penalty=5)], length=size, seed=0)[0]
    assert len(set(varied)) > len(set(plain))


# ------------------------------------------------------------------ stop strings


def split(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(places)]


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab", max_size=20),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(0, 20), max_size=8),
)
def test_stop_strings_whatever_the_pieces(text: str, strings: list[str], cuts: list[int]) -> None:
    """The text up to the stop string that is complete first; and as much of it as early as possible."""
    end = next((e for e in range(len(text) + 1) if any(text[:e].endswith(s) for s in strings)), None)
    wanted = text
    if end is not None:
        wanted = text[: end - max(len(s) for s in strings if text[:end].endswith(s))]
    stops, found, given_so_far = Stops(strings), "", ""
    for piece in split(text, cuts):
        found += stops.push(piece)
        given_so_far += piece
        if stops.met:
            break
        held = given_so_far[len(found) :]
        assert not held or any(s.startswith(held) for s in strings)
    assert stops.met == (end is not None)
    assert found + stops.flush() == wanted


def test_stop_strings_across_tokens() -> None:
    model = telling(LETTERS, "abcdefgh")

    def text(*stop: str) -> str:
        return write(model, LETTERS, "a", [Strategy(0.0)], length=6, seed=0, stop=stop, echo=False)[0]

    assert text("de") == "bc"
    assert text("def", "dex") == "bc"
    assert text("zz", "g") == "bcdef"
    assert text("gx") == "bcdefg"  # held back, and let go at the end
    assert text("ab") == "bcdefg"  # the prompt does not count
    with pytest.raises(UsageError, match="empty"):
        text("b", "")


# ------------------------------------------------------------------ tokens of all kinds


def test_characters_of_several_bytes_come_whole() -> None:
    text = "añ€🎈"
    model = telling(Bytes(), text)
    pieces = [p.text for p in generate(model, Bytes(), "a", [Strategy(0.0)], length=9, seed=0, echo=False)]
    assert pieces == ["ñ", "€", "🎈"]


def test_a_character_that_is_never_finished() -> None:
    model = telling(Bytes(), "a€")
    assert write(model, Bytes(), "a", [Strategy(0.0)], length=2, seed=0) == ["a\ufffd"]
    assert write(model, Bytes(), "a", [Strategy(0.0)], length=2, seed=0, stop=["\ufffd"]) == ["a"]


@pytest.mark.parametrize("kind", [Words, Symbols])
@pytest.mark.parametrize(("prompt", "wanted"), [("it", " was"), ("it ", "was"), ("it\n", "was"), ("  ", "it")])
def test_words_go_on_with_a_prompt(kind: type[Words] | type[Symbols], prompt: str, wanted: str) -> None:
    tokenizer = kind(["\n", "it", "was"])
    table = torch.zeros(4, 4)
    for before, after in ((1, 2), (2, 3)) if prompt.strip() else ((1, 2), (0, 2)):
        table[before, after] = 100.0
    if "\n" in prompt:
        table[1] = torch.tensor([0.0, 0, 0, 100])
    assert write(Chain(table), tokenizer, prompt, [Strategy(0.0)], length=1, seed=0) == [prompt + wanted]


@pytest.mark.parametrize("arch", ["lstm", "transformer", "transformer-book"])
@pytest.mark.parametrize("length", [0, 1, 12, 13, 3000])
def test_prompts_of_any_length(arch: str, length: int) -> None:
    """The window holds 12 tokens; what is written after a longer prompt depends on its end alone."""
    model, prompt = network(arch), ("abcdefgh" * 400)[:length]
    (text,) = write(model, LETTERS, prompt, [Strategy(1.0)], length=30, seed=0)
    assert text.startswith(prompt) and len(text) == length + 30
    if model.window and length > model.window:
        (shorter,) = write(model, LETTERS, prompt[-model.window :], [Strategy(1.0)], length=30, seed=0)
        assert text.endswith(shorter)


def test_an_empty_prompt_is_the_beginning_of_a_line() -> None:
    model = telling(LETTERS, "\nabcde")
    assert write(model, LETTERS, "", [Strategy(0.0)], length=3, seed=0) == ["abc"]
    blank = Characters(" ab")
    assert write(telling(blank, " ab"), blank, "", [Strategy(0.0)], length=2, seed=0) == ["ab"]
    neither = Characters("ab")
    assert len(write(chain(3), neither, "", [Strategy(1.0)], length=5, seed=0)[0]) == 5


def test_unknown_characters_in_a_prompt() -> None:
    (text,) = write(chain(), LETTERS, "aXbY", [Strategy(1.0)], length=10, seed=0)
    assert text.startswith("aXbY") and len(text) == 14


def test_what_nobody_can_read_is_never_written() -> None:
    """The unknown token, and padding behind the vocabulary, however likely the model holds them."""
    table = torch.zeros(12, 12)
    table[:, [0, 10, 11]] = 50.0
    model = Chain(table)
    for strategy in (Strategy(1.0), Strategy(0.0), Strategy(1.0, top_k=2), Strategy(3.0, top_p=0.5)):
        (text,) = write(model, LETTERS, "a", [strategy], length=60, seed=0)
        assert "\ufffd" not in text and len(text) == 61
    found = Stream(model.eval(), LETTERS, "a").distribution(Strategy(1.0))[0]
    assert found[[0, 10, 11]].tolist() == [0, 0, 0]
    assert found[1:10].tolist() == pytest.approx([1 / 9] * 9)


def test_a_vocabulary_of_nothing_but_the_unknown() -> None:
    assert write(Chain(torch.zeros(1, 1)), Characters(""), "", [Strategy(1.0)], length=2, seed=0) == ["\ufffd\ufffd"]


# ------------------------------------------------------------------ one step at a time


@pytest.mark.parametrize("arch", ["lstm", "gru", "transformer", "transformer-book"])
@pytest.mark.parametrize("context", [1, 5, 12])
def test_a_stream_goes_where_a_person_wants(arch: str, context: int) -> None:
    """What comes next is what the model makes of the whole text."""
    model, strategy = network(arch, context=context).eval(), Strategy(1.0)
    stream = Stream(model, LETTERS, "abc")
    chosen = [5, 3, 2, 9, 4, 4, 6, 7, 2, 3, 8, 5]  # over the window's end
    for place, token in enumerate(chosen):
        with torch.inference_mode():
            text = torch.tensor([[*LETTERS.encode("abc").tolist(), *chosen[:place]]])
            logits = model(text)[0][:, -1].double().numpy()
            logits[0, 0] = -math.inf
        found = stream.distribution(strategy)
        np.testing.assert_allclose(found, distribution(logits, strategy), atol=1e-5, rtol=1e-4)
        assert stream.push([token]) == [LETTERS.decode([token])]
    assert stream.flush(0) == ""


def test_a_stream_may_be_pushed_without_being_asked() -> None:
    model = network().eval()
    asked, pushed = Stream(model, LETTERS, "ab", 2), Stream(model, LETTERS, "ab", 2)
    for tokens in ([3, 4], [5, 6]):
        asked.distribution(Strategy(1.0))
        asked.push(tokens)
        pushed.push(tokens)
    asked.keep([1])
    pushed.keep([1])
    assert np.array_equal(asked.distribution(Strategy(1.0)), pushed.distribution(Strategy(1.0)))


def test_random_numbers_of_a_row_are_its_own() -> None:
    def numbers(seed: int, rows: int) -> Numbers:
        return np.stack(list(islice(sampling._uniform(seed, rows), 600)))

    first, few, other = numbers(1, 3), numbers(1, 1), numbers(2, 1)
    assert np.array_equal(first[:, :1], few)
    assert len({*first.flatten().tolist(), *other.flatten().tolist()}) == 2400
    assert float(first.min()) >= 0 and float(first.max()) < 1
