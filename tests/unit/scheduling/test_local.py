"""Jobs without Ray: a gang is real processes of this machine, and none of them is left whatever happens to one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.api.running import JobOutcome, Request
from harness.jobs import local_gang
from harness.jobs.notes import note_outcome
from harness.jobs.run import read_job, run_job_file
from harness.planning.job import Job
from harness.scheduling.local import LocalExecutor
from tests.odd_loss import odd_job
from tests.small_world import RUN, SmallWorld, prepared, small_cell, world

__all__ = ["prepared", "world"]


def run_locally(world: SmallWorld, job: Job) -> JobOutcome:
    executor = LocalExecutor()
    handle = executor.submit(str(world.write(job)), Request(processes=job.processes))
    ((ended, outcome),) = executor.poll(1.0)
    assert ended is handle
    assert not list(executor.running())
    return outcome


def gang_processes(world: SmallWorld) -> list[psutil.Process]:
    """The processes of this test's jobs that still live."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        mine = "harness.jobs.rank" in line and any(str(world.layout.out) in part for part in line)
        if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def test_a_gang_trains_as_one_process_does(world: SmallWorld, tmp_path: Path) -> None:
    alone = SmallWorld(world.layout.__class__(tmp_path / "alone", world.layout.data))
    cell = small_cell()
    outcome = run_locally(world, world.train_job(cell, run=RUN.model_copy(update={"processes": 2})))
    assert (outcome.failure, outcome.rank) == (None, 0), outcome
    assert run_job_file(str(alone.write(alone.train_job(cell)))).failure is None
    for (step, loss, rate), one in zip(world.curve(cell), alone.curve(cell), strict=True):
        assert (step, loss, rate) == (one[0], pytest.approx(one[1], rel=1e-5), one[2])
    assert [attempt.outcome for attempt in world.record(cell).attempts] == ["done"]
    logs = [world.layout.job_log(f"train-{cell.id}", rank).read_text() for rank in range(2)]
    assert all("done" in text for text in logs)
    assert "rank 1 of 2" in logs[1]


@pytest.mark.parametrize(
    ("act", "kind", "words"),
    [
        ("kill", "worker_lost", "(rank 1 of 2) was ended by SIGKILL"),
        ("raise", "plugin", "loss odd: KeyError: 'mine'"),
        pytest.param("memory", "memory", "MemoryError", marks=pytest.mark.slow),
        pytest.param("stop", "worker_lost", "(rank 1 of 2) has said nothing", marks=pytest.mark.slow),
    ],
)
def test_the_process_that_has_a_reason_decides_and_it_is_noted_once(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, kind: str, words: str
) -> None:
    monkeypatch.setenv("ODD", act)
    monkeypatch.setattr(local_gang, "SILENCE", 15.0)
    job, cell = odd_job(world, tmp_path, processes=2)
    outcome = run_locally(world, job)
    assert (outcome.failure, outcome.rank, outcome.noted) == (kind, 1, False), outcome
    assert words in outcome.message
    assert outcome.log == str(world.layout.job_log(job.id, 1))
    assert not gang_processes(world)
    note_outcome(job, world.layout, outcome)
    (attempt,) = world.record(cell).attempts
    assert (attempt.outcome, attempt.failure, attempt.message) == ("failed", kind, outcome.message)


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_command_and_an_interrupt_is_noted(
    world: SmallWorld, tmp_path: Path, how: signal.Signals
) -> None:
    job, cell = odd_job(world, tmp_path, processes=2)
    reached = tmp_path / "reached"
    environment = {**os.environ, "ODD": "wait", "ODD_FILE": str(reached)}
    command = [sys.executable, "-m", "harness.jobs", str(world.write(job))]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(reached, process)
        ranks = gang_processes(world)
        assert len(ranks) == 2
        process.send_signal(how)
        process.communicate()
        assert psutil.wait_procs(ranks, timeout=30)[1] == []
    finally:
        process.kill()
        process.wait()
    assert process.returncode != 0
    if how == signal.SIGINT:
        assert [attempt.outcome for attempt in world.record(cell).attempts] == ["interrupted"]


def test_the_command_runs_a_gang_too_and_begins_a_new_try(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", "raise")
    job, cell = odd_job(world, tmp_path, processes=2)
    file = world.write(job.model_copy(update={"attempt": "the one before"}))
    done = subprocess.run([sys.executable, "-m", "harness.jobs", str(file)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "failed (plugin): " in done.stderr
    token = json.loads(file.read_text())["attempt"]
    assert token == world.layout.job_attempt(job.id).read_text() != "the one before"
    assert [attempt.failure for attempt in world.record(cell).attempts] == ["plugin"]
    assert read_job(file).id == job.id
