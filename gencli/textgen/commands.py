"""`gencli textgen …`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gencli.core.commands import From, Name, Resume, art
from gencli.core.console import Console, blocks, clock
from gencli.core.errors import GencliError, UsageError
from gencli.core.options import Common, command
from gencli.textgen.options import LanguageTraining, Sampling

if TYPE_CHECKING:
    from gencli.core.recipe import Progress
    from gencli.textgen.sampling import Choice, Strategy, Stream
    from gencli.textgen.steps import Numbers
    from gencli.textgen.tokenizers import Tokenizer

app = art("gencli.textgen")

CHOICES = 9  # tokens that `--choose` shows

Model = Annotated[
    str | None,
    typer.Option("--model", help="A trained model: its name, a path, or `latest`.", show_default="the one that ships"),
]
Prompt = Annotated[str, typer.Option("--prompt", help="How the text begins; `-` reads it from standard input.")]
Stop = Annotated[list[str] | None, typer.Option("--stop", help="End before this text; repeatable.")]
Echo = Annotated[bool, typer.Option("--echo/--no-echo", help="Begin with the prompt.")]
Choose = Annotated[bool, typer.Option("--choose", help="Show the likeliest next tokens, and let a person pick.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="A file for the text.", show_default="standard output")
]
Data = Annotated[
    list[str],
    typer.Option(
        "--data",
        help="A text file, a folder, an archive, `-` for standard input, `@python` (its library's source) or "
        "`@pydoc` (its reference); repeatable.",
    ),
]
Tested = Annotated[
    list[str] | None,
    typer.Option("--data", help="The text; as in `train`.", show_default="what was held out of the training text"),
]
Validation = Annotated[
    str | None, typer.Option("--validation", help="A text to measure on.", show_default="the end of the data")
]


@app.command()
@command
def sample(
    options: Sampling,
    common: Common,
    model: Model = None,
    prompt: Prompt = "",
    stop: Stop = None,
    echo: Echo = True,
    choose: Choose = False,
    output: Output = None,
) -> None:
    """Write a text that goes on from a prompt.

    gencli textgen --prompt "Once upon"

    gencli textgen --model mine --temperature 0.2,0.5,1 --length 300

    cat prompt.txt | gencli textgen --prompt - --top-p 0.9 --stop END
    """
    from gencli.core import outputs
    from gencli.textgen import sampling, writer

    console = Console.start(common)
    rows = writer.strategies(options)
    if choose and (prompt == "-" or len(rows) > 1):
        raise UsageError("--choose writes one text, and needs standard input for the choices", "give one --temperature")
    target = None if output is None or str(output) == "-" else outputs.plan_text(output)
    if prompt == "-":
        prompt = _standard_input()
    runtime = common.start()
    loaded = writer.load(model, runtime)
    seed = console.seed(common)
    began, texts = time.monotonic(), [""] * len(rows)
    streams = len(rows) == 1 and target is None and not console.as_json and not choose
    before = "" if echo else prompt
    choice = _asked(console, loaded.tokenizer, lambda: before + texts[0]) if choose else sampling.choose
    for piece in loaded.pieces(prompt, options, seed=seed, stop=stop or (), echo=echo, choice=choice):
        texts[piece.row] += piece.text
        if streams:
            console.write(piece.text)
    seconds = round(time.monotonic() - began, 3)
    labels = [f"{row.temperature:g}" for row in rows]
    if options.count > 1:
        labels = [f"{label} #{row % options.count + 1}" for row, label in enumerate(labels)]
    labelled = dict(zip(labels, texts, strict=True))
    if target is not None:
        target((texts[0] if len(rows) == 1 else blocks("temperature", labelled)) + "\n")
    if console.as_json:
        how = {"model": loaded.name, "prompt": prompt, "length": options.length, "seed": seed, "seconds": seconds}
        for row, text in zip(rows, texts, strict=True):
            console.record({"output": text if target is None else str(output), "text": text, **how, **asdict(row)})
    elif target is not None:
        console.result(str(output))
    elif len(rows) == 1:
        console.result("" if streams else texts[0])
    else:
        console.texts(f"{loaded.name}, seed {seed}", "temperature", labelled)


def _asked(console: Console, tokenizer: Tokenizer, written: Callable[[], str]) -> Choice:
    """A person chooses each token: a number of those shown, nothing to draw one, `q` to end. `written` is the text
    so far."""
    from gencli.textgen import sampling

    def choice(stream: Stream, strategies: Sequence[Strategy], uniform: Numbers) -> list[int] | None:
        probabilities = stream.distribution(strategies[0])
        shown = sampling.likeliest(probabilities[0], CHOICES)
        menu = "  ".join(f"{i} {tokenizer.token(token)} {p:.0%}" for i, (token, p) in enumerate(shown, 1))
        answer = console.ask(f"{written()[-60:]!r}\n{menu}")
        while answer is not None and answer not in {"", "q", *map(str, range(1, len(shown) + 1))}:
            answer = console.ask(f"{answer}: give a number from 1 to {len(shown)}, nothing to draw one, or q to end")
        if answer is None or answer == "q":
            return None
        return [shown[int(answer) - 1][0]] if answer else sampling.draw(probabilities, uniform)

    return choice


@app.command()
@command
def train(
    options: LanguageTraining,
    common: Common,
    name: Name,
    data: Data,
    validation: Validation = None,
    base: From = None,
    resume: Resume = False,
) -> None:
    """Train a language model on a text.

    gencli textgen train --data book.txt --name mine

    gencli textgen train --data SOURCES --name code --tokens byte --minutes 60

    gencli textgen train --data tunes.abc --name tunes --temperatures 0.5,0.8

    gencli textgen --model mine --prompt "Once upon"
    """
    from gencli.textgen import training

    console = Console.start(common)
    console.train(
        "textgen",
        training.train,
        name,
        options,
        common,
        ("loss", "bits_per_char", "tokens/s"),
        partial(_measured, console),
        units="bytes",
        resume=resume,
        base=base,
        data=data,
        validation=validation,
    )


def _measured(console: Console, progress: Progress) -> None:
    held_out = (progress.line or {})["evaluation"]
    title = (
        f"epoch {progress.epoch}, step {progress.step}, {clock(progress.seconds)}: held out "
        f"{held_out['loss_nats']:.4f} nats a token, {held_out['bits_per_char']:.3f} bits a character"
    )
    texts = progress.preview if isinstance(progress.preview, dict) else {}
    console.show_texts(title, "temperature", texts)


@app.command()
@command
def evaluate(common: Common, model: Model = None, data: Tested = None) -> None:
    """Measure a model on a text it has not seen, and how much it knows by heart.

    Bits per character and per byte can be compared between models of any kind; nats a token and perplexity
    only where the tokens are the same. `memorised` is the share of what it writes that stands word for word,
    50 characters at a time, in the text it learnt from.

        gencli textgen evaluate --model mine

        gencli textgen evaluate --model mine --data other-book.txt
    """
    from gencli.textgen import evaluation, writer

    console = Console.start(common)
    runtime = common.start()
    seed = console.seed(common)
    loaded = writer.load(model, runtime)
    figures = evaluation.evaluate(loaded, data or [], runtime, seed, console.stages("bytes"))
    console.figures(loaded.name, figures, seed=seed)


def _standard_input() -> str:
    """A prompt from standard input, to its end. Raises GencliError when it is not UTF-8."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise GencliError(
            f"standard input is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}",
            "convert it first: iconv -t utf-8",
        ) from None
