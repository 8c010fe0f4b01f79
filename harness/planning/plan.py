"""The plan of a suite: its jobs in order, which of them are left to do, and how far its cells are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import UnknownName, did_you_mean
from harness.core.garbage import seldom_collected
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.assess import Assessment, assess
from harness.planning.cost import Costs, wall_time
from harness.planning.failures import Failed, failed_before, failed_words, lost_sets
from harness.planning.gaps import Gap
from harness.planning.job import Job, cells_of
from harness.planning.nodes import CellJobs, JobNode
from harness.planning.order import cells_served, ordered
from harness.planning.outdated import outdated_of
from harness.planning.places import places
from harness.planning.planned import PlannedJob
from harness.planning.together import apart, together
from harness.planning.verdict import Verdict, Why
from harness.records.model import RunRecord
from harness.records.remake import Outdated
from harness.records.state import CellState, JobState
from harness.storage.copies import copy_at


@dataclass(frozen=True)
class CellStatus:
    """A cell of the suite, its state, and why."""

    suite_cell: SuiteCell
    cell_id: str
    state: CellState
    reason: str
    gaps: tuple[Gap, ...] = ()
    """What its evaluation leaves out."""
    failure: str = ""
    """Which job failed that it waits for, and why; empty when none did."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """The same of each test set that cannot be prepared because of that, by the name of the data set."""


@dataclass(frozen=True)
class Plan:
    """The jobs of a suite, each after those that it depends on, and the state of its cells."""

    suite: str
    jobs: tuple[PlannedJob, ...]
    cells: tuple[CellStatus, ...]
    anew: tuple[str, ...] = ()
    """Ids of the cells that are made again from the start, each in a folder of its own (harness.records.anew)."""
    rescore: tuple[str, ...] = ()
    """Ids of the cells of which only the evaluations are made again, likewise."""
    outdated: Mapping[str, Outdated] = field(default_factory=dict)
    """What of these is made again, by id; all else that they have on record stays."""

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
    """As `assessed_plan`, without what the plan was made of."""
    return assessed_plan(suite, layout, registry, force=force, limit=limit)[0]


@seldom_collected()
def assessed_plan(
    suite: ResolvedSuite,
    layout: Layout,
    registry: Registry,
    *,
    force: Collection[str] = (),
    limit: int | None = None,
) -> tuple[Plan, Assessment]:
    """The plan of a suite, and what it was made of, for who shows the results as they are now.

    `force`: ids of cells that are made again, or the first digits of ids. `limit`: how many of the listed cells that
    can run are planned, the first in the suite's order and what they depend on; cells that are done or blocked are
    planned as well. Raises UnknownName when no cell has a forced id.
    """
    forced = _forced(suite, force) if force else frozenset()

    def assessed(cells: Sequence[SuiteCell], made: Collection[str]) -> Assessment:
        return assess(cells, suite.metrics, suite.protocols, layout, registry, made)

    assessment = assessed(suite.cells, forced)
    held = _held(assessment, forced) if forced else {}
    if held:
        assessment = assessed(suite.cells, forced - held.keys())
    cells = statuses(assessment)
    kept = cells if limit is None else _limited(cells, limit)
    if len(kept) < len(cells):
        assessment = assessed([status.suite_cell for status in kept], forced - held.keys())
        cells = statuses(assessment)
    cells = [held.get(status.cell_id, status) for status in cells]
    anew, rescore = tuple(assessment.forget), tuple(assessment.rescore)
    jobs = _jobs(suite, layout, assessment, frozenset((*anew, *rescore)))
    outdated = {cell_id: outdated_of(cell_id, assessment) for cell_id in rescore}
    return Plan(suite.name, jobs, tuple(cells), anew, rescore, outdated), assessment


def follow_up(plan: Plan, failed: Collection[str], before: Plan) -> Plan | None:
    """Of a plan that was made after a run, what became stale by that run; None when nothing did.

    `before`: the plan that ran. `failed`: ids of its jobs that failed or could not run; cells that need them are left
    as they are, so that nothing is tried twice.
    """
    ran = apart(before.jobs)  # what was not done together, each cell's own job has done
    own = {each.job.cell_id for each in ran if each.id in failed} - {None}
    broken = [each for each in ran if each.id in failed or each.job.cell_id in own]
    lost = {cell for each in broken for cell in each.cells}  # also what is made from a cell that is not yet in place
    known = {status.cell_id for status in before.cells}
    stale = {each.cell_id for each in plan.cells if each.state == "stale" and each.cell_id in known} - lost
    jobs = [each if stale.intersection(each.cells) else each.set_aside() for each in apart(plan.jobs)]
    if len(jobs) < len(plan.jobs):
        jobs = together(jobs)
    made = {cell for each in jobs if each.runs for cell in each.job.anew}
    if not any(each.runs for each in jobs):
        return None
    anew = tuple(cell for cell in plan.anew if cell in made)
    return replace(plan, jobs=tuple(jobs), anew=anew, rescore=tuple(cell for cell in plan.rescore if cell in made))


def _held(assessment: Assessment, forced: Collection[str]) -> dict[str, CellStatus]:
    """The forced cells that stay as they are, because they cannot be made again here with all that is on record."""
    held = {}
    for jobs in assessment.graph.cells:
        record = assessment.disk.kept[jobs.id].record
        if jobs.id not in forced or record is None or not (record.training or record.evaluations):
            continue
        status = _status(jobs, assessment, {})
        own = [assessment.verdicts[job] for job in (jobs.train, jobs.evaluate) if job is not None]
        reasons = [str(verdict.reason) for verdict in own if verdict.state == "blocked"]
        reasons += [str(gap) for gap in status.gaps if _has_values(record, gap)]
        if reasons:
            what = f"not made again, so that nothing on record is lost: {reasons[0]}"
            held[jobs.id] = CellStatus(jobs.suite_cell, jobs.id, "blocked", what)
    return held


def _has_values(record: RunRecord, gap: Gap) -> bool:
    """Whether what would be left out now is on record."""
    return any(gap.name in ((each.dataset,) if gap.kind == "dataset" else each.metrics) for each in record.evaluations)


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
    before = failed_before(assessment)
    return [_status(jobs, assessment, before) for jobs in assessment.graph.cells]


def _status(jobs: CellJobs, assessment: Assessment, before: Mapping[str, Failed]) -> CellStatus:
    """The state of a cell, from the verdicts on its own jobs and the failures of those that they wait for."""
    own = [job for job in (jobs.train, jobs.evaluate) if job is not None]
    state, reason = _state([assessment.verdicts[job] for job in own])
    failure, lost = "", lost_sets(jobs.evaluate, assessment, before)
    failed = next((before[job] for job in own if job in before and assessment.verdicts[job].runs), None)
    if failed is not None and state in ("todo", "stale"):
        failure = failed_words(failed, assessment)
        state, reason = _waiting(state, reason, failure, assessment.graph.nodes[failed[0]])
    earlier = assessment.disk.kept[jobs.id].failure
    if state == "done" and earlier is not None:
        reason = f"the last attempt {earlier}; what was there before stays"
    if state == "done" and not reason:
        reason = _damage(own, assessment)
    gaps = () if state == "blocked" else tuple(assessment.gaps.get(jobs.id, ()))
    if gaps and state == "done":
        state = "blocked"
    reason = "; ".join(filter(None, (reason, *map(str, gaps))))
    return CellStatus(jobs.suite_cell, jobs.id, state, reason, gaps, failure, lost if failure else {})


def _damage(own: Sequence[str], assessment: Assessment) -> str:
    """Which files of the sets that a cell was made from are damaged; its results stay."""
    graph, manifests = assessment.graph, assessment.disk.manifests
    needed = dict.fromkeys(each for job in own for each in graph.nodes[job].depends if each in manifests)
    damaged = [f"{graph.title(job)}: {manifests[job].damage}" for job in needed if manifests[job].damage is not None]
    return f"{', '.join(damaged)}; its results stay" if damaged else ""


def _waiting(state: CellState, reason: str, failure: str, node: JobNode) -> tuple[CellState, str]:
    """The state of a cell that waits for a failed job. It failed itself where that job prepares its data."""
    if state == "stale":
        return state, f"{reason}; {failure}"
    return "failed" if node.cell_id is None else state, failure


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


def _jobs(
    suite: ResolvedSuite, layout: Layout, assessment: Assessment, anew: Collection[str]
) -> tuple[PlannedJob, ...]:
    """The jobs in the order in which they start. `anew`: the cells that are made again."""
    graph, kept = assessment.graph, assessment.disk.kept
    costs = Costs((each.suite_cell.cell, found) for each in graph.cells if (found := kept[each.id].record) is not None)
    seconds = {job: cost for job, node in graph.nodes.items() if (cost := costs.seconds(node.work)) is not None}
    cells = cells_served(graph)
    own = places(layout, suite.plugins, suite.name)
    shared = {"suite": suite.name, "run": suite.run, "allow_overlap": suite.allow_overlap, **own}
    told_apart = graph.told_apart

    def planned(node: JobNode) -> PlannedJob:
        verdict = assessment.verdicts[node.id]
        job = Job(
            work=node.work,
            depends=node.depends,
            tests=tuple(test.jobs for test in node.tests),
            parts=node.parts,
            labels=graph.labels_of(node),
            told_apart=told_apart.get(node.id, ""),
            anew=tuple(cell for cell in cells_of(node.work) if cell in anew),
            **shared,
        )
        reason = verdict.words
        if node.id in assessment.disk.failures and verdict.runs:  # a cell's record names the log
            reason += f" · log: {layout.job_log(node.id)}"
        return PlannedJob(node.id, job, verdict.state, reason, seconds.get(node.id), cells[node.id])

    order = ordered({job: node.depends for job, node in graph.nodes.items()}, seconds)
    every = [planned(graph.nodes[job]) for job in order]
    return tuple(every if copy_at(layout.out) is not None else together(every))
