"""Which form of an operation runs: its definition, or a lean one that a CPU is quicker with.

Every operation with several forms is defined once, plainly; the definition runs on GPUs, in every graph that
torch.compile makes, and on a CPU where the lean form would not pay. The choice depends on the map alone, its device,
size and layout, so that a block computed again in the backward pass is computed in the form that it had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Literal

import torch
from torch import Tensor

Form = Literal["plain", "lean"]

_forced: Form | None = None
"""One for all threads: a worker runs one job at a time."""
_noted: dict[str, str] | None = None


class using:  # noqa: N801 - reads as a statement
    """Inside, all operations run in that form, except that torch.compile always sees definitions; None as ever."""

    def __init__(self, form: Form | None) -> None:
        self.form = form
        self.before: list[Form | None] = []

    def __enter__(self) -> None:
        global _forced
        self.before.append(_forced)
        _forced = self.form

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        global _forced
        _forced = self.before.pop()


@contextmanager
def noting(into: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Gives the forms that ran inside, by operation: "plain", "lean", or "lean and plain" where sizes differ.

    `into` takes them, beside what it has. Nothing is noted of what runs in graphs of torch.compile.
    """
    global _noted
    before, _noted = _noted, {} if into is None else into
    try:
        yield _noted
    finally:
        _noted = before


def note(ran: Mapping[str, str]) -> None:
    """Notes forms that ran elsewhere, for this too."""
    if _noted is not None:
        for operation, form in ran.items():
            if _noted.setdefault(operation, form) != form:
                _noted[operation] = "lean and plain"


def lean(operation: str, x_BCHW: Tensor, *, least: int = 0) -> bool:
    """Whether the lean form of an operation is to run on that map.

    `least`: numbers in the map from which on it pays on a CPU.
    """
    return _chosen(operation, x_BCHW.device.type == "cpu" and x_BCHW.numel() >= least)


def lean_as_laid(operation: str, x_BCHW: Tensor) -> bool:
    """Whether the lean form is to run because the map's channels lie last: a network that chose lean laid them so."""
    return _chosen(operation, lies_last(x_BCHW))


def lies_last(x_BCHW: Tensor) -> bool:
    """Whether an operation is to keep a map's channels last: they are, on a CPU, and no definition was asked for."""
    if torch.compiler.is_compiling() or _forced == "plain" or x_BCHW.device.type != "cpu":
        return False
    return x_BCHW.is_contiguous(memory_format=torch.channels_last) and not x_BCHW.is_contiguous()


def _chosen(operation: str, pays: bool) -> bool:
    if torch.compiler.is_compiling():
        return False
    form: Form = _forced or ("lean" if pays else "plain")
    note({operation: form})
    return form == "lean"


def as_now() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """`context_fn` of torch.utils.checkpoint: what is computed again is computed in the form that is asked for now."""
    return nullcontext(), using(_forced)
