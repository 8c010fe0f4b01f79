"""No job is passed over for ever, and nothing waits that could run."""

from __future__ import annotations

import random
from collections import Counter
from heapq import heappop, heappush

import pytest

from harness.api.running import Request
from harness.scheduling.keeping import PATIENCE
from harness.scheduling.nearness import WINDOW
from harness.scheduling.placing import Placing
from harness.scheduling.room import Node, Ticket, can_ever, choose_nodes, holds
from tests.unit.scheduling.cluster import Cluster, check_books

SMALL, LARGE = Request(1), Request(2)
LONGEST = 60.0
"""Seconds of the longest job."""


@pytest.mark.parametrize(("machines", "cpus"), [(1, 1), (1, 4), (2, 2), (3, 1), (20, 1)])
def test_jobs_near_what_was_read_pass_another_only_so_often(machines, cpus):
    """One of another data set behind those that run, before 200 of theirs."""
    cluster = Cluster(*((f"n{number}", cpus, 0) for number in range(machines)))
    cluster.submit(*[SMALL] * machines * cpus, near="x")
    (other,) = cluster.submit(SMALL, near="y")
    cluster.submit(*[SMALL] * 200, near="x")
    ends = 0
    while other not in cluster.running:
        cluster.end(cluster.running[0])
        ends += 1
    assert ends <= 1 + min(WINDOW, machines - 1)


def test_a_near_job_passes_no_one_for_whom_room_is_kept():
    gang = Request(1, processes=2, nodes=1)
    cluster = Cluster(("a", 2, 0), ("b", 1, 0))
    (before,) = cluster.submit(gang, near="x")
    cluster.submit(SMALL, SMALL, SMALL, priority=0)
    cluster.end(before)
    (first,) = cluster.submit(gang, priority=1, near="y")
    (second,) = cluster.submit(gang, priority=1, near="x")  # what a has read
    cluster.submit(*[SMALL] * 60, priority=2)
    while first not in cluster.running:
        cluster.clock += 5.0
        cluster.end(cluster.running[0])
        assert second not in cluster.running


class Flow:
    """A cluster where time goes by: jobs end after a while that the seed says, and others come."""

    def __init__(self, placing: Placing, seed: int = 0) -> None:
        self.placing, self.dice, self.now, self.count = placing, random.Random(seed), 0.0, 0
        self.ends: list[tuple[float, int, Ticket]] = []
        self.waiting: dict[Ticket, None] = {}
        self.passed: dict[Request, float] = {}
        """Since when the first of a line has been passed over."""
        self.overtaken: Counter[Ticket] = Counter()
        """How often one behind it in its line went first."""

    def submit(self, request: Request, priority: int, near: str = "") -> Ticket:
        ticket = Ticket(priority, self.count, "", request, near)
        self.count += 1
        self.waiting[ticket] = None
        self.placing.submit(ticket)
        self.step()
        return ticket

    def step(self) -> None:
        steps = self.placing.step(self.now)
        begun = [*steps.hand]
        for slot in steps.start:
            for place in slot.places:
                begun += self.placing.warmed(place)
        for ticket in begun:
            heappush(self.ends, (self.now + self.dice.uniform(1.0, LONGEST), ticket.order, ticket))
        placed = [ticket for ticket in self.waiting if ticket.places]
        self.waiting = {ticket: None for ticket in self.waiting if not ticket.places}
        self._note(placed)

    def _note(self, placed: list[Ticket]) -> None:
        for ticket in placed:
            self.passed.pop(ticket.request, None)
            self.overtaken.update(each for each in self.waiting if each.request == ticket.request and each < ticket)
        for head in self.placing.waiting():
            rivals = [
                each for each in placed if each.request != head.request and (each.request.gpus or not head.request.gpus)
            ]
            if any(head < each for each in rivals):
                self.passed.setdefault(head.request, self.now)

    def until(self, now: float) -> None:
        """Lets jobs end until then."""
        while self.ends and self.ends[0][0] <= now:
            self.now, _, ticket = heappop(self.ends)
            self.placing.ended(ticket)
            self.step()
        self.now = now
        self.step()

    @property
    def running(self) -> list[Ticket]:
        return [ticket for _, _, ticket in self.ends]


@pytest.mark.parametrize("backlog", [0, 400])
@pytest.mark.parametrize("every", [11, 20, 35])
def test_small_jobs_that_keep_arriving_before_a_gang_do_not_starve_it(every, backlog):
    """Each goes before the gang, takes the next room and never leaves four CPUs free at once."""
    placing = Placing()
    placing.join(Node("a", "a", "a", 4, 0))
    flow = Flow(placing)
    for _ in range(4):
        flow.submit(SMALL, 100)
    gang = flow.submit(Request(1, processes=4, nodes=1), 50)
    for _ in range(backlog):
        flow.submit(SMALL, 100)
    while not gang.places:
        flow.until(flow.now + every)
        flow.submit(SMALL, 10)
        assert flow.now < PATIENCE + 2 * LONGEST + 3 * every


