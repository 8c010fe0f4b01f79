"""A run of a plan: order, retries, failures, interruption, and what the record and the tracker are told.

Jobs end here as a scripted executor says; tests/flow runs real ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.api.running import JobOutcome, Request, Shared
from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.planning.job import Job
from harness.records.store import load
from harness.scheduling import drive as driving
from harness.scheduling.drive import drive
from tests.unit.scheduling.plans import evaluate, plan, shards, train


class Script:
    """An executor that runs one job at a time, the lowest priority first, and ends it as `ending` says."""

    def __init__(self, ending: Callable[[str, int], str | None] = lambda job, attempt: None) -> None:
        self.ending = ending
        self.log: list[str] = []
        self.waiting: list[tuple[int, str, object]] = []
        self.stopped = False
        self.expected: list[Request] = []
        self.shared: Shared | None = None
        self.handed: list[Job] = []
        """The jobs as they were handed out, in order."""
        self.fences: list[str] = []
        """What each one's fence said then."""
        self.near: list[str] = []
        self.left = False
        """Whether machines that are lost take their leave."""

    def prove(self, shared: Shared, tell: Callable[[str], None]) -> None:
        self.shared = shared

    def capacity(self) -> Mapping[str, float]:
        return {"cpus": 2.0, "gpus": 0.0}

    def expect(self, requests: Sequence[Request]) -> None:
        self.expected = list(requests)

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> object:
        job = Job.model_validate_json(Path(job_file).read_bytes())
        self.handed.append(job)
        self.fences.append(Path(job_file).with_suffix(".attempt").read_text())
        self.near.append(near)
        handle = object()
        self.waiting.append((priority, job.id, handle))
        return handle

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        self.waiting.sort(key=lambda entry: entry[0])
        _, job_id, handle = self.waiting.pop(0)
        self.log.append(job_id)
        failure = self.ending(job_id, self.log.count(job_id))
        said = "it broke" if failure else ""
        return [(handle, JobOutcome(job_id, failure, said, seconds=0.5, left=self.left))]

    def running(self) -> Sequence[Any]:
        return [self.waiting[0][2]] if self.waiting else []

    def stop(self) -> None:
        self.stopped = True


class Notes:
    """A tracker and a progress that remember."""

    def __init__(self, reasons: Mapping[str, str] | Exception | None = None) -> None:
        self.reasons = reasons or {}
        self.synced: list[str] = []
        self.lines: list[str] = []

    def behind(self, cell_ids: Sequence[str]) -> Sequence[str]:
        return ()

    def sync(self, cell_ids: Sequence[str]) -> Mapping[str, str]:
        if isinstance(self.reasons, Exception):
            raise self.reasons
        self.synced += cell_ids
        return {cell_id: reason for cell_id, reason in self.reasons.items() if cell_id in cell_ids}

    def close(self) -> None:
        self.lines.append("tracker closed")

    def begin(self, plan: Any) -> None: ...

    def started(self, job: Job) -> None:
        self.lines.append(f"started {job.id}")

    def finished(self, job: Job, outcome: JobOutcome) -> None:
        self.lines.append(f"finished {job.id} {outcome.failure}")

    def retrying(self, job: Job, outcome: JobOutcome, retry: int) -> None:
        self.lines.append(f"retry {retry} {job.id}")

    def warn(self, message: str) -> None:
        self.lines.append(f"warning {message}")

    def end(self) -> None:
        self.lines.append("end")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path, tmp_path / "data")


def run(jobs, layout, script, notes=None, states=None):
    notes = notes or Notes()
    return drive(plan(*jobs, states=states), script, notes, layout, notes), notes


def test_jobs_run_in_plan_order_as_their_needs_allow(layout):
    made = shards("train", layout.out)
    early, late = train(0, layout.out, (made.id,)), train(1, layout.out, (made.id,))
    scored = evaluate(0, layout.out, (early.id,))
    script = Script()
    summary, notes = run([made, early, scored, late], layout, script)
    assert script.log == [
        made.id,
        early.id,
        scored.id,
        late.id,
    ]  # `late` was ready first, `scored` is earlier in the plan
    assert (summary.done, summary.already, summary.failures, summary.not_run) == (4, 0, [], [])
    assert summary.job_seconds == 2.0
    assert script.stopped
    assert len(script.expected) == 4
    assert set(notes.synced) == {early.cell_id, late.cell_id}
    assert notes.lines[:2] == [f"started {made.id}", f"finished {made.id} None"]
    assert notes.lines.count(f"started {early.id}") == 1
    assert "end" in notes.lines
    assert "tracker closed" in notes.lines


def test_jobs_that_are_done_are_not_submitted(layout):
    made = shards("train", layout.out)
    trained = train(0, layout.out, (made.id,))
    script = Script()
    summary, _ = run([made, trained], layout, script, states={made.id: "done"})
    assert script.log == [trained.id]
    assert (summary.done, summary.already) == (1, 1)


