"""A name is known however a person spells it."""

from __future__ import annotations

import pytest

from gencli.core.names import known_as

NAMES = ("Wearing_Hat", "open-mouth", "Male", "big nose", "a", "A")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("wearing-hat", "Wearing_Hat"),
        ("Open_Mouth", "open-mouth"),
        (" male ", "Male"),
        ("BIG-NOSE", "big nose"),
        ("a", "a"),
        ("A", "A"),
        ("hat", None),
        ("", None),
    ],
)
def test_case_and_what_joins_words_do_not_matter(typed: str, meant: str | None) -> None:
    assert known_as(typed, NAMES) == meant
