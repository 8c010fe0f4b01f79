"""Jobs whose results lie on a store: another machine's job file by its URL, what it leaves there, who is superseded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.jobs.run import run_job_file
from harness.planning.job import Job
from harness.records.mirrored import bring_cell, bring_whole, job_place, send_attempt
from harness.storage import reach
from harness.storage.outgoing import Outgoing
from harness.storage.store import Store
from tests.small_world import SmallWorld, small_cell
from tests.unit.storage.conftest import Machines


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.setattr(reach, "WAITS", (0.01,))
    monkeypatch.setattr(reach, "LONG_WAITS", (0.01,))
    yield Machines(tmp_path, monkeypatch)
    fsspec.filesystem("memory").store.clear()


def world_on(machines: Machines, name: str, data: Path) -> SmallWorld:
    return SmallWorld(Layout(machines(name).files, data))


def handed_out(world: SmallWorld, job: Job, attempt: str = "first") -> str:
    """Writes a job's file and its try's name as the driver does; gives where workers find it."""
    job = job.model_copy(update={"out": "..", "attempt": attempt})
    world.write(job)
    world.layout.job_attempt(job.id).write_text(attempt)
    return job_place(world.layout, job.id)


def test_a_cell_that_two_machines_make_is_the_one_that_one_makes(machines: Machines, world: SmallWorld) -> None:
    cell = small_cell()
    for job in (world.train_job(cell), world.evaluate_job(cell)):
        assert run_job_file(str(world.write(job))).failure is None
    driver = world_on(machines, "driver", world.layout.data)
    for job, name in ((driver.train_job(cell), "one"), (driver.evaluate_job(cell), "two")):
        place = handed_out(driver, job)
        assert place == f"{machines.url}/jobs/{job.id}.json"
        machines(name)
        outcome = run_job_file(place)
        assert outcome.failure is None, outcome.message
        bring_cell(driver.layout, cell.id)
    assert driver.record(cell).training.checkpoint_sha256 == world.record(cell).training.checkpoint_sha256
    assert driver.rows(cell) == world.rows(cell)
    assert not driver.layout.final_weights(cell.id).exists(), "the driver needs no weights"
    assert not (machines("two").files / "cells" / cell.id / "checkpoint" / "step-00000004").exists()
    done = Store(machines.url).read(f"jobs/{driver.evaluate_job(cell).id}.log")
    assert done is not None
    assert b"done" in done


def test_a_failure_is_on_the_stores_record(
    machines: Machines, world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DataError("image a cannot be read")

    monkeypatch.setattr("harness.jobs.train.run", broken)
    driver, cell = world_on(machines, "driver", world.layout.data), small_cell()
    place = handed_out(driver, driver.train_job(cell))
    machines("one")
    assert run_job_file(place).failure == "data"
    bring_cell(driver.layout, cell.id)
    failure = driver.record(cell).failure
    assert failure is not None
    assert failure.message == "image a cannot be read"


def test_a_job_that_was_given_up_stops_at_its_next_checkpoint_and_replaces_nothing(
    machines: Machines, world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, cell = world_on(machines, "driver", world.layout.data), small_cell()
    job = driver.train_job(cell)
    place, plain = handed_out(driver, job), Outgoing.send

    def given_up_first(self: Outgoing) -> None:
        driver.layout.job_attempt(job.id).write_text("second")
        send_attempt(driver.layout, job.id)
        plain(self)
        for _ in range(500):
            if self._superseded is not None:
                break
            self._thread.join(0.01)

    machines("one")
    with monkeypatch.context() as patched:
        patched.setattr(Outgoing, "send", given_up_first)
        outcome = run_job_file(place)
    assert outcome.failure == "worker_lost", outcome.message
    assert not [key for key in machines.objects() if key.startswith("units/")]
    place = handed_out(driver, job, "third")
    outcome = run_job_file(place)  # on the machine where the first one ran
    assert outcome.failure is None, outcome.message
    bring_whole(driver.layout, cell.id)
    assert driver.layout.final_weights(cell.id).is_file()


def test_a_store_that_is_gone_when_a_job_ends_fails_it_as_storage_and_the_next_try_goes_on(
    machines: Machines, world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, cell = world_on(machines, "driver", world.layout.data), small_cell()
    place, plain = handed_out(driver, driver.train_job(cell)), Outgoing.finish

    def lost(*_: object, **__: object) -> None:
        raise ConnectionError("refused")

    def finish(self: Outgoing) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("fsspec.implementations.memory.MemoryFileSystem.pipe_file", lost)
            plain(self)

    machines("one")
    with monkeypatch.context() as patched:
        patched.setattr(Outgoing, "finish", finish)
        outcome = run_job_file(place)
    assert outcome.failure == "storage", outcome.message
    machines("two")
    assert run_job_file(place).failure is None
    bring_cell(driver.layout, cell.id)
    assert driver.record(cell).training is not None
    assert driver.record(cell).attempts[-1].resumed_at, "from a checkpoint that had been sent"


def test_a_job_that_is_not_there_is_named(machines: Machines) -> None:
    outcome = run_job_file(f"{machines.url}/jobs/train-x.json")
    assert (outcome.failure, "no such object" in outcome.message) == ("data", True)
