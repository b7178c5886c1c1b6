"""Writing: how likely each next token is, how one is chosen, and text handed out as it is written."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from gencli.core.device import generator
from gencli.core.errors import GencliError, UsageError
from gencli.textgen import steps
from gencli.textgen.language import LanguageModel
from gencli.textgen.steps import Numbers, Steps
from gencli.textgen.tokenizers import Tokenizer

Ids = npt.NDArray[np.int64]

RECENT = 64  # tokens that a repetition penalty knows of
READ_BACK = 1024  # tokens of a prompt that may matter to how its text goes on
DRAWN_AT_ONCE = 256  # random numbers
ROUNDING = 1e-6  # of probabilities that come from logits in single precision


@dataclass(frozen=True)
class Strategy:
    """How the next token is chosen.

    `temperature` 0 takes the likeliest, 1 draws from the model's own distribution; higher is more surprising.
    `top_k` keeps the k likeliest tokens (Fan et al. 2018), `top_p` the fewest that have this probability
    together (nucleus sampling, Holtzman et al. 2020), `min_p` those with at least this share of the likeliest
    one's (Nguyen et al. 2024). `repetition_penalty` makes the `RECENT` last tokens less likely (Keskar et al. 2019).

    Raises UsageError for values out of range.
    """

    temperature: float
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature {self.temperature}: must be a finite number of at least 0")
        if self.top_k is not None and self.top_k < 1:
            raise UsageError(f"top_k {self.top_k}: must be at least 1")
        for name, share in (("top_p", self.top_p), ("min_p", self.min_p)):
            if share is not None and not 0 <= share <= 1:
                raise UsageError(f"{name} {share}: must be from 0 to 1")
        if not 1 <= self.repetition_penalty < math.inf:
            raise UsageError(f"repetition_penalty {self.repetition_penalty}: must be a finite number of at least 1")


def distribution(logits: Numbers, strategy: Strategy, recent: Ids | None = None) -> Numbers:
    """Logits (B, V) → the probabilities (B, V), float64, that a strategy draws with.

    In this order: the penalty of the tokens in `recent`, integers (B, N); temperature; top-k (of equally likely
    tokens those with the lowest numbers); top-p (at least one token); min-p.
    """
    logits = np.asarray(logits, np.float64)
    if strategy.repetition_penalty != 1 and recent is not None:
        logits = _penalised(logits, strategy.repetition_penalty, recent)
    if strategy.temperature == 0:
        chosen = np.zeros_like(logits)
        np.put_along_axis(chosen, logits.argmax(-1)[:, None], 1.0, -1)  # of equals the first
        return chosen
    with np.errstate(over="ignore", invalid="ignore"):  # next to no temperature; what is no number, `draw` finds
        logits = (logits - logits.max(-1, keepdims=True)) / strategy.temperature
        if strategy.top_k is not None and strategy.top_k < logits.shape[-1]:
            logits = np.where(_top_k(logits, strategy.top_k), logits, -math.inf)
        probabilities = _normal(np.exp(logits))
    if strategy.top_p is not None and strategy.top_p < 1:
        probabilities = np.where(_top_p(probabilities, strategy.top_p), probabilities, 0.0)
    if strategy.min_p is not None:
        least = strategy.min_p * probabilities.max(-1, keepdims=True)
        probabilities = np.where(probabilities < least, 0.0, probabilities)
    whole = strategy.top_p is None and strategy.min_p is None
    return probabilities if whole else _normal(probabilities)


def _normal(weights: Numbers) -> Numbers:
    scaled: Numbers = weights / weights.sum(-1, keepdims=True)
    return scaled


def _penalised(logits: Numbers, penalty: float, recent: Ids) -> Numbers:
    """Recent tokens' logits divided by the penalty, or multiplied where they are negative."""
    seen, changed = np.take_along_axis(logits, recent, -1), logits.copy()
    np.put_along_axis(changed, recent, np.where(seen > 0, seen / penalty, seen * penalty), -1)
    return changed


def _top_k(logits: Numbers, k: int) -> npt.NDArray[np.bool_]:
    """Which are the k highest, bool (B, V): exactly k of them."""
    least = np.partition(logits, -k, -1)[:, -k, None]
    above, level = logits > least, logits == least
    return above | (level & (level.cumsum(-1) <= k - above.sum(-1, keepdims=True)))


def _top_p(probabilities: Numbers, p: float) -> npt.NDArray[np.bool_]:
    """Which are the fewest, bool (B, V), whose probabilities add up to p."""
    order = np.argsort(-probabilities, -1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, -1)
    wanted = ranked.cumsum(-1) - ranked < p - ROUNDING  # as long as those before are too few
    wanted[:, 0] = True
    kept = np.empty_like(wanted)
    np.put_along_axis(kept, order, wanted, -1)
    return kept


