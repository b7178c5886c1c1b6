"""A trained language model with all that writing with it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gencli.core import store
from gencli.core.device import Runtime
from gencli.textgen import models, sampling, tokenizers
from gencli.textgen.cleaning import Cleaning
from gencli.textgen.language import LanguageModel
from gencli.textgen.options import Sampling
from gencli.textgen.sampling import Choice, Piece, Strategy
from gencli.textgen.tokenizers import Tokenizer

DEFAULT_MODEL = "pydoc"


@dataclass(frozen=True)
class Writer:
    """A model in evaluation mode, its tokens, how its text was cleaned, and its `config.json`."""

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    cleaning: Cleaning
    config: dict[str, Any]

    @property
    def architecture(self) -> dict[str, Any]:
        """What `models.build` built it from."""
        built: dict[str, Any] = self.config["architecture"]
        return built

    def pieces(
        self,
        prompt: str,
        options: Sampling,
        *,
        seed: int,
        stop: Sequence[str] = (),
        echo: bool = True,
        choice: Choice = sampling.choose,
    ) -> Iterator[Piece]:
        """Text as it is written, in `options.count` rows at each of `options.temperature`."""
        prompt = self.cleaning.apply(prompt)
        tokenizers.warn_of_unknown(self.tokenizer, prompt)
        yield from sampling.generate(
            self.model,
            self.tokenizer,
            prompt,
            strategies(options),
            length=options.length,
            seed=seed,
            stop=stop,
            echo=echo,
            choice=choice,
        )


def load(which: str | None, runtime: Runtime) -> Writer:
    """The model of that name, path or `latest`; None: the one that ships.

    Raises GencliError when there is none, or it is damaged.
    """
    found = store.find("textgen", which or DEFAULT_MODEL)
    with store.sound(found):
        config = found.config
        model = models.build(**config["architecture"])
        tokenizer = tokenizers.from_dict(config["tokenizer"])
        cleaning = Cleaning.from_dict(config["options"])
        model.load_state_dict(store.load_weights(found, str(runtime.device)))
    return Writer(found.name, model.to(runtime.device).eval(), tokenizer, cleaning, config)


def strategies(options: Sampling) -> list[Strategy]:
    """One for each row: all of the first temperature, all of the second …"""
    return [
        Strategy(temperature, options.top_k, options.top_p, options.min_p, options.repetition_penalty)
        for temperature in options.temperature
        for _ in range(options.count)
    ]


def generate(
    prompt: str = "",
    *,
    model: str | Writer | None = None,
    options: Sampling | None = None,
    stop: Sequence[str] = (),
    echo: bool = True,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> list[str]:
    """Texts that go on from a prompt, `options.count` at each temperature: what `gencli textgen` writes.

    Each ends before a string of `stop`, and begins with the prompt, unless `echo` is false.
    `model` is a name of the store, a path, `latest`, or a loaded one; None is the one that ships.

    Raises GencliError when there is no such model.
    """
    loaded = model if isinstance(model, Writer) else load(model, runtime or Runtime(torch.device("cpu")))
    options = options or Sampling()
    return sampling.joined(loaded.pieces(prompt, options, seed=seed, stop=stop, echo=echo), len(strategies(options)))
