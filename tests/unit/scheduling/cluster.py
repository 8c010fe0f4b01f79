"""Machines that exist in memory alone, for tests of placing."""

from __future__ import annotations

from collections.abc import Collection

from harness.api.running import Request
from harness.scheduling.placing import Placing, Steps
from harness.scheduling.room import Node, Ticket


class Cluster:
    """Placing with workers that are warm at once, of machines `(name, cpus, gpus)`; keeps what runs."""

    def __init__(self, *nodes: tuple[str, float, float]) -> None:
        self.placing, self.clock, self.count = Placing(), 0.0, 0
        self.running: list[Ticket] = []
        self.steps: list[Steps] = []
        for name, cpus, gpus in nodes:
            self.join(name, cpus, gpus)

    def join(self, name: str, cpus: float, gpus: float = 0.0) -> None:
        self.placing.join(Node(name, name, name, cpus, gpus))

    def submit(self, *requests: Request, priority: int | None = None, near: str = "") -> list[Ticket]:
        tickets = []
        for request in requests:
            ticket = Ticket(self.count if priority is None else priority, self.count, "", request, near)
            self.count += 1
            self.placing.submit(ticket)
            tickets.append(ticket)
        self.step()
        return tickets

    def step(self) -> None:
        steps = self.placing.step(self.clock)
        self.steps.append(steps)
        self.running += steps.hand
        for slot in steps.start:
            for place in slot.places:
                self.running += self.placing.warmed(place)
        if steps.start:
            self.step()

    def end(self, ticket: Ticket, *, reuse: bool = True) -> None:
        self.running.remove(ticket)
        self.placing.ended(ticket, reuse=reuse)
        self.step()

    def on(self, ticket: Ticket) -> list[str]:
        return [place.node.name for place in ticket.places]

    @property
    def ended_slots(self) -> int:
        return sum(len(steps.end) for steps in self.steps)

    @property
    def started_slots(self) -> int:
        return sum(len(steps.start) for steps in self.steps)


def check_books(placing: Placing, running: Collection[Ticket]) -> None:
    """What every machine has free is what its workers leave, and none has two jobs."""
    for node in placing.nodes.values():
        own = [place for slot in placing.slots for place in slot.places if place.node is node]
        cpus, gpus = (sum(place.slot.unit[axis] for place in own) for axis in (0, 1))
        assert node.free == (node.cpus - cpus, node.gpus - gpus)
        assert min(node.free) >= 0
        idle = [place for place in own if all(each.warm and each.ticket is None for each in place.slot.places)]
        assert node.lent == tuple(sum(place.slot.unit[axis] for place in idle) for axis in (0, 1))
    busy = [place for ticket in running for place in ticket.places]
    assert len(busy) == len(set(busy))
    assert all(place.ticket is ticket for ticket in running for place in ticket.places)
