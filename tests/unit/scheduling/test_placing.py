"""Which job runs where, on machines that exist in memory alone."""

from __future__ import annotations

import random

import pytest

from harness.api.running import Request
from harness.scheduling.keeping import PATIENCE
from harness.scheduling.placing import Placing
from harness.scheduling.room import Node, Ticket, can_ever
from tests.unit.scheduling.cluster import Cluster, check_books

SMALL, LARGE = Request(1), Request(2)


def test_a_worker_is_used_again():
    cluster = Cluster(("a", 1, 0))
    for _ in range(3):
        (ticket,) = cluster.submit(SMALL)
        cluster.end(ticket)
    assert (cluster.started_slots, cluster.ended_slots) == (1, 0)


def test_idle_workers_on_two_machines_make_room_for_a_large_job_on_one():
    """Two machines of two CPUs with an idle worker of one CPU each: their totals hold a job of two, no machine does."""
    cluster = Cluster(("a", 2, 0), ("b", 2, 0))
    tickets = cluster.submit(*[SMALL] * 4)
    assert sorted(name for ticket in tickets for name in cluster.on(ticket)) == ["a", "a", "b", "b"]
    for number, ticket in enumerate(sorted(tickets, key=cluster.on)):
        cluster.end(ticket, reuse=number % 2 == 0)
    assert [node.free for node in cluster.placing.nodes.values()] == [(1, 0), (1, 0)]
    (large,) = cluster.submit(LARGE)
    assert large in cluster.running
    assert cluster.ended_slots == 1


def test_room_is_counted_by_machine():
    cluster = Cluster(("a", 1, 0), ("b", 1, 0))
    (large,) = cluster.submit(LARGE)
    assert large not in cluster.running
    cluster.join("c", 2)
    cluster.step()
    assert cluster.on(large) == ["c"]


def test_a_gang_is_packed_spread_or_kept_on_one_machine_as_asked():
    cluster = Cluster(("a", 4, 0), ("b", 4, 0), ("c", 3, 0))
    (spread,) = cluster.submit(Request(1, processes=4, nodes=2))
    assert sorted(cluster.on(spread)) in (["a", "a", "c", "c"], ["a", "a", "b", "b"], ["b", "b", "c", "c"])
    (together,) = cluster.submit(Request(1, processes=4, nodes=1))
    assert len(set(cluster.on(together))) == 1
    cluster.end(spread)
    cluster.end(together)
    (packed,) = cluster.submit(Request(1, processes=6))
    assert len(set(cluster.on(packed))) == 2
    assert cluster.on(packed) == sorted(cluster.on(packed), key=cluster.on(packed).index)  # machine by machine


def test_the_seats_of_a_gang():
    cluster = Cluster(("a", 2, 0), ("b", 2, 0))
    (ticket,) = cluster.submit(Request(1, processes=4, nodes=2))
    seats = ticket.seats(23456)
    first, second = cluster.on(ticket)[0], cluster.on(ticket)[2]
    assert [(s.rank, s.ranks, s.local_rank, s.local_ranks) for s in seats] == [
        (0, 4, 0, 2), (1, 4, 1, 2), (2, 4, 0, 2), (3, 4, 1, 2),
    ]  # fmt: skip
    assert [seat.host for seat in seats] == [first, first, second, second]
    assert {seat.meet for seat in seats} == {f"{first}:23456"}
    (alone,) = Cluster(("a", 1, 0)).submit(SMALL)
    assert [(s.rank, s.ranks, s.meet, s.host) for s in alone.seats(1)] == [(0, 1, "", "")]


def test_an_evaluation_runs_on_a_worker_of_the_gang_that_trained():
    """Processes of the same size serve jobs of any number of them: nothing is started or ended between."""
    cluster = Cluster(("a", 2, 0))
    gang = Request(1, processes=2)
    for _ in range(3):
        (train,) = cluster.submit(gang)
        cluster.end(train)
        evaluations = cluster.submit(SMALL, SMALL)
        assert set(evaluations) <= set(cluster.running)
        for ticket in evaluations:
            cluster.end(ticket)
    assert (cluster.started_slots, cluster.ended_slots) == (1, 0)


