"""Text ↔ numbers: characters, bytes, words, blank-separated symbols, and sub-words.

A tokenizer never changes once it is made. What it was made from is counted piece by piece (`count`), so
texts of any size can be counted in several processes and the counts added.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import logging
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from gencli.core.errors import GencliError, UsageError
from gencli.textgen import words

log = logging.getLogger("gencli")

KINDS = ("char", "byte", "word", "bpe", "space")
UNKNOWN = "[UNK]"
SUB_WORD_PIECE = 1 << 16  # characters encoded at once, or more where there is no blank
REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
_SYMBOL = re.compile(r"\n|\S+")
_LONE_BLANK = re.compile(r"(?<=\S) (?=\S)")  # a sub-word always begins there
_SHOWN = {" ": "·", "\n": "\\n", "\t": "\\t", "\r": "\\r"}

Ids = npt.NDArray[np.unsignedinteger[Any]]


class Decoder(Protocol):
    """Turns tokens into text one by one; never hands out a part of a character."""

    def push(self, token: int) -> str:
        """The text that is certain once this token is known; may be empty."""

    def flush(self) -> str:
        """What is left at the end: bytes that never became a character, as U+FFFD."""


class Tokenizer(ABC):
    """Text ↔ token numbers 0 … size-1. `unknown` is the number of what is not in the vocabulary, if there is one."""

    kind: ClassVar[str]
    size: int
    unknown: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers that hold every token."""
        return np.min_scalar_type(max(self.size - 1, 0))

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Text → tokens (T,) of `dtype`. Lone surrogates, which no text holds, are unknown or U+FFFD."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """A decoder at the beginning of a text."""

    @abstractmethod
    def token(self, token: int) -> str:
        """One token as people can read it: `·` for a blank, `\\n` for a line end."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; `from_dict` is the reverse."""

    def decode(self, tokens: Iterable[int]) -> str:
        """Tokens → text."""
        decoder = self.decoder()
        return "".join(map(decoder.push, tokens)) + decoder.flush()

    def unknowns(self, text: str) -> list[str]:
        """What of a text is not in the vocabulary, each once, in the order of the text."""
        return []

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of `to_dict`."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


class _Pieces:
    """The decoder of tokens that stand for whole characters."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces = pieces

    def push(self, token: int) -> str:
        return self.pieces[token]

    def flush(self) -> str:
        return ""


class _Bytes:
    """The decoder of tokens that stand for bytes of UTF-8."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self.utf8.decode(self.pieces[token])

    def flush(self) -> str:
        return self.utf8.decode(b"", final=True)


class Characters(Tokenizer):
    """A token a Unicode code point: 0 is the unknown, the others stand in the order of their code points."""

    kind = "char"
    unknown = 0

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self.size = 1 + len(characters)
        codes = _codes(characters)
        self._table = np.zeros(int(codes.max(initial=0)) + 2, self.dtype)  # the last: all code points beyond
        self._table[codes] = np.arange(1, self.size)
        ascii = np.zeros(256, self.dtype)
        ascii[: min(128, len(self._table))] = self._table[:128]
        self._ascii = ascii.tobytes() if self.size <= 256 else None
        self._pieces = [REPLACEMENT, *characters]

    def encode(self, text: str) -> Ids:
        if self._ascii is not None and text.isascii():
            return np.frombuffer(text.encode().translate(self._ascii), np.uint8)
        return self._table[np.minimum(_codes(text), len(self._table) - 1)]

    def decoder(self) -> Decoder:
        return _Pieces(self._pieces)

    def token(self, token: int) -> str:
        return _shown(self._pieces[token])

    def unknowns(self, text: str) -> list[str]:
        known = set(self.characters)
        return [character for character in dict.fromkeys(text) if character not in known]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "characters": self.characters}


class Bytes(Tokenizer):
    """A token a byte of UTF-8: nothing is unknown."""

    kind = "byte"
    size = 256

    def encode(self, text: str) -> Ids:
        return np.frombuffer(_encoded(text, "utf-8"), np.uint8)

    def decoder(self) -> Decoder:
        return _Bytes([bytes([value]) for value in range(256)])

    def token(self, token: int) -> str:
        return _shown_bytes(bytes([token]))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}


class _Vocabulary(Tokenizer):
    """Tokens that are found in a list: 0 is `[UNK]`, the others stand in the order of the list."""

    unknown = 0

    def __init__(self, tokens: Iterable[str]) -> None:
        self.tokens = [UNKNOWN, *tokens]
        self.size = len(self.tokens)
        self._ids = {token: number for number, token in enumerate(self.tokens) if number}

    @staticmethod
    @abstractmethod
    def split(text: str) -> list[str]:
        """A text's tokens in writing."""

    def encode(self, text: str) -> Ids:
        find = self._ids.get
        return np.array([find(token, 0) for token in self.split(text)], self.dtype)

    def token(self, token: int) -> str:
        return _shown(self.tokens[token])

    def unknowns(self, text: str) -> list[str]:
        return [token for token in dict.fromkeys(self.split(text)) if token not in self._ids]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "tokens": self.tokens[1:]}


class Words(_Vocabulary):
    """A token a word, a mark of punctuation, or a line end: the most frequent ones of a text."""

    kind = "word"

    @staticmethod
    def split(text: str) -> list[str]:
        return words.split(text)

    def decoder(self) -> Decoder:
        return words.Joiner(self.tokens)


