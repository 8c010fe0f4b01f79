"""What the pool asks of whoever runs its workers: Ray (harness.scheduling.ray_backend), or a test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.api.running import JobOutcome, Seat
from harness.scheduling.proof import Evidence
from harness.scheduling.room import Node, Place, Slot, Ticket


@dataclass(frozen=True)
class Warm:
    """A worker can run jobs."""

    place: Place
    port: int
    """One that is free on its machine."""


@dataclass(frozen=True)
class Done:
    """A process has ended its part of a job."""

    place: Place
    ticket: Ticket
    outcome: JobOutcome
    port: int


@dataclass(frozen=True)
class Dead:
    """A worker has died, or could not start."""

    place: Place
    reason: str
    no_machine: bool = False
    """Whether it could not start because its machine is not there any more."""


@dataclass(frozen=True)
class Unfit:
    """A worker runs and cannot load what jobs need."""

    place: Place
    reason: str


@dataclass(frozen=True)
class Proved:
    """What a machine lacks; nothing when it can run jobs."""

    node_id: str
    reasons: tuple[str, ...]


Event = Warm | Done | Dead | Unfit | Proved


Absence = Literal["", "lost", "in order"]
"""Whether a machine is not there any more: nobody knows why, or it took its leave, stopped or taken away."""


class Backend(Protocol):
    """Machines and processes. All calls but `events` return at once; what comes of them is an event."""

    def nodes(self) -> Sequence[Node]:
        """The machines that are there now, each a new object with nothing booked."""

    def absence(self, node: Node) -> Absence: ...

    def prove(self, node: Node, evidence: Evidence) -> None: ...

    def start(self, slot: Slot) -> None: ...

    def run(self, ticket: Ticket, seats: Sequence[Seat]) -> None: ...

    def kill(self, place: Place) -> None:
        """Ends one worker, whatever it does; its room stays taken until its slot is ended."""

    def end(self, slot: Slot) -> None: ...

    def events(self, timeout: float) -> Sequence[Event]:
        """What has happened since, waiting at most so many seconds for the first."""

    def pulses(self, places: Collection[Place]) -> Mapping[Place, bytes] | None:
        """The last sign of life of these workers, of those that have given any; None when it could not be read."""

    def want(self, tickets: Collection[Ticket]) -> None:
        """Lets a cluster that can grow know of jobs that wait for machines."""

    def check(self) -> None:
        """Raises HarnessError when all is lost."""

    def close(self) -> None: ...
