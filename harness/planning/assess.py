"""Three passes over the jobs of some cells: what is on disk, what is needed, what cannot run here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.api.task import EvaluationProtocol
from harness.cells.suite import SuiteCell, SuiteMetric
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.blocked import obstacles
from harness.planning.disk import Disk, read_disk
from harness.planning.gaps import Gaps, joined, leave_out, metric_gaps
from harness.planning.graph import build_graph
from harness.planning.look import look
from harness.planning.missing import lacking_metrics
from harness.planning.needed import need
from harness.planning.nodes import CellJobs, JobGraph
from harness.planning.verdict import DONE, Reason, Verdict, Why


@dataclass(frozen=True)
class Assessment:
    """The jobs of some cells of a suite, and the verdict on each."""

    graph: JobGraph
    """Its evaluate jobs leave out what `gaps` names."""
    whole: JobGraph
    """The same with all test sets."""
    disk: Disk
    verdicts: Mapping[str, Verdict]
    """By job id."""
    gaps: Gaps
    forced: Collection[str]
    """Ids of the cells that the user wants made again."""
    registry: Registry
    """The parts that were to be had."""

    @property
    def forget(self) -> list[str]:
        """Ids of the cells whose record and checkpoint count as gone: they are made again, beside what is there now."""
        inputs = [
            jobs.id
            for jobs in self.graph.cells
            if jobs.train is None and self._runs(jobs.evaluate)
            if jobs.id in self.forced or self.disk.kept[jobs.id].damaged
        ]
        trained = [
            cell_id
            for cell_id, job in self.graph.trains.items()
            if self._runs(job) and (cell_id in self.forced or self.verdicts[job].state == "stale")
        ]
        return inputs + trained

    @property
    def rescore(self) -> list[str]:
        """Ids of the cells whose evaluations are made again and whose training stays."""
        forgotten = set(self.forget)
        return [
            jobs.id
            for jobs in self.graph.cells
            if jobs.evaluate is not None and self.verdicts[jobs.evaluate].state == "stale" and jobs.id not in forgotten
        ]

    def is_of(self, cells: Sequence[SuiteCell], layout: Layout, registry: Registry) -> bool:
        """Whether it says of these very cells, and no others, what is to be had with these parts; none is forced."""
        same = len(cells) == len(self.graph.cells) and all(
            jobs.suite_cell is cell for jobs, cell in zip(self.graph.cells, cells, strict=True)
        )
        return same and not self.forced and self.disk.layout == layout and self.registry is registry

    def is_sound(self, jobs: CellJobs) -> bool:
        """Whether all jobs of a cell are plainly done, so that the first pass found nothing wrong with its record."""
        own = [job for job in (jobs.train, jobs.evaluate) if job is not None]
        return bool(own) and jobs.id not in self.gaps and all(self.verdicts[job] == DONE for job in own)

    def _runs(self, job: str | None) -> bool:
        return job is not None and self.verdicts[job].runs


def assess(
    cells: Sequence[SuiteCell],
    metrics: Sequence[SuiteMetric],
    protocols: Sequence[EvaluationProtocol],
    layout: Layout,
    registry: Registry,
    forced: Collection[str],
) -> Assessment:
    """The verdicts on all jobs that some cells of a suite need.

    An evaluation leaves out the metrics and test sets that cannot be had on this machine; `gaps` names them. Work that
    nothing needs any more counts as done.
    """
    missing = lacking_metrics(metrics, registry)
    computed = [metric for metric in metrics if metric.key not in missing]
    no_metrics = None if computed else next(iter(missing.values()), Reason(Why.NO_METRICS))
    graph = whole = build_graph(cells, computed, protocols, registry)
    disk = read_disk(graph, layout)
    lost = [(metric, missing[metric.key]) for metric in metrics if metric.key in missing]
    gaps = metric_gaps(graph, disk, lost, forced)
    passes = _passes(graph, disk, registry, forced, no_metrics)
    graph, left_out = leave_out(graph, passes.found, passes.obstacles)
    if left_out:  # then less is needed than the passes said
        passes = _passes(graph, disk, registry, forced, no_metrics)
    return Assessment(graph, whole, disk, passes.verdicts(), joined(gaps, left_out), forced, registry)


@dataclass(frozen=True)
class _Passes:
    """What the three passes gave, by job id."""

    found: Mapping[str, Verdict]
    needed: Mapping[str, Verdict]
    obstacles: Mapping[str, Reason]

    def verdicts(self) -> dict[str, Verdict]:
        """The verdicts of the second pass, except that jobs with an obstacle are blocked."""
        return {
            job: Verdict("blocked", self.obstacles[job]) if verdict.runs and job in self.obstacles else verdict
            for job, verdict in self.needed.items()
        }


def _passes(
    graph: JobGraph, disk: Disk, registry: Registry, forced: Collection[str], no_metrics: Reason | None
) -> _Passes:
    found = look(graph, disk, forced)
    needed = need(graph, found, disk, forced)
    return _Passes(found, needed, obstacles(graph, needed, registry, no_metrics))
