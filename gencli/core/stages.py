"""What long work tells of itself while it goes on, whoever listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Report = Callable[[float, float | None], None]
"""Told how much is done, and of how much if that is known."""

Stage = Callable[[str], AbstractContextManager[Report]]
"""Opens a bar for a stage of the work ("reading text") and gives what to report its progress to."""


@contextmanager
def unwatched(what: str) -> Iterator[Report]:
    """A stage that nobody looks at."""
    yield lambda done, total: None
