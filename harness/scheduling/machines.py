"""The machines of a cluster while a run goes on: which are there, which have proved that they can run jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from harness.api.running import Request, Shared
from harness.core.errors import HarnessError
from harness.scheduling.backend import Backend, Event
from harness.scheduling.placing import Placing
from harness.scheduling.proof import Evidence, forget, gather, in_words
from harness.scheduling.room import Node, Slot, can_ever

LOOK = 3.0
"""Seconds between looks for machines that have come or gone."""

ANSWER = 60.0
"""Seconds within which a machine proves itself."""

FIRST = 600.0
"""Seconds that a run waits for the first machine of a cluster that has none yet."""

NO_ROOM = 30.0
"""Seconds that a job waits for a machine that is large enough before the user is told."""


class Machines:
    """Brings machines into placing once they have proved themselves, and takes out those that are gone."""

    def __init__(self, backend: Backend, placing: Placing) -> None:
        self._backend, self._placing = backend, placing
        self.tell: Callable[[str], None] = lambda message: None
        self._evidence: Evidence | None = None
        self._asked: dict[str, tuple[Node, float]] = {}
        """Machines that are to prove themselves, and since when, by id."""
        self._aside: dict[str, tuple[Node, str]] = {}
        """Machines that cannot run jobs, with the reason."""
        self._looked = float("-inf")
        self._lacking: dict[Request, float] = {}
        """Requests that no machine holds, and since when; infinite once that is told."""

    def demand(self, shared: Shared) -> None:
        """From now on machines get jobs only when they have proved that they can run them."""
        self._evidence = gather(shared)

    def forget(self) -> None:
        """Removes what `demand` left in the folders."""
        if self._evidence is not None:
            forget(self._evidence)
            self._evidence = None

    def usable(self) -> Sequence[Node]:
        """The machines that can run jobs, or may be able to."""
        return [node for node in self._backend.nodes() if node.id not in self._aside]

    def settle(self, take: Callable[[Event], None]) -> None:
        """Waits until the first machines have proved themselves. `take`: is given what happens meanwhile."""
        if self._looked > float("-inf"):
            return
        began, told = monotonic(), False
        self.look(began)
        while self._asked or not (self._placing.nodes or self._aside):
            for event in self._backend.events(0.2):
                take(event)
            self.look(monotonic())
            if not (told or self._asked or self._placing.nodes or self._aside):
                self.tell("no machine of the cluster takes jobs yet: waiting for the first")
                told = True
            if told and monotonic() - began > FIRST:
                what = f"no machine that takes jobs has joined the cluster for {FIRST:.0f} s"
                raise HarnessError(what, where="--address", hint="start nodes with CPUs: launchers/ray_node.sh worker")
        self._check_left()

    def look(self, now: float) -> list[tuple[Slot, str]]:
        """Looks for machines that have come or gone; gives the slots that are lost by that, each with the reason."""
        lost: list[tuple[Slot, str]] = []
        for node, since in list(self._asked.values()):
            if now - since > ANSWER:
                self.set_aside(node, (f"it has not answered for {ANSWER:.0f} s",))
        if now - self._looked < LOOK:
            return lost
        self._looked = now
        present = {node.id: node for node in self._backend.nodes()}
        for node_id in [node_id for node_id in self._placing.nodes if node_id not in present]:
            name = self._placing.nodes[node_id].name
            lost += [(slot, f"{name} has left the cluster") for slot in self._placing.leave(node_id)]
        for known in (self._asked, self._aside):
            for node_id in known.keys() - present.keys():
                del known[node_id]
        for node in present.values():
            self._meet(node, now)
        self._note_lacking(now)
        return lost

    def gone(self, node: Node) -> list[Slot]:
        """Takes out a machine on which nothing can be started; gives the slots on it. It comes back if it is there."""
        return self._placing.leave(node.id) if self._placing.nodes.get(node.id) is node else []

    def proved(self, node_id: str, reasons: Sequence[str]) -> None:
        """Takes what a machine lacks."""
        if node_id in self._asked:
            node, _ = self._asked[node_id]
        elif node_id in self._aside:  # it answers late
            node, _ = self._aside[node_id]
        else:
            return
        if reasons:
            self.set_aside(node, reasons)
            return
        self._asked.pop(node_id, None)
        self._aside.pop(node_id, None)
        self._placing.join(node)

    def set_aside(self, node: Node, reasons: Sequence[str]) -> list[Slot]:
        """Gives a machine no job, and says so once; gives the slots on it. Raises HarnessError when none is left."""
        if node.id in self._aside:
            return []
        self._asked.pop(node.id, None)
        self._aside[node.id] = node, in_words(reasons)
        self.tell(f"{_called(node)} gets no jobs: {in_words(reasons)}")
        slots = self._placing.leave(node.id) if node.id in self._placing.nodes else []
        if not self._asked:
            self._check_left()
        return slots

    def check_fit(self, requests: Iterable[Request]) -> None:
        """Raises HarnessError for a request that no machine holds, or no machines together."""
        for request in requests:
            if not can_ever(request, self._placing.nodes.values()):
                raise HarnessError(
                    f"no machine of the cluster has room for {request}{_over(request)}",
                    where="run.cpus, run.gpus, run.processes, run.nodes of the suite",
                    hint="lower them with --set run.cpus=…, or add a larger node",
                )

    def _meet(self, node: Node, now: float) -> None:
        if node.id in self._placing.nodes or node.id in self._asked or node.id in self._aside:
            return
        if self._evidence is None:
            self._placing.join(node)
        else:
            self._asked[node.id] = node, now
            self._backend.prove(node, self._evidence)

    def _check_left(self) -> None:
        if self._placing.nodes or not self._aside:
            return
        reasons = "".join(f"\n  {_called(node)}: {reason}" for node, reason in self._aside.values())
        raise HarnessError(
            f"no machine of the cluster can run the jobs:{reasons}",
            hint="mount the folders on every node under the same path, install the same versions there",
            kind="storage",
        )

    def _note_lacking(self, now: float) -> None:
        """Says of jobs that wait for machines which have left, or are yet to come."""
        nodes = self._placing.nodes.values()
        lacking = [ticket for ticket in self._placing.waiting() if not can_ever(ticket.request, nodes)]
        self._backend.want(lacking)
        for ticket in lacking:
            since = self._lacking.setdefault(ticket.request, now)
            if now - since > NO_ROOM:
                self._lacking[ticket.request] = float("inf")
                self.tell(f"jobs wait for a machine with room for {ticket.request}{_over(ticket.request)}: none has it")
        self._lacking = {ticket.request: self._lacking[ticket.request] for ticket in lacking}


def _called(node: Node) -> str:
    return node.name if node.address in ("", node.name) else f"{node.name} ({node.address})"


def _over(request: Request) -> str:
    if request.processes == 1 or request.nodes is None:
        return ""
    return " on one machine" if request.nodes == 1 else f" on {request.nodes} machines"
