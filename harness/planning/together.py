"""Which cells of a plan are trained together: those of one frozen backbone that see the same batches.

They are where a GPU is free for each of them as well: each alone would be done sooner there, by the time of the others'
refiners, and all of them would cost as many more passes of the backbone. No record says what part of a step is the
backbone's, so that nobody can tell which groups save little; groups are small instead. Arrays of single jobs
(harness.scheduling.waves), which have room for all, train every cell by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.cells.cell import RULES, Cell
from harness.cells.suite import Labels
from harness.core.identity import canonical_json
from harness.planning.job import TogetherWork, TrainWork
from harness.planning.planned import PlannedJob
from harness.planning.titles import distinctions

MOST = 4
"""Cells of one job, at most. They take their steps one after the other: four spare three passes of the backbone in
four, and each further cell spares hardly more, but all wait for its refiner. Each also has a refiner, its optimizer's
state and the backbone's weights in memory."""


def together(every: Sequence[PlannedJob]) -> list[PlannedJob]:
    """The jobs of a plan with one more before the trainings of every group, which these wait for.

    Each stands after those that it depends on; nothing else changes places.
    """
    groups = _groups(each for each in every if each.runs)
    if not groups:
        return list(every)
    made = [_job(group, {each.id: each for each in every}) for group in groups]
    apart_by = distinctions({each.id: each.job.work for each in made}, {each.id: each.job.title for each in made})
    made = [replace(each, job=each.job.model_copy(update={"told_apart": apart_by.get(each.id, "")})) for each in made]
    ahead = {member.id: each.id for group, each in zip(groups, made, strict=True) for member in group}
    jobs = {each.id: each for each in [*made, *(_after(each, ahead.get(each.id)) for each in every)]}
    return [jobs[job] for job in _in_order([each.id for each in every], jobs)]


def apart(planned: Iterable[PlannedJob]) -> list[PlannedJob]:
    """The jobs of a plan without those that train several cells."""
    return [_alone(each) for each in planned if not isinstance(each.job.work, TogetherWork)]


def _alone(planned: PlannedJob) -> PlannedJob:
    job = planned.job
    if not job.ahead:
        return planned
    depends = tuple(needed for needed in job.depends if needed not in job.ahead)
    job = job.model_copy(update={"depends": depends, "ahead": ()})
    return replace(planned, job=job, estimate_s=planned.alone_s, alone_s=None)


def _groups(planned: Iterable[PlannedJob]) -> list[list[PlannedJob]]:
    """The trainings that go together, in the plan's order; none of one alone."""
    cells: dict[str, Cell] = {}
    alike: dict[str, list[PlannedJob]] = defaultdict(list)
    for each in planned:
        work = each.job.work
        if isinstance(work, TrainWork) and each.job.processes == 1 and _shares(work.cell):
            cells[work.cell.id] = work.cell
            alike[_key(work.cell)].append(each)
    needed = set(_required(cells.values()))
    found: list[list[PlannedJob]] = []
    for group in alike.values():
        free = [each for each in group if each.job.cell_id not in needed]
        number = -(-len(free) // MOST)
        found += [part for place in range(number) if len(part := free[place::number]) > 1]
    return found


def _shares(cell: Cell) -> bool:
    """Whether a cell's backbone is a fixed function of the batches alone: R stands behind it, and F does not learn."""
    variant = cell.variant
    behind = variant.refiner is not None and variant.placement == "image"
    return behind and variant.regime == "frozen" and cell.base is not None and cell.rules == RULES


def _key(cell: Cell) -> str:
    """All that batches and the backbone's results follow from."""
    assert cell.base is not None
    parts = (cell.task, cell.train, cell.backbone, cell.recipe)
    return canonical_json([*(None if each is None else each.canonical for each in parts), cell.seed, cell.base.id])


def _required(cells: Iterable[Cell]) -> Iterator[str]:
    """The cells that others rest on, directly or through others."""
    waiting = [needed for cell in cells for needed in cell.requires]
    while waiting:
        cell = waiting.pop()
        yield cell.id
        waiting += cell.requires


def _job(group: Sequence[PlannedJob], every: Mapping[str, PlannedJob]) -> PlannedJob:
    """The job that trains a group."""
    jobs = [each.job for each in group]
    works = tuple(job.work for job in jobs if isinstance(job.work, TrainWork))
    job = jobs[0].model_copy(
        update={
            "work": TogetherWork(of=works),
            "depends": tuple(dict.fromkeys(needed for job in jobs for needed in job.depends)),
            "tests": tuple(job.depends for job in jobs),
            "labels": _labels([job.labels for job in jobs]),
            "told_apart": "",
            "anew": tuple(dict.fromkeys(cell for job in jobs for cell in job.anew)),
        }
    )
    seconds = [each.estimate_s for each in group]
    known = [each for each in seconds if each is not None]
    cells = tuple(dict.fromkeys(cell for each in group for cell in each.cells))
    return PlannedJob(job.id, job, "todo", "", sum(known) if len(known) == len(seconds) else None, cells)


def _labels(labels: Sequence[Labels | None]) -> Labels | None:
    """One for all: their variants, in one phrase."""
    known = [each for each in labels if each is not None]
    if len(known) < len(labels):
        return None
    return known[0].model_copy(update={"variant": ", ".join(dict.fromkeys(each.variant for each in known))})


def _after(planned: PlannedJob, ahead: str | None) -> PlannedJob:
    """A training as it comes after the job that trains its group, which leaves it next to nothing to do."""
    if ahead is None:
        return planned
    job = planned.job.model_copy(update={"depends": (*planned.job.depends, ahead), "ahead": (ahead,)})
    alone = planned.estimate_s
    return replace(planned, job=job, estimate_s=None if alone is None else 0.0, alone_s=alone)


def _in_order(order: Sequence[str], jobs: Mapping[str, PlannedJob]) -> Iterator[str]:
    """The jobs in that order, but for those that others wait for: these come first."""
    given: set[str] = set()
    for job in order:
        waiting = [job]
        while waiting:
            missing = [each for each in jobs[waiting[-1]].job.depends if each in jobs and each not in given]
            if waiting[-1] in given:
                waiting.pop()
            elif missing:
                waiting += reversed(missing)
            else:
                given.add(waiting[-1])
                yield waiting.pop()
