"""Text ↔ tokens: what goes in comes out, nothing is torn apart, and the unknown is no crash."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gencli.core.errors import GencliError, UsageError
from gencli.textgen import tokenizers
from gencli.textgen.tokenizers import Characters, Tokenizer, Words, count, from_counts, from_dict, warn_of_unknown

FAMILY = "👨‍👩‍👧‍👦"
MIXED = f"Naïve cafe\u0301: «हिन्दी» 红楼梦, ça! {FAMILY} 👍🏽 🇫🇷🇩🇪\n\n“Don't”—it's state-of-the-art… €5\n"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("ab \n'-.,é\u0301红\U0001f600")


def made(kind: str, text: str, size: int | None = None) -> Tokenizer:
    if kind == "byte":
        return tokenizers.Bytes()
    return from_counts(kind, count(kind, text), size)


@pytest.fixture(scope="module")
def sub_words() -> Tokenizer:
    pytest.importorskip("tokenizers")
    return tokenizers.train_sub_words([MIXED * 20, "the cat and the hat and the bat " * 30], 400)


# ------------------------------------------------------------------ there and back


@settings(deadline=None)
@given(texts)
def test_characters_and_bytes_come_back_exactly(text: str) -> None:
    for kind in ("char", "byte"):
        tokenizer = made(kind, text)
        tokens = tokenizer.encode(text)
        assert tokenizer.decode(tokens.tolist()) == text
        assert tokens.dtype == tokenizer.dtype
        if len(tokens):
            assert int(tokens.max()) < tokenizer.size
            if tokenizer.unknown is not None:
                assert tokenizer.unknown not in tokens


@settings(deadline=None)
@given(texts)
def test_sub_words_come_back_exactly(sub_words: Tokenizer, text: str) -> None:
    assert sub_words.decode(sub_words.encode(text).tolist()) == text


@settings(deadline=None)
@given(texts)
def test_words_and_symbols_are_stable(text: str) -> None:
    """Blanks may move, but what is written says the same to the tokenizer that wrote it."""
    for kind in ("word", "space"):
        tokenizer = made(kind, text)
        tokens = tokenizer.encode(text)
        written = tokenizer.decode(tokens.tolist())
        assert "".join(written.split()) == "".join(text.split())
        if kind == "space":
            assert np.array_equal(tokenizer.encode(written), tokens)


@pytest.mark.parametrize("kind", ["char", "byte", "word", "space"])
def test_stored_and_read_again(kind: str) -> None:
    tokenizer = made(kind, MIXED)
    again = from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert (again.kind, again.size, again.unknown) == (kind, tokenizer.size, tokenizer.unknown)
    assert again.fingerprint == tokenizer.fingerprint
    assert np.array_equal(again.encode(MIXED), tokenizer.encode(MIXED))
    assert made(kind, MIXED + "new words").fingerprint != tokenizer.fingerprint or kind == "byte"


def test_stored_sub_words_need_nothing_but_json(sub_words: Tokenizer) -> None:
    again = from_dict(json.loads(json.dumps(sub_words.to_dict())))
    assert again.fingerprint == sub_words.fingerprint
    assert again.size == sub_words.size <= 400
    assert np.array_equal(again.encode(MIXED), sub_words.encode(MIXED))


@pytest.mark.parametrize(
    "stored", [{}, {"kind": "char"}, {"kind": "rune", "tokens": []}, {"kind": "word", "tokens": 3}]
)
def test_what_is_no_stored_tokenizer(stored: dict[str, object]) -> None:
    with pytest.raises(GencliError, match="tokenizer"):
        from_dict(stored)


# ------------------------------------------------------------------ each kind


def test_characters_are_numbered_in_order_after_the_unknown() -> None:
    tokenizer = made("char", "banana\n")
    assert tokenizer.encode("nab\nz").tolist() == [4, 2, 3, 1, 0]
    assert (tokenizer.size, tokenizer.unknown) == (5, 0)
    assert tokenizer.decode([0, 2]) == "\ufffda"
    assert [tokenizer.token(number) for number in range(5)] == ["\ufffd", "\\n", "a", "b", "n"]


@pytest.mark.parametrize("text", ["plain", "é", "红楼", "\U0001f600", "\U0010ffff", "\ud800", "a\udc80b"])
def test_any_character_unseen_is_unknown(text: str) -> None:
    tokenizer = made("char", "ai")
    expected = [0 if letter not in "ai" else 1 + "ai".index(letter) for letter in text]
    assert tokenizer.encode(text).tolist() == expected


def test_many_characters_take_wider_numbers() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    tokenizer = made("char", text)
    assert tokenizer.dtype == np.uint16
    assert tokenizer.encode("ascii" + text).tolist() == [0] * 5 + list(range(1, 301))
    assert made("char", "".join(map(chr, range(0x10000, 0x10000 + 70_000)))).dtype == np.uint32
    assert made("char", text[:255]).dtype == np.uint8
    assert made("char", text[:256]).dtype == np.uint16


def test_only_the_most_frequent_are_kept_and_ties_are_alphabetical() -> None:
    counts = {"pear": 3, "fig": 2, "date": 2, "apple": 2, "kiwi": 1}
    words = from_counts("word", counts, 3)
    assert isinstance(words, Words)
    assert words.tokens == ["[UNK]", "pear", "apple", "date"]
    assert words.encode("fig pear date kiwi").tolist() == [0, 1, 3, 0]
    characters = from_counts("char", count("char", "cccbbbaadd"), 3)
    assert isinstance(characters, Characters)
    assert characters.characters == "abc"


def test_counts_of_parts_add_up() -> None:
    for kind in ("char", "word", "space"):
        lines = MIXED.splitlines(keepends=True)
        assert sum((count(kind, line) for line in lines), Counter()) == count(kind, MIXED)
    assert count("char", "aab\n") == {"a": 2, "b": 1, "\n": 1}
    assert count("char", "") == {}


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't stop: it's state-of-the-art.", ["Don't", "stop", ":", "it's", "state-of-the-art", "."]),
        ("one\n\n two\tthree", ["one", "\n", "\n", "two", "three"]),
        ("- a--b 'c' d'", ["-", "a", "-", "-", "b", "'", "c", "'", "d", "'"]),
        ("红楼梦abc東京です", ["红", "楼", "梦", "abc", "東", "京", "で", "す"]),
        ("cafe\u0301 हिन्दी", ["cafe\u0301", "हिन्दी"]),
        (f"{FAMILY}👍🏽🇫🇷🇩🇪", [FAMILY, "👍🏽", "🇫🇷", "🇩🇪"]),
        ("x = f(y_1, 2)", ["x", "=", "f", "(", "y_1", ",", "2", ")"]),
    ],
)
def test_what_a_word_is(text: str, tokens: list[str]) -> None:
    assert Words.split(text) == tokens


@pytest.mark.parametrize(
    "text",
    [
        'He said: "Don\'t go (yet)!" Then, "why?"\nA line.\n\nAnother "one".',
        "红楼梦，曹雪芹。\nA mix: 红 楼".replace("红 楼", "红楼"),
        f"cafe\u0301 {FAMILY} – “quoted”; «dit»",
    ],
)
def test_words_are_written_as_people_write(text: str) -> None:
    tokenizer = made("word", text)
    assert tokenizer.decode(tokenizer.encode(text).tolist()) == text


def test_unknown_words_are_shown() -> None:
    assert made("word", "a cat").decode([1, 0, 2]) == "a [UNK] cat"
    assert made("space", "c4 e4").decode([1, 0, 2]) == "c4 [UNK] e4"


def test_symbols_are_whatever_stands_between_blanks() -> None:
    tokenizer = made("space", "C4/8 E-4 .\n| <unk>\n")
    assert tokenizer.decode(tokenizer.encode("|  E-4 \n . C4/8\n\n<unk>").tolist()) == "| E-4\n. C4/8\n\n<unk>"


# ------------------------------------------------------------------ one token after the other


@pytest.mark.parametrize("kind", ["char", "byte", "word", "space", "bpe"])
def test_a_stream_is_the_whole_and_never_a_part_of_a_character(kind: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue("sub_words") if kind == "bpe" else made(kind, MIXED)
    tokens = tokenizer.encode(MIXED + "日本").tolist()
    decoder = tokenizer.decoder()
    pieces = [decoder.push(token) for token in tokens]
    assert "".join(pieces) + decoder.flush() == tokenizer.decode(tokens)
    if tokenizer.unknown is None:
        assert "\ufffd" not in "".join(pieces)
        assert "" in pieces


def test_bytes_that_are_no_character_become_a_sign() -> None:
    tokenizer = tokenizers.Bytes()
    assert tokenizer.decode([0x61, 0xFF, 0x62]) == "a\ufffdb"
    decoder = tokenizer.decoder()
    assert [decoder.push(byte) for byte in "é".encode()] == ["", "é"]
    assert decoder.push(0xE2) == ""
    assert decoder.flush() == "\ufffd"


def test_tokens_people_can_read() -> None:
    tokenizer = tokenizers.Bytes()
    assert [tokenizer.token(byte) for byte in (32, 10, 65, 0xC3, 0)] == ["·", "\\n", "A", "\\xc3", "\\x00"]
    assert made("word", "\n").token(1) == "\\n"


# ------------------------------------------------------------------ prompts


def test_one_warning_names_what_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = made("char", "abc")
    with caplog.at_level(logging.WARNING, "gencli"):
        warn_of_unknown(tokenizer, "abc")
        assert caplog.text == ""
        warn_of_unknown(tokenizer, "axbyaxüzvw")
    (record,) = caplog.records
    assert "'x', 'y', 'ü', 'z', 'v', …" in record.getMessage()
    assert "'w'" not in record.getMessage()


def test_unknown_words_are_named(caplog: pytest.LogCaptureFixture) -> None:
    tokenizer = made("word", "the cat sat")
    with caplog.at_level(logging.WARNING, "gencli"):
        warn_of_unknown(tokenizer, "the hat")
    assert "'hat'" in caplog.text and "'the'" not in caplog.text


@pytest.mark.parametrize("kind", ["byte", "char", "word", "space", "bpe"])
def test_prompts_with_lone_surrogates(kind: str, request: pytest.FixtureRequest) -> None:
    """What a terminal hands over for bytes that are no UTF-8."""
    tokenizer = request.getfixturevalue("sub_words") if kind == "bpe" else made(kind, "a ")
    written = tokenizer.decode(tokenizer.encode("a \udcff").tolist())
    assert written.removeprefix("a").strip() in {"\ufffd", "[UNK]"}


# ------------------------------------------------------------------ sub-words


def test_sub_words_are_learnt(sub_words: Tokenizer) -> None:
    assert len(sub_words.encode("the cat and the hat")) <= 6
    assert sub_words.unknown is None
    shown = [sub_words.token(int(token)) for token in sub_words.encode("the cat")]
    assert "".join(shown) == "the·cat"


def test_a_long_text_gives_the_sub_words_of_the_whole(sub_words: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (MIXED + "  the cat\n and\tthe   hat; ") * 20
    whole = sub_words.encode(text)
    monkeypatch.setattr(tokenizers, "SUB_WORD_PIECE", 10)
    assert np.array_equal(sub_words.encode(text), whole)
    assert len(sub_words.encode("")) == 0


def test_too_few_sub_words() -> None:
    pytest.importorskip("tokenizers")
    with pytest.raises(UsageError, match="100"):
        tokenizers.train_sub_words(["text"], 100)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(GencliError, match="tokenizers") as caught:
        tokenizers.train_sub_words(["text"], 300)
    assert caught.value.hint == 'pip install "gencli[bpe]"'
