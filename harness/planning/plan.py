"""The plan of a suite: its jobs in order, which of them are left to do, and how far its cells are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import UnknownName, did_you_mean
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.assess import Assessment, assess
from harness.planning.cost import Costs, wall_time
from harness.planning.gaps import Gap
from harness.planning.graph import CellJobs, JobGraph, JobNode
from harness.planning.job import Job
from harness.planning.order import ordered
from harness.planning.verdict import Verdict, Why
from harness.records import store
from harness.records.state import CellState, JobState


@dataclass(frozen=True)
class PlannedJob:
    """A job, whether it is to be run (`todo` and `stale` are), and why."""

    id: str
    job: Job
    state: JobState
    reason: str
    estimate_s: float | None
    """Expected wall time; None when nothing like it is on record."""
    cells: tuple[str, ...]
    """Ids of the cells that need it, directly or through other jobs."""

    @property
    def runs(self) -> bool:
        """Whether the job is to be run."""
        return self.state in ("todo", "stale")


@dataclass(frozen=True)
class CellStatus:
    """A cell of the suite, its state, and why."""

    suite_cell: SuiteCell
    cell_id: str
    state: CellState
    reason: str
    gaps: tuple[Gap, ...] = ()
    """What its evaluation leaves out."""


@dataclass(frozen=True)
class Plan:
    """The jobs of a suite, each after those that it depends on, and the state of its cells."""

    suite: str
    jobs: tuple[PlannedJob, ...]
    cells: tuple[CellStatus, ...]
    forget: tuple[str, ...] = ()
    """Ids of the cells that are made again from the start."""
    rescore: tuple[str, ...] = ()
    """Ids of the cells of which only the evaluations are made again."""

    @property
    def blocked(self) -> bool:
        """Whether anything that the suite asks for cannot be computed here."""
        return any(status.state == "blocked" or status.gaps for status in self.cells)

    @property
    def to_run(self) -> tuple[PlannedJob, ...]:
        """The jobs that are to be run."""
        return tuple(job for job in self.jobs if job.runs)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {state: sum(job.state == state for job in self.jobs) for state in ("todo", "stale", "blocked", "done")}

    def estimate(self, at_once: int) -> tuple[float, int] | None:
        """(seconds left with `at_once` jobs side by side, number of jobs of unknown length); see cost.wall_time."""
        return wall_time((job.estimate_s for job in self.to_run), at_once)


def make_plan(
    suite: ResolvedSuite,
    layout: Layout,
    registry: Registry,
    *,
    force: Collection[str] = (),
    limit: int | None = None,
) -> Plan:
    """The plan of a suite.

    `force`: ids of cells that are made again, or the first digits of ids. `limit`: how many of the listed cells that
    can run are planned, the first in the suite's order and what they depend on; cells that are done or blocked are
    planned as well. Raises UnknownName when no cell has a forced id.
    """
    forced = _forced(suite, force) if force else frozenset()
    assessment = assess(suite.cells, suite.metrics, suite.protocols, layout, registry, forced)
    cells = statuses(assessment)
    kept = cells if limit is None else _limited(cells, limit)
    if len(kept) < len(cells):
        running = [status.suite_cell for status in kept]
        assessment = assess(running, suite.metrics, suite.protocols, layout, registry, forced)
        cells = statuses(assessment)
    jobs = _jobs(suite, layout, assessment)
    return Plan(suite.name, jobs, tuple(cells), tuple(assessment.forget), tuple(assessment.rescore))


def clear(plan: Plan, layout: Layout) -> None:
    """Removes the old results of stale and forced cells, so that no job goes on from them.

    To be called under the run's lock, before the first job starts.
    """
    for cell_id in plan.forget:
        store.forget(layout, cell_id)
    for cell_id in plan.rescore:
        store.forget_evaluations(layout, cell_id)


def _forced(suite: ResolvedSuite, force: Collection[str]) -> frozenset[str]:
    ids = [cell.cell.id for cell in suite.cells]
    found = set()
    for beginning in force:
        matching = [cell_id for cell_id in ids if beginning and cell_id.startswith(beginning)]
        if not matching:
            hint = did_you_mean(beginning, ids) or f"`bench status {suite.name}` lists the ids"
            raise UnknownName(f"no cell of the suite begins with {beginning!r}", where="--force", hint=hint)
        found.update(matching)
    return frozenset(found)


def _limited(statuses: Sequence[CellStatus], limit: int) -> list[CellStatus]:
    """All cells, but of the listed cells that can run only the first `limit`."""
    kept, running = [], 0
    for status in statuses:
        counts = status.suite_cell.listed and status.state not in ("done", "blocked")
        if not counts or running < limit:
            kept.append(status)
        running += counts
    return kept


def statuses(assessment: Assessment) -> list[CellStatus]:
    """The state of each cell, in the suite's order."""
    return [_status(jobs, assessment) for jobs in assessment.graph.cells]