def test_a_failed_job_does_not_stop_the_others(layout):
    broken, fine = train(0, layout.out), train(1, layout.out)
    scored = evaluate(0, layout.out, (broken.id,))
    script = Script(lambda job, attempt: "nan" if job == broken.id else None)
    summary, notes = run([broken, scored, fine], layout, script)
    assert script.log == [broken.id, fine.id]
    assert [(failure.title, failure.kind, failure.message) for failure in summary.failures] == [
        ("train denoise NAFNet base seed 0", "nan", "it broke")
    ]
    assert summary.failures[0].log == ""  # it has left none
    assert summary.not_run == [
        ("evaluate denoise NAFNet base seed 0", "not run: needs train denoise NAFNet base seed 0")
    ]
    assert broken.cell_id in notes.synced  # the tracker is to show the failure
    assert summary.done == 1


def test_a_lost_worker_is_tried_again_and_noted(layout):
    job = train(0, layout.out, run=Run(retries=2))
    script = Script(lambda _, attempt: "worker_lost" if attempt < 3 else None)
    summary, notes = run([job], layout, script)
    assert script.log == [job.id] * 3
    assert (summary.done, summary.failures) == (1, [])
    assert [line for line in notes.lines if line.startswith("retry")] == [f"retry 1 {job.id}", f"retry 2 {job.id}"]
    record = load(layout, job.cell_id)
    assert record is not None
    assert [(a.job, a.outcome, a.failure, a.message) for a in record.attempts] == [
        (job.id, "failed", "worker_lost", "it broke")
    ] * 2
    assert record.labels == {"task": "denoise", "backbone": "NAFNet", "variant": "base"}
    assert record.cell == job.work.cell.model_dump(mode="json")


def test_a_worker_that_is_lost_too_often_is_a_failure(layout):
    job = train(0, layout.out, run=Run(retries=1))
    script = Script(lambda _, attempt: "worker_lost")
    summary, _ = run([job], layout, script)
    assert script.log == [job.id] * 2
    assert [failure.kind for failure in summary.failures] == ["worker_lost"]
    record = load(layout, job.cell_id)
    assert record is not None
    assert record.failure is not None
    assert record.failure.kind == "worker_lost"
    assert len(record.attempts) == 2


def test_lost_shards_have_no_record_and_are_tried_again(layout):
    job = shards("train", layout.out)
    script = Script(lambda _, attempt: "worker_lost" if attempt == 1 else None)
    summary, notes = run([job], layout, script)
    assert (script.log, summary.done) == ([job.id] * 2, 1)
    assert notes.synced == []
    assert not (layout.out / "cells").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_executor_and_comes_through(layout, number):
    jobs = [train(0, layout.out), train(1, layout.out)]

    def interrupt(job: str, attempt: int) -> None:
        os.kill(os.getpid(), number)

    script, notes = Script(interrupt), Notes()
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        drive(plan(*jobs), script, notes, layout, notes)
    assert script.stopped
    assert script.log == [jobs[0].id]
    assert notes.lines[-1] == "end"
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_executor_that_refuses_is_stopped_and_nothing_started(layout):
    class Refusing(Script):
        def expect(self, requests: Sequence[Request]) -> None:
            raise HarnessError("too much")

    script = Refusing()
    with pytest.raises(HarnessError, match="too much"):
        run([train(0, layout.out)], layout, script)
    assert script.stopped
    assert script.log == []


def test_a_tracker_that_lags_is_said_once_and_fails_nothing(layout):
    jobs = [train(0, layout.out), train(1, layout.out)]
    reasons = dict.fromkeys([str(job.cell_id) for job in jobs], "the server is down")
    summary, notes = run(jobs, layout, Script(), Notes(reasons))
    assert summary.untracked == reasons
    assert summary.failures == []
    assert [line for line in notes.lines if line.startswith("warning")] == [
        "warning tracking is behind: the server is down"
    ]


def test_a_tracker_that_breaks_fails_nothing(layout):
    job = train(0, layout.out)
    summary, _ = run([job], layout, Script(), Notes(RuntimeError("no such column")))
    assert summary.untracked == {job.cell_id: "RuntimeError: no such column"}
    assert (summary.done, summary.failures) == (1, [])


def test_the_job_file_holds_the_job(layout):
    job = train(0, layout.out)
    script = Script()
    run([job], layout, script)
    found = Job.model_validate_json(layout.job_file(job.id).read_bytes())
    assert found.model_copy(update={"attempt": ""}) == job
    assert script.fences == [found.attempt]


def test_every_try_of_a_job_has_a_fence_of_its_own_that_is_up_before_it_is_handed_out(layout):
    job = train(0, layout.out, run=Run(retries=2))
    script = Script(lambda _, attempt: "worker_lost" if attempt < 3 else None)
    run([job], layout, script)
    tokens = [each.attempt for each in script.handed]
    assert len(set(tokens)) == 3
    assert script.fences == tokens


def test_a_worker_that_was_given_up_for_good_may_not_write_any_more(layout):
    job = train(0, layout.out, run=Run(retries=0))
    script = Script(lambda _, attempt: "worker_lost")
    run([job], layout, script)
    assert layout.job_attempt(job.id).read_text() not in ("", script.handed[0].attempt)


