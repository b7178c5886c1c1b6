"""Words of a text, and texts of words.

A word is a run of letters and digits with inner apostrophes and hyphens; every other mark is a token by
itself, and so is a line end. Languages that are written without blanks (Chinese, Japanese) give a token a
character. Accents and emoji sequences are never torn apart.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

_UNSPACED = (  # scripts without blanks between words, and their punctuation
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_WIDE = re.compile(f"[\u3000-\u303f\uff00-\uff65{_UNSPACED}]")
_CLOSING = frozenset(".,;:!?)]}%'’”»…")
_OPENING = frozenset("([{“«‘¿¡$£€#@")


@cache
def _token() -> re.Pattern[str]:
    """The pattern of a token. Made when first needed: Python's `re` does not know which characters are marks."""
    marks, letter = _marks(), rf"[^\W{_UNSPACED}]"
    foreign = "(?=[^\x00-\u02ff])"  # a glance that saves most characters the search through all marks
    word = rf"{letter}+(?:{foreign}[{marks}\u200c\u200d]+{letter}*|['’\-]{letter}+)*"
    flag = "[\U0001f1e6-\U0001f1ff]{2}"
    joined = rf"[^\s](?:{foreign}(?:[{marks}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d\S))*"
    return re.compile(rf"\n|{word}|{flag}|{joined}")


def _marks() -> str:
    """Every combining character, as the inside of a character class."""
    codes = [code for code in range(0x300, sys.maxunicode + 1) if unicodedata.category(chr(code))[0] == "M"]
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def split(text: str) -> list[str]:
    """The words, marks and line ends of a text; other white space is dropped."""
    return _token().findall(text)


class Joiner:
    """Writes tokens as a text: single blanks, but none before closing marks, after opening ones, around
    line ends, or between characters of scripts that have none. Straight quotes open and close in turn."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.before = "\n"
        self.quoted = False
        self.after_opening = True

    def push(self, token: int) -> str:
        text = self.tokens[token]
        opening, closing = text in _OPENING, text in _CLOSING
        if text == '"':
            opening, closing, self.quoted = not self.quoted, self.quoted, not self.quoted
        elif text == "\n":
            opening, closing, self.quoted = True, True, False
        wide = bool(_WIDE.match(self.before[-1]) and _WIDE.match(text))
        blank = "" if self.after_opening or closing or wide else " "
        self.before, self.after_opening = text, opening
        return blank + text

    def flush(self) -> str:
        return ""
