"""Tokens on the disk: the same as in memory, whatever the ranges and processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gencli.core import workers
from gencli.core.errors import GencliError, UsageError
from gencli.core.workers import Message
from gencli.textgen import tokenizers, tokens
from gencli.textgen.corpus import Span, Text, gather, split
from gencli.textgen.tokens import tokenize, vocabulary

LINES = "".join(f"line {n} of Wörter, naïve 红楼 {n * 7 % 101}\n" for n in range(3000))


def text(tmp_path: Path, contents: str = LINES, name: str = "book.txt") -> Text:
    file = tmp_path / name
    file.write_text(contents, encoding="utf-8", newline="")
    return gather([file])


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of a test are cut and shared among processes as large ones are."""
    monkeypatch.setattr(tokens, "RANGE", 10_000)
    monkeypatch.setattr(tokens, "FEW", 0)
    monkeypatch.setattr(workers, "cores", lambda: 2)


@pytest.mark.parametrize("kind", ["char", "byte", "word", "space"])
def test_tokens_are_those_of_the_text(tmp_path: Path, kind: str, small_ranges: None) -> None:
    book = text(tmp_path)
    tokenizer = vocabulary(book.whole, kind)
    made = tokenize(book.whole, tokenizer)
    expected = tokenizer.encode(LINES)
    assert len(made) == made.count == len(expected)
    assert made.dtype == tokenizer.dtype
    assert np.array_equal(made.read(0, len(made)), expected)
    assert (made.characters, made.bytes, made.unknown) == (len(LINES), len(LINES.encode()), 0)
    assert made.path.stat().st_size == len(expected) * made.dtype.itemsize
    if kind != "byte":
        assert tokenizer.fingerprint == tokenizers.from_counts(kind, tokenizers.count(kind, LINES)).fingerprint


def test_places_and_windows(tmp_path: Path) -> None:
    book = text(tmp_path)
    made = tokenize(book.whole, vocabulary(book.whole, "char"))
    everything = made.read(0, len(made))
    starts = np.array([0, 5000, 17, len(made) - 30])
    assert np.array_equal(made.take(starts, 30), np.stack([everything[start : start + 30] for start in starts]))
    places = np.array([[3, 1, 4], [1, 5, len(made) - 1]])
    assert np.array_equal(made.at(places), everything[places])
    assert np.array_equal(made.read(len(made) - 5, 100), everything[-5:])
    assert len(made.read(len(made) + 5, 3)) == 0
    with pytest.raises(IndexError):
        made.take(np.array([len(made) - 5]), 6)


def test_nothing_of_the_held_out_part_is_counted(tmp_path: Path) -> None:
    book = text(tmp_path, "ab " * 300 + "xyz" * 20)
    learnt, held_out = split(book, 0.0625)
    tokenizer = vocabulary(learnt, "char")
    assert isinstance(tokenizer, tokenizers.Characters)
    assert tokenizer.characters == " ab"
    measured = tokenize(held_out, tokenizer)
    assert measured.unknown == len(measured) - measured.read(0, len(measured)).astype(bool).sum() > 50
    assert measured.characters == held_out.size


def test_documents_begin_where_their_tokens_do(tmp_path: Path, small_ranges: None) -> None:
    folder = tmp_path / "poems"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03}.txt").write_text(f"POEM{number} " + "ö rose is " * (number % 40), encoding="utf-8")
    poems = gather([folder])
    for kind in ("char", "word"):
        tokenizer = vocabulary(poems.whole, kind)
        made = tokenize(poems.whole, tokenizer)
        assert len(made.documents) == 300
        for number in (0, 1, 77, 299):
            start = int(made.documents[number])
            assert tokenizer.decode(made.read(start, 12).tolist()).startswith(f"POEM{number}"[:6])
    part = Span(poems, int(poems.documents[10]), int(poems.documents[20]))
    of_part = tokenize(part, tokenizer)
    assert len(of_part.documents) == 10
    assert of_part.documents[0] == 0


