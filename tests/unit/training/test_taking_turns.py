"""Trainings that take their steps in turns: one that fails, in whatever way, leaves nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast
from weakref import ref

import pytest

from harness.core.errors import HarnessError
from harness.training.loop import Training
from harness.training.one_pass import OnePass
from harness.training.together import Share, Together


class Odd:
    """A training of three steps, which may raise something in one of them, or in its beginning (step 0)."""

    backbone_form = None

    def __init__(self, error: BaseException | None = None, at: int = 2, told: Callable[[], object] = object) -> None:
        self.error, self.at, self.told = error, at, told
        self.model = SimpleNamespace(one_pass=None)
        self.progress = SimpleNamespace(together=1)

    def begin(self) -> int:
        self._fail(0)
        return 0

    def steps(self) -> Iterator[int]:
        for step in (1, 2, 3):
            self._fail(step)
            self.told()
            yield step

    def _fail(self, step: int) -> None:
        if self.error is None or step != self.at:
            return
        try:
            held = self  # as the frames of a network hold its tensors
            raise KeyError(str(held.at))
        except KeyError as cause:
            raise self.error from cause


def together(dropped: list[BaseException]) -> Together:
    """Whoever is told of a failure may keep it, as handlers of logs do."""
    return Together(OnePass(), lambda _, error: dropped.append(error), lambda _: nullcontext())


def beginning(made: Odd) -> Callable[[Share], Training]:
    held = [made]
    return lambda _: cast(Training, cast(Any, held.pop()))


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_one_that_fails_is_freed_before_the_others_go_on(error: type[BaseException], at: int) -> None:
    dropped: list[BaseException] = []
    turns = together(dropped)
    failing = Odd(error("it is tired"), at)
    gone = ref(failing)
    alive: list[bool] = []
    gc.disable()  # nothing but what is freed at once
    try:
        for name, made in (("a", failing), ("b", Odd(told=lambda: alive.append(gone() is not None)))):
            turns.add(name, beginning(made))
        del failing, made
        turns.train()
    finally:
        gc.enable()
    assert alive == ([True, False, False] if at else [False] * 3)
    assert [type(each) for each in dropped] == [error]


@pytest.mark.parametrize("kind", ["storage", "worker_lost"])
def test_what_all_would_meet_ends_them_all(kind: Any) -> None:
    dropped: list[BaseException] = []
    turns, taken = together(dropped), list[int]()
    turns.add("a", beginning(Odd(HarnessError("gone", kind=kind))))
    turns.add("b", beginning(Odd(told=lambda: taken.append(1))))
    with pytest.raises(HarnessError, match="gone"):
        turns.train()
    assert (len(taken), dropped) == (1, [])
