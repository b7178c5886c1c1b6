"""Everything a training must remember to go on exactly: taken from a recipe, put back, kept in files.

A state is one safetensors file in the model's `train/` folder; what is not a tensor stands as JSON in
its header. `latest.json` names the state that counts and is written last, so a crash at any instant
leaves the state before it in force.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gencli.core import store
from gencli.core.errors import GencliError, UsageError
from gencli.core.files import read_json, sync_folder, write_json
from gencli.core.ranks import Ranks
from gencli.core.tensors import pack, read_tensors, unpack, write_tensors

RECORDS = ("created", "command", "version", "versions")  # keys of a config that tell how it came about

_POINTER = "latest.json"
_FORMAT = 1

log = logging.getLogger("gencli")


class Stateful(Protocol):
    """Anything that can be saved: plain values and tensors out, the same in."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Remembered(Protocol):
    """The parts of a recipe that change while it trains."""

    @property
    def modules(self) -> Mapping[str, nn.Module]: ...
    @property
    def optimizers(self) -> Mapping[str, Optimizer]: ...
    @property
    def generators(self) -> Mapping[str, torch.Generator]: ...
    @property
    def extras(self) -> Mapping[str, Stateful]: ...
    @property
    def own(self) -> Mapping[str, Stateful]: ...


def capture(recipe: Remembered, ranks: Ranks) -> dict[str, Any]:
    """The recipe's state as nested plain values and (not copied) tensors; generators and `own` of every rank."""
    return {
        "modules": {name: module.state_dict() for name, module in recipe.modules.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in recipe.optimizers.items()},
        "generators": {name: ranks.gather(item.get_state()) for name, item in recipe.generators.items()},
        "extras": {name: extra.state_dict() for name, extra in recipe.extras.items()},
        "own": {name: _of_each_rank(item.state_dict(), ranks) for name, item in recipe.own.items()},
    }


def _of_each_rank(state: dict[str, Any], ranks: Ranks) -> list[dict[str, Any]]:
    """Every rank's state, in their order: alike but for what stands in the tensors, and how long they are."""
    if ranks.alone:
        return [state]
    tensors: dict[str, Tensor] = {}
    skeleton = pack(state, tensors)
    everyone = {name: ranks.gather(tensor.cpu().contiguous()) for name, tensor in tensors.items()}
    return [unpack(skeleton, {name: each[rank] for name, each in everyone.items()}) for rank in range(ranks.world_size)]


def restore(recipe: Remembered, state: Mapping[str, Any], rank: int) -> None:
    """Put a captured state back. Raises GencliError when it belongs to another model."""
    try:
        for part in ("modules", "optimizers", "extras"):
            objects: Mapping[str, Any] = getattr(recipe, part)
            _same_names(part, objects, state[part])
            for name, item in objects.items():
                item.load_state_dict(state[part][name])
        _same_names("generators", recipe.generators, state["generators"])
        for name, generator in recipe.generators.items():
            generator.set_state(state["generators"][name][rank])
        _same_names("own", recipe.own, state["own"])
        for name, item in recipe.own.items():
            item.load_state_dict(state["own"][name][rank])
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise GencliError(f"the saved training state does not fit this model: {error}") from error
    for optimizer in recipe.optimizers.values():
        _keep_layout(optimizer)


def _same_names(part: str, here: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    if here.keys() != saved.keys():
        raise ValueError(f"its {part} are {sorted(saved)}, the model's {sorted(here)}")


def _keep_layout(optimizer: Optimizer) -> None:
    """Lay moments out in memory as their parameters are (channels last, say), as before they were saved:
    another layout takes other kernels, which are slower and round differently."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def write_state(model_folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Save a state and make it the one in force, then delete older ones."""
    folder = model_folder / store.TRAINING
    tensors: dict[str, Tensor] = {}
    skeleton = pack(state, tensors)
    file = folder / f"state-{step:08}.safetensors"
    write_tensors(file, tensors, {"format": str(_FORMAT), "state": json.dumps(skeleton)})
    write_json(folder / _POINTER, {"step": step, "file": file.name})
    _discard_others(file)
    sync_folder(folder)


def _discard_others(state: Path) -> None:
    """Delete the states that are not in force."""
    for other in state.parent.glob("state-*.safetensors"):
        if other != state:
            other.unlink()


def _in_force(folder: Path) -> Path:
    """The state that counts. Raises GencliError when what names it is missing or damaged."""
    try:
        return folder / Path(read_json(folder / _POINTER)["file"]).name
    except (KeyError, TypeError) as error:
        raise GencliError(f"the training state in {folder} is damaged: {error}") from error


def has_state(model_folder: Path) -> bool:
    """Whether a training of this model can be resumed."""
    return (model_folder / store.TRAINING / _POINTER).is_file()


def read_state(model_folder: Path) -> dict[str, Any]:
    """The state in force. Raises GencliError when it is missing or damaged."""
    folder = model_folder / store.TRAINING
    file = _in_force(folder)
    try:
        tensors, metadata = read_tensors(file)
        if metadata["format"] != str(_FORMAT):
            raise GencliError(f"the training state in {folder} was written by another version of gencli")
        state: dict[str, Any] = unpack(json.loads(metadata["state"]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise GencliError(f"the training state in {folder} is damaged: {error}") from error
    return state


def begin_config(
    model_folder: Path, config: Mapping[str, Any], *, resume: bool, may_change: Collection[str]
) -> dict[str, Any]:
    """Write `config.json` at the start of a run, so that one that is killed is listed as unfinished.

    A resume refuses a config that differs from the stored one, naming each difference, but for the
    options that `may_change` and the `RECORDS`, which stay those of the start. Returns what is stored.
    """
    now: dict[str, Any] = json.loads(json.dumps(config, default=str))
    now.setdefault("created", datetime.now(timezone.utc).isoformat(timespec="seconds"))
    if resume:
        if not has_state(model_folder) and (model_folder / store.WEIGHTS).exists():
            raise GencliError(
                f"{model_folder.name} cannot be resumed: its {store.TRAINING} folder was removed",
                "train it anew under another --name",
            )
        before = store.Model(model_folder).config
        if changed := store.differences(_fixed(before, may_change), _fixed(now, may_change)):
            raise UsageError(
                f"{model_folder.name} was trained with other options:\n  " + "\n  ".join(changed),
                "resume with the options it was started with; only its length may change",
            )
        for line in store.differences(before.get("options", {}), now.get("options", {})):
            log.info("changed: %s; schedules follow the new length from here on", line)
        now |= {key: before[key] for key in RECORDS if key in before}
    if not has_state(model_folder):
        (model_folder / store.METRICS).unlink(missing_ok=True)  # of a run whose state is gone
    elif (state := _in_force(model_folder / store.TRAINING)).exists():
        _discard_others(state)  # of a process that was killed before it could
    for unfinished in model_folder.rglob(".*.part"):  # of one that was killed while it wrote
        unfinished.unlink()
    write_json(model_folder / store.CONFIG, now | {"finished": False})
    return now


def _fixed(config: Mapping[str, Any], may_change: Collection[str]) -> dict[str, Any]:
    """The part of a config that a resume may not change, the options beside the rest."""
    free = {*RECORDS, *may_change, "finished", "training", "options"}
    return {key: value for key, value in {**config, **config.get("options", {})}.items() if key not in free}