class Symbols(_Vocabulary):
    """A token whatever stands between blanks (notes, words already split), or a line end."""

    kind = "space"

    @staticmethod
    def split(text: str) -> list[str]:
        return _SYMBOL.findall(text)

    def decoder(self) -> Decoder:
        return _Blanks(self.tokens)


class _Blanks:
    """Joins tokens by single blanks, but for those beside line ends."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.before = "\n"

    def push(self, token: int) -> str:
        text, before = self.tokens[token], self.before
        self.before = text
        return text if text == "\n" or before == "\n" else " " + text

    def flush(self) -> str:
        return ""


class SubWords(Tokenizer):
    """Byte-level byte-pair encoding (Sennrich et al. 2016; Radford et al. 2019): nothing is unknown.

    `model` is the JSON of the tokenizers package, which encodes; decoding needs nothing but the vocabulary.
    """

    kind = "bpe"

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.model = model
        vocabulary: dict[str, int] = model["model"]["vocab"]
        self.size = len(vocabulary)
        value = {letter: byte for byte, letter in enumerate(_byte_letters())}
        self._pieces = [b""] * self.size
        for token, number in vocabulary.items():
            self._pieces[number] = bytes(value[letter] for letter in token)

    @cached_property
    def _encoder(self) -> Any:
        return _tokenizers().Tokenizer.from_str(json.dumps(self.model))

    def encode(self, text: str) -> Ids:
        text, start = _encoded(text, "utf-8").decode(), 0
        parts: list[Ids] = []
        while start < len(text) or not parts:  # its notes on a long text take a hundred times the text's memory
            blank = _LONE_BLANK.search(text, start + SUB_WORD_PIECE)
            stop = blank.start() if blank else len(text)
            parts.append(np.array(self._encoder.encode_batch_fast([text[start:stop]])[0].ids, self.dtype))
            start = stop
        return np.concatenate(parts)

    def decoder(self) -> Decoder:
        return _Bytes(self._pieces)

    def token(self, token: int) -> str:
        return _shown_bytes(self._pieces[token])

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": self.model}


def count(kind: str, text: str) -> Counter[str]:
    """How often each token of `kind` (char, word or space) occurs in a text. Counts may be added."""
    if kind == "char":
        codes = _codes(text)
        seen = np.bincount(codes.astype(np.intp)) if len(codes) else codes
        return Counter({chr(code): int(seen[code]) for code in np.flatnonzero(seen)})
    return Counter((Words if kind == "word" else Symbols).split(text))


def from_counts(kind: str, counts: Mapping[str, int], size: int | None = None) -> Tokenizer:
    """The tokenizer of the `size` most frequent tokens (None: of all) and the unknown one.

    Of equally frequent ones the first in the order of code points are taken.
    """
    ranked = sorted(counts, key=lambda token: (-counts[token], token))[:size]
    if kind == "char":
        return Characters("".join(sorted(ranked)))
    return (Words if kind == "word" else Symbols)(ranked)


def train_sub_words(texts: Iterable[str], size: int | None) -> SubWords:
    """Learn a byte-level byte-pair encoding of at most `size` tokens, at least 256, from a stream of texts."""
    if size is None or size < 256:
        raise UsageError(f"a vocabulary of {size or 'no'} sub-words cannot hold the 256 bytes", "use at least 256")
    package = _tokenizers()
    model = package.Tokenizer(package.models.BPE())
    model.pre_tokenizer = package.pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = package.pre_tokenizers.ByteLevel.alphabet()
    trainer = package.trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    model.train_from_iterator(texts, trainer)
    return SubWords(json.loads(model.to_str()))


def from_dict(stored: Mapping[str, Any]) -> Tokenizer:
    """The reverse of `Tokenizer.to_dict`. Raises GencliError for what is none."""
    try:
        kind = stored["kind"]
        if kind == "char":
            return Characters(stored["characters"])
        if kind == "byte":
            return Bytes()
        if kind == "bpe":
            return SubWords(stored["model"])
        return {"word": Words, "space": Symbols}[kind](stored["tokens"])
    except (KeyError, TypeError) as error:
        raise GencliError(
            f"a stored tokenizer lacks {error} or has a wrong one", "the model is damaged or from a later version"
        ) from error


def warn_of_unknown(tokenizer: Tokenizer, text: str) -> None:
    """One warning that names what of a text a person wrote has no token of its own."""
    if unknowns := tokenizer.unknowns(text):
        shown = ", ".join(repr(one) for one in unknowns[:5]) + (", …" if len(unknowns) > 5 else "")
        log.warning("the model does not know %s; taken for its unknown token", shown)


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text."""
    return np.frombuffer(_encoded(text, "utf-32-le"), "<u4")


def _encoded(text: str, encoding: str) -> bytes:
    """A text's bytes; lone surrogates, which arguments of a command line may hold, become U+FFFD."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return _SURROGATES.sub(REPLACEMENT, text).encode(encoding)


def _shown(text: str) -> str:
    return "".join(_SHOWN.get(letter) or (letter if letter.isprintable() else ascii(letter)[1:-1]) for letter in text)


def _shown_bytes(value: bytes) -> str:
    """Characters where bytes make some, `\\xNN` for those that do not."""
    return _shown(value.decode(errors="backslashreplace"))


def _byte_letters() -> str:
    """GPT-2's letters for the bytes 0 … 255: printable ones stand for themselves (Radford et al. 2019)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(256, 512))
    return "".join(chr(byte if byte in printable else next(others)) for byte in range(256))


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise GencliError(
            "sub-words need the package tokenizers, which is not installed", 'pip install "gencli[bpe]"'
        ) from error
    return tokenizers
