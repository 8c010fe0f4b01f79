"""Warm workers on a real Ray of this machine: reuse, loss, shapes, stopping. The jobs are real `shards` jobs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from harness.api.reference import PartRef
from harness.api.running import JobOutcome, Request
from harness.api.sets import PreparedSet
from harness.core.errors import HarnessError
from harness.core.paths import Layout, write_text
from harness.data.shards import open_set
from harness.planning.job import Job, ShardsWork
from harness.scheduling.drive import drive
from harness.scheduling.ray_backend import RayBackend
from harness.scheduling.ray_pool import RayPool
from harness.scheduling.room import Ticket
from harness.tracking.null import NullTracker
from tests.unit.scheduling.plans import plan
from tests.unit.scheduling.test_drive import Notes

PLUGIN = str(Path(__file__).with_name("slow_plugin.py"))
SMALL, LARGE, PAIR = Request(1), Request(2), Request(1, processes=2)
PATIENCE = 90.0
SILENCE = 15.0
"""Seconds after which a worker that says nothing counts as lost."""

pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def shared(short_home: Path) -> Iterator[list[RayPool]]:
    """The pool of this module, once it has started; whoever stops it takes it out.

    Ray writes a token into the home folder and sockets below RAY_TMPDIR.
    """
    pools: list[RayPool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(short_home))
        patch.setenv("RAY_TMPDIR", str(short_home))
        patch.delenv("RAY_ADDRESS", raising=False)
        yield pools
        for pool in pools:
            pool.stop()


@pytest.fixture
def pool(shared: list[RayPool]) -> RayPool:
    """Two CPUs. Workers stay warm from test to test."""
    if not shared:
        shared.append(RayPool(None, cpus=2, gpus=0, silence=SILENCE, look=1.0))
    return shared[0]


class Bench:
    """Makes jobs below one folder, and looks at what they noted."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "out", folder / "data")
        self.note, self.gate = folder / "note", folder / "gate"

    def job(self, number: int, *, held: bool = False) -> Job:
        options = {"note": str(self.note), "until": str(self.gate) if held else ""}
        specks = PartRef(name="specks", options={"number": number}, digest=f"specks-{number}")
        work = ShardsWork(
            stored=PreparedSet(dataset=specks, split="train", degradation=PartRef(name="hold", options=options))
        )
        return Job(work=work, plugins=(PLUGIN,), out=str(self.layout.out), data=str(self.layout.data))

    def file(self, number: int, *, held: bool = False) -> str:
        job = self.job(number, held=held)
        write_text(self.layout.job_file(job.id), job.model_dump_json())
        return str(self.layout.job_file(job.id))

    def pids(self, count: int = 0, *, which: str = "") -> list[int]:
        """Process of every job that began, in order, once there are `count`; only of those `held` or `free`."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.note.read_text().splitlines() if self.note.exists() else []
            lines = [line for line in lines if line.endswith(which)]
            if len(lines) >= count:
                return [int(line.split()[0]) for line in lines]
            time.sleep(0.05)
        raise AssertionError(f"{count} jobs did not begin within {PATIENCE} s")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def results(pool: RayPool, count: int) -> dict[object, JobOutcome]:
    ended: dict[object, JobOutcome] = {}
    deadline = time.monotonic() + PATIENCE
    while len(ended) < count:
        assert time.monotonic() < deadline, f"{len(ended)} of {count} jobs ended"
        ended.update({id(ticket): outcome for ticket, outcome in pool.poll(1.0)})
    return ended


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_warm_worker_takes_one_job_after_the_other(pool, bench):
    assert pool.capacity() == {"cpus": 2.0, "gpus": 0.0}
    pool.expect([LARGE] * 3)
    tickets = [pool.submit(bench.file(number), LARGE) for number in range(3)]
    ended = results(pool, 3)
    assert [ended[id(ticket)].failure for ticket in tickets] == [None] * 3
    assert len(set(bench.pids())) == 1
    assert bench.pids()[0] != os.getpid()
    assert bench.note.read_text().splitlines()[0].split()[1:3] == ["2", "''"]  # threads as asked for, no GPU in sight
    began = time.monotonic()
    pool.submit(bench.file(3), LARGE)
    results(pool, 1)
    assert time.monotonic() - began < 2.0  # nothing is imported again
    assert open_set(bench.job(3).work.stored, bench.layout.data).manifest_sha256


def test_as_many_at_once_as_fit_and_the_first_in_line_first(pool, bench):
    held = [pool.submit(bench.file(number, held=True), SMALL) for number in range(2)]
    late = pool.submit(bench.file(2), SMALL, priority=5)
    early = pool.submit(bench.file(3), SMALL, priority=1)
    deadline = time.monotonic() + PATIENCE
    while len(list(pool.running())) < 2 and time.monotonic() < deadline:
        pool.poll(0.2)
    assert set(map(id, pool.running())) == set(map(id, held))
    assert len(set(bench.pids(2))) == 2
    bench.gate.touch()
    assert {outcome.failure for outcome in results(pool, 4).values()} == {None}
    assert early.started < late.started
    assert not list(pool.running())


def test_two_shapes_take_turns(pool, bench):
    """A large job needs the CPUs of idle small workers: they end, and small ones come again afterwards."""
    for number, shape in enumerate([SMALL, SMALL, LARGE, SMALL]):
        pool.submit(bench.file(number), shape)
        assert [outcome.failure for outcome in results(pool, 1).values()] == [None]
    small, again, large, last = bench.pids()
    assert small == again
    assert len({small, large, last}) == 3
    wait_until_gone(small)
    wait_until_gone(large)


def test_a_killed_worker_is_a_lost_job_and_the_pool_goes_on(pool, bench):
    ticket = pool.submit(bench.file(0, held=True), SMALL)
    while not list(pool.running()):
        pool.poll(0.2)
    os.kill(bench.pids(1)[0], signal.SIGKILL)
    outcome = results(pool, 1)[id(ticket)]
    assert outcome.failure == "worker_lost"
    assert outcome.job_id == bench.job(0, held=True).id
    assert outcome.message
    bench.gate.touch()
    pool.submit(bench.file(0, held=True), SMALL)
    assert [outcome.failure for outcome in results(pool, 1).values()] == [None]
    assert len(set(bench.pids())) == 2


class KillFirst(Notes):
    """A progress that kills the worker of the held job."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench

    def started(self, job: Job) -> None:
        super().started(job)
        if len([line for line in self.lines if line.startswith("started")]) == 1:
            os.kill(self.bench.pids(1, which="held")[0], signal.SIGKILL)
            self.bench.gate.touch()


