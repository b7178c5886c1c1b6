"""A training run: its place in the store, its seed, and its options, a person's over those it was begun with."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import gencli
from gencli.core import store
from gencli.core.device import Runtime, new_seed
from gencli.core.errors import GencliError, UsageError
from gencli.core.options import O, spelling
from gencli.core.outputs import command_line


@dataclass(frozen=True)
class Run(Generic[O]):
    """What a training is given to start from."""

    art: str
    folder: Path
    options: O
    seed: int
    runtime: Runtime

    def config(self, **more: Any) -> dict[str, Any]:
        """The `config.json` of the model; `more` says what it is."""
        return {
            "art": self.art,
            **more,
            "options": self.options.to_dict(),
            "seed": self.seed,
            "version": gencli.__version__,
            "command": command_line(),
        }


@contextmanager
def begin(art: str, name: str, options: O, seed: int | None, runtime: Runtime, *, resume: bool) -> Iterator[Run[O]]:
    """Hold the place of a model in the store from before its data is read, which takes time.

    A resumed run has the options it was begun with, but for those that a person named (`options.named()`),
    and its seed.

    Raises UsageError when the name is taken, or there is nothing to resume; GencliError while another
    process trains it.
    """
    folder = store.folder(art, name)
    store.check_start(folder, resume=resume)
    with store.lock(folder) if runtime.is_main else nullcontext():
        if resume:
            before = earlier(folder)
            seed = before["seed"] if seed is None else seed
            options = type(options).from_dict({**before["options"], **options.named()})
        yield Run(art, folder, options, new_seed() if seed is None else seed, runtime)


def going_on(options: O, fixed: Collection[str], start: str, settled: Mapping[str, Any], what: str) -> O:
    """The options of a training that goes on from another model `start`: those that are `fixed` are the model's, as
    it has `settled` them. UsageError when a person named one of them; `what` they are is in its words."""
    if clash := sorted(options.given & set(fixed)):
        raise UsageError(
            f"{spelling(clash[0])} cannot be chosen: {what} are those of {start}", "leave it out, or leave out --from"
        )
    return options.replace(**{name: settled[name] for name in fixed})


def resume_command(art: str, name: str, **flags: str | Path | Iterable[str] | None) -> str:
    """What a person types to go on with a training; flags are repeated for several values."""
    words = ["gencli", art, "train", "--name", name]
    for flag, value in flags.items():
        for one in [value] if isinstance(value, str | Path) else value or []:
            words += [spelling(flag), str(one)]
    return shlex.join([*words, "--resume"])


def earlier(folder: Path) -> Mapping[str, Any]:
    """The config of a run that was begun. Raises GencliError when it does not say how."""
    before = store.Model(folder).config
    if not {"options", "seed"} <= before.keys():
        raise GencliError(f"{folder} does not say how it was trained", "train it anew under another --name")
    return before
