"""`gencli textgen` as people run it: real processes, a tiny model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gencli.core import store
from gencli.textgen import train
from gencli.textgen.options import LanguageTraining

RHYME = "one two three four five, once I caught a fish alive.\n"
RunGencli = Callable[..., "subprocess.CompletedProcess[str]"]
TRAIN = [
    *("--width", "12", "--embedding", "4", "--context", "8", "--batch-size", "2", "--steps", "4"),
    *("--sample-length", "5", "--seed", "1", "--threads", "1"),
]


@pytest.fixture
def rhyme(tmp_path: Path) -> Path:
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME * 30, encoding="utf-8")
    return path


@pytest.fixture
def tiny(rhyme: Path) -> str:
    """The name of a model that has hardly learnt anything."""
    options = LanguageTraining(width=12, embedding=4, context=8, batch_size=2, steps=2, sample_length=5)
    train([rhyme], "tiny", options, seed=1)
    return "tiny"


def test_the_text_begins_with_the_prompt_and_ends_with_one_line_end(run_gencli: RunGencli, tiny: str) -> None:
    words = ["textgen", "--model", tiny, "--prompt", "one t", "--length", "20", "--seed", "3"]
    first, again = run_gencli(*words), run_gencli(*words)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("one t") and first.stdout.endswith("\n")
    assert len(first.stdout) == len("one t") + 20 + 1
    assert first.stdout == again.stdout
    assert first.stderr == ""  # a seed that was given need not be said
    bare = run_gencli(*words, "--no-echo")
    assert "one t" + bare.stdout == first.stdout


def test_a_seed_is_drawn_and_printed(run_gencli: RunGencli, tiny: str) -> None:
    done = run_gencli("textgen", "sample", "--model", tiny, "--length", "8")
    (_, seed) = done.stderr.split()
    again = run_gencli("textgen", "--model", tiny, "--length", "8", "--seed", seed)
    assert again.stdout == done.stdout
    assert len(done.stdout) == 9


def test_the_prompt_may_come_from_standard_input(run_gencli: RunGencli, tiny: str) -> None:
    words = ["textgen", "--model", tiny, "--length", "9", "--seed", "3"]
    piped = run_gencli(*words, "--prompt", "-", input="one \0 ¶ two")
    assert piped.returncode == 0, piped.stderr
    assert piped.stdout.startswith("one \0 ¶ two")
    assert "¶" in piped.stderr  # never met in training
    long = run_gencli(*words, "--prompt", "-", input=RHYME * 100)
    assert long.stdout.startswith(RHYME * 100)


def test_a_prompt_that_is_not_utf8_is_an_error(
    tmp_path: Path, gencli_environment: Callable[[], dict[str, str]], tiny: str
) -> None:
    command = [sys.executable, "-m", "gencli", "textgen", "--model", tiny, "--prompt", "-"]
    done = subprocess.run(
        command, input=b"abc\xff", env=gencli_environment(), cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"0xff at offset 3" in done.stderr and b"hint: " in done.stderr
    assert done.stdout == b""


def test_several_texts_are_labelled_blocks_in_a_pipe(run_gencli: RunGencli, tiny: str) -> None:
    done = run_gencli(
        "textgen", "--model", tiny, "--temperature", "0,1", "--count", "2", "--length", "4", "--seed", "1"
    )
    heads = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert heads == [f"== temperature {label} ==" for label in ("0 #1", "0 #2", "1 #1", "1 #2")]


def test_json_has_one_line_a_text(run_gencli: RunGencli, tiny: str) -> None:
    words = ["textgen", "--model", tiny, "--prompt", "one", "--length", "5", "--seed", "4", "--json"]
    done = run_gencli(*words, "--temperature", "0.5,1", "--top-k", "3")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["temperature"] for record in records] == [0.5, 1.0]
    for record in records:
        assert record["output"] == record["text"] and len(record["text"]) == 8
        assert record["seed"] == 4 and record["model"] == tiny and record["top_k"] == 3
        assert record["seconds"] > 0


def test_a_file_for_the_text(run_gencli: RunGencli, tiny: str, tmp_path: Path) -> None:
    words = ["textgen", "--model", tiny, "--prompt", "one", "--length", "5", "--seed", "4"]
    done = run_gencli(*words, "-o", "out/text.txt")
    assert done.stdout == "out/text.txt\n"
    assert (tmp_path / "out/text.txt").read_text() == run_gencli(*words).stdout
    refused = run_gencli(*words, "-o", ".")
    assert refused.returncode == 1 and "it is a folder" in refused.stderr


def test_a_closed_pipe_ends_quietly(
    tmp_path: Path, gencli_environment: Callable[[], dict[str, str]], tiny: str
) -> None:
    command = f"{sys.executable} -m gencli textgen --model {tiny} --seed 1 --length 100000 | head -c 100"
    done = subprocess.run(
        command, shell=True, env=gencli_environment(), cwd=tmp_path, capture_output=True, check=False, timeout=60
    )
    assert len(done.stdout) == 100
    assert done.stderr == b""


def test_a_person_chooses(run_gencli: RunGencli, tiny: str) -> None:
    words = ["textgen", "--model", tiny, "--prompt", "one", "--seed", "1", "--choose", "--temperature", "1"]
    done = run_gencli(*words, input="1\n99\n2\n\nq\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("one") and len(done.stdout) == len("one") + 3 + 1
    assert "99: give a number from 1 to 9" in done.stderr
    assert done.stderr.count("%") >= 27
    assert run_gencli(*words, "--count", "2").returncode == 2
    written = done.stdout.removeprefix("one")
    cut = run_gencli(*words, "--no-echo", "--stop", written[1], input="1\n2\n\nq\n")
    assert cut.returncode == 0 and cut.stdout == written[: written.index(written[1])] + "\n"


def test_stops_before_a_text(run_gencli: RunGencli, tiny: str) -> None:
    words = ["textgen", "--model", tiny, "--length", "60", "--seed", "2"]
    whole = run_gencli(*words).stdout
    cut = run_gencli(*words, "--stop", whole[20:22]).stdout
    assert cut == whole[: whole.index(whole[20:22])] + "\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "nobody"], 1, "there is no textgen model called nobody"),
        (["--temperature", "-1"], 2, "--temperature"),
        (["--top-p", "1.5"], 2, "--top-p"),
        (["--length", "x"], 2, "--length"),
    ],
)
def test_what_is_wrong_is_said(run_gencli: RunGencli, words: list[str], code: int, message: str) -> None:
    done = run_gencli("textgen", *words)
    assert done.returncode == code
    assert message in done.stderr and done.stdout == ""


def test_train_prints_tables_of_samples_and_the_folder(run_gencli: RunGencli, rhyme: Path) -> None:
    done = run_gencli("textgen", "train", "--data", str(rhyme), "--name", "mine", *TRAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{store.folder('textgen', 'mine')}\n"
    assert "held out" in done.stderr and "temperature 0.7: " in done.stderr
    again = run_gencli("textgen", "train", "--data", str(rhyme), "--name", "mine", *TRAIN)
    assert again.returncode == 2 and "already" in again.stderr
    more = run_gencli("textgen", "train", "--data", str(rhyme), "--name", "mine", "--resume", "--steps", "6", "--json")
    lines = [json.loads(line) for line in more.stdout.splitlines()]
    assert lines[-1]["step"] == 6 and {"step", "epoch", "seconds", "rate", "loss"} <= set(lines[0])
    written = run_gencli("textgen", "--model", "latest", "--length", "3", "--seed", "1")
    assert len(written.stdout) == 4


def test_train_reads_standard_input(run_gencli: RunGencli) -> None:
    done = run_gencli("textgen", "train", "--data", "-", "--name", "piped", *TRAIN, input=RHYME * 20)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [b"", b"a", b"abc\xff\xfe" * 50])
def test_texts_that_cannot_be_learnt(run_gencli: RunGencli, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.txt"
    path.write_bytes(content)
    done = run_gencli("textgen", "train", "--data", str(path), "--name", "odd", *TRAIN)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "odd.txt" in done.stderr and "hint: " in done.stderr


def test_evaluate(run_gencli: RunGencli, tiny: str, tmp_path: Path) -> None:
    own = json.loads(run_gencli("textgen", "evaluate", "--model", tiny, "--json", "--seed", "1").stdout)
    assert {"loss_nats", "perplexity", "bits_per_char", "bits_per_byte", "tokens", "memorised"} <= set(own)
    assert 0 <= own["memorised"] <= 1
    other = tmp_path / "other.txt"
    other.write_text("once five fish " * 20)
    found = json.loads(run_gencli("textgen", "evaluate", "--model", tiny, "--data", str(other), "--json").stdout)
    assert found["tokens"] == 299
    table = run_gencli("textgen", "evaluate", "--model", tiny, "--seed", "1").stdout
    assert dict(line.split("\t") for line in table.splitlines())["tokens"] == f"{own['tokens']:g}"
    (tmp_path / "rhyme.txt").unlink()
    gone = run_gencli("textgen", "evaluate", "--model", tiny, "--json")
    assert gone.returncode == 2 and "--data" in gone.stderr