def test_a_run_survives_the_loss_of_a_worker(pool, shared, bench):
    layout, progress = bench.layout, KillFirst(bench)
    shared.clear()  # a run stops its executor
    tracker = NullTracker(None, layout, "s")
    summary = drive(plan(bench.job(0, held=True), bench.job(1)), pool, tracker, layout, progress)
    assert (summary.done, summary.failures) == (2, [])
    assert [line for line in progress.lines if line.startswith("retry")] == [f"retry 1 {bench.job(0, held=True).id}"]
    assert open_set(bench.job(0, held=True).work.stored, layout.data).manifest_sha256


def test_a_failed_job_leaves_its_worker_warm(pool, bench):
    broken = bench.job(0)
    missing = broken.model_copy(update={"plugins": ()})
    path = bench.layout.job_file("broken")
    write_text(path, missing.model_dump_json())
    pool.submit(str(path), SMALL)
    (outcome,) = results(pool, 1).values()
    assert outcome.failure == "suite"
    assert "specks" in outcome.message
    pool.submit(bench.file(1), SMALL)
    assert [outcome.failure for outcome in results(pool, 1).values()] == [None]


def test_stop_ends_the_workers_at_once_and_leaves_ray(pool, shared, bench):
    shared.clear()
    pool.submit(bench.file(0, held=True), SMALL)
    while not list(pool.running()):
        pool.poll(0.2)
    (pid,) = bench.pids(1)
    began = time.monotonic()
    pool.stop()
    deadline = began + 10
    while not is_gone(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("address", "words"), [("127.0.0.1:1", "no Ray cluster answers"), ("somewhere", "not the address of a Ray cluster")]
)
def test_an_address_where_nobody_is_is_said_at_once(address, words):
    with pytest.raises(HarnessError, match=words):
        RayPool(address)


