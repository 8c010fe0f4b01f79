"""Several trainings in one process, step by step, behind one pass of the frozen backbone that they share.

Each has its own weights, optimizer, journal and checkpoints, and comes to the very bits that it comes to alone: what
they share is computed once and copied (harness.training.one_pass, harness.training.shared_data).
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from harness.core.errors import HarnessError
from harness.core.garbage import empty_frames
from harness.core.guests import FAILURES
from harness.training.loop import Training
from harness.training.one_pass import OnePass

FATAL = ("storage", "worker_lost")
"""Kinds of failures after which none of the trainings goes on."""

Dropped = Callable[[str, BaseException], None]
"""(name, why) of a training that cannot go on."""


class Share:
    """A clock that runs at a share of the wall time while others go on beside, and stands still in between."""

    def __init__(self) -> None:
        self._counted, self._rate, self._since = 0.0, 0.0, time.perf_counter()

    def __call__(self) -> float:
        return self._counted + (time.perf_counter() - self._since) * self._rate

    def run(self, rate: float) -> None:
        """Goes on at a rate: 1 for a training that is alone, 1/4 for each of four."""
        self._counted, self._since = self(), time.perf_counter()
        self._rate = rate


@dataclass
class _Member:
    name: str
    training: Training
    clock: Share
    step: int
    left: Generator[int, None, None] = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.training.steps()


class Together:
    """Trainings of cells that see the same batches, and whose models have equal frozen backbones."""

    def __init__(
        self, one_pass: OnePass, dropped: Dropped, inside: Callable[[str], AbstractContextManager[None]]
    ) -> None:
        """`dropped`: told of every training that fails; the others go on. `inside`: in what each one's code runs."""
        self._one_pass, self._dropped, self._inside = one_pass, dropped, inside
        self._members: dict[str, _Member] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, name: str, begin: Callable[[Share], Training]) -> None:
        """Adds what `begin` makes of a clock, if it can begin. Raises as `train`."""
        try:
            with self._inside(name):
                self._members[name] = _begun(name, begin)
            return
        except FAILURES as error:
            self._tell(name, error)
        gc.collect()

    def train(self) -> None:
        """Takes all steps that are left. Those furthest behind go first, until all are at the same step.

        Raises HarnessError of a kind in `FATAL`: the others would fail alike.
        """
        self._share()
        try:
            self._take_turns()
        finally:
            for left in [each.left for each in self._members.values()]:
                left.close()

    # No frame that lasts while steps are taken, and no list, holds a member: one that ends is freed at once.

    def _share(self) -> None:
        for each in self._members.values():
            each.training.model.one_pass = self._one_pass
            each.training.progress.together = max(len(self), each.training.progress.together)

    def _take_turns(self) -> None:
        while self._members:
            for name in self._begin_turn():
                if not self._step(name):
                    self._let_go(name)
            self._one_pass.forget()

    def _begin_turn(self) -> list[str]:
        """The names of those whose turn it is."""
        behind = min(each.step for each in self._members.values())
        turn = [name for name, each in self._members.items() if each.step == behind]
        for name, each in self._members.items():
            each.clock.run(1 / len(turn) if name in turn else 0.0)
        return turn

    def _step(self, name: str) -> bool:
        """Takes a step of one; whether it goes on."""
        self._one_pass.model, self._one_pass.form = name, self._members[name].training.backbone_form
        try:
            with self._inside(name):  # the error holds this frame, which therefore holds no member
                self._members[name].step = next(self._members[name].left)
            return True
        except StopIteration:
            pass
        except FAILURES as error:
            self._tell(name, error)
        return False

    def _let_go(self, name: str) -> None:
        """Frees what one that ended had in memory, for the others."""
        self._members.pop(name).training.model.one_pass = None
        gc.collect()  # a network and its engine hold each other in circles

    def _tell(self, name: str, error: BaseException) -> None:
        if isinstance(error, HarnessError) and error.kind in FATAL:
            raise error
        self._dropped(name, error)
        empty_frames(error)


def _begun(name: str, begin: Callable[[Share], Training]) -> _Member:
    clock = Share()
    training = begin(clock)
    return _Member(name, training, clock, training.begin())
