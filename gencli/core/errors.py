"""Errors that are meant to be read by people, and the exit code each one ends with."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell. Scripts rely on these numbers."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISSING = 3
    INTERRUPTED = 130


class GencliError(Exception):
    """Something a person can understand and mend.

    `message` says what is wrong (the file, the value, what was expected), `hint` what to do
    about it. The command line prints both and ends with `exit_code`; a traceback is only shown
    under `--debug`.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GencliError):
    """The command or an option was used wrongly."""

    exit_code = ExitCode.USAGE


class MissingError(GencliError):
    """Something has to be fetched first and cannot be: says what, from where, and where to put it."""

    exit_code = ExitCode.MISSING


class Interrupted(GencliError):  # noqa: N818 - it is no fault
    """The person stopped the work; what was done so far is saved."""

    exit_code = ExitCode.INTERRUPTED
