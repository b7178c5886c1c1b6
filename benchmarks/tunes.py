"""Whether a language model that learnt tunes in ABC notation writes tunes: do they parse, are their bars full?

    python benchmarks/tunes.py tunes.abc --minutes 5

Trains gencli's default on the file, writes tunes from "X:" to the next, and compares what it wrote with the held-out
tunes of the file itself: people's bars are not all full either (upbeats, changes of metre, slips).
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from gencli.core.device import start
from gencli.textgen import generate, train
from gencli.textgen.options import LanguageTraining, Sampling

TUNES = 40
LONGEST = 1500  # characters
FIELD = re.compile(r"([A-Za-z]):\s*(.*)")
SIGN = re.compile(
    r"""(?P<note>[\^_=]*[A-Ga-gxz][,']*|\[[\^_=A-Ga-g,'\d/ \-]+\])(?P<length>\d*/*\d*)(?P<broken>[<>]?)
    |(?P<bar>:*\|+[:\]]?(?:\s*\[?[12])?|::|\[[12]|\|\])
    |\[(?P<inline>[A-Z]:[^\]]*)\]
    |\((?P<tuplet>[2-9])
    |"[^"]*"|\{[^}]*\}|![^!]*!|[()~.\-\\\s]""",
    re.VERBOSE,
)
TUPLETS = {2: Fraction(3, 2), 3: Fraction(2, 3), 4: Fraction(3, 4), 6: Fraction(1, 3)}


@dataclass
class Tune:
    """What was read of a tune: bars between two bar lines, and how many of them are as long as the metre says."""

    fields: dict[str, str]
    notes: int = 0
    bars: int = 0
    full: int = 0
    fault: str = ""

    @property
    def parses(self) -> bool:
        return not self.fault and {"X", "M", "K"} <= self.fields.keys() and self.notes > 0


def parse(text: str) -> Tune:
    """Read a tune in ABC notation; `fault` is what stands where nothing of the notation may."""
    tune = Tune({})
    lines = [line.partition("%")[0] for line in text.strip().splitlines()]
    filled, tuplet, left, broken, opened = Fraction(0), Fraction(1), 0, Fraction(1), False
    for line in lines:
        if field := FIELD.match(line):
            tune.fields[field[1]] = field[2]
            continue
        place = 0
        while place < len(line):
            sign = SIGN.match(line, place)
            if sign is None:
                tune.fault = line[place : place + 10]
                return tune
            place = sign.end()
            if sign["inline"]:
                tune.fields[sign["inline"][0]] = sign["inline"][2:]
            elif sign["tuplet"]:
                left = int(sign["tuplet"])
                tuplet = TUPLETS.get(left, Fraction(1))
            elif sign["note"]:
                length = duration(sign["length"]) * (tuplet if left else 1) * broken
                left, broken = max(left - 1, 0), Fraction(1)
                if sign["broken"]:
                    length *= Fraction(3, 2) if sign["broken"] == ">" else Fraction(1, 2)
                    broken = Fraction(1, 2) if sign["broken"] == ">" else Fraction(3, 2)
                filled, tune.notes = filled + length, tune.notes + 1
            elif sign["bar"]:
                if opened and filled:
                    tune.bars += 1
                    tune.full += filled * unit(tune.fields) == metre(tune.fields)
                filled, opened = Fraction(0), True
    return tune


def duration(text: str) -> Fraction:
    """ "3/2", "/", "2" or nothing, in units of L."""
    above, slashes, below = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()  # type: ignore[union-attr]
    return Fraction(int(above or 1), max(int(below), 1) if below else 2 ** len(slashes))


def metre(fields: dict[str, str]) -> Fraction:
    """Of a bar, in whole notes; 0 where the field is none."""
    named = {"C": "4/4", "C|": "2/2"}.get(fields.get("M", "").strip(), fields.get("M", ""))
    found = re.fullmatch(r"(\d+)/([1-9]\d*)\s*", named)
    return Fraction(int(found[1]), int(found[2])) if found else Fraction(0)


def unit(fields: dict[str, str]) -> Fraction:
    """What a note without a number lasts, in whole notes."""
    found = re.fullmatch(r"(\d+)/([1-9]\d*)\s*", fields.get("L", ""))
    if found:
        return Fraction(int(found[1]), int(found[2]))
    return Fraction(1, 8) if metre(fields) >= Fraction(3, 4) else Fraction(1, 16)


def tunes(text: str) -> Iterator[Tune]:
    """All that begin with "X:"."""
    for part in re.split(r"^(?=X:)", text, flags=re.MULTILINE):
        if part.startswith("X:"):
            yield parse(part)


def show(who: str, found: list[Tune]) -> None:
    parsed = [tune for tune in found if tune.parses]
    bars, full = sum(tune.bars for tune in parsed), sum(tune.full for tune in parsed)
    print(f"{who}: {len(parsed)} of {len(found)} tunes parse; {full / max(bars, 1):.0%} of their {bars} bars are full")
    for tune in found:
        if tune.fault:
            print(f"  no notation: {tune.fault!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--temperature", type=float, default=0.7)
    chosen = parser.parse_args()
    text = chosen.file.read_text(encoding="utf-8")
    show("held out", [*tunes(text[int(0.9 * len(text)) :])])
    with tempfile.TemporaryDirectory() as home:
        os.environ["GENCLI_HOME"] = home
        result = train([chosen.file], "tunes", LanguageTraining(minutes=chosen.minutes), seed=1, runtime=start("auto"))
        print(f"trained {result.seconds:.0f} s: {result.best:.3f} bits a character")
        options = Sampling(length=LONGEST, temperature=(chosen.temperature,), count=TUNES)
        written = generate("X:", model="tunes", options=options, stop=("\nX:",), seed=1)
    print(max(written, key=len))
    show("written", [tune for text in written for tune in tunes(text)])


if __name__ == "__main__":
    main()