def draw(probabilities: Numbers, uniform: Numbers) -> list[int]:
    """One token a row of probabilities (B, V), by uniform numbers (B,) in [0, 1).

    A token of probability 0 is never drawn. Raises GencliError when probabilities are not numbers.
    """
    mass = probabilities.cumsum(-1)
    total = mass[:, -1]
    if not (total > 0).all():
        raise GencliError("the model's predictions are not numbers", "its weights are damaged; train it anew")
    # the first whose mass is above the number: one that adds no mass is never the first
    number = np.minimum(uniform * total, np.nextafter(total, 0))
    tokens: list[int] = (mass > number[:, None]).argmax(-1).tolist()
    return tokens


def likeliest(probabilities: Numbers, count: int) -> list[tuple[int, float]]:
    """The `count` likeliest tokens of probabilities (V,), each with its own, the likeliest first."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(token, p) for token, p in zip(order.tolist(), probabilities[order].tolist(), strict=True) if p > 0]


class Stream:
    """Rows of text in the making, which all begin with one prompt: it is read once for all of them.

    A prompt with nothing in it stands for the beginning of a line. The model must be in evaluation mode.
    Tokens nobody can read (unknown, padding) have no probability unless there are no others.
    """

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, prompt: str, rows: int = 1) -> None:
        self.model, self.readable = model, _readable(model, tokenizer)
        given = tokenizer.encode(prompt).astype(np.int64)
        self.prompt = torch.from_numpy(given) if len(given) else torch.tensor([_beginning(tokenizer)])
        self.steps: Steps | None = None  # once the prompt is read
        self.logits: Numbers | None = None  # (rows, V) of what comes next
        self.unread: Sequence[int] = ()  # the tokens pushed last
        self.recent = [deque(given[-RECENT:].tolist(), RECENT) for _ in range(rows)]
        self.decoders = [tokenizer.decoder() for _ in range(rows)]
        self.blanks = [False] * rows  # whether the next text's first blank stands in the prompt already
        if len(given):
            last = given[-READ_BACK:].tolist()
            for row, decoder in enumerate(self.decoders):
                written = "".join(map(decoder.push, last))
                self.blanks[row] = prompt[-1].isspace() and not written[-1:].isspace()

    def distribution(self, strategy: Strategy, rows: Sequence[int] | None = None) -> Numbers:
        """The probabilities (N, V) of what comes next in some rows (None: in all)."""
        logits = self._read() if self.logits is None else self.logits
        chosen = range(len(self.recent)) if rows is None else rows
        recent = np.array([[*self.recent[row]] for row in chosen]) if strategy.repetition_penalty != 1 else None
        return distribution(logits if rows is None else logits[rows], strategy, recent)

    def _read(self) -> Numbers:
        """Read the tokens pushed last, or the prompt at first."""
        if self.steps is None:
            logits, self.steps = steps.begin(self.model, self.prompt[None])
            rows = [0] * len(self.decoders)
            self.steps.keep(rows)
            self.logits = logits[rows] + self.readable
        else:
            self.logits = self.steps.step(self.unread) + self.readable
        return self.logits

    def push(self, tokens: Sequence[int]) -> list[str]:
        """Go on with a token a row. The text that each adds, which may be empty."""
        if self.logits is None:
            self._read()
        texts = []
        for row, (decoder, token) in enumerate(zip(self.decoders, tokens, strict=True)):
            text = decoder.push(token)
            if text and self.blanks[row]:
                text, self.blanks[row] = text.removeprefix(" "), False
            texts.append(text)
            self.recent[row].append(token)
        self.unread = tokens
        self.logits = None
        return texts

    def flush(self, row: int) -> str:
        """The text that was held back in a row, for want of the rest of a character."""
        return self.decoders[row].flush()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only, which are numbered anew."""
        if self.steps is not None:
            self.steps.keep(rows)
        self.decoders, self.blanks = [self.decoders[row] for row in rows], [self.blanks[row] for row in rows]
        self.recent = [self.recent[row] for row in rows]
        self.unread = [self.unread[row] for row in rows] if self.unread else ()
        self.logits = None if self.logits is None else self.logits[rows]


def _readable(model: LanguageModel, tokenizer: Tokenizer) -> Numbers:
    """What to add to logits, (V,), so that tokens no text has never come: the unknown one, and padding behind
    the vocabulary."""
    added = np.zeros(model.vocabulary)
    added[tokenizer.size :] = -math.inf
    if tokenizer.unknown is not None and tokenizer.size > 1:
        added[tokenizer.unknown] = -math.inf
    return added


def _beginning(tokenizer: Tokenizer) -> int:
    """The token after which a text may begin: a line end, a blank, or any other."""
    for text in ("\n", " "):
        tokens = tokenizer.encode(text)
        if len(tokens) and tokens[-1] != tokenizer.unknown:
            return int(tokens[-1])
    return 1 if tokenizer.unknown == 0 and tokenizer.size > 1 else 0


