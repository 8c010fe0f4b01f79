"""A run that makes cells again: when the new results take the place of the old, and what failures leave.

Jobs write results as real ones do, through the folders that their job file names; tests/flow runs real ones.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.api.running import JobOutcome, Request
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.planning.job import Job
from harness.planning.places import layout_of, placed
from harness.planning.plan import Plan, make_plan
from harness.records import anew, store
from harness.records.model import EvaluationRecord
from harness.scheduling.drive import RunSummary, drive
from tests.unit.records import made
from tests.unit.records.made import cell, degraded, listed, photos, refined, suite, values
from tests.unit.scheduling.test_drive import Notes, Script

OLD, NEW = values([20.0], [0.5]), values([30.0], [0.9])
Ending = Callable[[Job, Layout], str | None]


class Worker(Script):
    """Runs the jobs in order: they train and score as `made` does, and end as `ending` says of each."""

    def __init__(self, ending: Ending = lambda job, layout: None) -> None:
        super().__init__()
        self.ends = ending
        self.jobs: dict[int, Job] = {}

    def submit(self, job_file: str, request: Request, priority: int = 0, near: str = "") -> object:
        handle = super().submit(job_file, request, priority, near)
        self.jobs[id(handle)] = placed(Job.model_validate_json(Path(job_file).read_bytes()), Path(job_file))
        return handle

    def poll(self, timeout: float) -> Sequence[tuple[Any, JobOutcome]]:
        self.waiting.sort(key=lambda entry: entry[0])
        _, job_id, handle = self.waiting.pop(0)
        job = self.jobs[id(handle)]
        layout = layout_of(job)
        failure = self.ends(job, layout)
        if failure is None and job.kind == "train":
            made.finish(layout, job.work.cell)
        elif failure is None and job.kind == "evaluate":
            made.finish(layout, job.work.cell, NEW)
        noted = failure not in (None, "worker_lost")  # a job that fails by itself is put on record by itself
        return [(handle, JobOutcome(job_id, failure, "it broke" if failure else "", noted=noted))]


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "data")


def finish(layout: Layout, *cells) -> None:
    for content in cells:
        test = content.test_set(photos()).samples()
        made.prepare(layout, *([content.train_samples.stored, test.stored] if content.backbone else [test.stored]))
        made.finish(layout, content, OLD)


def run(layout: Layout, plan: Plan, worker: Worker | None = None, notes: Notes | None = None) -> RunSummary:
    notes = notes or Notes()
    return drive(plan, worker or Worker(), notes, layout, notes)


def forced(layout: Layout, *cells, force=None) -> Plan:
    asked = [content.id for content in cells] if force is None else force
    return make_plan(suite(*map(listed, cells)), layout, REGISTRY, force=asked)


def psnr(layout: Layout, content) -> float:
    table = store.load_images(layout, content.id).to_pylist()
    return next(row["value"] for row in table if row["metric"] == "psnr")


def leftovers(layout: Layout) -> list[str]:
    return sorted(path.name for path in (layout.out / "cells").iterdir() if path.name.startswith("."))


def snapshot(layout: Layout, content) -> dict[str, bytes]:
    folder = layout.placed_cell(content.id)
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("content", [cell(), degraded()])
def test_a_forced_cell_shows_its_old_values_until_the_new_are_whole(layout, content):
    finish(layout, content)
    shown = []

    def look(job: Job, _: Layout) -> None:
        shown.append(psnr(layout, content))

    run(layout, forced(layout, content), Worker(look))
    assert set(shown) == {20.0}
    assert psnr(layout, content) == 30.0
    assert leftovers(layout) == []


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_failure_leaves_the_old_results_and_the_next_run_ends_right(layout, kind):
    content = cell()
    finish(layout, content)
    before = snapshot(layout, content)
    summary = run(layout, forced(layout, content), Worker(lambda job, _: "nan" if job.kind == kind else None))
    assert [failure.kind for failure in summary.failures] == ["nan"]
    assert snapshot(layout, content) == before
    assert psnr(layout, content) == 20.0
    run(layout, forced(layout, content))
    assert psnr(layout, content) == 30.0
    assert leftovers(layout) == []


def test_a_lost_worker_is_noted_on_the_old_record_whose_state_says_so(layout):
    content = cell()
    finish(layout, content)
    plan = forced(layout, content)
    run(layout, plan, Worker(lambda job, _: "worker_lost"))
    record = store.load(layout, content.id)
    assert record is not None
    assert record.failure is not None
    assert (record.failure.kind, len(record.evaluations)) == ("worker_lost", 1)
    (status,) = make_plan(suite(listed(content)), layout, REGISTRY).cells
    assert status.state == "done"
    assert status.reason == "the last attempt failed (worker_lost): it broke; what was there before stays"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_an_interrupt_leaves_the_old_results_as_they_are(layout, number, kind):
    content = cell()
    finish(layout, content)
    before = snapshot(layout, content)

    def interrupt(job: Job, _: Layout) -> None:
        if job.kind == kind:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(layout, forced(layout, content), Worker(interrupt))
    assert snapshot(layout, content) == before


def test_a_run_that_cannot_start_leaves_the_folder_as_it_was(layout):
    class Refusing(Worker):
        def expect(self, requests: Sequence[Request]) -> None:
            raise HarnessError("too much")

    content = cell()
    finish(layout, content)
    before = snapshot(layout, content)
    with pytest.raises(HarnessError, match="too much"):
        run(layout, forced(layout, content), Refusing())
    assert snapshot(layout, content) == before
    assert leftovers(layout) == []


def test_a_base_waits_for_the_cells_that_are_made_from_its_new_folder(layout):
    base = cell()
    frozen = refined(variant={"regime": "frozen"}, base=base)
    finish(layout, base, frozen)
    made.prepare(layout, frozen.train_features(0), frozen.test_features(frozen.test_set(photos()).samples()))
    read = []

    def look(job: Job, where: Layout) -> None:
        if job.cell_id == frozen.id and job.kind == "train":
            read.append(where.final_weights(base.id).parent.parent.name)
            assert psnr(layout, base) == 20.0

    plan = forced(layout, base, frozen)
    trains = {each.job.cell_id: each.job.anew for each in plan.to_run if each.job.kind == "train"}
    assert trains == {base.id: (base.id,), frozen.id: (frozen.id, base.id)}
    run(layout, plan, Worker(look))
    assert read == [f".{base.id}.anew"]
    assert (psnr(layout, base), psnr(layout, frozen)) == (30.0, 30.0)
    assert leftovers(layout) == []


def test_a_stale_cell_is_hidden_and_whole_again_after_a_failed_run(layout):
    content = cell()
    finish(layout, content)
    layout.images(content.id).write_bytes(b"PAR1")
    plan = make_plan(suite(listed(content)), layout, REGISTRY)
    assert plan.rescore == (content.id,)
    damaged = snapshot(layout, content)
    run(layout, plan, Worker(lambda job, _: "storage"))
    assert snapshot(layout, content) == damaged
    run(layout, make_plan(suite(listed(content)), layout, REGISTRY))
    assert psnr(layout, content) == 30.0
    assert leftovers(layout) == []


def test_a_damaged_record_is_kept_until_the_new_cell_is_whole(layout):
    content = cell()
    finish(layout, content)
    layout.record(content.id).write_text('{"schema_version": 1')
    before = snapshot(layout, content)
    run(layout, forced(layout, content, force=()), Worker(lambda job, _: "nan"))
    assert snapshot(layout, content) == before
    run(layout, forced(layout, content, force=()))
    assert psnr(layout, content) == 30.0


def partly(job: Job, layout: Layout) -> str | None:
    """An evaluation that scores all but SSIM, which refuses some image."""
    if job.kind != "evaluate":
        return None
    record = made.finish(layout, job.work.cell, values([30.0]))
    (only,) = record.evaluations
    left = only.model_copy(update={"left_out": {"ssim": "image a: too small"}, "refused": {"ssim": "0" * 8}})
    store.save(layout, record.model_copy(update={"evaluations": (left,)}))
    return "data"


def test_a_metric_that_cannot_be_computed_loses_no_value_of_a_forced_cell(layout):
    content = cell()
    finish(layout, content)
    run(layout, forced(layout, content), Worker(partly))
    assert psnr(layout, content) == 20.0


def test_a_metric_that_cannot_be_computed_does_not_hide_the_rest_of_a_stale_cell(layout):
    content = cell()
    finish(layout, content)
    layout.images(content.id).write_bytes(b"PAR1")
    run(layout, make_plan(suite(listed(content)), layout, REGISTRY), Worker(partly))
    assert psnr(layout, content) == 30.0


def test_the_next_start_swaps_in_what_a_killed_run_left_whole(layout):
    content = cell()
    finish(layout, content)

    class Kill(BaseException):
        pass

    class Killed(Notes):
        def finished(self, job: Job, outcome: JobOutcome) -> None:
            if job.kind == "evaluate":
                raise Kill

    notes = Killed()
    with pytest.raises(Kill):
        drive(forced(layout, content), Worker(), notes, layout, notes)
    assert psnr(layout, content) == 20.0
    assert anew.recover(layout) == [content.id]
    assert psnr(layout, content) == 30.0
    assert leftovers(layout) == []


def test_a_stale_cell_whose_evaluation_cannot_run_here_is_in_place_once_it_is_trained(layout):
    base = cell()
    finish(layout, base)
    layout.record(base.id).write_text("{")
    planned = make_plan(suite(listed(base)), layout, REGISTRY)
    blocked = [replace(each, state="blocked") if each.job.kind == "evaluate" else each for each in planned.jobs]
    run(layout, replace(planned, jobs=tuple(blocked)))
    record = store.load(layout, base.id)
    assert record is not None
    assert (record.status, leftovers(layout)) == ("trained", [])


def beside(layout: Layout, content) -> EvaluationRecord:
    """Adds an evaluation of another suite to a finished cell; its test set is none that this one knows."""
    record = store.load(layout, content.id)
    assert record is not None
    (only,) = record.evaluations
    other = only.model_copy(update={"id": "0" * 12, "dataset": "elsewhere", "metrics": {"psnr": "1"}})
    rows = [store.ImageRow(**row) for row in store.load_images(layout, content.id).to_pylist()]
    sha256 = store.save_images(layout, content.id, [*rows, store.ImageRow(other.id, "elsewhere", "x", "psnr", 5.0)])
    store.save(layout, record.model_copy(update={"evaluations": (only, other), "images_sha256": sha256}))
    return other


def changed(layout: Layout, content) -> Plan:
    """The plan after the test set was made anew."""
    record = store.load(layout, content.id)
    assert record is not None
    used = record.provenance.model_copy(
        update={"data": {f"{content.test_set(photos()).samples().name}/test": "0" * 64}}
    )
    store.save(layout, record.model_copy(update={"provenance": used}))
    return forced(layout, content, force=())


def scored(job: Job, layout: Layout, *, psnr: float = 30.0) -> str:
    """An evaluation that adds values to what its folder begins with, and ends as failed."""
    record = store.load(layout, job.work.cell.id)
    assert record is not None
    kept = record.evaluations
    rows = [store.ImageRow(**row) for row in store.load_images(layout, record.cell_id).to_pylist()] if kept else []
    new = made.finish(layout, job.work.cell, values([psnr]))
    (only,) = new.evaluations
    only = only.model_copy(update={"left_out": {"ssim": "no luck today"}})
    rows += [store.ImageRow(**row) for row in store.load_images(layout, record.cell_id).to_pylist()]
    sha256 = store.save_images(layout, record.cell_id, rows)
    store.save(layout, new.model_copy(update={"evaluations": (*kept, only), "images_sha256": sha256}))
    return "data"


def test_a_changed_test_set_costs_no_value_of_another(layout):
    content = cell()
    finish(layout, content)
    other = beside(layout, content)
    plan = changed(layout, content)
    assert plan.rescore == (content.id,)
    run(layout, plan, Worker(lambda job, where: scored(job, where)))
    record = store.load(layout, content.id)
    assert record is not None
    assert record.evaluations[0] == other
    values_of = {
        (row["dataset"], row["metric"]): row["value"] for row in store.load_images(layout, content.id).to_pylist()
    }
    assert values_of == {("elsewhere", "psnr"): 5.0, ("photos", "psnr"): 30.0}
    assert leftovers(layout) == []


def test_a_rescored_cell_that_lost_a_good_value_is_not_swapped_in_though_its_job_ended_well(layout):
    content = cell()
    finish(layout, content)
    beside(layout, content)
    plan = changed(layout, content)
    before = snapshot(layout, content)
    run(layout, plan)  # its worker writes the test set of this suite alone
    assert snapshot(layout, content) == before
    assert leftovers(layout) == [f".{content.id}.anew"]


def test_a_forced_cell_is_trained_after_a_rescore_that_was_cut_off_and_the_other_way_round(layout):
    content = cell()
    finish(layout, content)
    trained = []

    def cut_off(job: Job, _: Layout) -> None:
        raise KeyboardInterrupt

    def look(job: Job, where: Layout) -> None:
        if job.kind == "train":
            trained.append(store.load(where, content.id))

    rescored = changed(layout, content)
    with pytest.raises(KeyboardInterrupt):
        run(layout, rescored, Worker(cut_off))
    with pytest.raises(KeyboardInterrupt):
        run(layout, forced(layout, content), Worker(cut_off))
    run(layout, changed(layout, content), Worker(lambda job, where: scored(job, where, psnr=25.0)))
    assert psnr(layout, content) == 25.0
    run(layout, forced(layout, content), Worker(look))
    assert trained == [None]
