"""Jobs that train several cells at once: what they take, how often they are tried, and that nothing hangs on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cells.suite import Run
from harness.core.paths import Layout
from harness.planning.job import Job, TogetherWork, TrainWork
from harness.records.store import append_event, load
from harness.scheduling.resources import job_resources
from harness.scheduling.tries import newest_checkpoint
from tests.unit.scheduling.plans import train
from tests.unit.scheduling.test_drive import Script, run


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "data")


def together(layout: Layout, retries: int = 1) -> tuple[Job, Job, Job]:
    """The job of two cells, and their own."""
    asked = Run(retries=retries)
    members = [train(seed, layout.out, run=asked) for seed in (0, 1)]
    works = tuple(each.work for each in members if isinstance(each.work, TrainWork))
    one = members[0].model_copy(update={"work": TogetherWork(of=works), "labels": None})
    first, second = (each.model_copy(update={"depends": (one.id,), "ahead": (one.id,)}) for each in members)
    return one, first, second


def test_it_takes_what_one_training_takes(layout: Layout) -> None:
    one, first, _ = together(layout)
    for capacity in ({"cpus": 8.0, "gpus": 0.0}, {"cpus": 8.0, "gpus": 2.0}):
        assert job_resources(one, capacity) == job_resources(first, capacity)


@pytest.mark.parametrize("failure", ["worker_lost", "memory", "storage"])
def test_its_failure_is_said_and_costs_nothing(layout: Layout, failure: str) -> None:
    one, first, second = together(layout)
    script = Script(lambda job, _: failure if job == one.id else None)
    summary, notes = run([one, first, second], layout, script)
    assert (summary.done, summary.not_run) == (2, [])
    assert [(each.id, each.kind, each.costs) for each in summary.failures] == [(one.id, failure, False)]
    assert f"finished {one.id} {failure}" in notes.lines
    assert {first.id, second.id} <= set(script.log)
    assert script.log.count(one.id) == (2 if failure == "worker_lost" else 1)
    assert not any(load(layout, str(each.cell_id)) for each in (first, second))


def test_a_failure_of_a_cell_costs_as_ever(layout: Layout) -> None:
    one, first, second = together(layout)
    summary, _ = run([one, first, second], layout, Script(lambda job, _: "nan" if job == first.id else None))
    assert [(each.id, each.costs) for each in summary.failures] == [(first.id, True)]


def test_tries_that_get_further_with_any_cell_do_not_use_up_the_retries(layout: Layout) -> None:
    one, first, second = together(layout, retries=1)
    reached = [(first, 10), (second, 10), (first, 20), (second, 20)]

    def end(job: str, attempt: int) -> str | None:
        if job != one.id or attempt > len(reached):
            return None
        cell, step = reached[attempt - 1]
        append_event(layout, str(cell.cell_id), {"event": "checkpoint", "job": cell.id, "step": step})
        return "worker_lost"

    script = Script(end)
    summary, _ = run([one, first, second], layout, script)
    assert (summary.done, summary.failures) == (3, [])
    assert script.log.count(one.id) == 5
    assert newest_checkpoint(one, layout) == 40
