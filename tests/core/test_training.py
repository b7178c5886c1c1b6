"""The training loop: exact resume, signals, kill -9, the log, going back, schedules, early stopping."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gencli.core import checkpoint, store, training
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime
from gencli.core.errors import GencliError, Interrupted, UsageError
from gencli.core.recipe import Diverged
from gencli.core.tensors import read_tensors
from gencli.core.training import Preview, Progress, Recipe, TrainingOptions, train

CPU = Runtime(torch.device("cpu"))
CONFIG = {"art": "test", "kind": "cnn", "options": {"width": 4, "epochs": 3}}
EPOCH = 4
OPTIONS = TrainingOptions(epochs=3, log_steps=3)  # 12 steps
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


class Average:
    """Something with a state of its own, of plain values and tensors."""

    def __init__(self) -> None:
        self.last, self.seen = torch.zeros(3), 0

    def state_dict(self) -> dict[str, Any]:
        return {"last": self.last, "seen": self.seen, "nested": {1: [self.last, (None, 1.5)]}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        assert state_dict["nested"][1][1] == (None, 1.5)
        self.last, self.seen = state_dict["last"], state_dict["seen"]


class TinyCnn(Recipe):
    """Convolution, batch norm, dropout from an own generator; averaged weights; a memory of losses."""

    def __init__(self, kind: str = "adam") -> None:
        g = torch.Generator().manual_seed(0)
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.head, self.average = nn.Linear(64, 2), nn.Linear(64, 2)
        self.net = nn.Sequential(self.convolution, self.norm, nn.ReLU(), nn.Flatten(), self.head)
        for parameter in [*self.net.parameters(), *self.average.parameters()]:
            nn.init.normal_(parameter, std=0.2, generator=g)
        self.net.to(memory_format=torch.channels_last)
        make: dict[str, Callable[..., torch.optim.Optimizer]] = {
            "adam": lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.9), amsgrad=True),
            "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
            "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
        }
        body = [*self.convolution.parameters(), *self.norm.parameters()]
        groups = [{"params": body}, {"params": self.head.parameters(), "weight_decay": 0.1}]
        self.memory = Average()
        self.modules = {"net": self.net, "average": self.average}
        self.optimizers = {"net": make[kind](groups)}
        self.generators = {"dropout": torch.Generator().manual_seed(1)}
        self.extras = {"memory": self.memory}

    def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
        pictures, labels = batch
        features = self.net[:4](pictures.contiguous(memory_format=torch.channels_last))
        kept = torch.rand(features.shape, generator=self.generators["dropout"]) > 0.2
        loss = F.cross_entropy(self.head(features * kept), labels)
        self.optimizers["net"].zero_grad()
        torch.autograd.backward(loss + 0.01 * self.memory.last.sum() * self.head.bias.sum())
        self.optimizers["net"].step()
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.head.parameters(), strict=True):
                mean.lerp_(now, 0.1)
        self.memory.seen += 1
        self.memory.last = torch.cat([self.memory.last[1:], loss.detach()[None]])
        return {"loss": loss, "progress": progress}

    def rate(self, progress: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * progress))

    def evaluate(self) -> dict[str, float]:
        noise = torch.rand(2, generator=self.generators["dropout"])  # so evaluating twice would show
        return {"error": float(self.head.weight.detach().square().sum() + noise.sum())}

    def preview(self) -> Preview | None:
        return Image.new("RGB", (2, 2), (255, 0, 0))

    def export(self) -> Mapping[str, Tensor]:
        return {f"average.{name}": value for name, value in self.average.state_dict().items()}


class Drawn:
    """Batches that are a function of their position."""

    def __len__(self) -> int:
        return EPOCH

    def batch(self, epoch: int, index: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(1000 * epoch + index)
        return torch.rand(6, 3, 6, 6, generator=g), torch.randint(2, (6,), generator=g)


def run(
    folder: Path,
    recipe: Recipe | None = None,
    *,
    stop_at: int = -1,
    number: int = signal.SIGINT,
    **changes: Any,
) -> training.Result:
    """Train the tiny network; at step `stop_at` the process gets a signal."""

    def report(progress: Progress) -> None:
        if progress.step == stop_at and progress.line is None:
            os.kill(os.getpid(), number)

    arguments: dict[str, Any] = {
        "config": CONFIG,
        "options": OPTIONS,
        "runtime": CPU,
        "report": report,
    } | changes
    return train(recipe or TinyCnn(), Drawn(), folder, **arguments)


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / store.METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "rate")} for line in lines]


def assert_same(one: Path, other: Path) -> None:
    """Both runs ended with the same bits: weights, everything that was saved, log."""
    states = [read_state(folder) for folder in (one, other)]
    for state in states:
        del state["counters"]["seconds"], state["counters"]["metrics_bytes"]
    _assert_equal(*states)
    _assert_equal(*(read_tensors(folder / store.WEIGHTS)[0] for folder in (one, other)))
    assert log_of(one) == log_of(other)
    names = [sorted(file.name for file in (folder / store.SAMPLES).iterdir()) for folder in (one, other)]
    assert names[0] == names[1]


def _assert_equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _assert_equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            _assert_equal(a, b)
    else:
        assert one == other


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """One thread, as in the children: their number changes the last bits. And no waiting for the disk."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each optimizer a run that nothing disturbed."""
    folders = {kind: tmp_path_factory.mktemp(kind) / "model" for kind in ("adam", "sgd", "rmsprop")}
    for kind, folder in folders.items():
        run(folder, TinyCnn(kind))
    return folders


