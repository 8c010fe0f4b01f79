"""Jobs that read the same files, and the machines that have just read them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.scheduling.room import Node, Ticket

WINDOW = 8
"""Of so many jobs that would start next, the one that is near what a machine has just read may go first.

No job is passed more often by such ones, nor more often than there are other machines, any of which may be its own.
"""


class Nearness:
    """Where jobs of each word ran last (harness.api.running.Executor.submit)."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def note(self, ticket: Ticket, node: Node) -> None:
        if ticket.near:
            self._nodes[ticket.near] = node

    def leave(self, node: Node) -> None:
        self._nodes = {word: near for word, near in self._nodes.items() if near is not node}

    def of(self, ticket: Ticket) -> Node | None:
        """The machine that has what a job reads, if any."""
        return self._nodes.get(ticket.near)

    def choose(self, line: Sequence[Ticket], node: Node, machines: int) -> Ticket:
        """Of the next jobs of a line, whose first is at the end, the first that is near `node`; else the first of all.

        It passes those before it. `machines`: how many there are.
        """
        passed: list[Ticket] = []
        for ticket in reversed(line[-WINDOW:]):
            if self.of(ticket) is node:
                for other in passed:
                    other.passes += 1
                return ticket
            if ticket.passes >= min(WINDOW, machines - 1):
                break
            passed.append(ticket)
        return line[-1]
