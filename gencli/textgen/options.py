"""The options of `gencli textgen`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from gencli.core.errors import UsageError
from gencli.core.options import Flag, Options, Training
from gencli.textgen.cleaning import Cleaning

DEFAULT_MINUTES = 20.0
WORDS = 15_000  # of the vocabulary, where --vocabulary does not say
SUB_WORDS = 1_000
RATES = {"muon": 0.04, "adamw": 4e-3, "rmsprop": 1e-3}


@dataclass(frozen=True)
class LanguageTraining(Training, Cleaning):
    """How `gencli textgen train` trains a language model."""

    panel: ClassVar[str] = "Options"
    usual: ClassVar[Mapping[str, float]] = {"minutes": DEFAULT_MINUTES}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lstm-char": {
            "lowercase": True,
            "arch": "lstm",
            "target": "next",
            "layers": 1,
            "width": 128,
            "embedding": 0,
            "context": 60,
            "stride": 3,
            "dropout": 0.0,
            "optimizer": "rmsprop",
            "rate": 0.01,
            "schedule": "constant",
            "batch_size": 128,
            "average": 0.0,
            "temperatures": (0.2, 0.5, 1.0, 1.2),
            "sample_length": 400,
        },
        "lstm-seq": {
            "arch": "lstm",
            "target": "sequence",
            "layers": 2,
            "width": 512,
            "embedding": 0,
            "dropout": 0.2,
            "optimizer": "adamw",
            "batch_size": 64,
        },
        "transformer-word": {
            "tokens": "word",
            "vocabulary": WORDS,
            "lowercase": True,
            "strip_html": True,
            "strip_punctuation": True,
            "documents": True,
            "arch": "transformer-book",
            "target": "sequence",
            "layers": 1,
            "width": 256,
            "heads": 2,
            "feed_forward": 2048,
            "context": 99,
            "dropout": 0.0,
            "optimizer": "rmsprop",
            "rate": 1e-3,
            "schedule": "constant",
            "batch_size": 256,
            "average": 0.0,
            "epochs": 200.0,
            "prompt": "this movie",
            "sample_length": 50,
        },
    }

    epochs: Annotated[float | None, Flag("Train for this many passes over the text.", minimum=0)] = None
    minutes: Annotated[
        float | None,
        Flag("Train for this many minutes.", minimum=0, shown_default=f"{DEFAULT_MINUTES:g} if nothing else ends it"),
    ] = None

    tokens: Annotated[
        str,
        Flag(
            "What a text is made of: characters, UTF-8 bytes, words, sub-words, or symbols between blanks.",
            choices=("char", "byte", "word", "bpe", "space"),
        ),
    ] = "char"
    vocabulary: Annotated[
        int | None,
        Flag(
            "Most words or sub-words to tell apart.", minimum=2, shown_default=f"{WORDS} words, {SUB_WORDS} sub-words"
        ),
    ] = None
    documents: Annotated[bool, Flag("Each file is a sample of its own, cut after --context tokens.")] = False
    held_out: Annotated[float, Flag("Share of the text, at its end, that is only for measuring.", 0.001, 0.9)] = 0.1

    arch: Annotated[
        str,
        Flag(
            "Recurrent, or a Transformer: today's, or the textbook's block.",
            choices=("lstm", "gru", "transformer", "transformer-book"),
        ),
    ] = "lstm"
    target: Annotated[
        str,
        Flag(
            "Learn from each position's next token, or only from the one after a window.", choices=("sequence", "next")
        ),
    ] = "sequence"
    width: Annotated[int, Flag("Units of a layer.", minimum=1)] = 256
    layers: Annotated[int, Flag("Layers.", minimum=1)] = 1
    embedding: Annotated[int, Flag("Numbers a token is embedded in, in recurrent models; 0: one-hot.", minimum=0)] = 64
    heads: Annotated[int, Flag("Attention heads of a Transformer.", minimum=1)] = 4
    feed_forward: Annotated[
        int | None, Flag("Units of a Transformer's feed-forward layers.", minimum=1, shown_default="4 × width")
    ] = None
    context: Annotated[int, Flag("Tokens read at a time.", minimum=1)] = 64
    stride: Annotated[int, Flag("Tokens between the windows of `--target next`.", minimum=1)] = 3
    dropout: Annotated[float, Flag("Share of the units left out at random while training.", 0, 0.95)] = 0.2

    batch_size: Annotated[int, Flag("Rows read side by side.", minimum=1)] = 32
    optimizer: Annotated[str, Flag("How the weights are changed.", choices=("muon", "adamw", "rmsprop"))] = "muon"
    rate: Annotated[
        float | None,
        Flag("Highest learning rate.", minimum=0, shown_default=", ".join(f"{r:g} for {o}" for o, r in RATES.items())),
    ] = None
    schedule: Annotated[
        str,
        Flag(
            "Course of the learning rate: up and down a cosine, or the same throughout.", choices=("cosine", "constant")
        ),
    ] = "cosine"
    weight_decay: Annotated[float, Flag("Weight decay of the matrices.", minimum=0)] = 0.01
    clip: Annotated[float, Flag("Largest norm of a gradient.", minimum=0)] = 1.0
    average: Annotated[
        float, Flag("Share of the running mean of the weights kept each step; 0: no mean.", 0, 0.99999)
    ] = 0.99
    patience: Annotated[
        int | None, Flag("Stop after so many measurements without a better one.", minimum=1, shown_default="never")
    ] = None

    sample_every: Annotated[
        int | None, Flag("Steps between measurements and samples.", minimum=1, shown_default="an epoch's, at most 2000")
    ] = None
    temperatures: Annotated[tuple[float, ...], Flag("Write a sample at each.", 0, 100)] = (0.2, 0.5, 0.7, 1.0, 1.5)
    prompt: Annotated[str, Flag("How the samples begin.", shown_default="a place in the text")] = ""
    sample_length: Annotated[int, Flag("Tokens of a sample.", minimum=1)] = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.arch.startswith("transformer") and self.width % self.heads:
            raise UsageError(
                f"--width {self.width} cannot be shared by {self.heads} heads", "use a multiple of --heads"
            )
        if self.documents and self.target == "next":
            raise UsageError("--documents learns from whole samples", "leave out --target next")


@dataclass(frozen=True)
class Sampling(Options):
    """How `gencli textgen` writes."""

    length: Annotated[int, Flag("Most tokens to write after the prompt.", minimum=0)] = 500
    temperature: Annotated[
        tuple[float, ...],
        Flag("0 is always the likeliest, 1 the model's own taste, more is wilder; several: 0.5,1.", 0, 100),
    ] = (0.6,)
    top_k: Annotated[int | None, Flag("Choose among the K likeliest only.", minimum=1, shown_default="all")] = None
    top_p: Annotated[
        float | None, Flag("… among the fewest that together have this probability.", 0, 1, shown_default="all")
    ] = None
    min_p: Annotated[
        float | None,
        Flag("… among those with at least this share of the likeliest's probability.", 0, 1, shown_default="all"),
    ] = None
    repetition_penalty: Annotated[
        float, Flag("How much less likely what was just written is; 1 is not at all.", minimum=1, maximum=100)
    ] = 1.0
    count: Annotated[int, Flag("Texts at each temperature.", minimum=1)] = 1
