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
from harness.training.loop import Training
from harness.training.one_pass import OnePass

FATAL = ("storage", "worker_lost")
"""Kinds of failures after which none of the trainings goes on."""

Dropped = Callable[[str, Exception], None]
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
        self._members: list[_Member] = []

    def __len__(self) -> int:
        return len(self._members)

    def add(self, name: str, begin: Callable[[Share], Training]) -> None:
        """Adds what `begin` makes of a clock, if it can begin. Raises as `train`."""
        clock = Share()
        try:
            with self._inside(name):
                training = begin(clock)
                self._members.append(_Member(name, training, clock, training.begin()))
        except Exception as error:  # noqa: BLE001 - parts may raise anything
            self._tell(name, error)

    def train(self) -> None:
        """Takes all steps that are left. Those furthest behind go first, until all are at the same step.

        Raises HarnessError of a kind in `FATAL`: the others would fail alike.
        """
        for member in self._members:
            member.training.model.one_pass = self._one_pass
            member.training.progress.together = max(len(self), member.training.progress.together)
        try:
            self._take_turns()
        finally:
            for member in self._members:
                member.left.close()

    def _take_turns(self) -> None:
        while self._members:
            behind = min(member.step for member in self._members)
            turn = [member for member in self._members if member.step == behind]
            for member in self._members:
                member.clock.run(1 / len(turn) if member in turn else 0.0)
            for member in turn:
                self._step(member)
            self._one_pass.forget()

    def _step(self, member: _Member) -> None:
        self._one_pass.model = member.name
        try:
            with self._inside(member.name):
                member.step = next(member.left)
            return
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 - parts may raise anything
            self._tell(member.name, error)
        self._members.remove(member)
        member.training.model.one_pass = None
        gc.collect()  # a failure's frames hold the network, and an engine what it has prepared, in circles

    def _tell(self, name: str, error: Exception) -> None:
        if isinstance(error, HarnessError) and error.kind in FATAL:
            raise error
        self._dropped(name, error)