def test_workers_of_single_jobs_form_a_gang():
    cluster = Cluster(("a", 2, 0))
    for ticket in cluster.submit(SMALL, SMALL):
        cluster.end(ticket)
    (gang,) = cluster.submit(Request(1, processes=2))
    assert gang in cluster.running
    assert cluster.started_slots == 2


def test_the_first_in_line_first_whatever_its_request():
    cluster = Cluster(("a", 2, 0))
    (busy,) = cluster.submit(LARGE, priority=0)
    late = cluster.submit(SMALL, SMALL, priority=9)
    (early,) = cluster.submit(LARGE, priority=1)
    cluster.end(busy)
    assert cluster.running == [early]
    cluster.end(early)
    assert set(cluster.running) == set(late)


def test_small_jobs_do_not_starve_a_gang():
    cluster = Cluster(("a", 2, 0), ("b", 2, 0))
    small = cluster.submit(*[SMALL] * 4, priority=0)
    (gang,) = cluster.submit(Request(1, processes=4), priority=1)
    queue = cluster.submit(*[SMALL] * 60, priority=2)
    assert set(cluster.running) == set(small)
    ends = 0
    while gang not in cluster.running:
        cluster.clock += 5.0
        cluster.end(cluster.running[0])
        ends += 1
        assert ends < 30, "small jobs pass the gang for ever"
    assert cluster.clock <= PATIENCE + 6 * 5.0
    assert sum(ticket in cluster.running for ticket in queue) == 0
    cluster.end(gang)
    assert len(cluster.running) == 4  # nothing is kept any more


def test_no_room_is_kept_for_a_job_that_no_machine_can_hold():
    cluster = Cluster(("a", 2, 0))
    cluster.submit(Request(4), priority=0)
    small = cluster.submit(*[SMALL] * 8, priority=1)
    for ticket in small:
        cluster.clock += 20
        cluster.end(ticket)
    assert not cluster.running


def test_jobs_that_read_the_same_go_where_it_was_read():
    cluster = Cluster(("a", 1, 0), ("b", 1, 0))
    (x,) = cluster.submit(SMALL, near="x")
    (y,) = cluster.submit(SMALL, near="y")
    nodes = {"x": cluster.on(x), "y": cluster.on(y)}
    assert nodes["x"] != nodes["y"]
    waiting = {near: cluster.submit(SMALL, near=near)[0] for near in ("y", "x")}  # y is first in line
    cluster.end(x)  # the machine that has x is free
    assert cluster.on(waiting["x"]) == nodes["x"]
    cluster.end(y)
    assert cluster.on(waiting["y"]) == nodes["y"]


def test_jobs_of_one_machine_spread_where_waiting_would_cost():
    cluster = Cluster(("a", 1, 0), ("b", 1, 0))
    cluster.submit(SMALL, SMALL, near="x")
    assert len(cluster.running) == 2


def test_gpus_of_one_machine_for_one_gang_and_cpu_jobs_beside_them():
    cluster = Cluster(("cpu", 8, 0), ("gpu1", 8, 4), ("gpu2", 8, 4))
    (gang,) = cluster.submit(Request(1, 1, processes=4))
    (work,) = cluster.submit(SMALL)
    assert len(set(cluster.on(gang))) == 1
    assert cluster.on(work) == ["cpu"]  # a machine with GPUs is left to who needs them
    (other,) = cluster.submit(Request(1, 1, processes=4))
    assert set(cluster.on(other)) == {"gpu1", "gpu2"} - set(cluster.on(gang))


def test_workers_that_are_lost_give_their_room_back():
    cluster = Cluster(("a", 2, 0))
    (gang,) = cluster.submit(Request(1, processes=2))
    cluster.end(gang, reuse=False)
    (again,) = cluster.submit(Request(1, processes=2))
    assert again in cluster.running
    assert cluster.started_slots == 2


