"""From a resolved suite and what is on disk to the jobs that are left to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.core.errors import UnknownName, did_you_mean
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.assess import Assessment, Gap
from harness.planning.cost import Costs, wall_time
from harness.planning.decide import Disk, Verdict
from harness.planning.graph import CellJobs
from harness.planning.job import Job
from harness.planning.needs import Needs
from harness.planning.order import ordered
from harness.records import store
from harness.records.state import CellState, JobState
from harness.spec.resolved import ResolvedSuite, SuiteCell


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


@dataclass(frozen=True)
class CellStatus:
    """A cell of the suite and how far it is."""

    suite_cell: SuiteCell
    cell_id: str
    state: CellState
    reason: str
    gaps: tuple[Gap, ...] = ()
    """What its evaluation leaves out."""


@dataclass(frozen=True)
class Plan:
    """The jobs of a suite, what they depend on first, and the state of its cells."""

    suite: str
    jobs: tuple[PlannedJob, ...]
    cells: tuple[CellStatus, ...]
    forget: tuple[str, ...] = ()
    """Cells that are made again from the start."""
    rescore: tuple[str, ...] = ()
    """Cells whose evaluations alone are made again."""

    @property
    def blocked(self) -> bool:
        """Whether anything that was asked for cannot be had here."""
        return any(status.state == "blocked" or status.gaps for status in self.cells)

    @property
    def to_run(self) -> tuple[PlannedJob, ...]:
        """The jobs that are to be run."""
        return tuple(job for job in self.jobs if job.state in ("todo", "stale"))

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {state: sum(job.state == state for job in self.jobs) for state in ("todo", "stale", "blocked", "done")}

    def estimate(self, at_once: int) -> tuple[float, int] | None:
        """(seconds to go with so many jobs side by side, jobs that nothing is known about); see cost.wall_time."""
        return wall_time((job.estimate_s for job in self.to_run), at_once)


def make_plan(
    suite: ResolvedSuite,
    layout: Layout,
    registry: Registry,
    *,
    force: Collection[str] = (),
    limit: int | None = None,
) -> Plan:
    """What is left to do of a suite.

    `force`: ids of cells, or beginnings of them, that are made again. `limit`: at most so many listed cells that are
    not done are taken up, in the suite's order; their prerequisites come along, and what is done or blocked stays in
    view. Raises UnknownName when no cell has a forced id.
    """
    needs = Needs(registry)
    disk = Disk(layout, needs)
    forced = _forced(suite, force) if force else frozenset()
    assessment = Assessment(suite.cells, suite.metrics, disk, needs, forced)
    statuses = [_status(jobs, assessment, disk) for jobs in assessment.graph.cells]
    if limit is not None:
        kept = _limited(statuses, limit)
        if len(kept) < len(statuses):
            assessment = Assessment([s.suite_cell for s in kept], suite.metrics, disk, needs, forced)
            statuses = [_status(jobs, assessment, disk) for jobs in assessment.graph.cells]
    jobs = _jobs(suite, layout, assessment, disk)
    return Plan(suite.name, jobs, tuple(statuses), tuple(assessment.forget), tuple(assessment.rescore))


def clear(plan: Plan, layout: Layout) -> None:
    """Removes what stale and forced cells left behind, so that no job takes it for its own. To be called under the
    run's lock, before the first job starts.
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
    """Everything but the listed cells that could be taken up beyond the first `limit`."""
    kept, taken = [], 0
    for status in statuses:
        counts = status.suite_cell.listed and status.state not in ("done", "blocked")
        if not counts or taken < limit:
            kept.append(status)
        taken += counts
    return kept


# --- cells ------------------------------------------------------------------------------------------------------


def _status(jobs: CellJobs, assessment: Assessment, disk: Disk) -> CellStatus:
    """How far a cell is, from the verdicts on its own jobs."""
    verdicts = [assessment.verdicts[job] for job in (jobs.train, jobs.evaluate) if job is not None]
    state, reason = _state(verdicts, disk.kept(jobs.id).failure)
    gaps = () if state == "blocked" else tuple(assessment.gaps.get(jobs.id, ()))
    if gaps and state == "done":
        state = "blocked"
    return CellStatus(jobs.suite_cell, jobs.id, state, "; ".join(filter(None, (reason, *map(str, gaps)))), gaps)


def _state(verdicts: Sequence[Verdict], failure: str) -> tuple[CellState, str]:
    for state in ("blocked", "stale"):
        for verdict in verdicts:
            if verdict.state == state:
                return state, verdict.reason
    to_do = [verdict for verdict in verdicts if verdict.state == "todo"]
    if not to_do:
        return "done", next((verdict.reason for verdict in verdicts if verdict.reason), "")
    if failure and any(verdict.reason == failure for verdict in to_do):
        return "failed", failure
    reason = next((verdict.reason for verdict in to_do if verdict.reason), "")
    return "todo", reason or ("trained, to be evaluated" if len(to_do) < len(verdicts) else "")


# --- jobs -------------------------------------------------------------------------------------------------------


def _jobs(suite: ResolvedSuite, layout: Layout, assessment: Assessment, disk: Disk) -> tuple[PlannedJob, ...]:
    nodes = assessment.graph.nodes
    costs = Costs(kept.record for jobs in assessment.graph.cells if (kept := disk.kept(jobs.id)).record is not None)
    seconds = {job: cost for job, node in nodes.items() if (cost := costs.seconds(node.work)) is not None}
    cells = _cells_of(assessment)
    shared = {
        "suite": suite.name,
        "run": suite.run,
        "out": str(layout.out.absolute()),
        "data": str(layout.data.absolute()),
        "plugins": suite.plugins,
    }
    return tuple(
        PlannedJob(
            id=job,
            job=Job(
                work=nodes[job].work,
                depends=nodes[job].depends,
                labels=assessment.labels.get(job.partition("-")[2]),
                **shared,
            ),
            state=assessment.verdicts[job].state,
            reason=assessment.verdicts[job].reason,
            estimate_s=seconds.get(job),
            cells=cells[job],
        )
        for job in ordered({job: node.depends for job, node in nodes.items()}, seconds)
    )


def _cells_of(assessment: Assessment) -> Mapping[str, tuple[str, ...]]:
    """The cells behind each job: its own, and those of the jobs that depend on it. In the suite's order."""
    graph = assessment.graph
    place = {jobs.id: index for index, jobs in enumerate(graph.cells)}
    ids = list(place)
    served = dict.fromkeys(graph.nodes, 0)  # sets of places, as the bits of integers
    for job, node in reversed(graph.nodes.items()):
        own = place.get(job.partition("-")[2])
        if own is not None:
            served[job] |= 1 << own
        for needed in node.depends:
            served[needed] |= served[job]
    return {job: tuple(ids[index] for index in _bits(bits)) for job, bits in served.items()}


def _bits(number: int) -> list[int]:
    """The places of the ones of a number, lowest first."""
    places = []
    while number:
        lowest = number & -number
        places.append(lowest.bit_length() - 1)
        number ^= lowest
    return places