def test_a_second_call_finds_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = text(tmp_path)
    tokenizer = vocabulary(book.whole, "char")
    first = tokenize(book.whole, tokenizer)
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "encoder", lambda _: pytest.fail("encoded again"))
        assert tokenize(book.whole, tokenizer).path == first.path
    other = tokenize(Span(book, 0, 10), tokenizer)
    assert other.path != first.path and len(other) == 10
    assert tokenize(book.whole, tokenizers.Bytes()).path != first.path
    os.truncate(first.path, 100)
    assert len(tokenize(book.whole, tokenizer)) == len(first)


def test_an_interrupted_encoding_is_not_taken_for_a_whole_one(tmp_path: Path, small_ranges: None) -> None:
    book = text(tmp_path)
    tokenizer = vocabulary(book.whole, "char")

    def interrupt(done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize(book.whole, tokenizer, interrupt)
    assert sorted(path.suffix for path in book.path.parent.iterdir()) == [".json", ".npy", ".txt"]
    assert len(tokenize(book.whole, tokenizer)) == len(LINES)


def test_progress_is_reported_to_the_end(tmp_path: Path, small_ranges: None) -> None:
    book = text(tmp_path)
    seen: list[tuple[float, float | None]] = []
    tokenizer = vocabulary(book.whole, "word", report=lambda done, total: seen.append((done, total)))
    counted = len(seen)
    tokenize(book.whole, tokenizer, lambda done, total: seen.append((done, total)))
    for part in (seen[:counted], seen[counted:]):
        assert len(part) > 5
        assert part == sorted(part)
        assert part[-1] == (book.size, book.size)


def test_rare_words_are_forgotten_before_the_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_ranges: None
) -> None:
    monkeypatch.setattr(tokens, "MOST_KINDS", 2000)
    book = text(tmp_path, "".join(f"often w{n}\n" for n in range(10_000)))
    tokenizer = vocabulary(book.whole, "word", 2)
    assert isinstance(tokenizer, tokenizers.Words)
    assert tokenizer.tokens == ["[UNK]", "\n", "often"]


def test_a_cache_that_is_gone_says_so(tmp_path: Path) -> None:
    book = text(tmp_path)
    made = tokenize(book.whole, tokenizers.Bytes())
    made.path.unlink()
    with pytest.raises(GencliError, match="cannot read"):
        made.read(0, 5)


def test_an_error_in_a_process_is_raised_here(tmp_path: Path) -> None:
    setup = {"path": str(tmp_path / "gone.txt"), "kind": "char"}
    with pytest.raises(FileNotFoundError):
        list(workers.run(tokens.counter, setup, [Message([0, 5, []])], 2))


def test_sub_words(tmp_path: Path, small_ranges: None) -> None:
    pytest.importorskip("tokenizers")
    book = text(tmp_path)
    tokenizer = vocabulary(book.whole, "bpe", 300)
    made = tokenize(book.whole, tokenizer)
    assert tokenizer.size == 300
    assert len(made) < made.bytes
    assert tokenizer.decode(made.read(0, len(made)).tolist()) == LINES
    with pytest.raises(UsageError, match="256"):
        vocabulary(book.whole, "bpe")


def test_a_plain_script_without_a_guard(tmp_path: Path) -> None:
    """The processes know nothing of their caller, and import no torch."""
    text(tmp_path)
    script = tmp_path / "script.py"
    script.write_text(
        "print('started')\n"
        "import sys\n"
        "from gencli.core import workers\n"
        "from gencli.textgen import corpus, tokens\n"
        "tokens.RANGE, tokens.FEW, workers.cores = 10_000, 0, lambda: 2\n"
        "text = corpus.gather(['book.txt'])\n"
        "made = tokens.tokenize(text.whole, tokens.vocabulary(text.whole, 'char'))\n"
        "print(made.characters, 'torch' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(tokens.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"started\n{len(LINES)} False\n", "")