def test_a_machine_that_leaves_takes_its_workers_with_it():
    cluster = Cluster(("a", 1, 0), ("b", 1, 0))
    tickets = cluster.submit(SMALL, SMALL)
    lost = next(ticket for ticket in tickets if cluster.on(ticket) == ["a"])
    (slot,) = cluster.placing.leave("a")
    assert [place.ticket for place in slot.places] == [lost]
    cluster.end(lost, reuse=False)
    (again,) = cluster.submit(SMALL)
    assert again not in cluster.running
    cluster.end(next(ticket for ticket in tickets if ticket is not lost))
    assert cluster.on(again) == ["b"]


def test_a_job_takes_a_worker_that_is_idle_before_its_own_is_warm():
    placing = Placing()
    placing.join(Node("a", "a", "a", 2, 0))
    first, second = (Ticket(number, number, "", SMALL) for number in range(2))
    for ticket in (first, second):
        placing.submit(ticket)
    started = placing.step(0.0).start
    assert [slot.places[0].ticket for slot in started] == [first, second]
    assert placing.warmed(started[0].places[0]) == [first]
    placing.ended(first)
    assert placing.step(1.0).hand == [second]
    assert placing.warmed(started[1].places[0]) == []  # it is idle when it comes


def test_workers_are_started_ahead_and_taken_when_jobs_come():
    placing = Placing()
    placing.join(Node("a", "a", "a", 4, 0))
    ahead = placing.warm_ahead(Request(1, processes=2), 5)
    assert [len(slot.places) for slot in ahead] == [2, 2]
    ticket = Ticket(0, 0, "", Request(1, processes=2))
    placing.submit(ticket)
    steps = placing.step(0.0)
    assert (steps.start, steps.hand) == ([], [])
    assert {place.slot for place in ticket.places} == {ahead[0]}
    assert [placing.warmed(place) for place in ahead[0].places] == [[], [ticket]]


def test_a_gang_takes_warm_workers_before_those_that_start():
    placing = Placing()
    for name in "ab":
        placing.join(Node(name, name, name, 2, 0))
    ahead = placing.warm_ahead(Request(1, processes=2), 2)
    for place in ahead[1].places:
        placing.warmed(place)
    ticket = Ticket(0, 0, "", Request(1, processes=2))
    placing.submit(ticket)
    assert placing.step(0.0).hand == [ticket]
    assert {place.slot for place in ticket.places} == {ahead[1]}


@pytest.mark.parametrize("seed", range(6))
def test_whatever_comes_no_machine_is_overbooked_and_every_job_ends(seed):
    dice = random.Random(seed)
    cluster = Cluster(*((f"n{number}", dice.choice((1, 2, 4)), dice.choice((0, 0, 2))) for number in range(6)))
    requests = [Request(1), Request(2), Request(1, 1), Request(1, processes=3), Request(1, processes=2, nodes=2)]
    requests += [Request(1, processes=4, nodes=1), Request(1, 1, processes=2)]
    open_: set[Ticket] = set()
    for _ in range(300):
        cluster.clock += dice.random() * 4
        if dice.random() < 0.5:
            request = dice.choice(requests)
            if can_ever(request, cluster.placing.nodes.values()):
                open_.update(cluster.submit(request, priority=dice.randrange(5), near=dice.choice("xyz")))
        elif cluster.running:
            ticket = dice.choice(cluster.running)
            cluster.end(ticket, reuse=dice.random() < 0.8)
            open_.discard(ticket)
        check_books(cluster.placing, cluster.running)
    while open_:
        assert cluster.running, "jobs wait, and none runs"
        ticket = cluster.running[0]
        cluster.clock += 1
        cluster.end(ticket)
        open_.remove(ticket)
        check_books(cluster.placing, cluster.running)