def test_training_that_runs_out_of_memory_is_tried_once_more_with_half_the_micro_batch(layout):
    job = train(0, layout.out)
    script = Script(lambda _, attempt: "memory" if attempt == 1 else None)
    summary, notes = run([job], layout, script)
    assert [each.halved for each in script.handed] == [0, 1]
    assert (summary.done, summary.failures) == (1, [])
    assert [line for line in notes.lines if line.startswith("retry")] == [f"retry 0 {job.id}"]


def test_memory_that_gives_out_again_or_in_an_evaluation_is_a_failure(layout):
    job = train(0, layout.out)
    scored = evaluate(1, layout.out)
    script = Script(lambda _, attempt: "memory")
    summary, _ = run([job, scored], layout, script)
    assert script.log == [job.id, job.id, scored.id]
    assert [failure.kind for failure in summary.failures] == ["memory"] * 2


class KilledForMemory(Script):
    """One whose jobs are ended by their machine, the first time."""

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        ((handle, outcome),) = super().poll(timeout)
        return [(handle, replace(outcome, killed=outcome.failure is not None))]


def test_a_process_that_its_machine_ended_for_memory_has_half_the_micro_batch_or_is_tried_again(layout):
    """What does not train has nothing to halve, and may have been beside something large."""
    job, scored = train(0, layout.out), evaluate(1, layout.out)
    script = KilledForMemory(lambda _, attempt: "memory" if attempt == 1 else None)
    summary, _ = run([job, scored], layout, script)
    assert (summary.done, summary.failures) == (2, [])
    assert sorted((each.work.kind, each.halved) for each in script.handed) == [
        ("evaluate", 0),
        ("evaluate", 0),
        ("train", 0),
        ("train", 1),
    ]


def test_jobs_end_while_later_ones_are_still_handed_out(layout, monkeypatch):
    """Ten thousand job files take a while to write, and workers are warm before."""
    monkeypatch.setattr(driving, "POLL", -1.0)
    order: list[str] = []

    class Told(Script):
        def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> object:
            order.append("handed")
            return super().submit(job_file, request, priority, near)

        def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
            order.append("looked")
            return super().poll(timeout)

    script = Told()
    summary, _ = run([train(seed, layout.out) for seed in range(3)], layout, script)
    assert order == ["handed", "looked"] * 3
    assert summary.done == 3


def test_the_first_jobs_are_handed_out_by_priority(layout):
    jobs = [train(seed, layout.out) for seed in range(3)]
    planned = plan(*jobs)
    longest = replace(planned.jobs[2], estimate_s=1000.0)
    script, notes = Script(), Notes()
    drive(replace(planned, jobs=(*planned.jobs[:2], longest)), script, notes, layout, notes)
    assert [job.id for job in script.handed] == [jobs[2].id, jobs[0].id, jobs[1].id]


def test_a_lost_worker_after_half_the_micro_batch_keeps_it(layout):
    job = train(0, layout.out, run=Run(retries=1))
    endings = iter(["memory", "worker_lost", None])
    script = Script(lambda *_: next(endings))
    run([job], layout, script)
    assert [each.halved for each in script.handed] == [0, 1, 1]


def test_the_failure_of_a_process_that_does_not_write_is_put_on_record(layout):
    job = train(0, layout.out)
    run([job], layout, Script(lambda *_: "data"))
    record = load(layout, job.cell_id)
    assert record is not None
    assert [(attempt.failure, attempt.message) for attempt in record.attempts] == [("data", "it broke")]
    assert record.failure is not None


def test_the_machines_are_told_what_they_must_share_before_anything_else(layout):
    job = train(0, layout.out).model_copy(update={"plugins": ("../../mine.py",)})

    class Unproved(Script):
        def prove(self, shared: Shared, tell: Callable[[str], None]) -> None:
            super().prove(shared, tell)
            raise HarnessError("no machine can run the jobs")

    script = Unproved()
    with pytest.raises(HarnessError, match="no machine can run the jobs"):
        run([job], layout, script)
    mine = str(layout.out.parent / "mine.py")
    assert script.shared == Shared(str(layout.out), str(layout.data), (mine,), fills_data=False)
    assert (script.expected, script.log, script.stopped) == ([], [], True)


def test_jobs_say_which_pictures_they_read_and_whether_they_make_some(layout):
    made = shards("train", layout.out)
    script = Script()
    run([made, train(0, layout.out, (made.id,))], layout, script)
    assert script.near == ["d", "d"]
    assert script.shared is not None
    assert script.shared.fills_data


def test_no_job_is_tried_after_a_failure_that_all_would_share(tmp_path: Path) -> None:
    jobs = [shards(split, tmp_path) for split in ("train", "val", "test")]
    layout = Layout(tmp_path, tmp_path / "data")
    for last, failed in (((), 3), (("storage",), 1)):
        script = Script(lambda job, attempt: "storage")
        notes = Notes()
        summary = drive(plan(*jobs), script, notes, layout, notes, last=last)
        assert (len(summary.failures), script.stopped) == (failed, True)
