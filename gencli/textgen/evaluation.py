"""How good a language model is: on text it has not seen, against mere counting, and as a parrot.

Bits per character and per byte can be compared whatever a model's tokens are; nats a token and perplexity
only among models with the same tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from gencli.core.device import Runtime
from gencli.core.errors import GencliError, UsageError
from gencli.core.stages import Report, Stage, unwatched
from gencli.textgen import corpus, sampling, tokens
from gencli.textgen.batches import IGNORED, Documents
from gencli.textgen.corpus import Span
from gencli.textgen.language import LanguageModel
from gencli.textgen.sampling import Strategy
from gencli.textgen.tokens import Tokens
from gencli.textgen.writer import Writer

WRITTEN_ROWS, WRITTEN = 20, 1000  # texts, and tokens of each, in which copies are looked for
WINDOW = 50  # characters: what long a passage nobody writes twice by chance
LEAD = 128  # tokens a recurrent model reads before those that count
ROWS = 64  # segments measured side by side
PIECE = 256  # tokens of a segment at a time
DISCOUNT = 0.75  # taken off each pair's count for the pairs that were never met


@dataclass(frozen=True)
class Figures:
    """What a model makes of a text; `tokens` were predicted.

    `loss_nats` is the mean negative log likelihood of a token, `perplexity` its exponential; `bits_per_char`
    and `bits_per_byte` spread all tokens' loss over the characters and UTF-8 bytes they stand for.
    """

    loss_nats: float
    perplexity: float
    bits_per_char: float
    bits_per_byte: float
    tokens: int

    @classmethod
    def of(cls, nats: float, tokens: int, text: Tokens) -> Figures:
        """From the summed loss of `tokens` tokens of a text."""
        mean = nats / max(tokens, 1)
        bits = mean * len(text) / math.log(2)  # of the whole text, if what was not predicted is like the rest
        perplexity = math.exp(mean) if mean < 700 else math.inf
        return cls(mean, perplexity, bits / max(text.characters, 1), bits / max(text.bytes, 1), tokens)

    def to_dict(self) -> dict[str, float]:
        return asdict(self)


@torch.no_grad()
def measure(
    model: LanguageModel, text: Tokens, runtime: Runtime, most: int | None = None, report: Report | None = None
) -> Figures:
    """The model's figures on a text, every token but the first predicted once; of a long one the first `most`.

    A recurrent model reads the text in segments side by side; a Transformer in windows of its context. Each
    is led in by tokens that do not count, so that none is predicted from nothing: half the context, or
    `LEAD`. Leaves the model as it was.
    """
    training = model.training
    model.eval()
    total, counted = 0.0, 0
    length = min(len(text) - 1, most or len(text))
    lead = min(model.window // 2 if model.window else LEAD, length)
    own = model.window - lead if model.window else max(PIECE, math.ceil(length / ROWS))
    starts = np.arange(0, length, own)
    for first in range(0, len(starts), ROWS):
        rows = starts[first : first + ROWS]
        state, read = None, np.maximum(rows - lead, 0)  # the first segment has less to be led in by
        ends = np.minimum(rows + own, length)
        for offset in range(0, lead + own, PIECE if not model.window else lead + own):
            span = min(PIECE if not model.window else lead + own, lead + own - offset)
            places = read[:, None] + offset + np.arange(span + 1)
            tokens = torch.from_numpy(text.at(np.minimum(places, length)).astype(np.int64)).to(runtime.device)
            targets = tokens[:, 1:].clone()
            outside = (places[:, 1:] <= rows[:, None]) | (places[:, 1:] > ends[:, None])
            targets[torch.from_numpy(outside).to(runtime.device)] = IGNORED
            with runtime.autocast():
                logits, state = model(tokens[:, :-1], state)
            total += float(F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum"))
            counted += int((targets != IGNORED).sum())
        if report:
            report(text.bytes * min(first + ROWS, len(starts)) / len(starts), text.bytes)
    model.train(training)
    return Figures.of(total, counted, text)


@torch.no_grad()
def measure_documents(model: LanguageModel, documents: Documents, runtime: Runtime) -> Figures:
    """The model's figures on documents, each read by itself and as far as the context reaches."""
    training = model.training
    model.eval()
    total, counted = 0.0, 0
    for chosen in np.array_split(np.arange(len(documents.starts)), math.ceil(len(documents.starts) / ROWS)):
        batch = documents.padded(chosen)
        with runtime.autocast():
            logits, _ = model(batch.inputs)
        total += float(F.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), reduction="sum"))
        counted += int((batch.targets != IGNORED).sum())
    model.train(training)
    return Figures.of(total, counted, documents.tokens)


def evaluate(
    loaded: Writer, data: Sequence[str | Path], runtime: Runtime, seed: int, stage: Stage | None = None
) -> dict[str, float | None]:
    """A model's figures on a text (nothing: what was held out of its training), and what it knows by heart.

    `memorised` is None where the text it learnt from is not there any more.

    Raises GencliError when a text cannot be read.
    """
    stage = stage or unwatched
    learnt, held_out = _own_texts(loaded, stage)
    if data:
        with stage("reading text") as told:
            held_out = corpus.gather(data, loaded.cleaning, told).whole
    if held_out is None:
        raise UsageError(f"the text that {loaded.name} was trained on is not here", "name one to measure on: --data")
    text = tokens.tokenize(held_out, loaded.tokenizer)
    if len(text) < 2:
        raise GencliError(f"the text has {len(text)} token; two are the least that can be measured")
    if loaded.config["options"].get("documents"):
        context = loaded.architecture["context"]
        rows = Documents(text, ROWS, context, loaded.architecture["vocabulary"] - 1, seed, runtime)
        figures = measure_documents(loaded.model, rows, runtime)
    else:
        with stage("measuring") as told:
            figures = measure(loaded.model, text, runtime, report=told)
    if learnt is None:
        return {**figures.to_dict(), "memorised": None}
    strategies = [Strategy(1.0)] * WRITTEN_ROWS
    pieces = sampling.generate(loaded.model, loaded.tokenizer, "", strategies, length=WRITTEN, seed=seed)
    return {**figures.to_dict(), "memorised": memorised(sampling.joined(pieces, WRITTEN_ROWS), learnt.chunks())}


