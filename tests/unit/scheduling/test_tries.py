"""How often a job is tried whose workers are lost, and what is on record meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cells.suite import Run
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.planning.job import Job
from harness.records.job_failures import read_failure
from harness.records.store import append_event, load
from tests.unit.scheduling.plans import shards, train
from tests.unit.scheduling.test_drive import Script, run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "data")


def test_machines_that_take_their_leave_do_not_use_up_the_retries(layout):
    job = train(0, layout.out, run=Run(retries=1))
    script = Script(lambda _, attempt: "worker_lost" if attempt < 6 else None)
    script.left = True
    summary, _ = run([job], layout, script)
    assert (summary.done, len(script.log)) == (1, 6)


@pytest.mark.parametrize("made", [train, shards])
def test_a_job_that_was_to_be_tried_again_when_its_run_ended_was_interrupted(layout, made):
    """As when the head of a cluster is lost: nothing more is written."""
    job = train(0, layout.out) if made is train else shards("train", layout.out)

    def end(_: str, attempt: int) -> str:
        if attempt == 2:
            raise HarnessError("the head is gone", kind="worker_lost")
        return "worker_lost"

    with pytest.raises(HarnessError, match="the head is gone"):
        run([job], layout, Script(end))
    if job.cell_id is None:
        failure = read_failure(layout, job.id)
    else:
        record = load(layout, job.cell_id)
        assert record is not None
        assert [(a.outcome, a.failure) for a in record.attempts] == [("failed", "worker_lost")]
        failure = record.failure
    assert failure is not None
    assert failure.kind == "interrupted"


def lost_after(steps: Sequence[int], job: Job, layout: Layout) -> Script:
    """Each try leaves the checkpoint of that step, and is lost; the one after the last ends well."""

    def end(_: str, attempt: int) -> str | None:
        if attempt > len(steps):
            return None
        event = {"event": "checkpoint", "job": job.id, "step": steps[attempt - 1]}
        append_event(layout, str(job.cell_id), event)
        return "worker_lost"

    return Script(end)


def test_tries_that_get_further_do_not_use_up_the_retries(layout):
    job = train(0, layout.out, run=Run(retries=2))
    summary, notes = run([job], layout, lost_after([10, 20, 30, 30, 40], job, layout))
    assert (summary.done, summary.failures) == (1, [])
    counted = [line.split()[1] for line in notes.lines if line.startswith("retry")]
    assert counted == ["1", "1", "1", "2", "1"]


@pytest.mark.parametrize(("steps", "tries"), [([10] * 9, 3), ([10, 20] + [20] * 9, 4), ([20, 10, 15] + [10] * 9, 3)])
def test_a_job_that_is_lost_at_the_same_place_ends(layout, steps, tries):
    job = train(0, layout.out, run=Run(retries=2))
    script = lost_after(steps, job, layout)
    summary, _ = run([job], layout, script)
    assert [failure.kind for failure in summary.failures] == ["worker_lost"]
    assert len(script.log) == tries


@pytest.mark.parametrize("event", ["checkpoint", "start"])
def test_a_checkpoint_of_an_earlier_run_is_no_progress(layout, event):
    job = train(0, layout.out, run=Run(retries=1))
    append_event(layout, str(job.cell_id), {"event": event, "job": job.id, "step": 50})
    script = lost_after([50] * 9, job, layout)
    run([job], layout, script)
    assert len(script.log) == 2
