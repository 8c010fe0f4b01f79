"""Machines, the warm workers on them, and the jobs that want some: what placing is about (harness.scheduling.placing).

Workers are started together, as a slot: of one worker, or of as many as a job of several processes takes. Once warm, a
worker serves any job whose processes are of its unit, alone or together with others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from harness.api.running import Request, Seat


class Unit(NamedTuple):
    """What one process holds."""

    cpus: int
    gpus: int


@dataclass(eq=False)
class Node:
    """One machine."""

    id: str
    name: str
    address: str
    cpus: float
    gpus: float
    free: tuple[float, float] = (0.0, 0.0)
    """CPUs and GPUs that no worker of ours holds."""
    lent: tuple[float, float] = (0.0, 0.0)
    """CPUs and GPUs of slots that are idle as a whole."""
    slots: dict[Slot, None] = field(default_factory=dict)
    """The slots that have a worker here, in the order in which they were started."""

    def __post_init__(self) -> None:
        self.free = (self.cpus, self.gpus)

    def take(self, unit: Unit, count: int) -> None:
        """Books so many processes; a negative number gives their room back."""
        self.free = self.free[0] - unit.cpus * count, self.free[1] - unit.gpus * count

    def lend(self, unit: Unit, count: int) -> None:
        """Counts so many processes as idle; a negative number as not idle any more."""
        self.lent = self.lent[0] + unit.cpus * count, self.lent[1] + unit.gpus * count

    @property
    def spare(self) -> tuple[float, float]:
        """CPUs and GPUs that are free once idle workers have ended."""
        return self.free[0] + self.lent[0], self.free[1] + self.lent[1]


@dataclass(eq=False)
class Place:
    """One worker."""

    slot: Slot
    node: Node
    warm: bool = False
    dead: bool = False
    ticket: Ticket | None = None
    """The job that it runs, or that waits for it to become warm."""


@dataclass(eq=False)
class Slot:
    """Workers that are started, and ended, together."""

    unit: Unit
    places: list[Place] = field(default_factory=list)
    doomed: bool = False
    """Whether it gets no further job, and is to be ended as soon as none runs on it."""
    lent: bool = False
    """Whether its machines count it as idle."""

    @cached_property
    def shares(self) -> Counter[Node]:
        """The number of its workers on each machine."""
        return Counter(place.node for place in self.places)

    @property
    def tickets(self) -> list[Ticket]:
        """The jobs that run here, or wait for it."""
        return list(dict.fromkeys(place.ticket for place in self.places if place.ticket is not None))

    @property
    def unused(self) -> bool:
        """Whether no job runs here or waits for it."""
        return all(place.dead or place.ticket is None for place in self.places)

    @property
    def idle(self) -> bool:
        """Whether all its workers are warm and have nothing to do."""
        return all(place.warm and place.ticket is None for place in self.places)


@dataclass(eq=False)
class Ticket:
    """A submitted job. Jobs start in the order of their tickets."""

    priority: int
    order: int
    job_file: str
    request: Request
    near: str = ""
    places: tuple[Place, ...] = ()
    """The workers that it runs on, or waits for, rank by rank."""
    started: float = 0.0
    passes: int = 0
    """How often one behind it has gone first, as it was near what a machine has just read."""

    def __lt__(self, other: Ticket) -> bool:
        return (self.priority, self.order) < (other.priority, other.order)

    @property
    def unit(self) -> Unit:
        return Unit(self.request.cpus, self.request.gpus)

    @property
    def ready(self) -> bool:
        """Whether all its workers are warm."""
        return all(place.warm for place in self.places)

    def seats(self, port: int) -> list[Seat]:
        """The seat of each rank; they meet at this port of rank 0's machine."""
        ranks, nodes = len(self.places), [place.node.id for place in self.places]
        meet = "" if ranks == 1 else f"{_in_url(self.places[0].node.address)}:{port}"
        each, seen = Counter(nodes), Counter[str]()
        seats = []
        for rank, place in enumerate(self.places):
            seats.append(
                Seat(rank, ranks, seen[place.node.id], each[place.node.id], meet, place.node.address if meet else "")
            )
            seen[place.node.id] += 1
        return seats


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def holds(request: Request, cpus: float, gpus: float) -> int:
    """How many processes of a request so many CPUs and GPUs hold."""
    by_cpu = cpus // request.cpus
    return int(max(0, min(by_cpu, gpus // request.gpus) if request.gpus else by_cpu))


def choose_nodes(request: Request, nodes: Iterable[Node], room: Callable[[Node], int]) -> list[Node] | None:
    """The machine of each rank, rank by rank and machine by machine; None when they do not fit.

    `room`: how many processes of the request a machine takes. Of the machines that take all that they are to take, the
    fullest; jobs that need no GPU leave the machines that have some to others, where there is a choice.
    """
    open_ = [(node, count) for node in nodes if (count := room(node)) > 0]
    spared = (lambda node: node.gpus > 0) if not request.gpus else (lambda node: False)
    if request.nodes is not None:
        share = request.processes // request.nodes
        fit = sorted((each for each in open_ if each[1] >= share), key=lambda each: (spared(each[0]), each[1]))
        if len(fit) < request.nodes:
            return None
        return [node for node, _ in fit[: request.nodes] for _ in range(share)]
    whole = [each for each in open_ if each[1] >= request.processes]
    if whole:
        node = min(whole, key=lambda each: (spared(each[0]), each[1]))[0]
        return [node] * request.processes
    return _as_few(request, sorted(open_, key=lambda each: (-each[1], spared(each[0]))))


def _as_few(request: Request, open_: Sequence[tuple[Node, int]]) -> list[Node] | None:
    """Over as few machines as possible, the roomiest first."""
    found: list[Node] = []
    for node, count in open_:
        found += [node] * min(count, request.processes - len(found))
        if len(found) == request.processes:
            return found
    return None


def fewer(first: list[Node] | None, second: list[Node] | None) -> list[Node] | None:
    """Of two choices, the one on fewer machines; the first when both are on as many."""
    if first is None or second is None:
        return first if second is None else second
    return second if len(set(second)) < len(set(first)) else first


def can_ever(request: Request, nodes: Collection[Node]) -> bool:
    """Whether these machines, all to itself, hold a request."""
    return choose_nodes(request, nodes, lambda node: holds(request, node.cpus, node.gpus)) is not None


def soonest(request: Request, nodes: Collection[Node]) -> Mapping[Node, int]:
    """The machines that are nearest to having room for a request, each with the number of its processes there.

    None when it would never have room.
    """
    if not can_ever(request, nodes):
        return {}
    by_room = sorted(nodes, key=lambda node: -holds(request, *node.spare))

    def among(end: int) -> list[Node] | None:
        return choose_nodes(request, by_room[:end], lambda node: holds(request, node.cpus, node.gpus))

    fewest = bisect_left(range(1, len(by_room) + 1), True, key=lambda end: among(end) is not None) + 1
    return Counter(among(fewest))
