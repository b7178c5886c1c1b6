"""The order of training: lanes go on where they stopped, windows and documents come once an epoch each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gencli.core.device import Runtime, generator
from gencli.core.errors import GencliError
from gencli.textgen.batches import IGNORED, Documents, Lanes, Windows, scattered
from gencli.textgen.tokens import Tokens

CPU = Runtime(torch.device("cpu"))


def tokens_of(tmp_path: Path, count: int, documents: list[int] | None = None) -> Tokens:
    """The tokens 0, 1, 2 …: a token tells its place."""
    path = tmp_path / "text.tokens"
    np.arange(count, dtype=np.uint16).tofile(path)
    return Tokens(path, count, np.dtype(np.uint16), np.array(documents or [0]), count, count, 0)


def test_lanes_go_on_where_the_step_before_ended(tmp_path: Path) -> None:
    lanes = Lanes(tokens_of(tmp_path, 1003), rows=4, context=10, seed=1, runtime=CPU)
    assert len(lanes) == 25
    for epoch in (0, 1):
        read = [lanes.batch(epoch, index) for index in range(len(lanes))]
        assert [batch.fresh for batch in read] == [True] + [False] * 24
        text = torch.cat([batch.inputs for batch in read], 1)
        assert text.shape == (4, 250)
        assert torch.equal(text[0] + 1, torch.cat([batch.targets for batch in read], 1)[0])
        assert torch.equal(text.flatten(), text[0, 0] + torch.arange(1000))  # each lane begins where one ends
        assert 0 <= int(text[0, 0]) <= 2
    assert torch.equal(lanes.batch(3, 7).inputs, lanes.batch(3, 7).inputs)


def test_a_short_text_has_fewer_lanes(tmp_path: Path) -> None:
    lanes = Lanes(tokens_of(tmp_path, 50), rows=64, context=10, seed=0, runtime=CPU)
    assert (lanes.rows, len(lanes), lanes.context) == (4, 1, 10)
    tiny = Lanes(tokens_of(tmp_path, 2), rows=64, context=10, seed=0, runtime=CPU)
    assert (tiny.rows, tiny.context, len(tiny)) == (1, 1, 1)
    assert tiny.batch(0, 0).targets.tolist() == [[1]]
    with pytest.raises(GencliError, match="two are the least"):
        Lanes(tokens_of(tmp_path, 1), rows=1, context=1, seed=0, runtime=CPU)


def test_ranks_read_lanes_of_their_own(tmp_path: Path) -> None:
    tokens = tokens_of(tmp_path, 2000)
    places = []
    for rank in range(3):
        lanes = Lanes(tokens, rows=5, context=8, seed=2, runtime=Runtime(torch.device("cpu"), rank=rank, world_size=3))
        places += [lanes.batch(0, index).inputs.flatten() for index in range(len(lanes))]
    read = torch.cat(places)
    assert len(read.unique()) == len(read) == 3 * 5 * 8 * (1999 // 8 // 15)


@pytest.mark.parametrize("stride", [1, 3, 7])
def test_windows_come_once_an_epoch(tmp_path: Path, stride: int) -> None:
    windows = Windows(tokens_of(tmp_path, 500), rows=8, context=7, stride=stride, seed=5, runtime=CPU)
    for epoch in (0, 1):
        starts = torch.cat([windows.batch(epoch, index).inputs[:, 0] for index in range(len(windows))])
        assert len(starts.unique()) == len(starts)
        assert len(set((starts % stride).tolist())) == 1
        assert len(starts) > 0.9 * 490 / stride
    assert not torch.equal(windows.batch(0, 0).inputs, windows.batch(1, 0).inputs)


def test_only_the_token_after_a_window_is_a_target(tmp_path: Path) -> None:
    windows = Windows(tokens_of(tmp_path, 500), rows=4, context=6, stride=3, seed=5, runtime=CPU, last=True)
    batch = windows.batch(0, 0)
    assert (batch.targets[:, :-1] == IGNORED).all()
    assert torch.equal(batch.targets[:, -1], batch.inputs[:, -1] + 1)


@given(length=st.integers(8, 60), context=st.integers(1, 70), stride=st.integers(1, 9), rows=st.integers(1, 70))
def test_windows_of_any_text_lie_inside(
    tmp_path_factory: pytest.TempPathFactory, length: int, context: int, stride: int, rows: int
) -> None:
    tokens = tokens_of(tmp_path_factory.mktemp("text"), length)
    windows = Windows(tokens, rows, context, stride, 0, CPU)
    for index in range(len(windows)):
        batch = windows.batch(0, index)
        assert torch.equal(batch.inputs + 1, batch.targets)
        assert batch.inputs.shape[1] == min(context, length - 1)


def test_documents_are_cut_and_filled_up(tmp_path: Path) -> None:
    documents = Documents(tokens_of(tmp_path, 30, [0, 3, 15, 28]), 4, context=5, padding=99, seed=0, runtime=CPU)
    batch = documents.padded(np.arange(4))
    assert batch.inputs.tolist() == [
        [0, 1, 2, 99, 99],
        [3, 4, 5, 6, 7],
        [15, 16, 17, 18, 19],
        [28, 29, 99, 99, 99],
    ]
    assert batch.targets[0].tolist() == [1, 2, IGNORED, IGNORED, IGNORED]
    assert batch.targets[2].tolist() == [16, 17, 18, 19, 20]
    assert batch.targets[3].tolist() == [29, *[IGNORED] * 4]
    assert sorted(documents.batch(0, 0).inputs[:, 0].tolist()) == [0, 3, 15, 28]


@given(count=st.integers(1, 5000), seed=st.integers(0, 100))
def test_scattered_is_a_shuffle(count: int, seed: int) -> None:
    places = scattered(np.arange(count), count, generator(seed))
    assert np.array_equal(np.sort(places), np.arange(count))


def test_scattered_neighbours_lie_far_apart() -> None:
    far = [np.abs(np.diff(scattered(np.arange(50), 100_000, generator(seed)))).mean() for seed in range(20)]
    assert np.median(far) > 10_000
