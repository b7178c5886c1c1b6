"""Tensors in files: safetensors written atomically, and nested state (an optimizer's) without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gencli.core.errors import GencliError
from gencli.core.files import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in half precision, for others to use: matrices and kernels, where its range of ±65,504 is enough.

    Biases, norms and their statistics stay as they are: they are few, and variances may be beyond that range.
    """
    import torch

    most = torch.finfo(torch.float16).max

    def fits(value: Tensor) -> bool:
        return value.is_floating_point() and value.dim() > 1 and bool((value.abs() <= most).all())

    return {name: value.half() if fits(value) else value for name, value in state.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file at `path` in one step, with `metadata` in its header.

    The library's own writer makes a copy of everything first and refuses tensors that share memory.
    This one streams tensor by tensor, straight from the device: saving needs the memory of the
    largest tensor only, and tied weights are written as often as they are named.
    """
    import torch

    ordered = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))  # keeps data aligned
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.numel() * tensor.element_size()
        dtype = _DTYPES[str(tensor.dtype).removeprefix("torch.")]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def write(file: BinaryIO) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, tensor in ordered:
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)

    atomic_write(path, write)


def read_tensors(path: Path, device: str = "cpu") -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises GencliError when it is missing or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device=device) as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def check_tensors(path: Path) -> None:
    """Raise GencliError unless `path` is a whole safetensors file with a tensor in it. Imports no torch."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            if not list(file.keys()):
                raise GencliError(f"{path} holds no weights", "the file is damaged; replace it")
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> GencliError:
    if isinstance(error, FileNotFoundError):
        return GencliError(f"there is no file {path}")
    return GencliError(f"{path} is not a readable safetensors file: {error}", "the file is damaged; replace it")


def pack(value: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """Nested state → JSON: each tensor goes into `tensors` under its path, all else stays as it is.

    Takes what `state_dict()` of modules, optimizers and gradient scalers are made of: mappings with
    any plain keys, lists, tuples, numbers, strings, None and tensors. `unpack` is the exact inverse.
    """
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"dict": [[key, pack(item, tensors, f"{name}/{key}".lstrip("/"))] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [pack(item, tensors, f"{name}/{index}") for index, item in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    raise TypeError(f"{name}: a {type(value).__name__} cannot be saved; use tensors, numbers, text, lists and dicts")


def unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """What `pack` was given. Tensors are copies, free of the file they came from."""
    if isinstance(value, list):
        return [unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content].clone()
    if kind == "tuple":
        return tuple(unpack(item, tensors) for item in content)
    return {key: unpack(item, tensors) for key, item in content}