def _status(jobs: CellJobs, assessment: Assessment) -> CellStatus:
    """The state of a cell, from the verdicts on its own jobs."""
    verdicts = [assessment.verdicts[job] for job in (jobs.train, jobs.evaluate) if job is not None]
    state, reason = _state(verdicts)
    gaps = () if state == "blocked" else tuple(assessment.gaps.get(jobs.id, ()))
    if gaps and state == "done":
        state = "blocked"
    return CellStatus(jobs.suite_cell, jobs.id, state, "; ".join(filter(None, (reason, *map(str, gaps)))), gaps)


def _state(verdicts: Sequence[Verdict]) -> tuple[CellState, str]:
    """The first of blocked, stale, failed, todo and done that a verdict has, and its words."""
    states: tuple[JobState, ...] = ("blocked", "stale", "todo", "done")
    state = next(state for state in states if state == "done" or any(verdict.state == state for verdict in verdicts))
    reasons = [verdict.reason for verdict in verdicts if verdict.state == state and verdict.reason is not None]
    if state != "todo":
        return state, str(reasons[0]) if reasons else ""
    failed = [reason for reason in reasons if reason.kind is Why.FAILED]
    if failed:
        return "failed", str(failed[0])
    half_way = any(verdict.state == "done" for verdict in verdicts)
    return "todo", str(reasons[0]) if reasons else "trained, to be evaluated" if half_way else ""


def _jobs(suite: ResolvedSuite, layout: Layout, assessment: Assessment) -> tuple[PlannedJob, ...]:
    graph, kept = assessment.graph, assessment.disk.kept
    costs = Costs(record for jobs in graph.cells if (record := kept[jobs.id].record) is not None)
    seconds = {job: cost for job, node in graph.nodes.items() if (cost := costs.seconds(node.work)) is not None}
    cells = _cells_of(assessment.graph)
    shared = {
        "suite": suite.name,
        "run": suite.run,
        "out": str(layout.out.absolute()),
        "data": str(layout.data.absolute()),
        "plugins": suite.plugins,
    }

    def planned(node: JobNode) -> PlannedJob:
        verdict = assessment.verdicts[node.id]
        job = Job(work=node.work, depends=node.depends, labels=graph.labels_of(node), **shared)
        return PlannedJob(node.id, job, verdict.state, verdict.words, seconds.get(node.id), cells[node.id])

    order = ordered({job: node.depends for job, node in graph.nodes.items()}, seconds)
    return tuple(planned(graph.nodes[job]) for job in order)


def _cells_of(graph: JobGraph) -> Mapping[str, tuple[str, ...]]:
    """The cells that need each job: its own, and those of the jobs that depend on it. In the suite's order."""
    place = {jobs.id: index for index, jobs in enumerate(graph.cells)}
    ids = list(place)
    served = dict.fromkeys(graph.nodes, 0)  # each value is a set of positions, as the bits of an integer
    for job, node in graph.backwards():
        if node.cell_id in place:
            served[job] |= 1 << place[node.cell_id]
        for needed in node.depends:
            served[needed] |= served[job]
    return {job: tuple(ids[index] for index in _bits(bits)) for job, bits in served.items()}


def _bits(number: int) -> list[int]:
    """The positions of the bits of a number that are 1, lowest first."""
    places = []
    while number:
        lowest = number & -number
        places.append(lowest.bit_length() - 1)
        number ^= lowest
    return places
