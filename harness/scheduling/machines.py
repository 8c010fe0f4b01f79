"""The machines of a cluster while a run goes on: which are there, which have proved that they can run jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal

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

EMPTY = 600.0
"""Seconds without a machine for any job that is left, and without a job that runs, after which a run ends."""

AGAIN = (30.0, 150.0, 300.0)
"""Seconds after which a machine that was set aside is asked again: so often in a run, and no more."""

NO_ROOM = 30.0
"""Seconds that a job waits for a machine that is large enough before the user is told."""


Cause = Literal["proof", "lately", "workers"]
"""Why a machine gets no jobs: it did not prove itself; it did, and does not any more; its workers do not start."""


@dataclass
class _Aside:
    """A machine that gets no jobs."""

    node: Node
    reason: str
    since: float
    """When it was set aside, or asked last."""
    asked: bool = False
    """Whether its answer is waited for."""
    cause: Cause = "proof"


class Machines:
    """Brings machines into placing once they have proved themselves, and takes out those that are gone."""

    def __init__(self, backend: Backend, placing: Placing) -> None:
        self._backend, self._placing = backend, placing
        self.tell: Callable[[str], None] = lambda message: None
        self._evidence: Evidence | None = None
        self._asked: dict[str, tuple[Node, float]] = {}
        """Machines that are to prove themselves, and since when, by id."""
        self._aside: dict[str, _Aside] = {}
        self._again: Counter[str] = Counter()
        """How often each machine was asked again."""
        self._looked = float("-inf")
        self._lacking: dict[Request, float] = {}
        """Requests that no machine holds, and since when; infinite once that is told."""
        self._all_lack = False
        """Whether jobs wait, and none of them could run anywhere."""
        self._hopeless: float | None = None
        """Since when no job runs and none that waits could run anywhere."""

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

    def look(self, now: float, busy: Callable[[], bool] = lambda: True) -> list[tuple[Slot, str]]:
        """Looks for machines that have come or gone; gives the slots that are lost by that, each with the reason.

        `busy`: whether any job runs, or waits for its own workers to start. Raises HarnessError when no machine is left
        that can run jobs, or none has come for long.
        """
        lost: list[tuple[Slot, str]] = []
        for node, since in list(self._asked.values()):
            if now - since > ANSWER:
                reason = f"it has not answered for {ANSWER:.0f} s"
                lost += self._unproved(node, (reason,), asked=True)
        if now - self._looked < LOOK:
            return lost
        self._looked = now
        present = {node.id: node for node in self._backend.nodes()}
        for node in [node for node in self._placing.nodes.values() if node.id not in present]:
            lost += self.gone(node)
        for known in (self._asked, self._aside):
            for node_id in known.keys() - present.keys():
                del known[node_id]
        for node in present.values():
            self._meet(node, now)
        self._check_left()
        self._ask_again(now)
        self._note_lacking(now)
        self._check_hope(now, busy)
        return lost

    def doubt(self, node: Node) -> bool:
        """Asks a machine that has jobs to prove itself once more; whether it will answer."""
        if self._evidence is None or self._placing.nodes.get(node.id) is not node:
            return False
        if node.id not in self._asked:
            self._asked[node.id] = node, monotonic()
            self._backend.prove(node, self._evidence)
        return True

    def gone(self, node: Node) -> list[tuple[Slot, str]]:
        """Takes out a machine on which nothing can be started, as `look`. It comes back if it is there."""
        if self._placing.nodes.get(node.id) is not node:
            return []
        return [(slot, f"{node.name} has left the cluster") for slot in self._placing.leave(node.id)]

    def proved(self, node_id: str, reasons: Sequence[str]) -> list[tuple[Slot, str]]:
        """Takes what a machine lacks; gives the slots that are lost by that, each with the reason."""
        aside = self._aside.get(node_id)
        if node_id in self._asked:
            node, _ = self._asked[node_id]
            if reasons:
                return self._unproved(node, reasons)
            del self._asked[node_id]
        elif aside is not None and aside.asked:
            aside.asked = False
            if reasons:
                aside.reason = in_words(reasons)
                return []
            node = aside.node
            del self._aside[node_id]
            self.tell(f"{_called(node)} gets jobs again")
        else:
            return []
        self._placing.join(node)
        return []

    def set_aside(self, node: Node, reason: str, cause: Cause = "workers", *, asked: bool = False) -> list[Slot]:
        """Gives a machine no job, and says so once; gives the slots on it. `asked`: whether it may answer yet.

        That no machine is left is said by the next look, which knows whether this one is there at all.
        """
        if node.id in self._aside:
            return []
        self._asked.pop(node.id, None)
        self._aside[node.id] = _Aside(node, reason, monotonic(), asked, cause)
        self.tell(f"{_called(node)} gets no jobs: {reason}")
        return self._placing.leave(node.id) if node.id in self._placing.nodes else []

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

    def _unproved(self, node: Node, reasons: Sequence[str], *, asked: bool = False) -> list[tuple[Slot, str]]:
        cause: Cause = "lately" if node.id in self._placing.nodes else "proof"
        slots = self.set_aside(node, in_words(reasons), cause, asked=asked)
        return [(slot, f"{node.name} cannot run jobs: {in_words(reasons)}") for slot in slots]

    def _ask_again(self, now: float) -> None:
        """Lets machines that were set aside prove themselves again, a few times."""
        for aside in self._aside.values():
            times = self._again[aside.node.id]
            if times < len(AGAIN) and now - aside.since > AGAIN[times]:
                self._again[aside.node.id] += 1
                aside.since, aside.asked = now, True
                self._backend.prove(aside.node, self._evidence or Evidence())

    def _check_left(self) -> None:
        """Raises HarnessError when no machine is left, and none that was good is to be asked again."""
        if self._placing.nodes or self._asked or not self._aside:
            return
        asides = self._aside.values()
        hope = (each.asked or self._again[each.node.id] < len(AGAIN) for each in asides if each.cause == "lately")
        if not any(hope):
            raise self._none_left()

    def _none_left(self) -> HarnessError:
        asides = self._aside.values()
        reasons = "".join(f"\n  {_called(each.node)}: {each.reason}" for each in asides)
        if all(each.cause == "workers" for each in asides):
            return HarnessError(
                f"no machine can start workers that run jobs:{reasons}",
                hint="Ray's logs on that machine may say more (session_latest/logs in RAY_TMPDIR or /tmp/ray); "
                "`bench doctor` looks at the installation",
                kind="worker_lost",
            )
        return HarnessError(
            f"no machine of the cluster can run the jobs:{reasons}",
            hint="mount the folders on every node under the same path, install the same versions there",
            kind="storage",
        )

    def _check_hope(self, now: float, busy: Callable[[], bool]) -> None:
        """Raises HarnessError when all that is left has waited long enough for machines."""
        if not self._all_lack or busy():
            self._hopeless = None
            return
        if self._hopeless is None:
            self._hopeless = now
        if now - self._hopeless <= EMPTY:
            return
        if self._aside and not self._placing.nodes:
            raise self._none_left()
        wanted = ", ".join(sorted(f"{request}{_over(request)}" for request in self._lacking))
        raise HarnessError(
            f"no machine with room for what is left ({wanted}) has been in the cluster for {EMPTY:.0f} s",
            where="--address",
            hint="start nodes (launchers/ray_node.sh worker) and run the same command: it goes on from the last "
            "checkpoints",
            kind="worker_lost",
        )

    def _note_lacking(self, now: float) -> None:
        """Says of jobs that wait for machines which have left, or are yet to come."""
        nodes = self._placing.nodes.values()
        waiting = list(self._placing.waiting())
        lacking = [ticket for ticket in waiting if not can_ever(ticket.request, nodes)]
        self._all_lack = bool(lacking) and len(lacking) == len(waiting)
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
