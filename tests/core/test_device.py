"""Devices: what is chosen, what is refused, and random numbers of one's own."""

from __future__ import annotations

import ctypes
import json
import platform
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gencli.core import device
from gencli.core.errors import UsageError


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)


def test_without_a_gpu_the_cpu_is_chosen_in_full_precision(no_gpu: None) -> None:
    runtime = device.start()
    assert (runtime.device, runtime.dtype, runtime.is_main) == (torch.device("cpu"), torch.float32, True)
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_what_is_not_there_is_an_error_that_names_what_is(no_gpu: None, name: str) -> None:
    with pytest.raises(UsageError) as error:
        device.start(name)
    assert error.value.message.startswith(f"--device {name}: not on this machine, which has cpu (")
    assert error.value.exit_code == 2


def test_a_gpu_is_taken_before_mps_and_the_cpu(two_gpus: None) -> None:
    runtime = device.start()
    assert (runtime.device, runtime.dtype) == (torch.device("cuda"), torch.bfloat16)
    assert list(device.devices()) == ["cuda", "mps", "cpu"]
    assert device.start("cpu").device == torch.device("cpu")
    assert device.start("cuda:1").device == torch.device("cuda", 1)
    with pytest.raises(UsageError, match=r"cuda:2.*cuda:0 \(Card 0\), cuda:1 \(Card 1\)"):
        device.start("cuda:2")


