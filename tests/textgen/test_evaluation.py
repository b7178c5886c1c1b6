"""Figures against closed forms and brute force."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gencli.core.device import Runtime
from gencli.textgen import evaluation
from gencli.textgen.batches import Documents
from gencli.textgen.evaluation import Figures, count_models, measure, measure_documents, memorised
from gencli.textgen.language import LanguageModel, State
from gencli.textgen.tokens import Tokens

CPU = Runtime(torch.device("cpu"))
SIZE = 7


class Bigram(LanguageModel):
    """Knows the last token only, so that where a text is cut cannot matter."""

    def __init__(self, window: int | None = None) -> None:
        super().__init__()
        self.vocabulary, self.window = SIZE, window
        self.table = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))

    def features(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        assert self.window is None or tokens.shape[1] <= self.window
        return self.table[tokens], None

    def head(self, features: Tensor) -> Tensor:
        return features

    def rows(self, state: State, indices: Tensor) -> State:
        return None

    def hidden_matrices(self) -> Iterator[tuple[torch.nn.Parameter, int]]:
        return iter(())

    def initialise(self, draw: torch.Generator) -> None:
        pass


def text_of(tmp_path: Path, tokens: np.ndarray, documents: list[int] | None = None) -> Tokens:
    path = tmp_path / "text.tokens"
    tokens.astype(np.uint8).tofile(path)
    count = len(tokens)
    return Tokens(path, count, np.dtype(np.uint8), np.array(documents or [0]), 2 * count, 4 * count, 0)


@pytest.mark.parametrize("window", [None, 8, 33])
@pytest.mark.parametrize("count", [2, 40, 130, 3001, 40_000])
def test_every_token_but_the_first_counts_once(tmp_path: Path, window: int | None, count: int) -> None:
    if window and count > 5000:
        count = 5000
    tokens = np.random.default_rng(1).integers(0, SIZE, count)
    model = Bigram(window)
    figures = measure(model, text_of(tmp_path, tokens), CPU)
    losses = -model.table.log_softmax(1)[torch.tensor(tokens[:-1]), torch.tensor(tokens[1:])].double()
    assert figures.tokens == count - 1
    assert figures.loss_nats == pytest.approx(float(losses.mean()), rel=1e-5)


def test_figures_are_spread_over_characters_and_bytes(tmp_path: Path) -> None:
    figures = Figures.of(100 * math.log(8), 100, text_of(tmp_path, np.zeros(101)))
    assert figures.loss_nats == pytest.approx(math.log(8))
    assert figures.perplexity == pytest.approx(8)
    assert figures.bits_per_char == pytest.approx(3 / 2)
    assert figures.bits_per_byte == pytest.approx(3 / 4)


def test_measuring_leaves_the_mode_alone(tmp_path: Path) -> None:
    model = Bigram().train()
    measure(model, text_of(tmp_path, np.zeros(10)), CPU)
    assert model.training


def test_documents_are_measured_without_their_padding(tmp_path: Path) -> None:
    tokens = np.random.default_rng(2).integers(0, SIZE - 1, 100)
    text = text_of(tmp_path, tokens, [0, 3, 60])
    model = Bigram()
    figures = measure_documents(model, Documents(text, 2, 20, SIZE - 1, 0, CPU), CPU)
    pairs = [pair for start, stop in ((0, 3), (3, 24), (60, 81)) for pair in pairwise(tokens[start:stop])]
    losses = [-float(model.table.log_softmax(1)[a, b]) for a, b in pairs]
    assert figures.tokens == len(pairs)
    assert figures.loss_nats == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_count_models_by_hand() -> None:
    learnt = [np.array([0, 1, 0, 1, 0, 2])]
    found = count_models(iter(learnt), iter([np.array([0, 1, 1])]), 3)
    unigram = np.array([3 + 1, 2 + 1, 1 + 1]) / 9
    assert found["unigram"] == pytest.approx(-math.log(unigram[1]))
    # 0 is followed by 1 twice and by 2 once; 1 by 0 twice
    after0 = (2 - 0.75) / 3 + 0.75 * 2 / 3 * unigram[1]
    after1 = 0.75 * 1 / 2 * unigram[1]
    assert found["bigram"] == pytest.approx(-(math.log(after0) + math.log(after1)) / 2)


@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=30), min_size=1, max_size=6))
def test_bigram_probabilities_add_up_to_one(runs: list[list[int]]) -> None:
    learnt = [np.array(run) for run in runs]
    for before in range(5):
        nats = [count_models(learnt, [np.array([before, after])], 5)["bigram"] for after in range(5)]
        assert sum(math.exp(-value) for value in nats) == pytest.approx(1)


def test_counting_does_not_depend_on_how_runs_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [np.random.default_rng(i).integers(0, 9, 50) for i in range(20)]
    whole = count_models(runs, runs, 9)
    joined = evaluation._joined
    monkeypatch.setattr(evaluation, "_joined", lambda found: joined(found, least=70))
    assert count_models(runs, runs, 9) == pytest.approx(whole)


@given(
    written=st.lists(st.text("ab", max_size=40), min_size=1, max_size=4),
    learnt=st.lists(st.text("abc", max_size=30), max_size=6),
    window=st.integers(1, 13),
)
def test_memorised_is_what_brute_force_finds(written: list[str], learnt: list[str], window: int) -> None:
    windows = [text[i : i + window] for text in written for i in range(len(text) - window + 1)]
    whole = "".join(learnt)
    wanted = sum(one in whole for one in windows) / len(windows) if windows else 0.0
    assert memorised(written, learnt, window) == pytest.approx(wanted)


def test_memorised_knows_letters_of_all_kinds() -> None:
    poem = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。" * 3
    assert memorised([poem[10:70]], [poem[:30], poem[30:]]) == 1
    assert memorised([poem[10:70].replace("河", "江")], [poem]) == 0
