"""Which job runs where. Pure bookkeeping: knows neither Ray nor processes, and no clock but the one it is told.

Jobs start by priority, as long as they fit on a machine (or, of several processes, on machines) with what is free
there; idle workers of another kind are ended where they stand in the way. A job that fits nowhere is passed over by
others, but only for a while: then room is kept for it, so that small jobs do not starve a large one.

Every step costs by what has changed, not by how much waits or runs.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from harness.api.running import Request
from harness.scheduling.idle import Idle
from harness.scheduling.room import Node, Place, Slot, Ticket, Unit, choose_nodes, holds, reclaimable, soonest

PATIENCE = 30.0
"""Seconds that the first job in line is passed over before room is kept for it."""

WINDOW = 8
"""Of so many jobs that would start next, the one that is near what a machine has just read may go first."""


@dataclass
class Steps:
    """What is to be done: workers to end, then workers to start, then jobs to hand out."""

    end: list[Slot] = field(default_factory=list)
    start: list[Slot] = field(default_factory=list)
    hand: list[Ticket] = field(default_factory=list)


@dataclass
class _First:
    """The first in line of all that find no room."""

    ticket: Ticket
    since: float
    passed_over: bool = False


class Placing:
    """The nodes, slots and waiting jobs of one run."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.slots: dict[Slot, None] = {}
        self._lines: dict[Request, list[Ticket]] = defaultdict(list)
        """Jobs that wait and have no workers yet, the first at the end."""
        self._starting: dict[Unit, dict[Ticket, None]] = defaultdict(dict)
        """Jobs of one process that wait for a worker of their own to become warm."""
        self._idle: dict[Unit, Idle] = defaultdict(Idle)
        self._near: dict[str, Node] = {}
        """The machine where a job of this word was placed last."""
        self._spare: dict[Node, tuple[float, float]] = {}
        """CPUs and GPUs that are free once idle workers have ended, of the machines where any are."""
        self._changed: set[Node] = set()
        """Machines with more room than when jobs were last placed."""
        self._full: set[Request] = set()
        """Requests that wait because no machine has room, but perhaps those that have changed since."""
        self._first: _First | None = None
        self._kept: frozenset[Node] = frozenset()
        """Machines on which room is kept for the first."""

    def join(self, node: Node) -> None:
        """Adds a machine."""
        self.nodes[node.id] = node
        self._changed.add(node)
        self._count(node)

    def leave(self, node_id: str) -> list[Slot]:
        """Takes a machine out; gives the slots that have a worker on it."""
        node = self.nodes.pop(node_id)
        self._changed.discard(node)
        self._spare.pop(node, None)
        self._near = {word: near for word, near in self._near.items() if near is not node}
        if node in self._kept:
            self._keep(frozenset())
        return list(node.slots)

    def submit(self, ticket: Ticket) -> None:
        insort(self._lines[ticket.request], ticket, key=lambda each: (-each.priority, -each.order))

    def waiting(self) -> Iterator[Ticket]:
        """The first job of every line: all that wait for room are like one of them."""
        return (line[-1] for line in self._lines.values() if line)

    def warm_ahead(self, request: Request, count: int) -> list[Slot]:
        """Starts workers for at most `count` jobs that are to come, while there is free room."""
        started: list[Slot] = []
        while len(started) < count:
            nodes = choose_nodes(request, self.nodes.values(), lambda node: holds(request, *node.free))
            if nodes is None:
                break
            slot = self._open_slot(Unit(request.cpus, request.gpus), nodes)
            for place in slot.places:
                self._idle[slot.unit].add(place)
            started.append(slot)
        return started

    def warmed(self, place: Place) -> list[Ticket]:
        """Notes that a worker is warm; gives the job that starts because of it, if any."""
        if place.slot not in self.slots or place.dead:
            return []
        idle, ticket = self._idle[place.slot.unit], place.ticket
        idle.discard(place)
        place.warm = True
        if ticket is None:
            self._release(place)
            return []
        if not ticket.ready:
            return []
        self._starting[ticket.unit].pop(ticket, None)
        return [ticket]

    def ended(self, ticket: Ticket, *, reuse: bool = True) -> list[Slot]:
        """Takes a job off its workers. They are idle then, or (not `reuse`) gone; gives the slots to be ended."""
        self._starting[ticket.unit].pop(ticket, None)
        for place in ticket.places:
            place.ticket, place.dead = None, place.dead or not reuse
        ended: list[Slot] = []
        for place in ticket.places:
            if place.dead or place.slot.doomed:
                ended += self.doom(place.slot)
            else:
                self._release(place)
        return ended

    def doom(self, slot: Slot) -> list[Slot]:
        """Gives a slot no further job; the slot, to be ended, if none is left on it."""
        slot.doomed = True
        for place in slot.places:
            self._idle[slot.unit].discard(place)
        if slot not in self.slots or not slot.unused:
            return []
        del self.slots[slot]
        for place in slot.places:
            place.node.take(slot.unit, -1)
            place.node.slots.pop(slot, None)
        self._note_room(slot)
        return [slot]

    def step(self, now: float) -> Steps:
        """Places what can be placed. `now`: seconds on a clock that only goes forward."""
        steps = Steps()
        heads = [line[-1] for request, line in self._lines.items() if line and self._may_fit(request)]
        heapify(heads)
        while heads:
            ticket = heappop(heads)
            if not self._place(ticket, steps):
                self._full.add(ticket.request)
            elif line := self._lines[ticket.request]:
                heappush(heads, line[-1])
        self._full = {request for request in self._full if self._lines[request]}
        self._changed.clear()
        self._swap(steps)
        self._keep_room(now, placed=bool(steps.start or steps.hand))
        return steps

    def _may_fit(self, request: Request) -> bool:
        """Whether there may be room: always, but where none was found and no machine has changed that has enough."""
        if request not in self._full or self._idle[Unit(request.cpus, request.gpus)].first_warm(self._kept):
            return True
        if request.processes > 1 and request.nodes != 1:
            return bool(self._changed)
        none = (0.0, 0.0)
        return any(holds(request, *self._spare.get(node, none)) >= request.processes for node in self._changed)

    def _place(self, ticket: Ticket, steps: Steps) -> bool:
        """Binds a job, the first of its line, to workers that have none, or to new ones; it may wait for them."""
        kept = frozenset() if self._first is not None and ticket is self._first.ticket else self._kept
        near = self._near.get(ticket.near) if ticket.near else None
        places = self._idle[ticket.unit].pick(ticket.request, kept, near)
        if places is not None:
            self._bind(self._nearest(ticket, places[0].node), places, steps)
            return True
        nodes = self._nodes_for(ticket.request, kept, steps)
        if nodes is None:
            return False
        slot = self._open_slot(ticket.unit, nodes)
        steps.start.append(slot)
        self._bind(ticket, slot.places, steps)
        return True

    def _nearest(self, ticket: Ticket, node: Node) -> Ticket:
        """Of the next jobs of a line, the first that is near what this machine has; else the first."""
        near = (each for each in reversed(self._lines[ticket.request][-WINDOW:]) if self._near.get(each.near) is node)
        return next(near, ticket)

    def _bind(self, ticket: Ticket, places: Collection[Place], steps: Steps) -> None:
        line = self._lines[ticket.request]
        del line[next(at for at in range(len(line) - 1, -1, -1) if line[at] is ticket)]
        ticket.places = tuple(places)
        for place in places:
            place.ticket = ticket
            self._idle[ticket.unit].discard(place)
            self._note_use(place.slot)
        if ticket.near:
            self._near[ticket.near] = ticket.places[0].node
        if ticket.ready:
            steps.hand.append(ticket)
        elif len(ticket.places) == 1:
            self._starting[ticket.unit][ticket] = None

    def _swap(self, steps: Steps) -> None:
        """Gives idle workers the jobs that wait for workers of their own to start."""
        for unit, starting in self._starting.items():
            while starting and (place := self._idle[unit].first_warm(self._kept)) is not None:
                ticket = next(iter(starting))
                (own,) = ticket.places
                del starting[ticket]
                self._idle[unit].discard(place)
                own.ticket, place.ticket, ticket.places = None, ticket, (place,)
                self._note_use(place.slot)
                self._idle[unit].add(own)
                steps.hand.append(ticket)

    def _nodes_for(self, request: Request, kept: Collection[Node], steps: Steps) -> list[Node] | None:
        """Machines for new workers, where idle ones are ended if need be."""
        known_full = request in self._full and request.processes == 1
        spare = self._spare
        open_ = [node for node in (self._changed if known_full else spare) if node not in kept and node in spare]
        found = choose_nodes(request, open_, lambda node: holds(request, *node.free))
        if found is None:
            found = choose_nodes(request, open_, lambda node: holds(request, *spare[node]))
            for node in dict.fromkeys(found or ()):
                self._reclaim(request, node, found.count(node) if found else 0, steps)
        return found

    def _reclaim(self, request: Request, node: Node, count: int, steps: Steps) -> None:
        for slot in [slot for slot in node.slots if slot.idle]:
            if holds(request, *node.free) >= count:
                return
            steps.end += self.doom(slot)

    def _open_slot(self, unit: Unit, nodes: Collection[Node]) -> Slot:
        slot = Slot(unit)
        slot.places = [Place(slot, node) for node in nodes]
        self.slots[slot] = None
        for place in slot.places:
            place.node.take(unit, 1)
            place.node.slots[slot] = None
        self._note_use(slot)
        return slot

    def _release(self, place: Place) -> None:
        self._idle[place.slot.unit].add(place)
        self._note_room(place.slot)

    def _note_room(self, slot: Slot) -> None:
        """Notes that there may be more room where these workers are or were."""
        for place in slot.places:
            if self.nodes.get(place.node.id) is place.node:
                self._changed.add(place.node)
        self._note_use(slot)

    def _note_use(self, slot: Slot) -> None:
        for node in {place.node for place in slot.places}:
            self._count(node)

    def _count(self, node: Node) -> None:
        """Counts what a machine has to spare."""
        spare = reclaimable(node)
        if spare[0] > 0 and self.nodes.get(node.id) is node:
            self._spare[node] = spare
        else:
            self._spare.pop(node, None)

    def _keep_room(self, now: float, *, placed: bool) -> None:
        """Keeps room for the first in line once it has been passed over for long."""
        ticket = min(self.waiting(), default=None)
        if ticket is None or self._first is None or self._first.ticket is not ticket:
            self._first = None if ticket is None else _First(ticket, now)
            self._keep(frozenset())
            return
        self._first.passed_over |= placed
        if self._first.passed_over and not self._kept and now - self._first.since >= PATIENCE:
            self._keep(soonest(ticket.request, self.nodes.values()))

    def _keep(self, nodes: frozenset[Node]) -> None:
        if self._kept - nodes:  # others were kept from them
            self._full.clear()
        self._kept = nodes
