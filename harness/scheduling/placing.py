"""Which job runs where. Pure bookkeeping: knows neither Ray nor processes, and no clock but the one it is told.

Jobs start by priority, as long as they fit on a machine (or, of several processes, on machines) with what is free
there; idle workers of another kind are ended where they stand in the way. A job that fits nowhere is passed over by
others, but only for a while: then room is kept for it (harness.scheduling.keeping). One that is near what a machine has
just read may go before its turn, but passes no other more than a few times (harness.scheduling.nearness).

Every step costs by what has changed, not by how much waits or runs.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from harness.api.running import Request
from harness.scheduling.keeping import Keeping, Turn
from harness.scheduling.nearness import Nearness
from harness.scheduling.room import Node, Place, Slot, Ticket, Unit, choose_nodes, fewer, holds
from harness.scheduling.stock import Stock


@dataclass
class Steps:
    """What is to be done: workers to end, then workers to start, then jobs to hand out."""

    end: list[Slot] = field(default_factory=list)
    start: list[Slot] = field(default_factory=list)
    hand: list[Ticket] = field(default_factory=list)


class Placing:
    """The nodes, slots and waiting jobs of one run."""

    def __init__(self) -> None:
        self._stock = Stock()
        self.nodes = self._stock.nodes
        self.slots = self._stock.slots
        self._lines: dict[Request, list[Ticket]] = defaultdict(list)
        """Jobs that wait and have no workers yet, the first at the end."""
        self._starting: dict[Unit, dict[Ticket, None]] = defaultdict(dict)
        """Jobs of one process that wait for a worker of their own to become warm."""
        self._near = Nearness()
        self._keeping = Keeping(self.nodes)
        self._full: set[Request] = set()
        """Requests that wait because no machine has room, but perhaps those that have changed since."""

    def join(self, node: Node) -> None:
        """Adds a machine."""
        self._stock.join(node)

    def leave(self, node_id: str) -> list[Slot]:
        """Takes a machine out; gives the slots that have a worker on it."""
        node = self._stock.leave(node_id)
        self._near.leave(node)
        if self._keeping.leave(node):
            self._full.clear()  # others were kept from the rest of it
        return list(node.slots)

    def submit(self, ticket: Ticket) -> None:
        insort(self._lines[ticket.request], ticket, key=lambda each: (-each.priority, -each.order))

    def waiting(self) -> Iterator[Ticket]:
        """The first job of every line: all that wait for room are like one of them."""
        return (line[-1] for line in self._lines.values() if line)

    def kept_from(self, request: Request) -> Collection[Node]:
        """The machines that a request must leave to another."""
        return self._keeping.barred(request)

    def warm_ahead(self, request: Request, count: int) -> list[Slot]:
        """Starts workers for at most `count` jobs that are to come, while there is free room."""
        started: list[Slot] = []
        while len(started) < count:
            nodes = choose_nodes(request, self.nodes.values(), lambda node: holds(request, *node.free))
            if nodes is None:
                break
            slot = self._stock.open(Unit(request.cpus, request.gpus), nodes)
            self._stock.release(slot.places)
            started.append(slot)
        return started

    def warmed(self, place: Place) -> list[Ticket]:
        """Notes that a worker is warm; gives the job that starts because of it, if any."""
        if place.slot not in self.slots or place.dead:
            return []
        ticket = place.ticket
        self._stock.idle[place.slot.unit].discard(place)
        place.warm = True
        if ticket is None:
            self._stock.release((place,))
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
        done = dict.fromkeys(place.slot for place in ticket.places if place.dead or place.slot.doomed)
        ended = [gone for slot in done for gone in self._stock.doom(slot)]
        self._stock.release(ticket.places)
        return ended

    def doom(self, slot: Slot) -> list[Slot]:
        """Gives a slot no further job; the slot, to be ended, if none is left on it."""
        return self._stock.doom(slot)

    def step(self, now: float) -> Steps:
        """Places what can be placed. `now`: seconds on a clock that only goes forward."""
        steps = Steps()
        while True:
            turns = self._take_turns(steps)
            self._swap(steps)
            if not self._keeping.note(now, list(self.waiting()), turns):
                return steps
            self._full.clear()  # others were kept from what is not kept any more

    def _take_turns(self, steps: Steps) -> list[Turn]:
        """Places the first of each line, as long as there is room."""
        turns: list[Turn] = []
        heads = [line[-1] for request, line in self._lines.items() if line and self._may_fit(request)]
        heapify(heads)
        while heads:
            ticket = heappop(heads)
            nodes = self._place(ticket, steps)
            if nodes is None:
                self._full.add(ticket.request)
                if ticket.request == self._keeping.request:
                    self._stock.make_way(ticket.request, self._keeping.room)
                continue
            turns.append(Turn(ticket, ticket.request.gpus > 0 or any(node.spare[1] > 0 for node in nodes)))
            if line := self._lines[ticket.request]:
                heappush(heads, line[-1])
        self._full = {request for request in self._full if self._lines[request]}
        self._stock.changed.clear()
        return turns

    def _may_fit(self, request: Request) -> bool:
        """Whether there may be room: always, but where none was found and no machine has changed that has enough."""
        if request not in self._full:
            return True
        if self._stock.idle[Unit(request.cpus, request.gpus)].first_warm(self.kept_from(request)):
            return True
        if request == self._keeping.request or (request.processes > 1 and request.nodes != 1):
            return bool(self._stock.changed)
        return any(holds(request, *node.spare) >= request.processes for node in self._stock.changed)

    def _place(self, ticket: Ticket, steps: Steps) -> Collection[Node] | None:
        """Uses the turn of the first of a line: binds it, or one near behind it, to workers that have no job, or to new
        ones; it may wait for them. Gives the machines where they are; None when there is no room.
        """
        request = ticket.request
        barred = self.kept_from(request)
        places = self._stock.idle[ticket.unit].pick(request, barred, self._near.of(ticket))
        waits = None if places is None else [place.node for place in places]
        nodes = waits
        if waits is None or len(set(waits)) > (request.nodes or 1):
            nodes = self._nodes_for(request, barred, waits, steps)
        if nodes is None:
            return None
        if places is not None and nodes is waits:
            kept = request == self._keeping.request
            first = ticket if kept else self._near.choose(self._lines[request], nodes[0], len(self.nodes))
            self._bind(first, places, steps)
        else:
            slot = self._stock.open(ticket.unit, nodes)
            steps.start.append(slot)
            self._bind(ticket, slot.places, steps)
        return nodes

    def _bind(self, ticket: Ticket, places: Collection[Place], steps: Steps) -> None:
        line = self._lines[ticket.request]
        del line[next(at for at in range(len(line) - 1, -1, -1) if line[at] is ticket)]
        ticket.places = tuple(places)
        self._stock.give(ticket.places, ticket)
        self._near.note(ticket, ticket.places[0].node)
        if ticket.ready:
            steps.hand.append(ticket)
        elif len(ticket.places) == 1:
            self._starting[ticket.unit][ticket] = None

    def _swap(self, steps: Steps) -> None:
        """Gives idle workers the jobs that wait for workers of their own to start."""
        for unit, starting in self._starting.items():
            barred = self.kept_from(Request(*unit)) if starting else ()
            while starting and (place := self._stock.idle[unit].first_warm(barred)) is not None:
                ticket = next(iter(starting))
                (own,) = ticket.places
                del starting[ticket]
                own.ticket, ticket.places = None, (place,)
                self._stock.give((place,), ticket)
                self._stock.release((own,))
                steps.hand.append(ticket)

    def _nodes_for(
        self, request: Request, barred: Collection[Node], waits: list[Node] | None, steps: Steps
    ) -> list[Node] | None:
        """The machines for a job: `waits`, where workers wait for it, or fewer for new ones.

        Idle ones of other kinds are ended if need be.
        """
        known_full = request in self._full and request.processes == 1
        roomy = self._stock.roomy
        open_ = [
            node for node in (self._stock.changed if known_full else roomy) if node not in barred and node in roomy
        ]
        free = fewer(waits, choose_nodes(request, open_, lambda node: holds(request, *node.free)))
        if free is not None and len(set(free)) <= (request.nodes or 1):
            return free
        found = fewer(free, choose_nodes(request, open_, lambda node: holds(request, *node.spare)))
        if found is not None and found is not free:
            for node in dict.fromkeys(found):
                steps.end += self._stock.reclaim(request, node, found.count(node))
        return found
