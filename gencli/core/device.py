"""Where the arithmetic runs: CUDA, MPS or CPU, its precision, threads, memory layout and ranks."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gencli.core.errors import GencliError, UsageError
from gencli.core.files import home, read_json, write_json

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8  # of glibc's malloc.h
MADV_DONTNEED = 4  # of Linux' mman.h
OF_CUDA = ("libcu", "libnv", "libnccl", "libtorch_cuda", "libc10_cuda")  # how the names of its libraries begin


@dataclass(frozen=True)
class Runtime:
    """The device a run computes on, the precision under autocast, and its place among torchrun's ranks."""

    device: torch.device
    dtype: torch.dtype = torch.float32
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[object]:
        """The context recipes put around their forward passes: mixed precision where it was asked for."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def start(
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    *,
    mixed: bool = False,
    sparing: bool = False,
) -> Runtime:
    """Choose the device and set PyTorch up on it.

    `device` is auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU. `precision`
    is auto, fp32, bf16 or fp16; auto means bf16 on CUDA devices that compute it natively, with `mixed`
    on CPUs that do, too, and fp32 elsewhere. `threads` bounds the CPU threads. `sparing` gives memory back to the
    system as it is freed, which takes a little time. Under torchrun each local rank takes its own GPU.

    Raises UsageError when what was asked for is not there: never a silent fall-back.
    """
    rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if threads is not None:
        if threads < 1:
            raise UsageError(f"--threads {threads}: at least one thread is needed")
        torch.set_num_threads(threads)
    chosen = _pick(device)
    if chosen.type == "cpu":
        _tell_allocator({ARENA_MAX: 1} if sparing else {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1})
        _give_back_cuda()
    if world_size > 1 and str(chosen) == "cuda":
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return Runtime(chosen, _precision(precision, chosen, mixed), rank, world_size)


def _tell_allocator(wishes: Mapping[int, int]) -> None:
    """Have the C library keep what is freed for the next tensor; or else have all threads share what they free.

    glibc returns large blocks to the system at once, and a new one is mapped again page by page, which takes longer
    than many a layer that fills it. Other libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        for parameter, value in wishes.items():
            libc.mallopt(parameter, value)


def _give_back_cuda() -> None:
    """Give the pages of CUDA's libraries back to the system.

    PyTorch built for CUDA loads them with itself, a hundred megabytes for which a CPU has no use. Of code alone, which
    is never written to: should it be needed, it is read again.
    """
    if platform.system() != "Linux":
        return
    libc = ctypes.CDLL(None)
    with suppress(OSError):
        for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
            span, mode, *_, name = line.split(maxsplit=5)
            if mode == "r-xp" and Path(name).name.startswith(OF_CUDA):
                first, last = (int(place, 16) for place in span.split("-"))
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)


def _pick(name: str) -> torch.device:
    available = devices()
    if name == "auto":
        return torch.device(next(kind for kind in ("cuda", "mps", "cpu") if kind in available))
    parts = re.fullmatch(r"cpu|mps|cuda(?::([0-9]{1,3}))?", name)
    if parts is None:
        raise UsageError(f"--device {name}: not a device", "use auto, cpu, cuda, cuda:N or mps")
    kind = name.partition(":")[0]
    if kind not in available or (kind == "cuda" and int(parts[1] or 0) >= torch.cuda.device_count()):
        here = ", ".join(available.values())
        raise UsageError(
            f"--device {name}: not on this machine, which has {here}",
            "leave --device out, or name one of these",
        )
    return torch.device(kind, int(parts[1])) if parts[1] else torch.device(kind)


def _precision(name: str, device: torch.device, mixed: bool) -> torch.dtype:
    if name == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        native = native or (mixed and device.type == "cpu" and _cpu_computes_bf16())
        return torch.bfloat16 if native else torch.float32
    if name not in PRECISIONS:
        raise UsageError(f"--precision {name}: not a precision", "use auto, fp32, bf16 or fp16")
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16: needs a GPU; the CPU computes in fp32 or bf16", "use --precision fp32")
    return PRECISIONS[name]


def _cpu_computes_bf16() -> bool:
    """Whether the CPU has instructions for it. PyTorch knows, but has no public function that says so."""
    known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(known and known())


def devices() -> dict[str, str]:
    """What this machine computes with, best first: kind → description, e.g. {"cpu": "cpu (2 threads)"}."""
    found = {}
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        found["cuda"] = ", ".join(f"cuda:{i} ({name})" for i, name in enumerate(names))
    if torch.backends.mps.is_available():
        found["mps"] = "mps (Apple GPU)"
    threads = torch.get_num_threads()
    found["cpu"] = f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return found


def precisely(x: torch.Tensor) -> torch.Tensor:
    """In double precision, or in single where the device knows no double: MPS."""
    return x.float() if x.device.type == "mps" else x.double()


