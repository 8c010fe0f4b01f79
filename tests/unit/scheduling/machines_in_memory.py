"""Machines and workers that exist in memory alone, for the pool and its benchmark: processes do what the test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from time import sleep

import pytest

from harness.api.running import JobOutcome, Seat
from harness.scheduling import machines, pool
from harness.scheduling.backend import Absence, Dead, Done, Event, Proved, Warm
from harness.scheduling.proof import Evidence
from harness.scheduling.room import Node, Place, Slot, Ticket


class InMemory:
    """A Backend (harness.scheduling.backend) of nodes `(name, cpus, gpus)`; workers are warm at once, unless `cold`."""

    def __init__(self, *machines: tuple[str, float, float], cold: bool = False) -> None:
        self.machines = list(machines)
        self.cold = cold
        self.lacks: Mapping[str, Sequence[str]] = {}
        """What machines answer when they are asked to prove themselves."""
        self.asked: list[str] = []
        self.happened: deque[Event] = deque()
        self.alive: dict[Place, None] = {}
        self.killed: list[Place] = []
        self.running: dict[Ticket, Sequence[Seat]] = {}
        self.started: list[Slot] = []
        self.signs: dict[Place, bytes] | None = {}
        """None: they cannot be read."""
        self.wanted: list[Ticket] = []
        self.in_order: set[str] = set()
        """Machines that take their leave when they go."""
        self.closed = False

    def nodes(self) -> Sequence[Node]:
        return [Node(name, name, f"address of {name}", cpus, gpus) for name, cpus, gpus in self.machines]

    def absence(self, node: Node) -> Absence:
        if any(name == node.id for name, _, _ in self.machines):
            return ""
        return "in order" if node.id in self.in_order else "lost"

    def prove(self, node: Node, evidence: Evidence) -> None:
        self.asked.append(node.name)
        self.happened.append(Proved(node.id, tuple(self.lacks.get(node.id, ()))))

    def start(self, slot: Slot) -> None:
        self.started.append(slot)
        for place in slot.places:
            self.alive[place] = None
            if not self.cold:
                self.warm(place)
        for node in {place.node for place in slot.places}:
            held = [place.slot.unit for place in self.alive if place.node is node]
            assert sum(unit.cpus for unit in held) <= node.cpus, "more workers than a machine has CPUs"
            assert sum(unit.gpus for unit in held) <= node.gpus, "more workers than a machine has GPUs"

    def warm(self, place: Place) -> None:
        self.happened.append(Warm(place, 20000))

    def run(self, ticket: Ticket, seats: Sequence[Seat]) -> None:
        assert all(place in self.alive for place in ticket.places), "a job on a worker that is gone"
        busy = {place for other in self.running for place in other.places}
        assert not busy & set(ticket.places), "two jobs on one worker"
        self.running[ticket] = seats

    def finish(self, ticket: Ticket, *failures: tuple[str, str] | None, fresh: bool = False) -> None:
        """Ends a job: of each rank None or (failure, message); all well when nothing is said."""
        for rank, place in enumerate(ticket.places):
            failure, message = (failures[rank] if rank < len(failures) else None) or (None, "")
            outcome = JobOutcome(Path(ticket.job_file).stem, failure, message, seconds=1.0, fresh=fresh)
            self.happened.append(Done(place, ticket, outcome, 20001))
        self.running.pop(ticket)

    def say(self, ticket: Ticket, rank: int, failure: str | None, message: str = "") -> None:
        """One rank ends its part."""
        outcome = JobOutcome(Path(ticket.job_file).stem, failure, message, seconds=1.0)
        self.happened.append(Done(ticket.places[rank], ticket, outcome, 20001))

    def die(self, place: Place, reason: str = "killed", *, no_machine: bool = False) -> None:
        self.alive.pop(place, None)
        self.happened.append(Dead(place, reason, no_machine))

    def kill(self, place: Place) -> None:
        if place in self.alive:
            del self.alive[place]
            self.killed.append(place)
            for ticket in [ticket for ticket in self.running if place in ticket.places]:
                del self.running[ticket]

    def end(self, slot: Slot) -> None:
        for place in slot.places:
            self.kill(place)

    def events(self, timeout: float) -> Sequence[Event]:
        if not self.happened:
            sleep(min(timeout, 0.02))
        found = list(self.happened)
        self.happened.clear()
        return found

    def pulses(self, places: Collection[Place]) -> Mapping[Place, bytes] | None:
        signs = self.signs
        return None if signs is None else {place: signs[place] for place in places if place in signs}

    def want(self, tickets: Collection[Ticket]) -> None:
        self.wanted = list(tickets)

    def check(self) -> None: ...

    def close(self) -> None:
        self.closed = True


class Clock:
    """The time that the pool sees: it stands still but where a test moves it, and by a little at every look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now

    @classmethod
    def in_place_of_time(cls, monkeypatch: pytest.MonkeyPatch) -> Clock:
        clock = cls()
        monkeypatch.setattr(pool, "monotonic", clock)
        monkeypatch.setattr(machines, "monotonic", clock)
        return clock