# Exact resume


@posix
@pytest.mark.parametrize("kind", ["adam", "sgd", "rmsprop"])
def test_stopped_at_any_step_and_resumed_is_bit_identical(
    kind: str, tmp_path: Path, undisturbed: dict[str, Path]
) -> None:
    for step in range(1, 3 * EPOCH + 1):
        folder = tmp_path / str(step)
        with pytest.raises(Interrupted):
            run(folder, TinyCnn(kind), stop_at=step)
        assert read_state(folder)["counters"]["step"] == step
        run(folder, TinyCnn(kind), resume=True)
        assert_same(folder, undisturbed[kind])


@posix
def test_stopped_at_every_step_is_bit_identical(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    for step in range(1, 3 * EPOCH + 1):
        with pytest.raises(Interrupted):
            run(tmp_path / "model", stop_at=step, resume=step > 1)
    run(tmp_path / "model", resume=True)
    assert_same(tmp_path / "model", undisturbed["adam"])


@posix
def test_moments_keep_their_layout_over_a_resume(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path / "model", stop_at=5)
    recipe = TinyCnn()
    with pytest.raises(Interrupted):
        run(tmp_path / "model", recipe, stop_at=6, resume=True)
    moments = recipe.optimizers["net"].state[recipe.convolution.weight]["exp_avg"]
    assert moments.is_contiguous(memory_format=torch.channels_last)
    assert not moments.is_contiguous()


def test_the_run_does_not_depend_on_when_it_saves(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    run(tmp_path / "model", options=replace(OPTIONS, save_minutes=0))
    assert_same(tmp_path / "model", undisturbed["adam"])


def _children() -> ForkServerContext:
    """Real processes, forked from one that has imported PyTorch and done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "torch.distributed", "pytest", "gencli.core.training"])
    return context


def _train_child(folder: str) -> None:
    torch.set_num_threads(1)
    resume = (Path(folder) / store.CONFIG).exists()
    run(Path(folder), resume=resume, options=replace(OPTIONS, epochs=6, save_minutes=0))


def _kill_at_random(folder: Path, kills: int, seed: int) -> int:
    """Train in child processes, the first `kills` killed at random moments; how many really were."""
    context = _children()
    draw = random.Random(seed)
    done = 0
    while True:
        child = context.Process(target=_train_child, args=(str(folder),))
        child.start()
        if done < kills:
            began = time.monotonic()
            while not (folder / store.CONFIG).exists() and time.monotonic() - began < 20:
                time.sleep(0.002)
            child.join(draw.uniform(0, 0.25))
            child.kill()
        child.join(60)
        if child.exitcode == 0:
            return done
        assert child.exitcode == -signal.SIGKILL
        done += 1


@posix
def test_killed_at_random_moments_and_resumed_is_bit_identical(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed", options=replace(OPTIONS, epochs=6))
    assert _kill_at_random(tmp_path / "model", kills=3, seed=1) >= 1
    assert_same(tmp_path / "model", tmp_path / "undisturbed")
    left = [file.name for file in (tmp_path / "model").rglob("*") if file.name.endswith(".part")]
    assert not left
    assert len(list((tmp_path / "model" / store.TRAINING).iterdir())) == 2


def test_a_state_left_by_a_killed_process_is_cleared_away(tmp_path: Path) -> None:
    run(tmp_path / "model")
    folder = tmp_path / "model" / store.TRAINING
    (state,) = folder.glob("state-*")
    for step in (1, 99_999_999):
        (folder / f"state-{step:08}.safetensors").write_bytes(state.read_bytes())
    run(tmp_path / "model", resume=True)
    assert [*folder.glob("state-*")] == [state]


@posix
@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed", options=replace(OPTIONS, epochs=6))
    kills = 0
    for attempt in range(20):
        folder = tmp_path / f"model-{attempt}"
        kills += _kill_at_random(folder, kills=5, seed=attempt)
        assert_same(folder, tmp_path / "undisturbed")
        if kills >= 20:
            break
    assert kills >= 20


# Signals


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_saves_and_says_how_to_resume(number: int, tmp_path: Path) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted) as stopped:
        run(tmp_path / "model", stop_at=5, number=number, resume_command="gencli test train --resume")
    assert "step 5" in stopped.value.message
    assert "gencli test train --resume" in (stopped.value.hint or "")
    assert stopped.value.exit_code == 130
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    assert store.Model(tmp_path / "model").state == "unfinished"
    assert (tmp_path / "model" / store.WEIGHTS).is_file()


@posix
def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    class Impatient(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)  # torchrun repeats itself
            reached.append(True)
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(False)
            return {}

    reached: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "model", Impatient())
    assert reached == [True]
    assert read_state(tmp_path / "model")["counters"]["step"] == 0


@posix
def test_an_ignored_signal_stays_ignored(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(tmp_path / "model", stop_at=5)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert_same(tmp_path / "model", undisturbed["adam"])


def test_trains_in_another_thread_without_handlers(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    thread = threading.Thread(target=run, args=(tmp_path / "model",))
    thread.start()
    thread.join()
    assert_same(tmp_path / "model", undisturbed["adam"])


# The log and the files


def test_log_lines_hold_the_means_of_their_interval(tmp_path: Path) -> None:
    class Counting(TinyCnn):
        steps = 0

        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            self.steps += 1
            rare = {"rare": 10.0 * self.steps} if self.steps % 2 == 0 else {}
            return {"loss": torch.tensor(float(self.steps), requires_grad=True)} | rare

    run(tmp_path / "model", Counting(), options=TrainingOptions(steps=7, log_steps=3))
    lines = [line for line in log_of(tmp_path / "model") if "loss" in line]
    assert [(line["step"], line["epoch"], line["loss"], line["rare"]) for line in lines[:3]] == [
        (3, 1, 2.0, 20.0),
        (4, 1, 4.0, 40.0),  # the end of an epoch
        (6, 2, 5.5, 60.0),
    ]
    assert (lines[3]["step"], lines[3]["loss"]) == (7, 7.0)
    raw = [json.loads(line) for line in (tmp_path / "model" / store.METRICS).read_text().splitlines()]
    assert list(raw[0])[:4] == ["step", "epoch", "seconds", "rate"]
    assert [line["step"] for line in raw if "evaluation" in line] == [4, 7]


@posix
def test_the_log_is_cut_to_the_state_and_its_seconds_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with pytest.raises(Interrupted):
        run(folder, stop_at=6)
    before = [json.loads(line) for line in (folder / store.METRICS).read_text().splitlines()]
    with (folder / store.METRICS).open("a") as file:  # what a killed process wrote after its last save
        file.write('{"step": 9, "loss": 1.0}\n{"step": 1')
    run(folder, resume=True)
    after = [json.loads(line) for line in (folder / store.METRICS).read_text().splitlines()]
    assert after[: len(before)] == before
    assert [line["step"] for line in after if "loss" in line] == [3, 4, 6, 8, 9, 12]
    seconds = [line["seconds"] for line in after]
    assert seconds == sorted(seconds)


def test_config_is_stored_at_the_start_and_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    seen: list[dict[str, Any]] = []

    class Looking(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            seen.append(json.loads((folder / store.CONFIG).read_text()))
            assert store.Model(folder).state == "training"
            return super().step(batch, progress)

    result = run(folder, Looking())
    assert seen[0]["options"] == CONFIG["options"]
    assert seen[0]["finished"] is False
    assert seen[0]["created"]
    config = store.Model(folder).config
    assert config["finished"] is True
    assert config["training"]["steps"] == 12
    assert config["training"]["epochs"] == 3
    assert config["training"]["evaluation"] == result.evaluation
    assert store.Model(folder).state == "finished"
    assert result.stopped_by == "epochs"


def test_weights_and_samples_are_written(tmp_path: Path) -> None:
    recipe = TinyCnn()
    run(tmp_path / "model", recipe)
    weights, metadata = read_tensors(tmp_path / "model" / store.WEIGHTS)
    assert torch.equal(weights["average.weight"], recipe.average.weight)
    assert json.loads(metadata["gencli"])["kind"] == "cnn"
    samples = sorted(file.name for file in (tmp_path / "model" / store.SAMPLES).iterdir())
    assert samples == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png"]
    with Image.open(tmp_path / "model" / store.SAMPLES / "epoch-0001.png") as picture:
        assert picture.size == (2, 2)


def test_evaluation_every_so_many_steps_and_text_previews(tmp_path: Path) -> None:
    class Speaking(TinyCnn):
        def preview(self) -> dict[str, str]:
            return {"0.5": "Once upon…", "1": "a tíme"}

    heard: list[Progress] = []
    run(tmp_path / "model", Speaking(), options=replace(OPTIONS, evaluate_steps=5), report=heard.append)
    assert [line["step"] for line in log_of(tmp_path / "model") if "evaluation" in line] == [5, 10, 12]
    sample = tmp_path / "model" / store.SAMPLES / "step-00000005.txt"
    assert sample.read_text(encoding="utf-8") == "== 0.5 ==\nOnce upon…\n\n== 1 ==\na tíme\n"
    shown = [item for item in heard if item.preview]
    assert [item.step for item in shown] == [5, 10, 12]
    assert shown[0].line and "evaluation" in shown[0].line


def test_the_caller_hears_of_every_step_and_line(tmp_path: Path) -> None:
    heard: list[Progress] = []
    run(tmp_path / "model", report=heard.append)
    assert [item.step for item in heard if item.line is None] == list(range(1, 13))
    assert [item.line["step"] for item in heard if item.line and "loss" in item.line] == [3, 4, 6, 8, 9, 12]
    assert heard[0].steps == 12
    assert heard[0].epoch == 1
    assert [item.epoch for item in heard if item.line is None][3:5] == [1, 2]
    assert heard[-1].fraction == 1


# Schedules


def test_the_rate_multiplies_every_groups_own(tmp_path: Path) -> None:
    recipe = TinyCnn()
    recipe.optimizers["net"].param_groups[1]["lr"] = 0.02
    seen: list[tuple[float, ...]] = []
    progresses: list[float] = []

    class Watching(Recipe):
        modules, optimizers = recipe.modules, recipe.optimizers
        export = recipe.export

        def rate(self, progress: float) -> float:
            return 1 - progress

        def step(self, batch: Any, progress: float) -> Mapping[str, Tensor | float]:
            progresses.append(progress)
            seen.append(tuple(group["lr"] for group in self.optimizers["net"].param_groups))
            return {}

    result = run(tmp_path / "model", Watching(), options=TrainingOptions(steps=5, epochs=3))
    assert result.steps == 5
    assert result.stopped_by == "steps"
    assert progresses == [0, 0.2, 0.4, 0.6, 0.8]
    assert [body for body, _ in seen] == pytest.approx([0.05 * (1 - p) for p in progresses])
    assert [head for _, head in seen] == pytest.approx([0.02 * (1 - p) for p in progresses])
    run(tmp_path / "again", Watching(), options=TrainingOptions(steps=5))
    assert seen[5:] == seen[:5]  # training the same recipe once more starts at its rate, not where it ended


def test_a_part_of_an_epoch(tmp_path: Path) -> None:
    assert run(tmp_path / "model", options=TrainingOptions(epochs=1.5)).steps == 6
    assert run(tmp_path / "short", options=TrainingOptions(epochs=0.01)).steps == 1


def test_the_clock_ends_the_training_and_drives_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    progresses = []

    class Slow(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            nonlocal now
            now += 12
            progresses.append(progress)
            return super().step(batch, progress)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    clocked = TrainingOptions(minutes=1, steps=1000)
    result = run(tmp_path / "model", Slow(), options=clocked)
    assert progresses == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert (result.steps, result.stopped_by, result.seconds) == (5, "minutes", 60)
    longer = run(tmp_path / "model", Slow(), options=replace(clocked, minutes=2), resume=True)
    assert longer.steps == 10


def test_saves_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    saved = []
    write = checkpoint.write_state

    class Slow(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            nonlocal now
            now += 60
            return super().step(batch, progress)

    def spy(folder: Path, step: int, state: Mapping[str, Any]) -> None:
        saved.append(step)
        write(folder, step, state)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(training, "write_state", spy)
    run(tmp_path / "model", Slow(), options=TrainingOptions(epochs=3, save_minutes=3))
    assert saved == [0, 3, 4, 7, 8, 11, 12]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "how long"),
        ({"steps": 0}, "steps is 0"),
        ({"epochs": -1}, "epochs is -1"),
        ({"minutes": math.nan}, "minutes is nan"),
        ({"minutes": math.inf}, "minutes is inf"),
        ({"steps": 1, "log_steps": 0}, "log_steps"),
        ({"steps": 1, "evaluate_steps": 0}, "evaluate_steps"),
        ({"steps": 1, "save_minutes": -1}, "save_minutes"),
        ({"steps": 1, "patience": 2}, "patience"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        TrainingOptions(**options)


def test_no_data_is_an_error(tmp_path: Path) -> None:
    class Empty(Drawn):
        def __len__(self) -> int:
            return 0

    with pytest.raises(GencliError, match="one batch"):
        train(TinyCnn(), Empty(), tmp_path / "model", config=CONFIG, options=OPTIONS, runtime=CPU)


def test_a_full_device_and_a_full_disk_are_errors_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            if self.memory.seen == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().step(batch, progress)

    with pytest.raises(GencliError, match="memory of cpu is full at step 3"):
        run(tmp_path / "model", Large())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(GencliError, match="No space left on device"):
            run(tmp_path / "other")
        patch.setattr(training, "write_state", lambda *_: None)
        patch.setattr(training, "begin_config", lambda *_, **__: dict(CONFIG))
        with pytest.raises(GencliError, match=r"metrics\.jsonl: No space left on device"):
            (tmp_path / "third").mkdir()
            run(tmp_path / "third")


# Going back after a non-finite loss


class Exploding(TinyCnn):
    """Explodes at a step while the learning rate is above a limit."""

    def __init__(self, at: int, limit: float, how: str) -> None:
        super().__init__()
        self.at, self.limit, self.how = at, limit, how

    def rate(self, progress: float) -> float:
        return 1.0

    def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
        losses = super().step(batch, progress)
        explodes = self.memory.seen == self.at and self.optimizers["net"].param_groups[0]["lr"] > self.limit
        if explodes and self.how == "weight":
            with torch.no_grad():
                self.convolution.weight[0, 0, 0, 0] = math.inf
        value = {"nan": math.nan, "inf": math.inf}.get(self.how, 0.0) if explodes else 0.0
        return {**losses, "other": value}


@pytest.mark.parametrize("how", ["nan", "inf", "weight"])
def test_goes_back_to_the_last_good_state_with_half_the_rate(
    how: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = Exploding(at=8, limit=0.03, how=how)
    with caplog.at_level(logging.WARNING, "gencli"):
        result = run(tmp_path / "model", recipe)
    assert result.steps == 12
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert "step 8" in warnings[0]
    assert "back to step 4 with 0.5 of the learning rate" in warnings[0]
    assert recipe.optimizers["net"].param_groups[0]["lr"] == 0.025
    assert recipe.memory.seen == 12
    lines = log_of(tmp_path / "model")
    assert [line["step"] for line in lines if "loss" in line] == [3, 4, 6, 8, 9, 12]
    assert [(line["step"], line["remarks"]) for line in lines if "remarks" in line] == [(4, warnings)]
    assert read_state(tmp_path / "model")["counters"]["rollbacks"] == 1


def test_gives_up_after_going_back_three_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "gencli"), pytest.raises(GencliError, match="3 times") as failed:
        run(tmp_path / "model", Exploding(at=6, limit=0.0, how="nan"))
    assert "learning rate" in (failed.value.hint or "")
    assert [record.getMessage().split(" with ")[1][:5] for record in caplog.records] == [
        "0.5 o",
        "0.25 ",
        "0.125",
    ]
    counters = read_state(tmp_path / "model")["counters"]
    assert counters["step"] == 4  # what is on the disk is good
    assert all(tensor.isfinite().all() for tensor in read_tensors(tmp_path / "model" / store.WEIGHTS)[0].values())


@posix
def test_a_halved_rate_outlives_a_resume(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed", Exploding(at=6, limit=0.03, how="nan"))
    with pytest.raises(Interrupted):
        run(tmp_path / "model", Exploding(at=6, limit=0.03, how="nan"), stop_at=9)
    run(tmp_path / "model", Exploding(at=6, limit=0.03, how="nan"), resume=True)
    assert_same(tmp_path / "model", tmp_path / "undisturbed")


class Watching(TinyCnn):
    """Says something at step 6, and gives up at step 9 the first time."""

    lost = 0

    def remarks(self, means: Mapping[str, float]) -> list[str]:
        assert {"loss", "progress"} <= means.keys()
        if self.memory.seen == 9 and not self.lost:
            self.lost += 1
            raise Diverged("all is lost")
        return ["half of it is done"] if self.memory.seen == 6 else []


def test_remarks_are_told_and_kept_and_a_recipe_may_give_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = Watching()
    with caplog.at_level(logging.WARNING, "gencli"):
        assert run(tmp_path / "model", recipe).steps == 12
    back = "step 9: all is lost: back to step 8 with 0.5 of the learning rate"
    assert [record.getMessage() for record in caplog.records] == ["step 6: half of it is done", back]
    found = [(line["step"], line["remarks"]) for line in log_of(tmp_path / "model") if "remarks" in line]
    assert found == [(6, ["half of it is done"]), (8, [back])]
    assert recipe.memory.seen == 12


# The best, and early stopping


class Scripted(TinyCnn):
    """Evaluates to given figures; exports the number of the evaluation."""

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = figures

    def evaluate(self) -> dict[str, float]:
        return {"error": self.figures[self.memory.seen // EPOCH - 1]}

    def export(self) -> Mapping[str, Tensor]:
        return {"evaluation": torch.tensor(self.memory.seen // EPOCH)}


@pytest.mark.parametrize(("higher", "best"), [(False, 2), (True, 3)])
def test_keeps_the_best_weights(higher: bool, best: int, tmp_path: Path) -> None:
    recipe = Scripted([math.nan, 1.0, 5.0, 2.0, math.nan])
    options = TrainingOptions(epochs=5, best="error", higher_is_better=higher, save_minutes=0)
    result = run(tmp_path / "model", recipe, options=options)
    assert (result.best, result.best_step) == (recipe.figures[best - 1], best * EPOCH)
    assert read_tensors(tmp_path / "model" / store.WEIGHTS)[0]["evaluation"] == best
    assert store.Model(tmp_path / "model").config["training"]["evaluation"] == {"error": None}  # NaN is no JSON


def test_stops_early(tmp_path: Path) -> None:
    recipe = Scripted([3.0, 2.0, 2.5, 2.0, 1.0, 1.0])
    options = TrainingOptions(epochs=6, best="error", patience=2)
    result = run(tmp_path / "model", recipe, options=options)
    assert (result.stopped_by, result.steps, result.best) == ("patience", 4 * EPOCH, 2.0)
    assert store.Model(tmp_path / "model").state == "finished"
    more = run(tmp_path / "model", recipe, options=replace(options, patience=3), resume=True)
    assert (more.steps, more.best) == (6 * EPOCH, 1.0)


def test_an_unknown_best_figure_is_named(tmp_path: Path) -> None:
    with pytest.raises(GencliError, match=r"loss.*there are: error"):
        run(tmp_path / "model", options=replace(OPTIONS, best="loss"))


# Starting and resuming


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "model")
    with pytest.raises(UsageError, match="already") as refused:
        run(tmp_path / "model")
    assert "--resume" in (refused.value.hint or "")
    with pytest.raises(UsageError, match="no model called other"):
        run(tmp_path / "other", resume=True)


def test_changed_options_are_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path / "model", config=CONFIG | {"command": "a", "data": "x"})
    changed = {
        "art": "test",
        "kind": "cnn",
        "options": {"width": 8, "epochs": 9},
        "command": "b",
        "data": "y",
    }
    with pytest.raises(UsageError) as refused:
        run(tmp_path / "model", config=changed, resume=True)
    lines = refused.value.message.splitlines()[1:]
    assert [line.strip() for line in lines] == ['data: "x" → "y"', "width: 4 → 8"]
    assert store.Model(tmp_path / "model").config["options"]["width"] == 4


def test_a_longer_resume_goes_on_and_keeps_the_records(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(tmp_path / "model", config=CONFIG | {"command": "first"})
    longer = {"art": "test", "kind": "cnn", "options": {"width": 4, "epochs": 5}, "command": "second"}
    with caplog.at_level(logging.INFO, "gencli"):
        result = run(tmp_path / "model", config=longer, options=replace(OPTIONS, epochs=5), resume=True)
    assert result.steps == 5 * EPOCH
    assert "epochs: 3 → 5" in caplog.text
    config = store.Model(tmp_path / "model").config
    assert config["command"] == "first"
    assert config["options"]["epochs"] == 5


def test_nothing_left_to_do_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = run(tmp_path / "model")
    before = (tmp_path / "model" / store.METRICS).read_bytes()
    with caplog.at_level(logging.INFO, "gencli"):
        result = run(tmp_path / "model", resume=True)
    assert "nothing left to do" in caplog.text
    assert result.steps == first.steps
    assert result.evaluation == first.evaluation
    assert store.Model(tmp_path / "model").state == "finished"
    assert (tmp_path / "model" / store.METRICS).read_bytes() == before


def test_a_run_killed_before_its_first_state_starts_again(tmp_path: Path, undisturbed: dict[str, Path]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / store.CONFIG).write_text(json.dumps(CONFIG | {"finished": False}))
    (tmp_path / "model" / ".config.json.x.part").write_text("{")
    run(tmp_path / "model", resume=True)
    assert_same(tmp_path / "model", undisturbed["adam"])
    assert not (tmp_path / "model" / ".config.json.x.part").exists()


def test_without_its_training_state_a_model_cannot_be_resumed(tmp_path: Path) -> None:
    run(tmp_path / "model")
    for file in (tmp_path / "model" / store.TRAINING).iterdir():
        file.unlink()
    with pytest.raises(GencliError, match="removed"):
        run(tmp_path / "model", resume=True)


def test_the_state_of_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "model", TinyCnn("sgd"))
    other = TinyCnn("sgd")
    other.modules = {"net": nn.Linear(2, 2)}
    with pytest.raises(GencliError, match="does not fit"):
        run(tmp_path / "model", other, resume=True)


@pytest.mark.parametrize("where", [0.0, 0.3, 0.9])
def test_a_damaged_state_is_an_error_for_people(where: float, tmp_path: Path) -> None:
    run(tmp_path / "model")
    (state,) = (tmp_path / "model" / store.TRAINING).glob("state-*")
    content = state.read_bytes()
    state.write_bytes(content[: int(where * len(content))])
    with pytest.raises(GencliError, match="safetensors"):
        run(tmp_path / "model", resume=True)


def test_two_trainings_under_one_name_are_refused(tmp_path: Path) -> None:
    class Nested(TinyCnn):
        def step(self, batch: tuple[Tensor, Tensor], progress: float) -> Mapping[str, Tensor | float]:
            failures: list[BaseException] = []

            def again() -> None:
                try:
                    run(tmp_path / "model", resume=True)
                except GencliError as error:
                    failures.append(error)

            thread = threading.Thread(target=again)
            thread.start()
            thread.join()
            assert "being trained" in str(failures[0])
            return super().step(batch, progress)

    run(tmp_path / "model", Nested(), options=TrainingOptions(steps=1))
