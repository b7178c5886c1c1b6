"""Bytes of a file → the text that a model learns: strict decoding, line ends, tags, letter case.

Everything works on a stream of pieces and gives the same whatever the pieces are; nothing holds a whole text.
"""

from __future__ import annotations

import codecs
import html
import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, cast

from gencli.core.errors import GencliError, UsageError
from gencli.core.options import Flag, Options

LONGEST_WAIT = 1 << 20  # characters kept back for the end of the tag or line they began
_BOM = "\ufeff"
_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>")
_TAG_START = re.compile(r"<(?:[!/?a-zA-Z]|\Z)")
_ENTITY_START = re.compile(r"&#?[^\t\n\f <&#;]{0,32}\Z")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Cleaning(Options):
    """What is done to a text before a model sees it, and to a prompt alike."""

    panel: ClassVar[str] = "Text"

    encoding: Annotated[str, Flag("How letters are coded in the files.")] = "utf-8"
    lowercase: Annotated[bool, Flag("Turn capitals into small letters.")] = False
    strip_html: Annotated[bool, Flag("Replace tags by blanks and entities by what they stand for.")] = False
    strip_punctuation: Annotated[bool, Flag("Leave out ASCII punctuation.")] = False
    normalize: Annotated[
        str, Flag("Unicode normal form: one code for what looks the same.", choices=("none", "nfc", "nfkc"))
    ] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            known = codecs.lookup(self.encoding)._is_text_encoding
        except (LookupError, ValueError):
            known = False
        if not known:
            raise UsageError(
                f"--encoding {self.encoding}: there is no such encoding",
                "use a name Python knows: utf-8, utf-16, latin-1, cp1252, gb18030, shift_jis …",
            )

    def apply(self, text: str) -> str:
        """Clean a whole text, such as a prompt. Line ends become "\\n"."""
        return "".join(self.stream([text]))

    def stream(self, pieces: Iterable[str]) -> Iterator[str]:
        """Clean a text that comes in pieces; what comes out is the same however it was cut.

        That is not promised of tags and lines without a blank that are longer than a million characters.
        """
        pieces = _line_ends(pieces)
        if self.strip_html:
            pieces = _without_tags(pieces)
        if self.normalize != "none" or self.lowercase or self.strip_punctuation:
            pieces = map(self._letters, _lines(pieces))
        return iter(pieces)

    def _letters(self, text: str) -> str:
        if self.normalize != "none":
            text = unicodedata.normalize(cast(Literal["NFC", "NFKC"], self.normalize.upper()), text)
        if self.lowercase:
            text = text.lower()
        return text.translate(_NO_PUNCTUATION) if self.strip_punctuation else text


def _line_ends(pieces: Iterable[str]) -> Iterator[str]:
    """ "\\r\\n" and "\\r" become "\\n"."""
    waiting = False  # for what follows a "\r"
    for piece in pieces:
        if not waiting and "\r" not in piece:
            yield piece
            continue
        text = "\r" + piece if waiting else piece
        waiting = text.endswith("\r")
        yield text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n")
    if waiting:
        yield "\n"


def _without_tags(pieces: Iterable[str]) -> Iterator[str]:
    """Tags become blanks, entities what they stand for."""
    kept = ""
    for piece in pieces:
        text = kept + piece
        done = 0
        for tag in _TAG.finditer(text):
            done = tag.end()
        begun = _TAG_START.search(text, done) or _ENTITY_START.search(text, max(done, len(text) - 40))
        cut = len(text) if begun is None or len(text) - begun.start() > LONGEST_WAIT else begun.start()
        kept = text[cut:]
        yield html.unescape(_TAG.sub(" ", text[:cut]))
    yield html.unescape(kept)


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Cut anew where no letter is torn from its accents: after a line end, in endless lines before a blank."""
    kept = ""
    for piece in pieces:
        text = kept + piece
        cut = text.rfind("\n") + 1
        if not cut and len(text) > LONGEST_WAIT:
            cut = max(text.rfind(" "), 0) or len(text)
        kept = text[cut:]
        yield text[:cut]
    yield kept


def decoded(blocks: Iterable[bytes], encoding: str, name: str) -> Iterator[str]:
    """Decode a file's bytes strictly, piece by piece; a byte order mark is dropped.

    Raises GencliError with the place of the first byte that is not of this encoding; `name` is the file's.
    """
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    place, first = 0, True
    for block in _and_end(blocks):
        waiting = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:
            raise _undecodable(error, block, place - waiting, encoding, name) from error
        place += len(block)
        if first and text:
            text, first = text.removeprefix(_BOM), False
        if text:
            yield text


def _and_end(blocks: Iterable[bytes]) -> Iterator[bytes]:
    yield from filter(None, blocks)
    yield b""


def _undecodable(error: UnicodeError, block: bytes, place: int, encoding: str, name: str) -> GencliError:
    """What to say of bytes that are not of an encoding; `place` is where the undecoded bytes begin in the file."""
    utf8 = codecs.lookup(encoding).name == "utf-8"
    if place == 0 and block.startswith(_WIDE_MARKS):
        hint = "it begins like UTF-16; try --encoding utf-16"
    else:
        hint = "if it is an old Western text, try --encoding latin-1" if utf8 else "try --encoding utf-8"
    if not isinstance(error, UnicodeDecodeError):  # UTF-16 without a mark, for one
        return GencliError(f"{name} is not {encoding}: {error}", hint)
    at = place + error.start
    value = error.object[error.start] if error.start < len(error.object) else 0
    return GencliError(f"{name} is not {encoding}: byte 0x{value:02x} at offset {at:,} ({error.reason})", hint)
