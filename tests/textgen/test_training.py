"""Training on tiny texts: what is learnt, exact resume, fine-tuning, documents, presets."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gencli.core import store
from gencli.core.device import Runtime
from gencli.core.errors import GencliError, UsageError
from gencli.core.recipe import Progress, up_and_down
from gencli.core.tensors import read_tensors
from gencli.textgen import generate, models, train, training, writer
from gencli.textgen.batches import Documents, Lanes, Windows
from gencli.textgen.options import LanguageTraining, Sampling
from gencli.textgen.tokenizers import Characters

RHYME = "one two three four five, once I caught a fish alive.\n"
TINY: dict[str, Any] = {"width": 24, "embedding": 8, "context": 16, "batch_size": 4, "sample_length": 12}


@pytest.fixture
def rhyme(tmp_path: Path) -> Path:
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME * 60, encoding="utf-8")
    return path


def options(**changes: Any) -> LanguageTraining:
    return LanguageTraining(**{**TINY, **changes})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder / store.WEIGHTS)[0]


@pytest.mark.parametrize("arch", ["lstm", "gru", "transformer", "transformer-book"])
def test_learns_a_rhyme_by_heart(rhyme: Path, arch: str) -> None:
    changes = {"optimizer": "adamw", "rate": 3e-3} if arch == "transformer-book" else {}
    chosen = options(arch=arch, steps=250, dropout=0.0, sample_every=250, batch_size=8, **changes)
    result = train([rhyme], "rhyme", chosen, seed=1)
    assert result.evaluation["loss_nats"] < 0.35
    assert result.best == result.evaluation["bits_per_char"]
    assert result.evaluation["bits_per_char"] == pytest.approx(result.evaluation["loss_nats"] / math.log(2))
    (text,) = generate("one two", model="rhyme", options=Sampling(length=46, temperature=(0.0,)))
    if arch in ("lstm", "gru"):
        assert text == RHYME


@pytest.mark.parametrize("changes", [{}, {"arch": "gru", "layers": 2}, {"arch": "transformer", "heads": 2}])
def test_stopped_and_resumed_is_bit_identical(rhyme: Path, changes: dict[str, Any]) -> None:
    chosen = options(dropout=0.3, sample_every=7, **changes)
    whole = train([rhyme], "whole", chosen.replace(steps=40), seed=5)

    class Stopped(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.step == 33:  # a state of step 28 is on the disk
            raise Stopped

    with pytest.raises(Stopped):
        train([rhyme], "parts", chosen.replace(steps=40), seed=5, report=stop)
    again = train([rhyme], "parts", chosen.replace(steps=40), resume=True)
    assert again.steps == whole.steps == 40
    left, right = weights(whole.folder), weights(again.folder)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)
    samples = [sorted((one.folder / store.SAMPLES).iterdir()) for one in (whole, again)]
    assert [file.read_text() for file in samples[0]] == [file.read_text() for file in samples[1]]


def test_the_same_seed_gives_the_same_model(rhyme: Path) -> None:
    first, second, other = (
        train([rhyme], name, options(steps=5, dropout=0.2), seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert torch.equal(weights(first.folder)["dense.weight"], weights(second.folder)["dense.weight"])
    assert not torch.equal(weights(first.folder)["dense.weight"], weights(other.folder)["dense.weight"])


def test_a_resume_keeps_the_options_it_was_begun_with(rhyme: Path) -> None:
    train([rhyme], "kept", options(steps=3), seed=9)
    longer = LanguageTraining.build({"steps": 6})
    result = train([rhyme], "kept", longer, resume=True)
    config = store.Model(result.folder).config
    assert (config["options"]["width"], config["options"]["steps"], config["seed"]) == (24, 6, 9)
    with pytest.raises(UsageError, match="width: 24 → 32"):
        train([rhyme], "kept", LanguageTraining.build({"width": 32}), resume=True)


def test_a_changed_text_to_measure_on_is_not_resumed(rhyme: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("one two three\n" * 20)
    train([rhyme], "mine", options(steps=2), validation=other)
    other.write_text("two two three\n" * 20)
    with pytest.raises(UsageError, match="validation_fingerprint"):
        train([rhyme], "mine", LanguageTraining.build({"steps": 4}), validation=other, resume=True)


def test_an_unknown_word_of_the_prompt_is_told_of_once(rhyme: Path, caplog: pytest.LogCaptureFixture) -> None:
    train([rhyme], "mine", options(prompt="one¶", steps=4, sample_every=1))
    assert caplog.text.count("'¶'") == 1


def test_a_changed_text_is_not_resumed(rhyme: Path) -> None:
    train([rhyme], "changed", options(steps=3), seed=9)
    rhyme.write_text(RHYME * 61, encoding="utf-8")
    with pytest.raises(UsageError, match=r"data\.fingerprint"):
        train([rhyme], "changed", LanguageTraining.build({"steps": 6}), resume=True)


def test_goes_on_from_another_model_with_its_tokens(rhyme: Path, tmp_path: Path) -> None:
    train([rhyme], "base", options(steps=150, dropout=0.0, lowercase=True, width=32), seed=1)
    other = tmp_path / "other.txt"
    other.write_text((RHYME * 20).replace("fish", "Ж☃"), encoding="utf-8")
    result = train([other], "tuned", options(steps=2, rate=1e-4), base="base", seed=1)
    config = store.Model(result.folder).config
    assert config["architecture"]["width"] == 32
    assert config["tokenizer"] == store.find("textgen", "base").config["tokenizer"]
    assert config["options"]["lowercase"] is True
    assert result.evaluation["loss_nats"] < 1.5  # two steps alone would leave it near ln 27 = 3.3
    with pytest.raises(UsageError, match="--width"):
        train([other], "wrong", LanguageTraining.build({"width": 64}), base="base")


def test_documents_are_samples_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    for index in range(40):
        (folder / f"{index}.txt").write_text(f"This film was <br />{'good' if index % 2 else 'very bad'}!")
    preset = LanguageTraining.build({"epochs": 3.0, "width": 16, "heads": 2, "feed_forward": 32}, "transformer-word")
    result = train([folder], "film", preset, seed=0)
    config = store.Model(result.folder).config
    assert config["tokenizer"]["kind"] == "word"
    assert config["architecture"]["vocabulary"] == len(config["tokenizer"]["tokens"]) + 2  # unknown, padding
    assert {"film", "good"} <= set(config["tokenizer"]["tokens"])
    assert not {"This", "br", "!"} & set(config["tokenizer"]["tokens"])
    assert config["counting"]["bigram"] < config["counting"]["unigram"]
    text = (result.folder / store.SAMPLES / "epoch-0003.txt").read_text()
    assert text.startswith("== 0.2 ==\nthis movie") and "== 1.5 ==" in text
    assert "[UNK]" not in text


def test_a_text_of_its_own_to_measure_on(rhyme: Path, tmp_path: Path) -> None:
    other = tmp_path / "measure.txt"
    other.write_text("xyz" * 50)
    result = train([rhyme], "measured", options(steps=2), validation=other, seed=0)
    assert result.evaluation["tokens"] == 149
    assert "x" not in store.Model(result.folder).config["tokenizer"]["characters"]  # what measures is not learnt from


@pytest.mark.parametrize(("text", "message"), [("", "empty|no text"), ("a", "too few|token"), ("ab", "too few|token")])
def test_texts_too_short_to_learn_from(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "short.txt"
    path.write_text(text)
    with pytest.raises(GencliError, match=message):
        train([path], "short", options(steps=2))
    assert not store.folder("textgen", "short").exists()


def test_order_suits_the_model(rhyme: Path) -> None:
    from gencli.textgen import corpus, tokens

    text = corpus.gather([rhyme]).whole
    held = tokens.tokenize(text, tokens.vocabulary(text, "char"))
    runtime = Runtime(torch.device("cpu"))
    kinds = {
        "lstm": Lanes,
        "transformer": Windows,
    }
    for arch, kind in kinds.items():
        assert type(training.batches(held, options(arch=arch), 0, 0, runtime)) is kind
    last = training.batches(held, options(target="next", stride=3), 0, 0, runtime)
    assert isinstance(last, Windows) and last.last and last.stride == 3
    assert type(training.batches(held, options(documents=True), 0, 0, runtime)) is Documents


@pytest.mark.parametrize(
    ("preset", "vocabulary", "count"),
    [
        # one LSTM of 128 over 57 one-hot characters and a dense softmax, as in the textbook; two biases a gate here
        ("lstm-char", 57, 4 * 128 * (57 + 128 + 2) + 128 * 57 + 57),
        ("lstm-seq", 65, 4 * 512 * (65 + 512 + 2) + 4 * 512 * (512 + 512 + 2) + 512 * 65 + 65),
    ],
)
def test_presets_have_exactly_so_many_weights(preset: str, vocabulary: int, count: int) -> None:
    chosen = LanguageTraining.build({}, preset)
    letters = Characters("".join(map(chr, range(40, 40 + vocabulary - 1))))
    net = models.build(**training.architecture(chosen, letters))
    assert sum(weight.numel() for weight in net.parameters()) == count


def test_rate_rises_and_falls_once() -> None:
    rates = [up_and_down(i / 1000, training.WARM_UP) for i in range(1001)]
    top = rates.index(max(rates))
    assert top == 20 and rates[top] == 1
    assert rates[:21] == sorted(rates[:21]) and rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[0] > 0


def test_the_mean_of_the_weights_is_what_is_kept(rhyme: Path) -> None:
    result = train([rhyme], "mean", options(steps=20, average=0.5), seed=1)
    state = read_tensors(next((result.folder / store.TRAINING).glob("state-*.safetensors")))[0]
    mean = next(value for name, value in state.items() if "mean" in name and name.endswith("dense.weight"))
    net = next(value for name, value in state.items() if "net" in name and name.endswith("dense.weight"))
    assert torch.equal(weights(result.folder)["dense.weight"], mean.half())
    assert not torch.equal(mean, net)


def test_log_lines_and_samples(rhyme: Path) -> None:
    heard: list[Progress] = []
    chosen = options(steps=12, sample_every=6, temperatures=(0.0, 1.0), prompt="one")
    result = train([rhyme], "heard", chosen, seed=1, report=heard.append)
    lines = [json.loads(line) for line in (result.folder / store.METRICS).read_text().splitlines()]
    logged = next(line for line in lines if "loss" in line)
    assert logged["tokens"] == 4 * 16
    assert logged["bits_per_char"] == pytest.approx(logged["loss"] / math.log(2), rel=1e-4)
    evaluated = [line["evaluation"] for line in lines if "evaluation" in line]
    assert set(evaluated[0]) == {"loss_nats", "perplexity", "bits_per_char", "bits_per_byte", "tokens"}
    previews = [item.preview for item in heard if item.preview]
    assert len(previews) == 2
    assert isinstance(previews[0], dict) and list(previews[0]) == ["0", "1"]
    assert all(text.startswith("one") and len(text) == 3 + 12 for text in previews[0].values())


def test_a_damaged_model_is_named(rhyme: Path) -> None:
    result = train([rhyme], "damaged", options(steps=2), seed=1)
    config = json.loads((result.folder / store.CONFIG).read_text())
    config["architecture"]["width"] = 25
    (result.folder / store.CONFIG).write_text(json.dumps(config))
    with pytest.raises(GencliError, match="damaged"):
        writer.load("damaged", Runtime(torch.device("cpu")))
