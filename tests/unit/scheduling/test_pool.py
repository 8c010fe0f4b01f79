"""The pool: what becomes of jobs whose workers fail, die, freeze, and of machines that come, go or cannot run jobs.

The machines exist in memory alone; tests/flow/test_ray_pool.py and test_cluster.py run real ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.api.running import JobOutcome, Request, Shared
from harness.core.errors import HarnessError
from harness.scheduling.machines import ANSWER
from harness.scheduling.pool import Pool
from harness.scheduling.room import Ticket
from tests.unit.scheduling.machines_in_memory import Clock, InMemory

PAIR = Request(1, processes=2, patience=100.0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.in_place_of_time(monkeypatch)


def started(backend: InMemory, request: Request = PAIR) -> tuple[Pool, Ticket]:
    """A pool whose first job runs."""
    pool = Pool(backend)
    ticket = pool.submit("/out/jobs/train-1.json", request)
    pool.poll(0.2)
    assert list(pool.running()) == [ticket]
    return pool, ticket


def outcome_of(pool: Pool, ticket: Ticket) -> JobOutcome:
    for _ in range(50):
        for ended, outcome in pool.poll(0.2):
            assert ended is ticket
            return outcome
    raise AssertionError("the job did not end")


def test_a_gang_is_done_when_all_its_processes_are():
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    assert [seat.rank for seat in backend.running[ticket]] == [0, 1]
    backend.say(ticket, 1, None)
    assert pool.poll(0.2) == []
    backend.say(ticket, 0, None)
    assert outcome_of(pool, ticket).failure is None
    assert backend.killed == []
    assert list(pool.running()) == []


def test_the_process_with_a_reason_of_its_own_is_heard_though_another_was_first():
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    backend.say(ticket, 0, "worker_lost", "connection closed by peer")
    backend.say(ticket, 1, "data", "shard is damaged")
    outcome = outcome_of(pool, ticket)
    assert (outcome.failure, outcome.message, outcome.rank) == ("data", "shard is damaged", 1)


def test_one_failure_ends_a_gang_whose_others_hang():
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    places = ticket.places
    backend.say(ticket, 1, "nan", "the loss is nan")
    assert (outcome_of(pool, ticket)).failure == "nan"
    assert set(backend.killed) == set(places)
    assert backend.alive == {}


def test_a_dead_process_ends_its_gang_and_the_next_try_has_new_ones():
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    backend.die(ticket.places[1], "killed by signal 9")
    outcome = outcome_of(pool, ticket)
    assert outcome.failure == "worker_lost"
    assert outcome.message == "rank 1: its process on a ended: killed by signal 9"
    again = pool.submit("/out/jobs/train-1.json", PAIR)
    pool.poll(0.2)
    assert list(pool.running()) == [again]
    assert len(backend.started) == 2


def test_who_does_not_wait_gets_the_news_that_is_there():
    backend = InMemory(("a", 1, 0))
    pool = Pool(backend)
    ticket = pool.submit("/out/jobs/train-1.json", Request())
    assert pool.poll(0.0) == []
    assert list(pool.running()) == [ticket]
    backend.finish(ticket)
    assert [ended for ended, _ in pool.poll(0.0)] == [ticket]


def test_a_failed_job_of_one_process_leaves_its_worker_warm():
    backend = InMemory(("a", 1, 0))
    pool, ticket = started(backend, Request())
    backend.finish(ticket, ("data", "no such shard"))
    assert outcome_of(pool, ticket).failure == "data"
    pool.submit("/out/jobs/train-2.json", Request())
    pool.poll(0.2)
    assert (len(backend.started), backend.killed) == (1, [])


def test_a_process_that_must_not_run_another_job_is_replaced():
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    backend.finish(ticket, fresh=True)
    assert outcome_of(pool, ticket).failure is None
    assert set(backend.killed) == set(ticket.places)
    pool.submit("/out/jobs/train-2.json", PAIR)
    pool.poll(0.2)
    assert len(backend.started) == 2


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_process_that_says_nothing_any_more_is_lost(clock, frozen):
    """It is frozen, or cut off. Those that answer are not."""
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    for second in range(0, 80, 5):
        clock.now += 5
        backend.signs = {ticket.places[1 - frozen]: f"{second} {second}".encode(), ticket.places[frozen]: b"1 1"}
        ended = pool.poll(0.05)
        if ended:
            break
    ((_, outcome),) = ended
    assert outcome.failure == "worker_lost"
    assert f"rank {frozen}: its process on a has not answered for 6" in outcome.message
    assert 60 <= second <= 70
    assert backend.alive == {}


def test_a_process_that_lives_and_makes_no_progress_is_lost_after_the_suites_patience(clock):
    backend = InMemory(("a", 1, 0))
    pool, ticket = started(backend, Request(patience=100.0))
    for second in range(0, 300, 5):
        clock.now += 5
        beats = min(second, 50)
        backend.signs = {ticket.places[0]: f"{second} {beats}".encode()}
        ended = pool.poll(0.05)
        if ended:
            break
    ((_, outcome),) = ended
    assert outcome.failure == "worker_lost"
    assert "has made no progress for 1" in outcome.message
    assert 150 <= second <= 160


def test_a_process_may_wait_for_another_of_its_gang_that_gets_on(clock):
    backend = InMemory(("a", 2, 0))
    pool, ticket = started(backend)
    for second in range(0, 500, 5):
        clock.now += 5
        beats = min(second, 300)  # the first goes on to 300 s; the second waits for it from the start
        backend.signs = {
            ticket.places[0]: f"{second} {beats}".encode(),
            ticket.places[1]: f"{second} 1".encode(),
        }
        ended = pool.poll(0.05)
        if ended:
            break
    ((_, outcome),) = ended
    assert "rank 1: its process on a has made no progress for 1" in outcome.message
    assert 400 <= second <= 410


def test_a_job_whose_workers_cannot_start_on_a_machine_that_is_gone_waits_for_others(clock):
    """Nobody has said yet that the machine is gone: no try of a job is spent on it, and no other is sent there."""
    backend = InMemory(("gone", 1, 0), ("here", 1, 0), cold=True)
    pool = Pool(backend)
    tickets = [pool.submit(f"/out/jobs/{number}.json", Request()) for number in range(4)]
    (stranded,) = [ticket for ticket in tickets if ticket.places and ticket.places[0].node.name == "gone"]
    backend.die(stranded.places[0], "not schedulable", no_machine=True)
    backend.machines = [("here", 1, 0)]
    assert pool.poll(0.05) == []
    assert stranded.places == ()
    backend.cold = False
    for slot in backend.started[1:]:
        backend.warm(slot.places[0])
    ended = []
    for _ in range(40):
        ended += [(ticket, outcome.failure) for ticket, outcome in pool.poll(0.05)]
        for ticket in list(backend.running):
            assert ticket.places[0].node.name == "here"
            backend.finish(ticket)
    assert sorted(ended) == [(ticket, None) for ticket in tickets]


@pytest.mark.parametrize("leaves", [False, True])
def test_a_lost_process_is_said_with_its_machine_and_a_leave_in_order_costs_no_try(clock, leaves):
    backend = InMemory(("a", 1, 0))
    pool, ticket = started(backend, Request())
    backend.in_order = {"a"}
    if leaves:
        backend.machines = []
    backend.die(ticket.places[0], "End of file.")
    outcome = outcome_of(pool, ticket)
    said = "a has left the cluster" if leaves else "its process on a ended: End of file."
    assert (outcome.failure, outcome.message, outcome.left) == ("worker_lost", said, leaves)


@pytest.mark.parametrize("in_order", [False, True])
def test_whether_a_machine_of_a_gang_took_its_leave_is_said_whichever_process_is_heard(clock, in_order):
    backend = InMemory(("a", 1, 0), ("b", 1, 0))
    pool, ticket = started(backend)
    first, second = ticket.places
    backend.in_order = {second.node.id} if in_order else set()
    backend.machines = [(first.node.name, 1, 0)]
    backend.say(ticket, 0, "worker_lost", "the processes lost each other")
    backend.die(second)
    outcome = outcome_of(pool, ticket)
    assert (outcome.failure, outcome.left) == ("worker_lost", in_order)


def test_a_machine_that_leaves_takes_its_jobs_with_it_and_a_new_one_is_used(clock):
    backend = InMemory(("a", 1, 0))
    pool, ticket = started(backend, Request())
    backend.machines = []
    clock.now += 4
    outcome = outcome_of(pool, ticket)
    assert (outcome.failure, outcome.message, outcome.left) == ("worker_lost", "a has left the cluster", False)
    again = pool.submit("/out/jobs/train-1.json", Request())
    assert pool.poll(0.05) == []
    assert list(pool.running()) == []
    backend.machines = [("b", 1, 0)]
    clock.now += 4
    pool.poll(0.05)
    assert [place.node.name for place in again.places] == ["b"]
    assert list(pool.running()) == [again]


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(str(tmp_path / "out"), str(tmp_path / "data"))


def test_a_machine_that_cannot_run_jobs_gets_none_and_is_named(shared):
    backend = InMemory(("good", 1, 0), ("bad", 4, 0))
    backend.lacks = {"bad": ["the output folder /out is not there", "torch is 1.0 there and 2.0 here"]}
    pool = Pool(backend)
    told: list[str] = []
    pool.prove(shared, told.append)
    assert told == [
        "bad (address of bad) gets no jobs: the output folder /out is not there; torch is 1.0 there and 2.0 here"
    ]
    assert pool.capacity() == {"cpus": 1.0, "gpus": 0.0}
    with pytest.raises(HarnessError, match="2 cpus, but there are only 1"):
        pool.expect([Request(2)])
    tickets = [pool.submit(f"/out/jobs/{number}.json", Request()) for number in range(3)]
    for ticket in tickets:
        pool.poll(0.1)
        assert [place.node.name for place in ticket.places] == ["good"]
        backend.finish(ticket)
        assert outcome_of(pool, ticket).failure is None
    assert len(told) == 1


def test_machines_that_join_later_prove_themselves_too(shared, clock):
    backend = InMemory(("good", 1, 0))
    backend.lacks = {"bad": ["torch is missing"]}
    pool = Pool(backend)
    told: list[str] = []
    pool.prove(shared, told.append)
    tickets = [pool.submit(f"/out/jobs/{number}.json", Request()) for number in range(3)]
    backend.machines += [("bad", 1, 0), ("new", 1, 0)]
    clock.now += 4
    for _ in range(3):
        pool.poll(0.05)
    running = [place.node.name for ticket in pool.running() for place in ticket.places]
    assert sorted(running) == ["good", "new"]
    assert told == ["bad (address of bad) gets no jobs: torch is missing"]
    assert len(tickets) == 3


def test_no_machine_left_is_one_error_with_all_reasons(shared):
    backend = InMemory(("a", 1, 0), ("b", 1, 0))
    backend.lacks = {"a": ["the data folder /d is not there"], "b": ["torch is missing there"]}
    with pytest.raises(HarnessError) as caught:
        Pool(backend).prove(shared, lambda message: None)
    assert "a (address of a): the data folder /d is not there" in str(caught.value)
    assert "b (address of b): torch is missing there" in str(caught.value)
    assert caught.value.hint


def test_a_machine_that_does_not_answer_is_set_aside(shared, clock, monkeypatch):
    backend = InMemory(("a", 1, 0), ("mute", 1, 0))
    told: list[str] = []
    answer = backend.prove
    monkeypatch.setattr(backend, "prove", lambda node, evidence: node.name == "mute" or answer(node, evidence))
    quiet = backend.events

    def events(timeout: float):
        clock.now += 20
        return quiet(0.0)

    monkeypatch.setattr(backend, "events", events)
    pool = Pool(backend)
    pool.prove(shared, told.append)
    assert told == [f"mute (address of mute) gets no jobs: it has not answered for {ANSWER:.0f} s"]


def test_what_proves_machines_is_removed_when_the_run_ends(shared):
    backend = InMemory(("a", 1, 0))
    pool = Pool(backend)
    pool.prove(shared, lambda message: None)
    assert len(list(Path(shared.out).glob(".nonce-*"))) == 1
    pool.stop()
    assert list(Path(shared.out).rglob(".nonce-*")) == []
    assert list(Path(shared.data).iterdir()) == []
    assert backend.closed


def test_jobs_that_no_machine_holds_any_more_are_told_once(shared, clock):
    backend = InMemory(("large", 4, 0))
    told: list[str] = []
    pool = Pool(backend)
    pool.prove(shared, told.append)
    pool.expect([Request(4)])
    backend.machines = [("small", 1, 0)]
    clock.now += 4
    pool.poll(0.05)
    pool.submit("/out/jobs/1.json", Request(4))
    for _ in range(20):
        clock.now += 5
        pool.poll(0.05)
    assert told == ["jobs wait for a machine with room for 4 CPUs: none has it"]
    assert [ticket.request for ticket in backend.wanted] == [Request(4)]  # a cluster that can grow is asked


def test_a_cluster_without_machines_is_waited_for(shared, clock, monkeypatch):
    backend = InMemory()
    told: list[str] = []
    quiet = backend.events

    def events(timeout: float):
        clock.now += 20
        if clock.now > 1100:
            backend.machines = [("late", 1, 0)]
        return quiet(0.0)

    monkeypatch.setattr(backend, "events", events)
    pool = Pool(backend)
    pool.prove(shared, told.append)
    assert told == ["no machine of the cluster takes jobs yet: waiting for the first"]
    assert pool.capacity()["cpus"] == 1.0
    empty = InMemory()

    def a_minute(timeout: float) -> list[Any]:
        clock.now += 60
        return []

    monkeypatch.setattr(empty, "events", a_minute)
    with pytest.raises(HarnessError, match="has joined the cluster for 600 s"):
        Pool(empty).expect([Request()])


def test_workers_that_do_not_start_are_told(shared, clock):
    backend = InMemory(("a", 2, 0), cold=True)
    told: list[str] = []
    pool = Pool(backend)
    pool.prove(shared, told.append)
    pool.submit("/out/jobs/1.json", Request())
    for _ in range(40):
        clock.now += 5
        pool.poll(0.05)
    assert told == ["workers on a have not started for 120 s: do others use the cluster?"]


def test_workers_start_before_their_jobs_come():
    backend = InMemory(("a", 4, 0))
    pool = Pool(backend)
    pool.expect([Request(1, processes=2)] * 3)
    assert [len(slot.places) for slot in backend.started] == [2, 2]
    pool.submit("/out/jobs/1.json", Request(1, processes=2))
    pool.poll(0.05)
    assert len(backend.started) == 2


def test_what_no_machine_holds_is_refused_before_anything_starts():
    pool = Pool(InMemory(("a", 2, 0), ("b", 2, 0)))
    with pytest.raises(HarnessError, match="no machine of the cluster has room for 3 CPUs"):
        pool.expect([Request(3)])
    with pytest.raises(HarnessError, match="room for 4 processes of 1 CPU on one machine"):
        pool.expect([Request(1, processes=4, nodes=1)])
    pool.expect([Request(1, processes=4)])
