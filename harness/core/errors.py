"""Errors meant for people: they say where, what, and what to try."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from harness.core.text import printable, shortened

FailureClass = Literal[
    "bug", "suite", "plugin", "data", "nan", "memory", "worker_lost", "weights", "checkpoint", "storage", "interrupted"
]
"""Why a job failed. `suite`: what was asked for cannot be done; `plugin`: a part of the user's own file is at fault;
`bug`: an error that nobody foresaw, in this package. Only `worker_lost` is retried by itself: the others would fail the
same way again."""


class HarnessError(Exception):
    """A mistake or a condition that the user can act on; printed without a traceback.

    `kind` says how a job that raises it is classified; `hint` is what to try.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "", kind: FailureClass = "suite") -> None:
        super().__init__(what)
        self.what, self.where, self.hint, self.kind = what, where, hint, kind

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  try: {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.hint, self.kind)


def _rebuild(cls: type[HarnessError], what: str, where: str, hint: str, kind: FailureClass) -> HarnessError:
    return cls(what, where=where, hint=hint, kind=kind)


class DataError(HarnessError):
    """Images, shards, manifests or features that are missing, damaged or disagree."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", kind: FailureClass = "data") -> None:
        super().__init__(what, where=where, hint=hint, kind=kind)


class Damaged(DataError):
    """Shards, manifests or features that are missing or not what was written, whoever reads them: to be made again."""


class Unfit(DataError):
    """Files of a data set that lie there and do not fit: a mistake in them, or in what a suite says of them."""


class MissingWeights(HarnessError):
    """Weights that are not on this machine; `hint` holds the command that gets them. Blocks a cell."""

    def __init__(self, what: str, *, where: str = "", hint: str = "", kind: FailureClass = "weights") -> None:
        super().__init__(what, where=where, hint=hint, kind=kind)


class UnknownName(HarnessError):
    """A name that is not in the catalogue."""


MOST_SHOWN = 100
"""Mistakes that one message lists."""


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in a file: place, path inside the file, what is wrong, what to try."""

    file: str
    line: int
    column: int
    path: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        path, what = shortened(self.path, 200) or "(file)", shortened(self.what, 1000)
        text = f"{self.file}:{self.line}:{self.column} · {path} · {what}"
        return printable(f"{text} · try: {self.hint}" if self.hint else text)


class SpecErrors(HarnessError):
    """All the mistakes of a suite file and its arguments, reported together."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        lines = [str(problem) for problem in self.problems[:MOST_SHOWN]]
        more = len(self.problems) - len(lines)
        super().__init__("\n".join([*lines, f"and {more:,} more mistakes"] if more else lines))

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.problems,)


def text_of(error: BaseException) -> str:
    """What an exception says; that it cannot be read where its `__str__`, which may be a plug-in's own code, fails."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 - whatever it is, an error is being told
        return f"its message cannot be read ({type(failure).__name__})"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the nearest known names, or all of them when there are few. Empty if none helps."""
    choices = sorted(known)
    same = [choice for choice in choices if choice.lower() == name.lower()]
    if len(same) == 1:
        return f"did you mean {same[0]!r}?"
    near = get_close_matches(name, choices, n=3, cutoff=0.55)
    if near:
        return "did you mean " + " or ".join(repr(n) for n in near) + "?"
    return "known: " + ", ".join(choices) if 0 < len(choices) <= 12 else ""