def test_each_local_rank_takes_its_own_gpu(two_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    runtime = device.start("cuda")
    assert (runtime.device, runtime.rank, runtime.world_size) == (torch.device("cuda", 1), 1, 2)
    assert not runtime.is_main
    assert device.start("cuda:0").device == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:٣", "cpu:0", "CPU", "cuda:1 "])
def test_other_names_are_refused(two_gpus: None, name: str) -> None:
    with pytest.raises(UsageError, match="not a device"):
        device.start(name)


def test_precision_and_threads(no_gpu: None) -> None:
    runtime = device.start("cpu", "bf16", threads=2)
    assert torch.get_num_threads() == 2
    with runtime.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    for precision in ("fp16", "fp8"):
        with pytest.raises(UsageError, match=f"--precision {precision}"):
            device.start("cpu", precision)
    with pytest.raises(UsageError, match="--threads 0"):
        device.start("cpu", threads=0)


@pytest.mark.parametrize("native", [True, False])
def test_a_cpu_that_computes_bf16_does_where_it_is_worth_it(
    no_gpu: None, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    assert device.start("cpu", mixed=True).dtype == (torch.bfloat16 if native else torch.float32)
    assert device.start("cpu").dtype == torch.float32
    assert device.start("cpu", "fp32", mixed=True).dtype == torch.float32
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert device.start("cpu", mixed=True).dtype == torch.float32


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_cudas_libraries_are_given_back_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = """\
7f0000000000-7f0000200000 r-xp 00001000 08:01 42 /site/nvidia/libcublasLt.so.13
7f0000200000-7f0000300000 r--p 00001000 08:01 42 /site/nvidia/libcublasLt.so.13
7f0000300000-7f0000400000 rw-p 00001000 08:01 42 /site/nvidia/libcublasLt.so.13
7f0000400000-7f0000500000 r-xp 00001000 08:01 43 /site/torch/lib/libtorch_cpu.so
7f0000500000-7f0000600000 rw-p 00000000 00:00 0
7f0000600000-7f0000601000 r-xp 00000000 08:01 44 /site/torch/lib/libtorch_cuda.so
"""
    told: list[tuple[int, int, int]] = []

    class Libc:
        def madvise(self, first: ctypes.c_void_p, length: ctypes.c_size_t, advice: int) -> None:
            told.append((first.value or 0, length.value, advice))

    monkeypatch.setattr(Path, "read_text", lambda *_, **__: maps)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc())
    device._give_back_cuda()
    assert told == [(0x7F0000000000, 0x200000, 4), (0x7F0000600000, 0x1000, 4)]


# ------------------------------------------------------------------ memory layout


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Each probe takes its answer from here."""
    answers = [True, False]
    monkeypatch.setattr(device, "_channels_last_is_faster", lambda _: answers.pop(0))
    return answers


def test_the_layout_is_measured_once_and_remembered(probes: list[bool]) -> None:
    cpu = torch.device("cpu")
    assert device.memory_format(cpu) == torch.channels_last
    assert device.memory_format(cpu) == torch.channels_last
    assert len(probes) == 1


def test_forward_only_nothing_is_measured(probes: list[bool]) -> None:
    assert device.memory_format(torch.device("cpu"), backward=False) == torch.channels_last
    assert len(probes) == 2


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '"x"'])
def test_a_damaged_memory_is_measured_anew(tmp_path: Path, probes: list[bool], damage: str) -> None:
    file = tmp_path / "home" / "cache" / "memory-format.json"
    file.parent.mkdir(parents=True)
    file.write_text(damage)
    assert device.memory_format(torch.device("cpu")) == torch.channels_last
    assert list(json.loads(file.read_text()).values()) == [True]


def test_a_home_that_cannot_be_written_is_no_obstacle(
    tmp_path: Path, probes: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENCLI_HOME", str(tmp_path / "file" / "home"))
    assert device.memory_format(torch.device("cpu")) == torch.channels_last
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


def test_the_probe_times_both_layouts_and_leaves_random_numbers_alone() -> None:
    before = torch.get_rng_state()
    for layout in (torch.channels_last, torch.contiguous_format):
        assert device._layout_probe(torch.device("cpu"), layout)() > 0
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------ random numbers


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 1000), max_size=3))
def test_the_same_seed_and_stream_draw_the_same(seed: int, stream: list[int]) -> None:
    a, b = (torch.rand(4, generator=device.generator(seed, *stream)) for _ in range(2))
    assert torch.equal(a, b)


def test_streams_and_seeds_draw_differently() -> None:
    keys = [(seed, *stream) for seed in (0, 1, 2**32 - 1) for stream in ((), (0,), (1,), (0, 0), (0, 1), (1, 0))]
    drawn = {tuple(torch.rand(3, generator=device.generator(*key)).tolist()) for key in keys}
    assert len(drawn) == len(keys)


def test_generators_leave_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    torch.rand(5, generator=device.generator(3, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_layers_draw_from_a_generator_that_is_lent_to_them() -> None:
    before = torch.default_generator.get_state()
    own, dropout, ones = device.generator(1), torch.nn.Dropout(0.5), torch.ones(100)
    with device.drawing_from(own):
        first = dropout(ones)
    with device.drawing_from(own):
        second = dropout(ones)
    assert not torch.equal(first, second)
    with device.drawing_from(device.generator(1)):
        assert torch.equal(dropout(ones), first)
        assert torch.equal(dropout(ones), second)
    assert torch.equal(torch.default_generator.get_state(), before)


def test_new_seeds_differ_and_can_be_typed() -> None:
    seeds = {device.new_seed() for _ in range(20)}
    assert len(seeds) == 20 and all(0 <= seed < 2**32 for seed in seeds)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_memory_that_was_freed_is_not_mapped_anew() -> None:
    script = """
import resource, torch
from gencli.core import device
device.start("cpu")
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    torch.ones(16 << 20)
before = faults()
for _ in range(16):
    torch.ones(16 << 20)
print(faults() - before)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 4 * 16384  # pages of a tensor: mapped anew each time, there would be 16 times as many


@pytest.mark.parametrize(
    ("names", "prefix"),
    [
        (("memory.max", "memory.current", "memory.stat"), ""),
        (("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"), "total_"),
    ],
)
def test_what_a_container_caches_of_files_is_free(tmp_path: Path, names: tuple[str, ...], prefix: str) -> None:
    assert device._allowed(tmp_path) is None
    (tmp_path / "memory").mkdir()
    stat = f"{prefix}inactive_file 300\n{prefix}active_file 100\nanon 500\n"
    for name, text in zip(names, ("1000\n", "900\n", stat), strict=True):
        (tmp_path / name).write_text(text)
    assert device._allowed(tmp_path) == 1000 - 900 + 300 + 50
    (tmp_path / names[0]).write_text("max\n")
    assert device._allowed(tmp_path) is None
