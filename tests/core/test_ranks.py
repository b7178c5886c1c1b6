"""Several processes train together what one would train alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gencli.core import store
from gencli.core.checkpoint import read_state
from gencli.core.device import Runtime
from gencli.core.errors import Interrupted, UsageError
from gencli.core.tensors import pack, read_tensors
from gencli.core.training import Progress, Recipe, TrainingOptions, train

CPU = Runtime(torch.device("cpu"))
CONFIG: dict[str, Any] = {"art": "test", "kind": "line", "options": {}}
EPOCH = 4
OPTIONS = TrainingOptions(epochs=3, log_steps=3)


class Memory:
    """What a rank has seen, and what it kept of that: another thing on each, and not as much."""

    def __init__(self) -> None:
        self.seen: Tensor | None = None
        self.kept: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "kept": self.kept}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seen, self.kept = state_dict["seen"], state_dict["kept"]


class Line(Recipe):
    """A line fitted by SGD with momentum. No batch norm: two ranks with half a batch equal one with all."""

    def __init__(self, rank: int = 0, explode: bool = False) -> None:
        self.net = nn.Linear(3, 1)
        with torch.no_grad():
            self.net.weight.fill_(float(rank))  # only rank 0's counts
            self.net.bias.fill_(0.5)
        self.sgd = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        self.modules, self.optimizers = {"net": self.net}, {"net": self.sgd}
        self.generators = {"own": torch.Generator().manual_seed(rank)}
        self.rank, self.memory = rank, Memory()
        self.own = {"memory": self.memory}
        self.explode = explode

    def step(self, batch: Tensor, progress: float) -> Mapping[str, Tensor | float]:
        torch.rand(1, generator=self.generators["own"])
        wanted = batch.sum(1, keepdim=True) - 1
        if self.memory.seen is not None:
            wanted = wanted + 0.1 * self.memory.seen
        self.memory.seen = batch.mean(1, keepdim=True)
        self.memory.kept = batch[: 1 + 2 * self.rank]
        loss = (self.net(batch) - wanted).square().mean()
        self.sgd.zero_grad()
        loss.backward()
        self.sgd.step()
        explodes = self.explode and progress > 0.5 and self.sgd.param_groups[0]["lr"] == 0.05
        return {"loss": loss * torch.nan if explodes else loss}

    def evaluate(self) -> dict[str, float]:
        return {"error": float(self.net.bias.detach())}

    def export(self) -> Mapping[str, Tensor]:
        return self.net.state_dict()


class Shares:
    """A rank's share of each batch of 8."""

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size

    def __len__(self) -> int:
        return EPOCH

    def batch(self, epoch: int, index: int) -> Tensor:
        whole = torch.rand(8, 3, generator=torch.Generator().manual_seed(100 * epoch + index))
        return whole.chunk(self.world_size)[self.rank]


def one_rank(rank: int, folder: Path, port: int, how: dict[str, Any]) -> None:
    """What torchrun would start; `how` may hold stop_at, resume and explode."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})

    def report(progress: Progress) -> None:  # only rank 0 hears; the other one is to stop as well
        if progress.step == how.get("stop_at") and progress.line is None:
            os.kill(os.getpid(), signal.SIGTERM)

    recipe = Line(rank, explode=rank == 1 and how.get("explode", False))
    runtime = Runtime(torch.device("cpu"), torch.float32, rank, 2)
    resume = how.get("resume", False)
    try:
        train(
            recipe,
            Shares(rank, 2),
            folder,
            config=CONFIG,
            options=OPTIONS,
            runtime=runtime,
            resume=resume,
            report=report,
        )
    except Interrupted:
        raise SystemExit(130) from None


def two_ranks(folder: Path, **how: Any) -> list[int | None]:
    """Train with two processes; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "torch.distributed", "pytest", "gencli.core.training"])
    ranks = [context.Process(target=one_rank, args=(rank, folder, port, how)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        process.kill()
    return [process.exitcode for process in ranks]


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The log without what depends on the clock."""
    lines = [json.loads(line) for line in (folder / store.METRICS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "rate")} for line in lines]


def loopback() -> bool:
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), 1).close()
    except OSError:
        return False
    return True


pytestmark = pytest.mark.skipif(os.name != "posix" or not loopback(), reason="ranks need a loopback network")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training by two ranks that nothing disturbed."""
    folder = tmp_path_factory.mktemp("two") / "model"
    assert two_ranks(folder) == [0, 0]
    return folder


def test_two_ranks_equal_one_with_the_double_batch(two: Path, tmp_path: Path) -> None:
    alone = Line()
    train(alone, Shares(0, 1), tmp_path / "one", config=CONFIG, options=OPTIONS, runtime=CPU)
    together = read_tensors(two / store.WEIGHTS)[0]
    for name, tensor in alone.net.state_dict().items():
        torch.testing.assert_close(together[name], tensor)
    for one, both in zip(log_of(tmp_path / "one"), log_of(two), strict=True):
        assert both.get("loss") == pytest.approx(one.get("loss"))


def test_ranks_stop_together_and_resume_exactly(two: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    assert two_ranks(folder, stop_at=6) == [130, 130]
    assert read_state(folder)["counters"]["step"] == 6
    assert two_ranks(folder, resume=True) == [0, 0]
    states = [read_state(each) for each in (two, folder)]
    for state in states:
        del state["counters"]["seconds"], state["counters"]["metrics_bytes"]
    tensors: list[dict[str, Tensor]] = [{}, {}]
    packed = [pack(state, found) for state, found in zip(states, tensors, strict=True)]
    assert packed[0] == packed[1]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert log_of(two) == log_of(folder)
    own = states[0]["generators"]["own"]
    assert len(own) == 2
    assert not torch.equal(*own)
    assert [len(each["kept"]) for each in states[1]["own"]["memory"]] == [1, 3]


def test_ranks_go_back_together(tmp_path: Path) -> None:
    assert two_ranks(tmp_path / "model", explode=True) == [0, 0]
    counters = read_state(tmp_path / "model")["counters"]
    assert (counters["step"], counters["rollbacks"]) == (12, 1)


def test_another_number_of_ranks_is_refused(two: Path) -> None:
    again: dict[str, Any] = {"config": CONFIG, "options": OPTIONS, "runtime": CPU, "resume": True}
    with pytest.raises(UsageError, match="by 2 processes"):
        train(Line(), Shares(0, 1), two, **again)