def test_a_worker_ignores_ctrl_c(pool, bench):
    pool.submit(bench.file(0, held=True), SMALL)
    while not list(pool.running()):
        pool.poll(0.2)
    os.kill(bench.pids(1)[0], signal.SIGINT)
    time.sleep(0.3)
    bench.gate.touch()
    assert [outcome.failure for outcome in results(pool, 1).values()] == [None]


def test_what_no_machine_has_is_refused_before_anything_starts(pool):
    with pytest.raises(HarnessError, match="3 cpus, but there are only 2"):
        pool.expect([SMALL, Request(3)])
    assert not list(pool.running())


def pids_of(pool: RayPool, ticket: Ticket) -> list[int]:
    """The processes of the workers that ran a job, rank by rank."""
    assert isinstance(pool._backend, RayBackend)
    held = pool._backend._held
    actors = [held[place.slot].actors[place] for place in ticket.places]
    return ray.get([actor.__ray_call__.remote(lambda worker: os.getpid()) for actor in actors])


def gang(pool: RayPool, bench: Bench, number: int = 0) -> list[int]:
    """Runs a job of two processes, and gives those."""
    ticket = pool.submit(bench.file(number), PAIR)
    assert results(pool, 1)[id(ticket)].failure is None
    return pids_of(pool, ticket)


def held_gang(pool: RayPool, bench: Bench, number: int) -> Ticket:
    """A job whose two processes are at work: one makes the set, the other waits for it."""
    ticket = pool.submit(bench.file(number, held=True), PAIR)
    while not list(pool.running()):
        pool.poll(0.2)
    bench.pids(1, which="held")
    other = bench.layout.job_log(bench.job(number, held=True).id, 1)
    assert other.exists()
    return ticket


def test_a_gang_meets_and_its_processes_stay_for_the_next_job(pool, bench):
    """Both processes of a job begin a real process group, and end it with the job."""
    first = gang(pool, bench)
    assert len(set(first)) == 2
    began = time.monotonic()
    assert set(gang(pool, bench, 1)) == set(first)
    assert time.monotonic() - began < 20
    for rank in (0, 1):
        log = bench.layout.job_log(bench.job(1).id, rank).read_text()
        assert f"rank {rank} of 2" in log
    ticket = pool.submit(bench.file(3), SMALL)  # one of them runs what needs no other
    results(pool, 1)
    assert set(pids_of(pool, ticket)) < set(first)


def test_a_killed_process_ends_its_gang_and_another_takes_the_job(pool, bench):
    before = set(gang(pool, bench))
    ticket = held_gang(pool, bench, 1)
    (working,) = bench.pids(1, which="held")
    (other,) = before - {working}
    os.kill(other, signal.SIGKILL)
    outcome = results(pool, 1)[id(ticket)]
    assert outcome.failure == "worker_lost"
    wait_until_gone(working)
    bench.gate.touch()
    again = pool.submit(bench.file(1, held=True), PAIR)
    assert results(pool, 1)[id(again)].failure is None
    assert not set(pids_of(pool, again)) & before


def test_a_frozen_process_is_found_and_ended_with_its_gang(pool, bench):
    before = set(gang(pool, bench))
    ticket = held_gang(pool, bench, 1)
    (working,) = bench.pids(1, which="held")
    os.kill(working, signal.SIGSTOP)
    outcome = results(pool, 1)[id(ticket)]
    assert outcome.failure == "worker_lost"
    assert "has not answered for" in outcome.message
    for pid in before:
        wait_until_gone(pid)
    assert not set(gang(pool, bench, 2)) & before


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while not is_gone(pid):
        assert time.monotonic() < deadline, "a process of the gang lives on"
        time.sleep(0.1)
