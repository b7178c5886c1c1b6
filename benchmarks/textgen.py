"""How fast `gencli textgen` learns and writes.

    python benchmarks/textgen.py learn TEXT             # against a small character Transformer, in its time
    python benchmarks/textgen.py learn TEXT --minutes 20
    python benchmarks/textgen.py write                  # tokens a second of the models that ship
    python benchmarks/textgen.py words FOLDER           # the word preset against counting words
    python benchmarks/textgen.py large                  # a text of 2 GB: memory, and how soon training starts

`learn` first trains the well-known baseline: 4 layers, 4 heads and 128 features wide, windows of 64
characters, batches of 12, 2,000 steps of AdamW at 1e-3. gencli's default then has the same seconds, all in:
reading the text, measuring, samples and saving count. The first 90 % of the text are for training, the last
10 % are held out; losses are nats a character.

`write` measures one stream. `flat` is the time of tokens 1,000 … 2,000 over that of the first 1,000; `cache`
how many times a token's time reading 512 tokens again takes. The last line is the baseline's pace,
which has no cache: what this machine is worth today.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gencli.core import store
from gencli.core.device import start
from gencli.textgen import train, writer
from gencli.textgen.language import LanguageModel
from gencli.textgen.models import build
from gencli.textgen.options import LanguageTraining
from gencli.textgen.sampling import Strategy, generate
from gencli.textgen.tokenizers import Characters, Tokenizer

WINDOW, ROWS, STEPS = 64, 12, 2000


class Baseline(nn.Module):
    """The small character Transformer that everyone compares with (4 × 128, learned positions, no dropout)."""

    def __init__(self, vocabulary: int, width: int = 128, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(WINDOW, width)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width), enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.normal_(weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        x = self.tokens(tokens) + self.places.weight[:length]
        return self.head(self.blocks(x, mask, is_causal=True))


def baseline(text: str) -> tuple[float, float]:
    """(seconds, held-out loss) of the baseline."""
    began = time.perf_counter()
    torch.manual_seed(1337)
    letters = {letter: i for i, letter in enumerate(sorted(set(text)))}
    tokens = torch.tensor([letters[letter] for letter in text])
    cut = int(0.9 * len(tokens))
    model = Baseline(len(letters))
    adam = torch.optim.AdamW(model.parameters(), 1e-3, (0.9, 0.99), weight_decay=0.1)
    places = torch.arange(WINDOW + 1)
    for step in range(STEPS):
        rate = min((step + 1) / 100, 0.1 + 0.45 * (1 + math.cos(math.pi * step / STEPS)))
        for group in adam.param_groups:
            group["lr"] = 1e-3 * rate
        rows = tokens[torch.randint(cut - WINDOW, (ROWS, 1)) + places]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    seconds = time.perf_counter() - began
    model.eval()
    held = tokens[cut:]
    rows = held[: (len(held) - 1) // WINDOW * WINDOW].view(-1, WINDOW)
    after = held[1 : rows.numel() + 1].view(-1, WINDOW)
    with torch.no_grad():
        losses = [
            F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item() * len(x)
            for x, y in zip(rows.split(256), after.split(256), strict=True)
        ]
    return seconds, sum(losses) / len(rows)


def learn(path: Path, minutes: float | None, options: LanguageTraining) -> None:
    text = path.read_text(encoding="utf-8")
    if minutes is None:
        seconds, loss = baseline(text)
        print(f"baseline: {loss:.4f} nats held out, {seconds:.0f} s", flush=True)
        minutes = seconds / 60
    began = time.perf_counter()
    result = train([path], "benchmark", options.replace(minutes=minutes), seed=1, runtime=start("cpu"))
    seconds = time.perf_counter() - began
    print(f"gencli: {result.evaluation['loss_nats']:.4f} nats held out at the end, ", end="")
    print(f"{result.best:.4f} bits a character at best, {result.steps} steps, {seconds:.0f} s in all")


def write() -> None:
    for name in ("pydoc", "python"):
        loaded = writer.load(name, start("cpu"))
        pace(name, loaded.model, loaded.tokenizer)
    letters = Characters("".join(map(chr, range(32, 127))))
    for arch, width, layers in (("lstm", 256, 1), ("transformer", 128, 4)):
        sizes = {"width": width, "layers": layers, "context": 1024, "dropout": 0.0, "embedding": 64, "heads": 4}
        model = build(arch, letters.size, **sizes, feed_forward=None)
        model.initialise(torch.Generator().manual_seed(0))
        pace(f"{arch} {layers} × {width}, not trained", model.eval(), letters)
    again = Baseline(letters.size).eval()
    tokens = torch.zeros(1, WINDOW, dtype=torch.int64)
    draw = torch.Generator().manual_seed(0)

    def write_again() -> None:
        nonlocal tokens
        with torch.inference_mode():
            for _ in range(500):
                chances = again(tokens[:, -WINDOW:])[:, -1].softmax(-1)
                tokens = torch.cat([tokens, torch.multinomial(chances, 1, generator=draw)], 1)

    print(f"baseline 4 × 128, window of {WINDOW}, no cache: {500 / median(write_again, 3):,.0f} tokens/s")


def pace(name: str, model: LanguageModel, tokenizer: Tokenizer) -> None:
    def run(length: int) -> list[float]:
        """Seconds until each token."""
        began, pieces = time.perf_counter(), generate(model, tokenizer, "The ", [Strategy(0.8)], length=length, seed=1)
        return [time.perf_counter() - began for _ in pieces]

    run(100)
    runs = [run(2000) for _ in range(7)]
    first = statistics.median(seconds[1000] for seconds in runs)
    flat = statistics.median((seconds[-1] - seconds[1000]) / seconds[1000] for seconds in runs)
    fifty = median(partial(run, 250), 7)
    print(f"{name}: {1000 / first:,.0f} tokens/s, flat {flat:.2f}, 250 tokens in {fifty:.3f} s, ", end="")
    tokens = torch.randint(1, tokenizer.size, (1, 512), generator=torch.Generator().manual_seed(0))

    def again() -> None:
        with torch.inference_mode():
            model.read(tokens)

    print(f"cache {median(again, 20) / (first / 1000):.0f}")


def median(run: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def words(folder: Path, minutes: float) -> None:
    options = LanguageTraining.build({"minutes": minutes}, "transformer-word")
    result = train([folder], "words", options, seed=1, runtime=start("cpu"))
    model = store.Model(result.folder)
    lines = [json.loads(line) for line in (result.folder / store.METRICS).read_text().splitlines()]
    best = min((line for line in lines if "evaluation" in line), key=lambda line: line["evaluation"]["loss_nats"])
    counting = {name: math.exp(nats) for name, nats in model.config["counting"].items()}
    print(
        f"word preset: held-out perplexity {best['evaluation']['perplexity']:.1f} after {best['seconds']:.0f} s ",
        end="",
    )
    print(f"and {best['epoch']} epochs; counting words {counting['unigram']:.1f}, pairs {counting['bigram']:.1f}")


def large(gigabytes: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "large.txt"
        _write_large(text, int(gigabytes * 1e9))
        command = [sys.executable, "-m", "gencli", "textgen", "train", "--data", str(text), "--name", "large"]
        began, most, started = time.perf_counter(), 0, math.inf
        surroundings = os.environ | {"GENCLI_HOME": folder}
        with subprocess.Popen([*command, "--steps", "100", "--json"], env=surroundings, stdout=subprocess.PIPE) as run:
            assert run.stdout is not None
            os.set_blocking(run.stdout.fileno(), False)
            while run.poll() is None:
                most = max(most, _memory(run.pid))
                line = run.stdout.readline()
                if line and started == math.inf:
                    started = time.perf_counter() - began - json.loads(line)["seconds"]
                time.sleep(0.1)
        print(f"{text.stat().st_size / 1e9:.2f} GB: training starts after {started:.0f} s, ", end="")
        print(f"{most / 1e9:.2f} GB of memory at most, exit code {run.returncode}")


def _write_large(path: Path, size: int) -> None:
    """Lines of drawn words, none like another."""
    draw = np.random.default_rng(0)
    letters = np.frombuffer(b"etaoinshrdlucmfwypvbgkjqxz", np.uint8)
    words = [letters[draw.geometric(0.12, length) % 26].tobytes() for length in draw.integers(1, 12, 20_000)]
    with path.open("wb") as file:
        while file.tell() < size:
            chosen = draw.zipf(1.2, 200_000) % len(words)
            file.write(b"\n".join(b" ".join(words[i] for i in line) for line in np.split(chosen, 20_000)) + b"\n")


def _memory(pid: int) -> int:
    """Bytes of a process and its children; shared pages count once (Linux)."""
    total, waiting = 0, [pid]
    while waiting:
        place = Path(f"/proc/{waiting.pop()}")
        with suppress(OSError):
            rollup = (place / "smaps_rollup").read_text()
            total += 1024 * int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])
            for task in (place / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    learning = actions.add_parser("learn")
    learning.add_argument("text", type=Path)
    learning.add_argument("--minutes", type=float, help="gencli alone, for so long")
    actions.add_parser("write")
    counting = actions.add_parser("words")
    counting.add_argument("folder", type=Path)
    counting.add_argument("--minutes", type=float, default=20.0)
    large_text = actions.add_parser("large")
    large_text.add_argument("--gigabytes", type=float, default=2.0)
    chosen = parser.parse_args()
    if chosen.action == "write":
        write()
        return
    if chosen.action == "large":
        large(chosen.gigabytes)
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["GENCLI_HOME"] = home
        if chosen.action == "learn":
            learn(chosen.text, chosen.minutes, LanguageTraining())
        else:
            words(chosen.folder, chosen.minutes)


if __name__ == "__main__":
    main()
