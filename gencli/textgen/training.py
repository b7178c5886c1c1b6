"""Training a language model: to predict each token from those before it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core import runs, training
from gencli.core.averaging import RunningMean
from gencli.core.checkpoint import Stateful
from gencli.core.device import Runtime, drawing_from, generator
from gencli.core.errors import GencliError
from gencli.core.muon import Muon
from gencli.core.recipe import Progress, Recipe, Result, TrainingOptions, up_and_down
from gencli.core.runs import Run
from gencli.core.stages import Stage, unwatched
from gencli.core.tensors import halved
from gencli.textgen import corpus, evaluation, models, sampling, tokenizers, tokens, writer
from gencli.textgen.batches import IGNORED, Batch, Documents, Lanes, TokenBatches, Windows
from gencli.textgen.corpus import Span, Text
from gencli.textgen.evaluation import Figures
from gencli.textgen.language import LanguageModel
from gencli.textgen.options import RATES, SUB_WORDS, WORDS, LanguageTraining
from gencli.textgen.sampling import Strategy
from gencli.textgen.tokenizers import Tokenizer
from gencli.textgen.tokens import Tokens

log = logging.getLogger("gencli")

WARM_UP = 0.02  # share of the training in which the rate rises
BETAS = (0.8, 0.99)
MUON_TO_ADAM = 0.5  # AdamW's rate to that of Muon beside it
ARCHITECTURE = ("arch", "width", "layers", "context", "dropout", "embedding", "heads", "feed_forward")
FIXED = {"tokens", "vocabulary", "lowercase", "strip_html", "strip_punctuation", "normalize", "documents"} | {
    *ARCHITECTURE
}  # what a model to go on from has settled
MEASURED = 200_000  # held-out tokens, of more
LONGEST = 2_000  # steps between measurements, where an epoch has more
COUNTED, COUNTED_AT_ONCE = 20 << 20, 1 << 20  # tokens that the models which only count are fitted to
SHOWN_PROMPT = 40  # characters of the text that begin the samples where no prompt is given


class LanguageRecipe(Recipe):
    """A language model, the running mean of its weights, and samples of what it writes.

    `held_out` is what it is measured on; `prompt` begins the samples. `bits_per_nat` turns the loss of a
    token into bits a character.
    """

    def __init__(
        self,
        net: LanguageModel,
        options: LanguageTraining,
        tokenizer: Tokenizer,
        held_out: Tokens | Documents,
        prompt: str,
        runtime: Runtime,
        seed: int,
        bits_per_nat: float = 1 / math.log(2),
    ) -> None:
        self.bits_per_nat = bits_per_nat
        self.options, self.tokenizer, self.held_out = options, tokenizer, held_out
        self.prompt, self.runtime, self.seed = prompt, runtime, seed
        self.net = net.to(runtime.device).train()
        self.mean = RunningMean(self.net, options.average) if options.average else None
        self.modules: Mapping[str, nn.Module] = {"net": self.net, **({"mean": self.mean.net} if self.mean else {})}
        self.optimizers = optimizers(self.net, options)
        self.carried = Carried(runtime.device)
        self.scaler = torch.amp.GradScaler(runtime.device.type, enabled=runtime.dtype == torch.float16)
        self.extras: Mapping[str, Stateful] = {"scaler": self.scaler, **({"mean": self.mean} if self.mean else {})}
        self.own: Mapping[str, Stateful] = {"carried": self.carried}
        self.luck = torch.Generator(runtime.device).manual_seed(generator(seed, 1).initial_seed())
        self.generators = {"dropout": self.luck}

    @property
    def best(self) -> LanguageModel:
        """The model that is measured, sampled and kept."""
        return self.net if self.mean is None else self.mean.net

    def step(self, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        before = None if batch.fresh else self.carried.state
        with self.runtime.autocast(), drawing_from(self.luck):
            logits, state = self.net(batch.inputs, before)  # (B, T, V)
        self.carried.state = models.detached(state) if self.net.window is None else None
        loss = F.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED)
        self.net.zero_grad()
        self.scaler.scale(loss).backward()
        for optimizer in self.optimizers.values():
            self.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(self.net.parameters(), self.options.clip)
        for optimizer in self.optimizers.values():
            self.scaler.step(optimizer)
        self.scaler.update()
        if self.mean is not None:
            self.mean.update(self.net)
        counted = (batch.targets != IGNORED).sum()
        return {"loss": loss.detach(), "bits_per_char": loss.detach() * self.bits_per_nat, "tokens": counted}

    def rate(self, progress: float) -> float:
        return up_and_down(progress, WARM_UP) if self.options.schedule == "cosine" else 1.0

    def evaluate(self) -> dict[str, float]:
        """The figures on the held-out text."""
        return measured(self.best, self.held_out, self.runtime).to_dict()

    def preview(self) -> dict[str, str]:
        """A text at each temperature, all from one prompt."""
        strategies = [Strategy(temperature) for temperature in self.options.temperatures]
        length = self.options.sample_length
        pieces = sampling.generate(self.best, self.tokenizer, self.prompt, strategies, length=length, seed=self.seed)
        texts = sampling.joined(pieces, len(strategies))
        return dict(zip((f"{strategy.temperature:g}" for strategy in strategies), texts, strict=True))

    def export(self) -> dict[str, Tensor]:
        """The weights that are measured, in half precision."""
        return halved(self.best.state_dict())


class Carried:
    """A recurrent model's memory, which goes from one step to the next, and so is part of what a resume needs."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.state: Any = None

    def state_dict(self) -> dict[str, Any]:
        return {"state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = state_dict["state"]
        self.state = None if state is None else tuple(tensor.to(self.device) for tensor in state)


def optimizers(net: LanguageModel, options: LanguageTraining) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices between hidden features and AdamW (Loshchilov & Hutter 2019) for all else, AdamW
    for everything, or the textbook's RMSprop. Vectors are not decayed."""
    rate = options.rate or RATES[options.optimizer]
    if options.optimizer == "rmsprop":
        return {"all": torch.optim.RMSprop(net.parameters(), rate, alpha=0.9, eps=1e-7)}
    hidden = dict(net.hidden_matrices()) if options.optimizer == "muon" else {}
    rest = [weight for weight in net.parameters() if weight not in hidden]
    adam = torch.optim.AdamW(
        [
            {"params": [weight for weight in rest if weight.ndim > 1], "weight_decay": options.weight_decay},
            {"params": [weight for weight in rest if weight.ndim <= 1], "weight_decay": 0.0},
        ],
        rate * MUON_TO_ADAM if hidden else rate,
        BETAS,
    )
    if not hidden:
        return {"all": adam}
    groups = [{"params": [weight], "parts": parts} for weight, parts in hidden.items()]
    return {"hidden": Muon(groups, rate, options.weight_decay), "others": adam}


def batches(learnt: Tokens, options: LanguageTraining, padding: int, seed: int, runtime: Runtime) -> TokenBatches:
    """The text in the order that suits the model: documents, windows for Transformers, lanes for the others."""
    rows, context = options.batch_size, options.context
    if options.documents:
        return Documents(learnt, rows, context, padding, seed, runtime)
    if options.target == "next":
        return Windows(learnt, rows, context, options.stride, seed, runtime, last=True)
    if options.arch.startswith("transformer"):
        return Windows(learnt, rows, context, context, seed, runtime)
    return Lanes(learnt, rows, context, seed, runtime)


def measured(net: LanguageModel, held_out: Tokens | Documents, runtime: Runtime) -> Figures:
    """A model's figures on a held-out text (the first `MEASURED` tokens), or on held-out documents."""
    if isinstance(held_out, Documents):
        return evaluation.measure_documents(net, held_out, runtime)
    return evaluation.measure(net, held_out, runtime, MEASURED)


# ------------------------------------------------------------------ from a text to a model


def train(
    data: Sequence[str | Path],
    name: str,
    options: LanguageTraining | None = None,
    *,
    validation: str | Path | None = None,
    base: str | None = None,
    seed: int | None = None,
    resume: bool = False,
    runtime: Runtime | None = None,
    stage: Stage | None = None,
    report: Callable[[Progress], None] | None = None,
    resume_command: str = "the same with resume",
) -> Result:
    """Train a language model on texts and keep it in the store: what `gencli textgen train` does.

    `data` is what `corpus.gather` takes; the share `options.held_out` at its end, or `validation`, is for
    measuring only. `base` names a model to go on from: its tokens and architecture are kept.

    Raises UsageError for options that do not fit, GencliError for a text that cannot be read.
    """
    runtime = runtime or Runtime(torch.device("cpu"))
    with runs.begin("textgen", name, options or LanguageTraining(), seed, runtime, resume=resume) as run:
        if resume:
            base = runs.earlier(run.folder).get("base")
        return _Training(run, stage or unwatched).train(data, validation, base, resume, report, resume_command)


class _Training:
    """The stages from the text to the trained model."""

    def __init__(self, run: Run[LanguageTraining], stage: Stage) -> None:
        self.run, self.runtime, self.stage = run, run.runtime, stage

    @property
    def options(self) -> LanguageTraining:
        return self.run.options

    def train(
        self,
        data: Sequence[str | Path],
        validation: str | Path | None,
        base: str | None,
        resume: bool,
        report: Callable[[Progress], None] | None,
        resume_command: str,
    ) -> Result:
        start = None if base is None else self._base(base)
        options = self.options
        learnt_text, held_text, text = self._texts(data, validation)
        tokenizer = start.tokenizer if start else self._tokenizer(learnt_text)
        with self.stage("making tokens") as told:
            learnt = tokens.tokenize(learnt_text, tokenizer, told)
            held = tokens.tokenize(held_text, tokenizer)
        if len(held) < 2:
            raise GencliError(f"the held-out text has {len(held)} token", "hold more of it out: --held-out 0.2")
        built = start.architecture if start else architecture(options, tokenizer)
        padding = built["vocabulary"] - 1
        if start:
            net = start.model
        else:
            net = models.build(**built)
            net.initialise(generator(self.run.seed))
        order = batches(learnt, options, padding, self.run.seed, self.runtime)
        held_out = self._held_out(held, order, padding)
        counting = self._counting(learnt, held, built["vocabulary"])
        log.info(
            "%s: %s tokens of %s kinds to learn from, %s held out, %s weights, seed %d",
            self.run.folder.name,
            f"{len(learnt):,}",
            f"{tokenizer.size:,}",
            f"{len(held):,}",
            f"{sum(weight.numel() for weight in net.parameters()):,}",
            self.run.seed,
        )
        log.info("counting tokens would reach %.3f nats, counting pairs %.3f", counting["unigram"], counting["bigram"])
        tokenizers.warn_of_unknown(tokenizer, options.prompt)
        prompt = options.prompt or _beginning(held_text)
        per_nat = len(learnt) / max(learnt.characters, 1) / math.log(2)
        recipe = LanguageRecipe(net, options, tokenizer, held_out, prompt, self.runtime, self.run.seed, per_nat)
        config = self.run.config(
            kind="language model",
            architecture=built,
            tokenizer=tokenizer.to_dict(),
            data={
                "names": [_place(one) for one in data],
                "fingerprint": text.fingerprint,
                "validation": None if validation is None else _place(validation),
                "validation_fingerprint": None if validation is None else held_text.text.fingerprint,
            },
            counting=counting,
            base=base,
        )
        return training.train(
            recipe,
            order,
            self.run.folder,
            config=config,
            options=self._durations(len(order)),
            runtime=self.runtime,
            resume=resume,
            resume_command=resume_command,
            report=report,
        )

    def _base(self, base: str) -> writer.Writer:
        """The model to go on from; what it has settled is so here too."""
        start = writer.load(base, self.runtime)
        settled = start.config["options"]
        options = runs.going_on(self.options, FIXED, start.name, settled, "tokens and architecture")
        self.run = replace(self.run, options=options)
        return start

    def _texts(self, data: Sequence[str | Path], validation: str | Path | None) -> tuple[Span, Span, Text]:
        with self.stage("reading text") as told:
            text = corpus.gather(data, self.options, told)
            if validation is None:
                return (*corpus.split(text, self.options.held_out), text)
            return text.whole, corpus.gather([validation], self.options).whole, text

    def _tokenizer(self, learnt: Span) -> Tokenizer:
        usual = {"word": WORDS, "bpe": SUB_WORDS}
        size = self.options.vocabulary or usual.get(self.options.tokens)
        with self.stage("counting tokens") as told:
            return tokens.vocabulary(learnt, self.options.tokens, size, told)

    def _held_out(self, held: Tokens, order: TokenBatches, padding: int) -> Tokens | Documents:
        if not self.options.documents:
            return held
        return Documents(held, order.rows, order.context, padding, self.run.seed, self.runtime)

    def _counting(self, learnt: Tokens, held: Tokens, size: int) -> dict[str, float]:
        """What models that only count reach, in nats a token: what a loss is to be compared with."""

        def runs_of(text: Tokens) -> Iterator[npt.NDArray[np.int64]]:
            if not self.options.documents:
                for start in range(0, min(len(text), COUNTED), COUNTED_AT_ONCE):
                    yield text.read(start, COUNTED_AT_ONCE).astype(np.int64)
                return
            for start, stop in zip(text.documents, [*text.documents[1:], len(text)], strict=True):
                if start < COUNTED:
                    yield text.read(start, min(stop - start, self.options.context + 1)).astype(np.int64)

        return evaluation.count_models(runs_of(learnt), runs_of(held), size)

    def _durations(self, epoch: int) -> TrainingOptions:
        options = self.options.ended()
        return TrainingOptions(
            options.steps,
            options.epochs,
            options.minutes,
            evaluate_steps=options.sample_every or (LONGEST if epoch > LONGEST else None),
            best="bits_per_char",
            patience=options.patience,
        )


def _place(name: str | Path) -> str:
    """Where a text is, wherever this is asked from."""
    return str(name) if str(name).startswith(("@", "-")) else str(Path(name).absolute())


def architecture(options: LanguageTraining, tokenizer: Tokenizer) -> dict[str, Any]:
    """What `models.build` takes. With documents there is one token more: padding, the last."""
    return {name: getattr(options, name) for name in ARCHITECTURE} | {"vocabulary": tokenizer.size + options.documents}


def _beginning(held: Span) -> str:
    """Where the held-out text begins, at a line's start: what the samples go on from."""
    text = next(held.chunks(1 << 12), "")
    _, _, after = text.partition("\n")
    return (after.lstrip() or text)[:SHOWN_PROMPT]
