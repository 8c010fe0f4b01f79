"""The pool among machines that are bad: workers that die or hang at the start, storage that goes, nodes that leave.

The machines exist in memory alone, and the clock goes on as a test says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness.api.running import JobOutcome, Request, Shared
from harness.core.errors import HarnessError
from harness.scheduling.backend import Done, Event
from harness.scheduling.machines import AGAIN, EMPTY
from harness.scheduling.pool import Pool
from harness.scheduling.room import Ticket
from harness.scheduling.starting import LIMIT
from tests.unit.scheduling.machines_in_memory import Clock, InMemory

PAIR = Request(1, processes=2)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock.in_place_of_time(monkeypatch)


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    return Shared(str(tmp_path / "out"), str(tmp_path / "data"))


class Quick(InMemory):
    """One that waits for nothing."""

    def events(self, timeout: float) -> Sequence[Event]:
        return super().events(0.0)


class World:
    """A pool on machines in memory, what it told, and how its jobs ended."""

    def __init__(self, backend: InMemory, clock: Clock, shared: Shared | None = None) -> None:
        self.backend, self.clock, self.pool = backend, clock, Pool(backend)
        self.told: list[str] = []
        self.ended: list[tuple[Ticket, JobOutcome]] = []
        self.pool._machines.tell = self.told.append
        if shared is not None:
            self.pool.prove(shared, self.told.append)

    def submit(self, count: int = 1, request: Request = Request()) -> list[Ticket]:  # noqa: B008
        return [self.pool.submit(f"/out/jobs/{number}.json", request, number) for number in range(count)]

    def go(self, times: int, seconds: float = 0.0, *each: Callable[[], None]) -> None:
        """Looks so many times; before each, so much time passes."""
        for _ in range(times):
            self.clock.now += seconds
            for act in each:
                act()
            self.ended += self.pool.poll(0.2)

    def on(self, name: str) -> list[Ticket]:
        return [ticket for ticket in self.backend.running if ticket.places[0].node.name == name]

    def warm(self, *, but: str = "", reason: str = "illegal instruction") -> None:
        """Workers become warm, except on one machine: there they die."""
        for place in [place for place in self.backend.alive if not place.warm]:
            if place.node.name == but:
                self.backend.die(place, reason)
            else:
                self.backend.warm(place)

    def live(self) -> None:
        """All that are there give signs of life, and get on."""
        self.backend.signs = dict.fromkeys(self.backend.alive, f"{self.clock.now} {self.clock.now}".encode())

    def finish(self) -> None:
        for ticket in list(self.backend.running):
            self.backend.finish(ticket)


def test_a_machine_whose_workers_die_at_the_start_costs_no_try_and_is_set_aside_by_name(clock):
    world = World(Quick(("good", 1, 0), ("bad", 1, 0), cold=True), clock)
    tickets = world.submit(10)

    def each() -> None:
        world.warm(but="bad")
        world.finish()

    world.go(60, 0.0, each)
    assert [(ticket, outcome.failure) for ticket, outcome in world.ended] == [(ticket, None) for ticket in tickets]
    assert world.told == [
        "bad (address of bad) gets no jobs: 3 workers in a row ended before they could run a job "
        "(the last: illegal instruction)"
    ]
    assert len([slot for slot in world.backend.started if slot.places[0].node.name == "bad"]) == 3


def test_a_run_whose_workers_all_die_at_the_start_ends_with_one_message(clock):
    world = World(Quick(("a", 2, 0), ("b", 1, 0), cold=True), clock)
    world.submit(5)

    def each() -> None:
        for place in list(world.backend.alive):
            world.backend.die(place, "no such library")

    with pytest.raises(HarnessError) as caught:
        world.go(60, 1.0, each)
    assert world.ended == []
    assert caught.value.kind == "worker_lost"
    for name in ("a", "b"):
        assert f"{name} (address of {name}): 3 workers in a row ended before they could run a job" in str(caught.value)


def test_a_run_whose_last_machine_is_set_aside_goes_on_with_one_that_has_just_come(clock):
    world = World(Quick(("a", 1, 0), cold=True), clock)
    (ticket,) = world.submit()
    for _ in range(3):
        world.go(1)
        world.backend.die(ticket.places[0])
    world.backend.machines.append(("new", 1, 0))
    world.go(5, 2.0, lambda: world.warm(but="a"))
    assert [place.node.name for place in ticket.places] == ["new"]
    assert list(world.on("new")) == [ticket]


def test_a_worker_that_becomes_warm_ends_the_row_of_deaths(clock):
    world = World(Quick(("a", 2, 0), cold=True), clock)
    for _ in range(4):
        first, second = world.submit(2)
        for _ in range(2):
            world.go(1)
            world.backend.die(first.places[0])
        world.go(2, 0.0, world.warm)
        assert {first, second} <= set(world.backend.running)
        for place in (*first.places, *second.places):
            world.backend.die(place)
        world.go(1)
    assert world.told == []
    assert [outcome.failure for _, outcome in world.ended] == ["worker_lost"] * 8  # these had begun


def test_jobs_that_run_on_a_machine_whose_new_workers_die_go_on(clock):
    world = World(Quick(("a", 2, 0), ("b", 1, 0)), clock)
    old = world.submit(3)
    world.go(3)
    world.backend.cold = True
    for ticket in [*world.on("a")[:1], *world.on("b")]:
        world.backend.finish(ticket, fresh=True)
    late = world.submit(3)
    world.go(12, 0.0, lambda: world.warm(but="a"))
    assert [line.partition(" ")[0] for line in world.told] == ["a"]
    assert len(world.on("a")) == 1
    world.go(12, 0.0, lambda: world.warm(but="a"), world.finish)
    assert sorted(ticket.order for ticket, _ in world.ended) == [ticket.order for ticket in (*old, *late)]
    assert {outcome.failure for _, outcome in world.ended} == {None}


def test_a_gang_of_which_one_worker_hangs_at_the_start_is_put_back(clock):
    world = World(Quick(("a", 2, 0), cold=True), clock)
    (ticket,) = world.submit(1, PAIR)
    first, second = ticket.places
    world.backend.warm(first)
    world.backend.signs = {second: b"1 0"}  # its process runs
    world.go(3, 5.0)
    world.go(int(LIMIT / 10), 10.0)
    assert f"a worker on a is not ready after {LIMIT:.0f} s: it is ended" in world.told
    assert {first, second} <= set(world.backend.killed)
    world.backend.cold = False
    world.go(3, 0.0, world.warm)
    assert list(world.backend.running) == [ticket]
    assert not {first, second} & set(ticket.places)
    assert world.ended == []


def test_a_worker_that_became_warm_while_the_driver_was_held_up_is_no_hanging_one(clock):
    world = World(Quick(("a", 1, 0), cold=True), clock)
    (ticket,) = world.submit()
    world.live()
    world.go(2, 5.0)
    world.warm()
    world.go(1, 2 * LIMIT)
    world.go(1)
    assert list(world.backend.running) == [ticket]
    assert world.told == []


def test_workers_that_hang_at_the_start_count_as_deaths_of_their_machine(clock):
    world = World(Quick(("good", 1, 0), ("bad", 1, 0), cold=True), clock)
    world.submit(2)

    def each() -> None:
        world.live()
        for place in [place for place in world.backend.alive if place.node.name == "good" and not place.warm]:
            world.backend.warm(place)

    world.go(int(3.5 * LIMIT / 10), 10.0, each)
    (aside,) = [message for message in world.told if "gets no jobs" in message]
    assert aside.startswith("bad (address of bad)")
    assert aside.endswith(f"(the last: it is not ready after {LIMIT:.0f} s)")
    world.go(8, 0.0, each, world.finish)
    assert [outcome.failure for _, outcome in world.ended] == [None, None]


def test_workers_that_wait_for_room_are_waited_for_and_their_machine_is_asked(clock, shared):
    world = World(Quick(("a", 1, 0), cold=True), clock, shared)
    world.submit()
    world.go(int(2.5 * LIMIT / 10), 10.0)
    assert world.told == ["workers on a have not started for 120 s: do others use the cluster?"]
    assert len(world.backend.started) == 1
    assert world.backend.asked == ["a"] * 3  # as all do before the first job, and twice because of this
    world.warm()
    world.go(2)
    assert len(world.backend.running) == 1


def test_a_machine_that_goes_bad_after_its_proof_costs_jobs_a_try_and_no_more(clock, shared):
    world = World(Quick(("good", 1, 0), ("bad", 1, 0)), clock, shared)
    tickets = world.submit(6)
    world.go(3)
    world.backend.lacks = {"bad": ["the output folder /out cannot be written there: Read-only file system"]}

    def each() -> None:
        for ticket in world.on("bad"):
            world.backend.finish(ticket, ("storage", "cannot write"))
        for ticket in world.on("good"):
            world.backend.finish(ticket)

    world.go(30, 0.0, each)
    lost = [outcome for _, outcome in world.ended if outcome.failure is not None]
    assert [outcome.failure for outcome in lost] == ["worker_lost"]
    assert "bad cannot run jobs: the output folder /out cannot be written there" in lost[0].message
    assert len(world.ended) == len(tickets)
    assert len(world.told) == 1
    assert world.told[0].startswith("bad (address of bad) gets no jobs: the output folder /out cannot be written there")


@pytest.mark.parametrize(("failure", "log"), [("storage", "/out/jobs/0.log"), ("data", ""), ("bug", "")])
def test_a_failure_on_a_machine_that_is_good_is_the_jobs_own(clock, shared, failure, log):
    """Of storage, or before there was a log: as of a job file that cannot be read."""
    world = World(Quick(("a", 1, 0)), clock, shared)
    (ticket,) = world.submit()
    world.go(2)
    outcome = JobOutcome("0", failure, "no", log, seconds=1.0)
    world.backend.happened.append(Done(ticket.places[0], ticket, outcome, 20001))
    world.go(4)
    assert [(outcome.failure, outcome.message) for _, outcome in world.ended] == [(failure, "no")]
    assert world.backend.asked == ["a", "a"]
    assert world.told == []


def test_other_failures_ask_nobody(clock, shared):
    world = World(Quick(("a", 1, 0)), clock, shared)
    (ticket,) = world.submit()
    world.go(2)
    outcome = JobOutcome("0", "data", "no", "/out/jobs/0.log", seconds=1.0)
    world.backend.happened.append(Done(ticket.places[0], ticket, outcome, 20001))
    world.go(4)
    assert [outcome.failure for _, outcome in world.ended] == ["data"]
    assert world.backend.asked == ["a"]


def test_a_machine_that_was_set_aside_is_asked_again_three_times_and_may_come_back(clock, shared):
    backend = Quick(("good", 1, 0), ("bad", 1, 0))
    backend.lacks = {"bad": ["the data folder /data is not there"]}
    world = World(backend, clock, shared)
    world.submit(2)
    world.go(5)
    assert backend.asked.count("bad") == 1
    world.go(10, AGAIN[0] / 5, world.live)
    assert backend.asked.count("bad") == 2
    backend.lacks = {}
    world.go(10, AGAIN[1] / 5, world.live)
    assert len(world.on("bad")) == 1
    assert world.told == [
        "bad (address of bad) gets no jobs: the data folder /data is not there",
        "bad (address of bad) gets jobs again",
    ]


def test_a_machine_that_stays_bad_is_asked_no_more_than_three_times(clock, shared):
    backend = Quick(("good", 1, 0), ("bad", 1, 0))
    backend.lacks = {"bad": ["the data folder /data is not there"]}
    world = World(backend, clock, shared)
    world.submit(2)
    world.go(200, 10.0, world.live)
    assert backend.asked.count("bad") == 1 + len(AGAIN)
    assert len(world.told) == 1


def test_a_disk_that_is_full_for_a_while_everywhere_ends_no_run(clock, shared):
    """All machines are set aside; they are asked again, as they were good."""
    world = World(Quick(("a", 1, 0), ("b", 1, 0)), clock, shared)
    tickets = world.submit(2)
    world.go(2)
    full = ["the output folder /out cannot be written there: No space left"]
    world.backend.lacks = {"a": full, "b": full}
    for ticket in tickets:
        world.backend.finish(ticket, ("storage", "the disk is full"))
    world.go(5, 2.0)
    assert [outcome.failure for _, outcome in world.ended] == ["worker_lost"] * 2
    world.backend.lacks = {}
    world.submit(2)
    world.go(10, AGAIN[0] / 5)
    assert len(world.backend.running) == 2


def test_machines_that_stay_bad_end_the_run_once_they_have_been_asked_for_the_last_time(clock, shared):
    world = World(Quick(("a", 1, 0)), clock, shared)
    (ticket,) = world.submit()
    world.go(2)
    world.backend.lacks = {"a": ["the output folder /out is not there"]}
    world.backend.finish(ticket, ("storage", "no such folder"))
    world.go(2)
    world.submit()
    with pytest.raises(HarnessError, match="no machine of the cluster can run the jobs") as caught:
        world.go(100, 10.0)
    assert "a (address of a): the output folder /out is not there" in str(caught.value)
    assert world.backend.asked == ["a"] * (2 + len(AGAIN))  # the first time, after the failure, and again
    assert sum(AGAIN) < clock.now - 1000.0 < EMPTY


def test_a_cluster_that_loses_all_machines_ends_the_run_after_a_while(clock):
    world = World(Quick(("a", 1, 0)), clock)
    world.submit(2)
    world.go(2)
    world.backend.machines = []
    world.go(int(EMPTY / 10) - 5, 10.0)
    with pytest.raises(HarnessError, match=r"room for what is left \(1 CPU\) has been in the cluster") as caught:
        world.go(10, 10.0)
    assert caught.value.kind == "worker_lost"
    assert "run the same command" in caught.value.hint


def test_jobs_that_no_machine_holds_are_waited_for_while_others_run(clock):
    world = World(Quick(("large", 2, 0), ("small", 1, 0)), clock)
    world.pool.submit("/out/jobs/0.json", Request(2))
    world.go(2)
    world.pool.submit("/out/jobs/1.json", Request(1))
    world.go(2)
    world.backend.machines = [("small", 1, 0)]
    world.go(2, 4.0)
    (lost,) = [ticket for ticket, _ in world.ended]
    world.pool.submit(lost.job_file, Request(2))
    (running,) = world.backend.running
    world.go(int(2 * EMPTY / 10), 10.0, world.live)
    world.backend.finish(running)
    with pytest.raises(HarnessError, match=r"\(2 CPUs\)"):
        world.go(int(2 * EMPTY / 10), 10.0)
    assert len(world.ended) == 2


def test_signs_that_cannot_be_read_count_against_nobody(clock):
    world = World(Quick(("a", 1, 0)), clock)
    world.submit(1, Request(patience=100.0))
    world.go(2)
    (ticket,) = world.backend.running

    def signs(beats: int) -> None:
        world.backend.signs = {ticket.places[0]: f"{clock.now} {beats}".encode()}

    world.go(10, 5.0, lambda: signs(1))
    world.backend.signs = None
    world.go(100, 5.0)
    world.go(9, 5.0, lambda: signs(1))  # 45 + 45 s without progress, and 500 in which nobody could look
    assert world.ended == []
    world.go(8, 5.0, lambda: signs(1))
    ((_, outcome),) = world.ended
    assert "has made no progress for 1" in outcome.message
    assert outcome.message.endswith("run.patience is 100 s")


def test_reads_that_fail_now_and_then_hide_no_job_that_stands_still(clock):
    world = World(Quick(("a", 1, 0)), clock)
    world.submit(1, Request(patience=100.0))
    world.go(2)
    (ticket,) = world.backend.running
    for look in range(80):
        world.backend.signs = {ticket.places[0]: f"{look} 1".encode()} if look % 5 else None
        world.go(1, 5.0)
        if world.ended:
            break
    assert 20 <= look <= 40


def test_a_driver_that_was_held_up_finds_its_workers_alive(clock):
    """The first signs after it are those that were left before it, as when the head was away."""
    world = World(Quick(("a", 1, 0)), clock)
    world.submit(1, Request(patience=100.0))
    world.go(2)
    (ticket,) = world.backend.running
    world.backend.signs = {ticket.places[0]: b"7 7"}
    world.go(2, 5.0)
    world.go(1, 1000.0)
    assert world.ended == []


def test_a_worker_that_is_warm_after_its_end_is_forgotten(clock):
    world = World(Quick(("a", 1, 0), cold=True), clock)
    (ticket,) = world.submit()
    (place,) = ticket.places
    world.backend.die(place)
    world.backend.warm(place)
    world.go(2)
    assert place not in world.pool._ports
    assert list(world.backend.running) == []