def memory_format(device: torch.device, *, backward: bool = True) -> torch.memory_format:
    """The layout in which convolutions run faster on `device`: contiguous or channels last.

    Measured once a machine on a small convolution stack, forward and backward, and remembered in
    the cache folder. Remembering it is what keeps results the same from run to run: the two
    layouts round differently. Forward only, CPUs need not be asked.
    """
    if device.type == "cpu" and not backward:
        return torch.channels_last
    file = home() / "cache" / "memory-format.json"
    key = f"{platform.node()} {device} torch {torch.__version__} threads {torch.get_num_threads()}"
    known: Any = {}
    with suppress(GencliError):  # a damaged memory is as good as none, and one that cannot be written too
        known = read_json(file) if file.is_file() else {}
    if not isinstance(known, dict) or not isinstance(known.get(key), bool):
        known = {**(known if isinstance(known, dict) else {}), key: _channels_last_is_faster(device)}
        with suppress(GencliError):
            write_json(file, known)
    return torch.channels_last if known[key] else torch.contiguous_format


def _channels_last_is_faster(device: torch.device) -> bool:
    """Whether it is, by the best of a few runs taken in turn: other work on the machine hits both alike."""
    rounds = {layout: _layout_probe(device, layout) for layout in (torch.channels_last, torch.contiguous_format)}
    for run in rounds.values():
        run()  # warm
    seconds = [[run() for run in rounds.values()] for _ in range(6)]
    return min(last for last, _ in seconds) < min(contiguous for _, contiguous in seconds)


def _layout_probe(device: torch.device, layout: torch.memory_format) -> Callable[[], float]:
    """A function that takes the seconds of one gradient of two convolutions in a layout."""
    draw = torch.Generator().manual_seed(0)
    with torch.device("meta"):  # draws nothing from PyTorch's own generator
        net = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), nn.Conv2d(64, 64, 3, padding=1))
    net.to_empty(device="cpu")
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.05, generator=draw)
    net.to(device).to(memory_format=layout)
    picture = torch.rand(1, 32, 128, 128, generator=draw).to(device).contiguous(memory_format=layout).requires_grad_()

    def seconds() -> float:
        began = time.perf_counter()
        (gradient,) = torch.autograd.grad(net(picture).square().mean(), picture)
        float(gradient.flatten()[0])  # waits for the device
        return time.perf_counter() - began

    return seconds


def compiled(net: nn.Module) -> Callable[..., Any]:
    """What `torch.compile` makes of a network: the same, in fewer and larger pieces, once it has been called.

    It needs a C++ compiler, and what it cannot compile it runs as it is, with a warning. There is no second gradient
    through it: penalties of gradients take the network itself.
    """
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
    made: Callable[..., Any] = torch.compile(net)
    return made


def generator(seed: int, *stream: int) -> torch.Generator:
    """A CPU random generator for one purpose: the same `seed` and `stream` numbers give the same draws.

    Streams keep purposes apart (say, the start noise and the crops), so that adding a draw to one
    never changes another.
    """
    mixed = seed & 0xFFFFFFFFFFFFFFFF
    # SplitMix64 (Steele et al. 2014): PyTorch keeps 32 bits of a seed, so all 64 are mixed into them
    for number in stream or (1 << 32,):
        mixed = (mixed + 0x9E3779B97F4A7C15 * (number + 1)) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed - (1 << 63))


@contextmanager
def drawing_from(own: torch.Generator) -> Iterator[None]:
    """Let layers that only know PyTorch's own generator (`nn.Dropout`) draw from `own`, which moves on.

    PyTorch's is left as it was. What is drawn from `own` itself meanwhile comes again afterwards: draw it outside.
    """
    shared = _shared_generator(own.device)
    before = shared.get_state()
    shared.set_state(own.get_state())
    try:
        yield
    finally:
        own.set_state(shared.get_state())
        shared.set_state(before)


def _shared_generator(device: torch.device) -> torch.Generator:
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index or 0]
    return torch.mps._get_default_mps_generator() if device.type == "mps" else torch.default_generator


def new_seed() -> int:
    """A seed from the system's own randomness: 32 bits, short enough to be typed again."""
    return int.from_bytes(os.urandom(4), "little")


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on `device`: on a GPU as its driver says, on the CPU what the system has
    available, or a container's limit allows, whichever is less."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    allowed = _allowed(Path("/sys/fs/cgroup"))
    return max(0, _available() if allowed is None else min(_available(), allowed))


def trim_heap() -> None:
    """Give memory that was freed back to the system where the C library would keep it for later: glibc may keep
    hundreds of megabytes in pieces after tensors of many sizes."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _allowed(groups: Path) -> int | None:
    """Bytes that a container may still take, what is cached of files being given up for them; None without a limit."""
    for limit, used, cached in (
        ("memory.max", "memory.current", ""),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_"),
    ):
        try:
            most, now = (int((groups / name).read_text()) for name in (limit, used))
            lines = (groups / limit).with_name("memory.stat").read_text().splitlines()
            known = {name: int(count) for name, count in (line.split() for line in lines)}
        except (OSError, ValueError):  # not there, or "max"
            continue
        # as the kernel estimates what is available: of files in use half can go
        return most - now + known.get(f"{cached}inactive_file", 0) + known.get(f"{cached}active_file", 0) // 2
    return None


def _available() -> int:
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    # elsewhere only the whole is known; half of it is taken to be free
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if hasattr(os, "sysconf") else 4 << 30