def _own_texts(loaded: Writer, stage: Stage) -> tuple[Span | None, Span | None]:
    """What a model has learnt from and what was held out, where it is still as it was."""
    about = loaded.config.get("data", {})
    if "-" in about.get("names", ["-"]):  # standard input is not there a second time
        return None, None
    try:
        with stage("reading what it learnt") as told:
            text = corpus.gather(about["names"], loaded.cleaning, told)
    except GencliError:
        return None, None
    if text.fingerprint != about["fingerprint"]:
        return None, None
    if about["validation"]:
        return text.whole, None
    return corpus.split(text, loaded.config["options"]["held_out"])


def count_models(
    learnt: Iterable[npt.NDArray[np.int64]], held_out: Iterable[npt.NDArray[np.int64]], size: int
) -> dict[str, float]:
    """Nats a token of held-out text by two models that only count tokens: `unigram` and `bigram`.

    Texts are runs of tokens below `size`. Unigrams are smoothed by one; bigrams are interpolated with them by
    absolute discounting (Ney, Essen & Kneser 1994).
    """
    single, pairs, counts = np.ones(size), np.empty(0, np.int64), np.empty(0, np.int64)
    for run in _joined(learnt):
        single += np.bincount(run[run >= 0], minlength=size)
        new, often = np.unique(_pairs(run, size), return_counts=True)
        pairs, place = np.unique(np.concatenate([pairs, new]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts, often]))
    unigram = single / single.sum()
    followed = np.bincount(pairs // size, counts, size)  # how often a token is followed by any
    kinds = np.bincount(pairs // size, minlength=size)  # and by how many different ones
    nats, total = {"unigram": 0.0, "bigram": 0.0}, 0
    for run in _joined(held_out):
        wanted = _pairs(run, size)
        before, after = wanted // size, wanted % size
        place = np.minimum(np.searchsorted(pairs, wanted), max(len(pairs) - 1, 0))
        seen = np.where(pairs[place] == wanted, counts[place] - DISCOUNT, 0.0) if len(pairs) else np.zeros(len(wanted))
        often = np.maximum(followed[before], 1)
        left = np.where(followed[before] > 0, DISCOUNT * kinds[before] / often, 1.0)
        nats["unigram"] -= float(np.log(unigram[after]).sum())
        nats["bigram"] -= float(np.log(seen / often + left * unigram[after]).sum())
        total += len(wanted)
    return {name: value / max(total, 1) for name, value in nats.items()}


def _joined(runs: Iterable[npt.NDArray[np.int64]], least: int = 1 << 20) -> Iterator[npt.NDArray[np.int64]]:
    """Short runs put together, -1 between them: they are counted faster so."""
    waiting, length = list[npt.NDArray[np.int64]](), 0
    for run in runs:
        waiting += [run, np.array([-1])]
        length += len(run)
        if length >= least:
            yield np.concatenate(waiting)
            waiting, length = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _pairs(run: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Neighbours as one number each."""
    before, after = run[:-1], run[1:]
    return (before * size + after)[(before >= 0) & (after >= 0)]


def memorised(written: Iterable[str], learnt: Iterable[str], window: int = WINDOW) -> float:
    """The share of the windows of written texts that stand word for word in the text that was learnt.

    `learnt` comes in pieces; all windows of all of it are compared, by a 64-bit polynomial hash that is
    rolled over whole pieces at once (Karp & Rabin 1987).
    """
    hashes = np.concatenate([_hashes(_points(text), window) for text in written])
    wanted = np.unique(hashes)
    if not len(wanted):
        return 0.0
    met = np.zeros(len(wanted), dtype=bool)
    for points in _overlapping(learnt, window - 1):
        found = _hashes(points, window)
        place = np.minimum(np.searchsorted(wanted, found), len(wanted) - 1)
        met[place[wanted[place] == found]] = True
    return float(met[np.searchsorted(wanted, hashes)].mean())


def _points(text: str) -> npt.NDArray[np.uint64]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)


def _overlapping(pieces: Iterable[str], overlap: int) -> Iterator[npt.NDArray[np.uint64]]:
    """Pieces as code points, each with the end of what came before it."""
    before = np.empty(0, np.uint64)
    for piece in pieces:
        before = np.concatenate([before, _points(piece)])
        yield before
        before = before[-overlap:]


def _hashes(points: npt.NDArray[np.uint64], window: int) -> npt.NDArray[np.uint64]:
    """Σ pointᵢ₊ⱼ · baseʲ modulo 2⁶⁴ of every window: lengths 1, 2, 4, … are put together from two halves."""
    if len(points) < window:
        return np.empty(0, np.uint64)
    base = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        power, length, sums = base, 1, points + np.uint64(1)
        total, done, total_power = None, 0, np.uint64(1)
        while length <= window:
            if window & length:
                part = sums[done:]
                total = part if total is None else total[: len(part)] + part * total_power
                done, total_power = done + length, total_power * power
            sums = sums[:-length] + sums[length:] * power
            power, length = power * power, 2 * length
    assert total is not None
    return total[: len(points) - window + 1]
