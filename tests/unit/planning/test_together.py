"""Which cells a plan trains together, and that nothing else of the plan changes by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.recipe import Recipe
from harness.cells.suite import Run
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.planning.job import Job, TogetherWork, TrainWork, job_id
from harness.planning.plan import CellStatus, Plan, follow_up, make_plan
from harness.planning.planned import PlannedJob
from harness.planning.together import MOST, apart
from harness.planning.unneeded import unneeded
from harness.scheduling.backlog import Backlog
from harness.scheduling.waves import waves
from tests.unit.records import made
from tests.unit.records.made import cell, listed, refined, suite

FROZEN: dict[str, Any] = {"regime": "frozen"}


def random(dim: int) -> PartRef:
    return PartRef(name="random", options={"dim": dim})


def frozen(dim: int = 4, seed: int = 0, variant: dict[str, Any] | None = None, **changes: Any) -> Cell:
    return refined(seed, random(dim), FROZEN | (variant or {}), **({"base": cell(seed)} | changes))


def plan(layout: Layout, *cells: Cell, run: Run | None = None, **options: Any) -> Plan:
    names = [
        listed(each, f"r{each.variant.prior.options.get('dim', '')}" if each.variant.prior else "") for each in cells
    ]
    asked = suite(*names).model_copy(update={"run": run or Run()})
    return make_plan(asked, layout, REGISTRY, **options)


def groups(planned: Plan) -> list[list[str]]:
    """The cells that go together."""
    works = [each.job.work for each in planned.jobs]
    return [[cell.id for cell in work.cells] for work in works if isinstance(work, TogetherWork)]


def titles(planned: Plan) -> list[str]:
    return [each.job.title for each in planned.jobs]


def test_cells_that_differ_in_their_refiner_alone_go_together(layout: Layout) -> None:
    base, cells = cell(), [frozen(4), frozen(5), frozen(6, variant={"refiner": PartRef(name="ptg_rm", version="2")})]
    planned = plan(layout, base, *cells)
    assert groups(planned) == [[each.id for each in cells]]
    (one,) = (each for each in planned.jobs if each.job.kind == "together")
    assert one.job.title == "train together low_light NAFNet r4, r5, r6 seed 0"
    assert one.cells == tuple(each.id for each in cells)
    assert one.state == "todo"
    trains = [each for each in planned.jobs if isinstance(each.job.work, TrainWork) and each.job.cell_id != base.id]
    assert [each.job.ahead for each in trains] == [(one.id,)] * 3
    assert one.job.tests == tuple(each.job.depends[:-1] for each in trains)
    assert set(one.job.depends) == {needed for each in trains for needed in each.job.depends} - {one.id}
    assert all(each.job.depends[-1] == one.id for each in trains)
    order = [each.id for each in planned.jobs]
    assert all(order.index(needed) < order.index(each.id) for each in planned.jobs for needed in each.job.depends)


def test_the_jobs_of_cells_keep_their_ids_and_all_else_that_they_do(layout: Layout) -> None:
    cells = [cell(), frozen(4), frozen(5)]
    planned = plan(layout, *cells)
    alone = [each for one in cells for each in plan(layout, cell(), one).jobs]
    without = apart(planned.jobs)

    def contents(jobs: Sequence[PlannedJob]) -> dict[str, Job]:
        return {each.id: each.job.model_copy(update={"told_apart": ""}) for each in jobs}

    assert contents(without) == contents(alone)
    assert not any(each.job.kind == "together" for each in alone)
    assert "ahead" not in without[0].job.model_dump(mode="json")
    assert planned.counts()["todo"] == len(without) + 1


@pytest.mark.parametrize(
    "other",
    [
        frozen(5, seed=1),
        frozen(5, recipe=Recipe(steps=7)),
        frozen(5, base=cell(recipe=Recipe(steps=7))),
        frozen(5, task=made.task("gaussian_denoise", sigma=25.0)),
        frozen(5, variant={"placement": "features"}),
        frozen(5, variant={"regime": "from_base"}),
        refined(0, random(5)),
    ],
    ids=["seed", "recipe", "base", "task", "inside F", "F learns", "joint"],
)
def test_others_train_alone(layout: Layout, other: Cell) -> None:
    assert groups(plan(layout, frozen(4), other)) == []


def test_a_gang_trains_alone(layout: Layout) -> None:
    assert groups(plan(layout, frozen(4), frozen(5), run=Run(processes=2))) == []
    assert groups(plan(layout, frozen(4), frozen(5), run=Run(processes=1, gpus=1))) != []


def test_only_what_is_to_be_trained_goes_together(layout: Layout) -> None:
    cells = [frozen(4), frozen(5), frozen(6)]
    for needed in (cell(), cells[0]):
        made.finish(layout, needed)
    assert groups(plan(layout, *cells)) == [[each.id for each in cells[1:]]]
    assert groups(plan(layout, *cells, limit=1)) == []
    forced = plan(layout, *cells, force=[cells[0].id])
    assert groups(forced) == [[each.id for each in cells]]
    (one,) = (each.job for each in forced.jobs if each.job.kind == "together")
    assert one.anew == (cells[0].id,)


def test_a_cell_that_another_one_rests_on_is_trained_before_it(layout: Layout) -> None:
    first = frozen(4)
    learned = PartRef(name="restoration", digest=first.id)
    second = refined(0, learned, FROZEN, base=cell(), prior_source=first)
    third = frozen(5)
    planned = plan(layout, first, second, third)
    assert groups(planned) == [[second.id, third.id]]
    order = [each.id for each in planned.jobs]
    assert all(order.index(needed) < order.index(each.id) for each in planned.jobs for needed in each.job.depends)


def test_large_groups_are_divided_evenly(layout: Layout) -> None:
    cells = [frozen(dim) for dim in range(1, MOST + 3)]
    found = groups(plan(layout, *cells))
    assert sorted(map(len, found)) == [3, 3]
    assert {each for group in found for each in group} == {each.id for each in cells}


def test_the_time_of_all_stands_at_the_job_that_trains_them(layout: Layout) -> None:
    cells = [frozen(4), frozen(5)]
    known = [frozen(4, seed=1), frozen(5, seed=1)]
    for each in (cell(seed=1), *known):
        made.finish(layout, each, seconds=60.0)
    planned = plan(layout, *known, *cells)
    (one,) = (each for each in planned.jobs if each.job.kind == "together")
    assert one.estimate_s == pytest.approx(120.0)
    trains = [each.id for each in planned.jobs if each.job.ahead]
    assert [each.estimate_s for each in planned.jobs if each.job.ahead] == [0.0, 0.0]
    assert [each.estimate_s for each in apart(planned.jobs) if each.id in trains] == pytest.approx([60.0, 60.0])


def test_jobs_of_one_name_are_told_apart(layout: Layout) -> None:
    cells = [frozen(dim, recipe=Recipe(steps=steps)) for steps in (5, 6) for dim in (4, 5)]
    named = [listed(each, "r") for each in cells]
    planned = make_plan(suite(*named), layout, REGISTRY)
    found = [title for title in titles(planned) if title.startswith("train together")]
    assert len(set(found)) == len(found) == 2


def run_down(backlog: Backlog, *, failing: set[str]) -> list[str]:
    """The jobs that were run, in the order in which they could be."""
    ran: list[str] = []
    ready = list(backlog.first())
    while ready:
        job = ready.pop(0)
        ran.append(job.id)
        if job.id in failing:
            backlog.failed(job, "bug")
            ready += backlog.released()
        else:
            ready += backlog.done(job)
    return ran


def test_without_it_each_cell_trains_alone(layout: Layout) -> None:
    planned = plan(layout, frozen(4), frozen(5))
    (one,) = (each.id for each in planned.jobs if each.job.kind == "together")
    backlog = Backlog(planned.jobs)
    ran = run_down(backlog, failing={one})
    assert set(ran) == {each.id for each in planned.jobs}
    assert set(backlog.given_up) == {one}
    assert not backlog.open


def test_a_cell_whose_vectors_are_lost_does_not_hold_up_the_others(layout: Layout) -> None:
    cells = [frozen(4), frozen(5), frozen(6)]
    planned = plan(layout, *cells)
    (one,) = (each.job for each in planned.jobs if each.job.kind == "together")
    lost = next(job for job in one.tests[0] if job.startswith("features"))
    backlog = Backlog(planned.jobs)
    ran = run_down(backlog, failing={lost})
    assert one.id in ran
    assert job_id(TrainWork(cell=cells[0])) not in ran
    assert {job_id(TrainWork(cell=each)) for each in cells[1:]} <= set(ran)


def test_without_their_base_none_of_them_begins(layout: Layout) -> None:
    base = job_id(TrainWork(cell=cell()))
    backlog = Backlog(plan(layout, frozen(4), frozen(5)).jobs)
    assert not any(job.startswith("together") for job in run_down(backlog, failing={base}))
    assert not backlog.open


def test_they_finish_as_soon_as_they_can(layout: Layout) -> None:
    """Before trainings of other cells that could begin at the same time."""
    planned = plan(layout, frozen(4), frozen(5), *(cell(seed) for seed in (7, 8)))
    backlog = Backlog(planned.jobs)
    at = {each.id: backlog.priority(each.job) for each in planned.jobs}
    (one,) = (each.id for each in planned.jobs if each.job.kind == "together")
    ended = [each for each in planned.jobs if each.job.ahead]
    own = {each.job.cell_id for each in ended}
    between = [each for each in planned.jobs if at[one] < at[each.id] < max(at[end.id] for end in ended)]
    assert all(each.job.cell_id in own for each in between)


def test_in_waves_every_cell_trains_by_itself(layout: Layout) -> None:
    """A job of several cells that failed would keep a batch system from starting the waves behind it."""
    planned = plan(layout, frozen(4), frozen(5))
    found = [job for wave in waves(planned) for job in wave]
    assert {job.id for job in found} == {each.id for each in planned.jobs if each.job.kind != "together"}
    assert all(not job.ahead and not any(needed.startswith("together") for needed in job.depends) for job in found)


def test_a_run_goes_on_with_the_stale_ones_alone(layout: Layout) -> None:
    cells = [frozen(4), frozen(5), frozen(6)]
    planned = plan(layout, *cells)
    every = [each.id for each in cells]

    def now(status: CellStatus) -> CellStatus:
        return replace(status, state="stale") if status.cell_id in every[:2] else status

    further = follow_up(replace(planned, cells=tuple(map(now, planned.cells))), (), planned)
    assert further is not None
    assert groups(further) == [every[:2]]
    assert not any(each.runs for each in further.jobs if each.job.cell_id == every[2])


def test_its_files_are_needed_until_all_its_cells_are_trained(layout: Layout) -> None:
    """A run that was killed may have grouped them otherwise than the next one would."""
    cells = [cell(), frozen(4), frozen(5)]
    planned = plan(layout, *cells)
    (one,) = (each.job for each in planned.jobs if each.job.kind == "together")
    layout.job_file(one.id).parent.mkdir(parents=True, exist_ok=True)
    layout.job_file(one.id).write_text(one.model_dump_json())
    for other in (layout.job_log(one.id), layout.job_attempt(one.id), layout.job_file("together-0123456789ab")):
        other.write_text("{}")
    asked = suite(*(listed(each, each.id) for each in cells))

    def left() -> list[str]:
        return [each.name for each in unneeded([(asked, REGISTRY)], layout, data=False) if each.kind == "job"]

    assert left() == ["together-0123456789ab.json"]
    for each in cells[:2]:
        made.finish(layout, each)
    assert left() == ["together-0123456789ab.json"]
    made.finish(layout, cells[2])
    assert left() == sorted(
        [*(f"{one.id}.{ending}" for ending in ("attempt", "json", "log")), *["together-0123456789ab.json"]]
    )