class Stops:
    """Lets text through up to the first stop string, and holds back what may become one.

    The first is the one that is complete first, and of several the longest: so the result is the same
    whatever pieces a text comes in.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings = strings
        self.held = ""
        self.met = False

    def push(self, text: str) -> str:
        """More text → what of it, and of the text held back, is certain to stand before any stop string."""
        if not self.strings:
            return text
        held = self.held + text
        ends = [(place + len(stop), place) for stop in self.strings if (place := held.find(stop)) >= 0]
        if ends:
            self.held, self.met = "", True
            return held[: min(ends)[1]]
        longest = min(max(map(len, self.strings)) - 1, len(held))
        kept = next(
            (size for size in range(longest, 0, -1) if any(stop.startswith(held[-size:]) for stop in self.strings)), 0
        )
        self.held = held[len(held) - kept :]
        return held[: len(held) - kept]

    def flush(self) -> str:
        """What was held back and has not become a stop string."""
        held, self.held = self.held, ""
        return held


@dataclass(frozen=True)
class Piece:
    """Text that a row goes on with."""

    row: int
    text: str


def choose(stream: Stream, strategies: Sequence[Strategy], uniform: Numbers) -> list[int]:
    """A token a row, each drawn with the row's strategy and number (B,). Rows with the same strategy are worked on
    together."""
    if len(set(strategies)) == 1:
        return draw(stream.distribution(strategies[0]), uniform)
    alike = defaultdict(list)
    for row, strategy in enumerate(strategies):
        alike[strategy].append(row)
    tokens = [0] * len(strategies)
    for strategy, rows in alike.items():
        drawn = draw(stream.distribution(strategy, rows), uniform[rows])
        for row, token in zip(rows, drawn, strict=True):
            tokens[row] = token
    return tokens


Choice = Callable[[Stream, Sequence[Strategy], Numbers], list[int] | None]
"""What chooses the rows' next tokens, like `choose`; None ends the texts."""


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    strategies: Sequence[Strategy],
    *,
    length: int,
    seed: int,
    stop: Sequence[str] = (),
    echo: bool = True,
    choice: Choice = choose,
) -> Iterator[Piece]:
    """Go on with a prompt in several rows, each with a strategy of its own, and hand the text out as it grows.

    A row ends after `length` tokens, or before a string of `stop`, which is not part of its text. With `echo`
    each begins with the prompt. A row's choices depend on the seed and its number only, not on how many
    others there are: `choice` is given a number drawn for each. The model is in evaluation mode meanwhile, and as
    it was afterwards.

    Raises UsageError for an empty stop string.
    """
    if "" in stop:
        raise UsageError("a stop string is empty", "leave it out, or name the text to stop at")
    training = model.training
    model.eval()
    try:
        yield from _rows(model, tokenizer, prompt, strategies, length, seed, stop, echo, choice)
    finally:
        model.train(training)


def _rows(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    strategies: Sequence[Strategy],
    length: int,
    seed: int,
    stop: Sequence[str],
    echo: bool,
    choice: Choice,
) -> Iterator[Piece]:
    stream = Stream(model, tokenizer, prompt, len(strategies))
    stops = [Stops(stop) for _ in strategies]
    luck = _uniform(seed, len(strategies))
    rows = list(range(len(strategies)))  # those of the stream
    if echo and prompt:
        yield from (Piece(row, prompt) for row in rows)
    for _ in range(length):
        uniform = next(luck)
        if len(rows) < len(strategies):
            uniform = uniform[rows]
        if (tokens := choice(stream, [strategies[row] for row in rows], uniform)) is None:
            break
        for row, text in zip(rows, stream.push(tokens), strict=True):
            if certain := stops[row].push(text):
                yield Piece(row, certain)
        going = [place for place, row in enumerate(rows) if not stops[row].met]
        if len(going) < len(rows):
            if not going:
                return
            stream.keep(going)
            rows = [rows[place] for place in going]
    for place, row in enumerate(rows):
        if text := stops[row].push(stream.flush(place)) + stops[row].flush():
            yield Piece(row, text)


def _uniform(seed: int, rows: int) -> Iterator[Numbers]:
    """Random numbers in [0, 1), (rows,), of which each row has a series of its own."""
    sources = [generator(seed, row) for row in range(rows)]
    while True:
        series = [torch.rand(DRAWN_AT_ONCE, generator=source, dtype=torch.float64) for source in sources]
        yield from torch.stack(series, 1).numpy()


def joined(pieces: Iterable[Piece], rows: int) -> list[str]:
    """The whole texts that `generate` hands out in pieces, one a row."""
    texts = [""] * rows
    for piece in pieces:
        texts[piece.row] += piece.text
    return texts
