"""Room that is kept for jobs which others pass over, so that small ones do not starve large ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.api.running import Request
from harness.scheduling.room import Node, Ticket, soonest

PATIENCE = 30.0
"""Seconds that jobs of a kind are passed over before room is kept for the first of them."""


@dataclass(frozen=True)
class Turn:
    """A job's turn, which it took, or gave to one behind it."""

    ticket: Ticket
    beside_gpus: bool
    """Whether it took something that a job with GPUs could have had: GPUs, or CPUs beside free ones."""


class Keeping:
    """For whom room is kept, and where: always one kind of job at most, the one that has been passed over for longest.

    Jobs of one request wait in one line. The clock of a line runs from when its first job is passed over until one of
    the line starts, whoever joins it or waits before it meanwhile. A job is passed over when one that comes after it
    starts, or, as it is the first of all, any other.
    """

    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self.request: Request | None = None
        """For whose line room is kept."""
        self.room: Mapping[Node, int] = {}
        """Where: for so many of its processes."""
        self._since: dict[Request, float] = {}
        """When lines were passed over first."""
        self._first: Request | None = None
        """The line of the first of all that waited."""

    def barred(self, request: Request) -> Collection[Node]:
        """The machines on which a request would take what is kept."""
        own = self.request
        if own is None or request == own:
            return ()
        cpus, gpus = request.total

        def is_short(node: Node, count: int) -> bool:
            left = node.spare
            return left[0] - cpus < count * own.cpus or (gpus > 0 and left[1] - gpus < count * own.gpus)

        return frozenset(node for node, count in self.room.items() if is_short(node, count))

    def leave(self, node: Node) -> bool:
        """Notes that a machine is gone; whether room was kept there, which is now kept nowhere."""
        return node in self.room and self._drop()

    def note(self, now: float, heads: Collection[Ticket], turns: Sequence[Turn]) -> bool:
        """Takes who has started (`turns`) and the first of each line that still waits.

        Gives whether room that was kept is there for others now.
        """
        started = {turn.ticket.request for turn in turns}
        for request in started:
            self._since.pop(request, None)
        first = min(heads, default=None)
        for head in heads:
            leads = head is first and head.request == self._first
            if head.request not in self._since and any(_passes(turn, head, leads) for turn in turns):
                self._since[head.request] = now
        self._first = None if first is None else first.request
        dropped = self.request in started and self._drop()
        if self.request is None:
            self._choose(now, heads)
        return dropped

    def _choose(self, now: float, heads: Collection[Ticket]) -> None:
        """Keeps room for who has been passed over for longest, of those that the machines can hold at all."""
        since = self._since
        late = [(since[head.request], head) for head in heads if now - since.get(head.request, now) >= PATIENCE]
        for _, head in sorted(late):
            if room := soonest(head.request, self._nodes.values()):
                self.request, self.room = head.request, room
                return
            since[head.request] = now  # looked at again when more machines may have come

    def _drop(self) -> bool:
        self.request, self.room = None, {}
        return True


def _passes(turn: Turn, head: Ticket, leads: bool) -> bool:
    if turn.ticket.request == head.request or (head.request.gpus and not turn.beside_gpus):
        return False
    return leads or head < turn.ticket
