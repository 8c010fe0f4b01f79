"""Plans as rows of plain text, for whoever draws the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.planning.plan import CellStatus, Plan
from harness.planning.planned import PlannedJob

ORDER = ("stale", "failed", "running", "todo", "blocked", "done")


@dataclass(frozen=True)
class JobRow:
    """One line of the table of jobs."""

    state: str
    job: str
    cells: str
    time: str
    reason: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.state, self.job, self.cells, self.time, self.reason))


@dataclass(frozen=True)
class CellRow:
    """One line of the table of cells."""

    state: str
    task: str
    backbone: str
    variant: str
    seed: str
    cell: str
    reason: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.state, self.task, self.backbone, self.variant, self.seed, self.cell, self.reason))


def duration(seconds: float | None) -> str:
    """A time as people say it: 4 s, 12 min, 3 h 20 min. Empty when it is not known."""
    if seconds is None:
        return ""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def in_a_cell(reason: str) -> str:
    """A reason as a table holds it: of a report of several lines, as of a folder's files, the first line alone."""
    lines = reason.splitlines()
    return reason if len(lines) < 2 else f"{lines[0]} … ({len(lines) - 1} more lines below)"


def reports(cells: Iterable[CellStatus]) -> list[str]:
    """The reasons of which `in_a_cell` shows the first line, whole, each once: they stand below a table of cells."""
    found = (f"{status.state}: {status.reason}" for status in cells if len(status.reason.splitlines()) > 1)
    return list(dict.fromkeys(found))


def job_row(planned: PlannedJob) -> JobRow:
    reason, time = in_a_cell(planned.reason), duration(planned.estimate_s)
    return JobRow(planned.state, planned.job.title, str(len(planned.cells)), time, reason)


def cell_row(status: CellStatus) -> CellRow:
    labels, reason = status.suite_cell.labels, in_a_cell(status.reason)
    needed = reason if status.suite_cell.listed else "; ".join(filter(None, ("for other cells", reason)))
    seed = str(status.suite_cell.cell.seed)
    return CellRow(status.state, labels.task, labels.backbone, labels.variant, seed, status.cell_id, needed)


def summary(plan: Plan, at_once: int) -> str:
    """Counts of cells and jobs, and the time to go when records tell."""
    states = [status.state for status in plan.cells if status.suite_cell.listed]
    cells = ", ".join(f"{states.count(state)} {state}" for state in ORDER if state in states) or "none"
    jobs = ", ".join(f"{count} {state}" for state, count in plan.counts().items() if count) or "none"
    text = f"cells: {cells}\njobs: {jobs}"
    estimate = plan.estimate(at_once)
    if estimate is not None:
        known, unknown = estimate
        text += f"\ntime to go: about {duration(known)}, {at_once} at once"
        text += f", and {unknown} jobs of unknown length" if unknown else ""
    return text