def test_one_that_no_machine_holds_keeps_no_room_from_another_that_waits():
    cluster = Cluster(("a", 4, 0))
    cluster.submit(*[SMALL] * 4, priority=5)
    cluster.submit(Request(9), priority=0)
    (gang,) = cluster.submit(Request(1, processes=4), priority=1)
    cluster.submit(*[SMALL] * 60, priority=5)
    while gang not in cluster.running:
        cluster.clock += 10.0
        cluster.end(cluster.running[0])
        assert cluster.clock < PATIENCE + 8 * 10.0


def test_room_is_kept_of_what_is_short_alone():
    """A job that waits for GPUs leaves the CPUs beside them to others, but those that it takes itself."""
    cluster = Cluster(("a", 8, 2))
    busy = cluster.submit(Request(1, 1), Request(1, 1), priority=0)
    (gang,) = cluster.submit(Request(1, 1, processes=2), priority=1)
    singles = cluster.submit(*[Request(1, 1)] * 30, priority=2)
    cluster.end(busy[0])
    cluster.clock += PATIENCE
    cluster.step()
    work = cluster.submit(*[SMALL] * 9, priority=3)
    assert sum(ticket in cluster.running for ticket in work) == 4
    cluster.end(busy[1])
    cluster.end(singles[0])
    assert gang in cluster.running
    assert sum(ticket in cluster.running for ticket in singles[1:]) == 0


def test_jobs_that_take_nothing_of_what_is_short_pass_no_one():
    cluster = Cluster(("a", 3, 1))
    (busy,) = cluster.submit(Request(1, 1), priority=0)
    (waits,) = cluster.submit(Request(2, 1), priority=1)
    for ticket in cluster.submit(*[SMALL] * 20, priority=2):
        cluster.clock += 10.0
        cluster.end(ticket)
    cluster.submit(SMALL, SMALL, priority=2)
    assert len(cluster.running) == 3  # no CPU is kept while there is no GPU
    cluster.end(busy)
    assert waits not in cluster.running
    while waits not in cluster.running:
        cluster.clock += 10.0
        cluster.submit(SMALL, priority=3)
        cluster.end(cluster.running[0])
        assert cluster.clock < 200.0 + 2 * PATIENCE + 40.0


def test_idle_workers_of_a_gang_do_not_hold_a_machine_for_those_that_work_elsewhere():
    """A slot ends as a whole: small jobs that follow each other on one of its machines would keep the other."""
    cluster = Cluster(("a", 4, 0), ("b", 2, 0))
    (gang,) = cluster.submit(Request(1, processes=6), priority=0)
    cluster.end(gang)
    cluster.submit(*[SMALL] * 60, priority=9)
    (large,) = cluster.submit(Request(4), priority=1)
    while large not in cluster.running:
        cluster.clock += 5.0
        cluster.end(cluster.running[0])
        assert cluster.clock < PATIENCE + 20 * 5.0
    assert cluster.on(large) == ["a"]


def test_room_is_kept_elsewhere_when_a_machine_leaves():
    cluster = Cluster(*((name, 1, 0) for name in "abc"))
    cluster.submit(*[SMALL] * 3, priority=0)
    (gang,) = cluster.submit(Request(1, processes=2, nodes=2), priority=1)
    cluster.submit(*[SMALL] * 60, priority=2)
    while not (kept := [node.id for node in cluster.placing.kept_from(SMALL)]):
        cluster.clock += 10.0
        cluster.end(cluster.running[0])
    assert len(kept) == 2
    (slot,) = cluster.placing.leave(kept[0])
    cluster.end(next(ticket for ticket in cluster.running if cluster.on(ticket) == kept[:1]), reuse=False)
    for _ in range(2):
        cluster.end(cluster.running[0])
    assert gang in cluster.running
    assert slot not in cluster.placing.slots


def test_a_worker_that_becomes_warm_when_its_slot_is_to_end_gets_no_job():
    placing = Placing()
    placing.join(Node("a", "a", "a", 2, 0))
    (slot,) = placing.warm_ahead(Request(1, processes=2), 1)
    placing.warmed(slot.places[0])
    ticket, later = Ticket(0, 0, "", SMALL), Ticket(0, 1, "", SMALL)
    placing.submit(ticket)
    assert placing.step(0.0).hand == [ticket]
    assert placing.doom(slot) == []
    placing.warmed(slot.places[1])
    placing.submit(later)
    placing.step(1.0)
    assert not later.places
    assert placing.ended(ticket) == [slot]


