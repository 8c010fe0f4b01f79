"""Runs contract classes without pytest, and says in plain words what was promised and what was seen.

Every `test_…` method of a contract is called on an instance of its own. One that returns has kept its promise; an
exception is what was seen instead.
"""

from __future__ import annotations

import linecache
import os
import time
import traceback
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import TracebackType

from harness.core.guests import is_users
from harness.core.text import shortened

MARK = "test_"
MAKES_ONLY = "test_declares_its_traits"
"""The check of every kind that needs the part and nothing that it does."""
LONGEST = 400
"""Characters of an exception's message that are shown; a traceback's entries have five times as many."""


@dataclass(frozen=True)
class Check:
    """One promise of a part: whether it is kept, and if not, what was seen."""

    promise: str
    seen: str = ""
    """Empty when it is kept."""
    trace: str = ""
    makes_only: bool = False
    """Whether it makes the part, and asks nothing of what it does."""

    @property
    def kept(self) -> bool:
        return not self.seen


@dataclass(frozen=True)
class ContractResult:
    """What came of all the promises of one part."""

    checks: tuple[Check, ...]
    seconds: float

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if not check.kept]

    @property
    def unmade(self) -> str:
        """Why the part cannot be made: the check that only makes it sees what all others see. Empty if it can."""
        broken = self.broken
        seen = {check.seen for check in broken}
        return seen.pop() if len(seen) == 1 < len(broken) and any(check.makes_only for check in broken) else ""


def run_contract(contract: type, file: str = "") -> ContractResult:
    """Calls every test of a contract class. `file`: the part's, whose lines messages name."""
    began = time.monotonic()
    names = [name for name in dir(contract) if name.startswith(MARK)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checks = tuple(_check(contract, name, file) for name in names)
    return ContractResult(checks, time.monotonic() - began)


def _check(contract: type, name: str, file: str) -> Check:
    test = getattr(contract, name)
    promise = _promise(name, test.__doc__)
    # What a part prints would hide the verdicts, and it may close what it prints to: a stream for each check.
    with open(os.devnull, "w", encoding="utf-8", errors="replace") as nowhere:
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                test(contract())
        except BaseException as error:  # a part may raise anything, SystemExit too, and the rest goes on
            if is_users(error):
                raise
            trace = "".join(shortened(entry, 5 * LONGEST) for entry in traceback.format_exception(error))
            return Check(promise, _seen(error, file), trace, makes_only=name == MAKES_ONLY)
    return Check(promise)


def _promise(name: str, documentation: str | None) -> str:
    """The first line of the test's docstring, else its name in words."""
    first = (documentation or "").strip().partition("\n")[0].rstrip(".")
    return first or name.removeprefix(MARK).replace("_", " ").capitalize()


def _seen(error: BaseException, file: str) -> str:
    """What an exception says, and the line of the part's file where it arose."""
    message = _message(error)
    frames = list(_frames(error.__traceback__))
    if isinstance(error, AssertionError):
        if message and frames and frames[-1][0] != file:
            return message
        asserted = message or linecache.getline(*frames[-1]).strip().removeprefix("assert ")
        message = asserted if message else f"this does not hold: {asserted}"
    else:
        message = f"{type(error).__name__}: {message or 'no message'}"
    own = [line for name, line in frames if name == file]
    return f"{message} (line {own[-1]})" if own else message


def _message(error: BaseException) -> str:
    try:
        return shortened(str(error).strip(), LONGEST)
    except Exception as failure:  # noqa: BLE001 - `__str__` is the part's own code, too
        return f"its message cannot be read ({type(failure).__name__})"


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    return [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(trace)]
