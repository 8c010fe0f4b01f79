"""The machines and workers of one run: what is free, what is idle, and where there is more room than before.

Nothing here costs by how many machines or workers there are, but by how many of them change.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

from harness.api.running import Request
from harness.scheduling.idle import Idle
from harness.scheduling.room import Node, Place, Slot, Ticket, Unit, holds


class Stock:
    """Books workers on machines."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.slots: dict[Slot, None] = {}
        self.idle: dict[Unit, Idle] = defaultdict(Idle)
        self.roomy: dict[Node, None] = {}
        """Machines that have CPUs to spare."""
        self.changed: dict[Node, None] = {}
        """Machines with more room than when this was last emptied."""

    def join(self, node: Node) -> None:
        self.nodes[node.id] = node
        self.changed[node] = None
        self._index(node)

    def leave(self, node_id: str) -> Node:
        node = self.nodes.pop(node_id)
        self.changed.pop(node, None)
        self.roomy.pop(node, None)
        return node

    def open(self, unit: Unit, nodes: Iterable[Node]) -> Slot:
        """Books a worker on each of these machines."""
        slot = Slot(unit)
        slot.places = [Place(slot, node) for node in nodes]
        self.slots[slot] = None
        for node, count in slot.shares.items():
            node.take(unit, count)
            node.slots[slot] = None
            self._index(node)
        return slot

    def give(self, places: Collection[Place], ticket: Ticket) -> None:
        """Gives workers a job."""
        for place in places:
            place.ticket = ticket
            self.idle[place.slot.unit].discard(place)
        self._recount(places)

    def release(self, places: Collection[Place]) -> None:
        """Lets workers that have no job get one, unless they are to end."""
        for place in places:
            if not place.slot.doomed:
                self.idle[place.slot.unit].add(place)
                self._note_more(place.node)
        self._recount(places)

    def doom(self, slot: Slot) -> list[Slot]:
        """Gives a slot no further job; the slot, to be ended, if none is left on it."""
        if not slot.doomed:
            slot.doomed = True
            for place in slot.places:
                self.idle[slot.unit].discard(place)
        if slot not in self.slots or not slot.unused:
            return []
        del self.slots[slot]
        for node, count in slot.shares.items():
            node.take(slot.unit, -count)
            node.lend(slot.unit, -count if slot.lent else 0)
            node.slots.pop(slot, None)
            self._note_more(node)
            self._index(node)
        return [slot]

    def reclaim(self, request: Request, node: Node, count: int) -> list[Slot]:
        """Ends idle workers of a machine until so many processes of a request fit."""
        ended: list[Slot] = []
        for slot in [slot for slot in node.slots if slot.lent]:
            if holds(request, *node.free) >= count:
                break
            ended += self.doom(slot)
        return ended

    def make_way(self, request: Request, room: Mapping[Node, int]) -> None:
        """Gives no further job to workers that hold up who has none beside him to wait for.

        A slot ends as a whole: where those of its workers that are idle would be room enough on one of the machines of
        `room`, jobs on the others, perhaps elsewhere, must not follow each other for ever.
        """
        for node, count in room.items():
            tied: Counter[Slot] = Counter()
            for idle in self.idle.values():
                tied.update(place.slot for place in idle.warm_on(node) if not place.slot.lent)
            coming = [node.spare[axis] + sum(slot.unit[axis] * own for slot, own in tied.items()) for axis in (0, 1)]
            if holds(request, *node.spare) < count <= holds(request, *coming):
                for slot in tied:
                    self.doom(slot)

    def _note_more(self, node: Node) -> None:
        if self.nodes.get(node.id) is node:
            self.changed[node] = None

    def _recount(self, places: Iterable[Place]) -> None:
        """Counts what machines have to spare where slots have become idle as a whole, or are it no more."""
        for slot in dict.fromkeys(place.slot for place in places):
            if slot not in self.slots or slot.lent == slot.idle:
                continue
            slot.lent = not slot.lent
            for node, count in slot.shares.items():
                node.lend(slot.unit, count if slot.lent else -count)
                self._index(node)
                if slot.lent:
                    self._note_more(node)

    def _index(self, node: Node) -> None:
        if node.spare[0] > 0 and self.nodes.get(node.id) is node:
            self.roomy[node] = None
        else:
            self.roomy.pop(node, None)
