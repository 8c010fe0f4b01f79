"""Exit codes of all commands."""

from __future__ import annotations

from harness.core.errors import HarnessError, SpecErrors, UnknownName

DONE = 0
FAILED = 1
WRONG = 2
"""The suite or the arguments are wrong."""
BLOCKED = 3
"""Nothing failed, but something cannot run on this machine as it is."""
INTERRUPTED = 130


class WrongArgument(HarnessError):
    """An argument of a command that cannot be right."""


def code_for(error: HarnessError) -> int:
    """The exit code of a command that an error ends."""
    return WRONG if isinstance(error, SpecErrors | UnknownName | WrongArgument) else FAILED


def code_of_run(*, failed: bool, blocked: bool) -> int:
    """The exit code of a command that has done all it could."""
    return FAILED if failed else BLOCKED if blocked else DONE