def test_what_is_not_kept_any_more_goes_to_others_at_once():
    """The gang for which a was kept finds room on a machine that joins."""
    cluster = Cluster(("a", 4, 0))
    small = cluster.submit(*[SMALL] * 4, priority=0)
    (gang,) = cluster.submit(Request(1, processes=4), priority=1)
    queue = cluster.submit(*[SMALL] * 20, priority=2)
    cluster.end(small[0])
    cluster.clock += PATIENCE
    for ticket in small[1:]:
        cluster.end(ticket)
    assert cluster.placing.nodes["a"].spare == (2, 0)
    cluster.placing.join(Node("b", "b", "b", 4, 0))
    cluster.placing.step(cluster.clock)
    assert {place.node.name for place in gang.places} == {"b"}
    assert sum(bool(ticket.places) for ticket in queue) == 4


def test_a_gang_takes_idle_workers_only_on_as_few_machines_as_new_ones():
    cluster = Cluster(("a", 2, 0), ("b", 2, 0), ("c", 2, 0))
    busy = cluster.submit(*[SMALL] * 4)
    for name in "ab":
        cluster.end(next(ticket for ticket in busy if cluster.on(ticket) == [name]))
    (pair,) = cluster.submit(Request(1, processes=2))
    assert cluster.on(pair) == ["c", "c"]
    (spread,) = cluster.submit(Request(1, processes=2))
    assert sorted(cluster.on(spread)) == ["a", "b"]  # nothing is together now
    assert cluster.ended_slots == 0
    cluster.end(pair)
    (again,) = cluster.submit(Request(1, processes=2))
    assert cluster.on(again) == ["c", "c"]
    assert cluster.started_slots == 5


def test_idle_workers_of_another_kind_make_room_for_a_gang_on_one_machine():
    cluster = Cluster(("a", 2, 0), ("b", 2, 0), ("c", 2, 0))
    for ticket in cluster.submit(LARGE, LARGE, LARGE):
        cluster.end(ticket)
    cluster.end(cluster.submit(SMALL, SMALL, SMALL)[0], reuse=False)
    assert sorted(node.free for node in cluster.placing.nodes.values()) == [(0, 0), (1, 0), (1, 0)]
    (gang,) = cluster.submit(Request(1, processes=2))
    assert len(set(cluster.on(gang))) == 1


KINDS = [Request(1), Request(2), Request(4), Request(1, 1), Request(2, 1), Request(1, 0, 3), Request(1, 0, 2, 2)]
KINDS += [Request(1, 0, 4, 1), Request(1, 1, 2), Request(2, 0, 2), Request(1, 1, 4), Request(1, 0, 8)]


@pytest.mark.parametrize("seed", range(24))
def test_whatever_comes_every_job_starts_in_time_and_nothing_waits_that_fits(seed):
    dice = random.Random(seed)
    flow = Flow(Placing(), seed)
    machines = dice.choice((1, 2, 3, 6))
    for number in range(machines):
        flow.placing.join(Node(str(number), "", "", dice.choice((1, 2, 4, 8)), dice.choice((0, 0, 2, 4))))
    can = [kind for kind in KINDS if can_ever(kind, flow.placing.nodes.values())]
    kinds = dice.sample(can, min(len(can), dice.choice((2, 3, 5))))
    words = "xyz" if seed % 2 else [""]
    for _ in range(dice.choice((0, 60))):
        flow.submit(dice.choice(kinds), 100, dice.choice(words))
    every = dice.choice((5, 20, 35))
    while flow.now < 700 or flow.ends:
        flow.until(min(flow.ends[0][0] if flow.ends else 1e9, flow.now + every))
        if flow.now < 700 and dice.random() < 0.5:
            flow.submit(dice.choice(kinds), dice.choice((10, 50, 100)), dice.choice(words))
        check(flow)
        late = max((flow.now - since for since in flow.passed.values()), default=0.0)
        assert seed % 2 or late < PATIENCE + len(kinds) * LONGEST + every  # a near one uses another's turn
    assert not flow.waiting
    assert max(flow.overtaken.values(), default=0) <= min(WINDOW, machines - 1)


def check(flow: Flow) -> None:
    """The books are right, and none of those that wait has room but what is kept for another."""
    check_books(flow.placing, flow.running)
    for request in {head.request for head in flow.placing.waiting()}:
        kept = flow.placing.kept_from(request)
        room = {node: holds(request, *node.spare) for node in flow.placing.nodes.values() if node not in kept}
        assert choose_nodes(request, room, room.__getitem__) is None
