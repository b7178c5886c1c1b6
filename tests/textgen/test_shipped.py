"""The models that ship: they are what their card says, and know English and Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import gencli
from gencli.core import store
from gencli.core.device import Runtime
from gencli.textgen import corpus, generate, tokens, writer
from gencli.textgen.evaluation import measure
from gencli.textgen.options import Sampling

CPU = Runtime(torch.device("cpu"))
SOURCE = Path(gencli.__file__).parent / "core" / "muon.py"


@pytest.mark.parametrize("name", ["pydoc", "python"])
def test_the_card_tells_the_file(name: str, card: Callable[[str, str], str]) -> None:
    told = card("textgen", name)
    count = sum(weight.numel() for weight in writer.load(name, CPU).model.parameters())
    assert f"| parameters | {count:,} |" in told
    best = store.find("textgen", name).config["training"]["best"]
    assert f"**{best:.3f} bits a character**" in told


def test_all_together_are_small() -> None:
    assert sum(model.weights.stat().st_size for model in store.built_in("textgen")) < 8e6


def test_pydoc_is_the_default_and_writes_words() -> None:
    (text,) = generate("The ", options=Sampling(length=300, temperature=(0.5,)), seed=1)
    words = re.findall(r"[a-z]+", text)
    assert len(words) > 30
    assert len({"the", "of", "is", "a", "to", "in", "object", "and"} & set(words)) >= 4
    assert writer.load(None, CPU).name == "pydoc"


def test_python_knows_its_syntax_better_than_pydoc() -> None:
    whole = corpus.gather([SOURCE]).whole
    bits = {}
    for name in ("pydoc", "python"):
        loaded = writer.load(name, CPU)
        bits[name] = measure(loaded.model, tokens.tokenize(whole, loaded.tokenizer), CPU).bits_per_char
    assert bits["python"] < bits["pydoc"] < 6
    assert bits["python"] < 3.3
