"""From records and per-image tables to what one table is made of: for every listed cell, the values of each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.api.protocols import protocol_of
from harness.cells.cell import Cell, evaluation_id
from harness.cells.suite import Labels, ResolvedSuite
from harness.core.errors import DataError
from harness.core.identity import digest
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.disk import Disk, read_disk
from harness.planning.graph import CellJobs, JobGraph, build_graph
from harness.planning.look import outdated
from harness.planning.needs import one_line
from harness.planning.plan import CellStatus, make_plan
from harness.records import store
from harness.records.model import RunRecord


@dataclass(frozen=True)
class Column:
    """One metric of one test set under one protocol. Different protocols are different columns."""

    dataset: str
    content: str
    """Digest of the data set's reference: two sets may have one name."""
    protocol: str
    """`<name>/v<version>`."""
    metric: str


@dataclass(frozen=True)
class CellResult:
    """What is known of one listed cell."""

    id: str
    cell: Cell
    labels: Labels
    wanted: tuple[Column, ...]
    """The columns that the suite asks for."""
    scores: Mapping[Column, Mapping[str, float]] = field(default_factory=dict)
    """Value by image."""
    added_parameters: int | None = None
    reason: str = ""
    """Why columns are missing."""
    gaps: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """Why all columns of one ("metric", name) or ("dataset", name) are."""

    @property
    def complete(self) -> bool:
        return all(column in self.scores for column in self.wanted)

    def why_not(self, column: Column) -> str:
        """Why a column is missing."""
        by_metric, by_dataset = ("metric", column.metric), ("dataset", column.dataset)
        return self.gaps.get(by_metric) or self.gaps.get(by_dataset) or self.reason


def query(suites: Iterable[tuple[ResolvedSuite, Registry]], layout: Layout) -> list[CellResult]:
    """The listed cells of suites, each once, in the suites' order. A suite comes with the registry of its plug-ins.

    Damaged records and tables are gaps with a reason, not errors.
    """
    found: dict[str, CellResult] = {}
    for suite, registry in suites:
        for result in _results(suite, registry, layout):
            known = found.get(result.id)
            found[result.id] = result if known is None else _merged(known, result)
    return list(found.values())


def _merged(known: CellResult, other: CellResult) -> CellResult:
    """One cell as two suites see it: labels of the first, columns of both."""
    wanted = tuple(dict.fromkeys((*known.wanted, *other.wanted)))
    scores = {**known.scores, **other.scores}
    gaps = {**known.gaps, **other.gaps}
    return replace(known, wanted=wanted, scores=scores, reason=known.reason or other.reason, gaps=gaps)


def _results(suite: ResolvedSuite, registry: Registry, layout: Layout) -> list[CellResult]:
    graph = build_graph(suite.cells, suite.metrics)
    disk = read_disk(graph, layout)
    metrics = [metric.key for metric in suite.metrics]
    results = [_result(jobs, graph, disk, metrics, registry) for jobs in graph.cells if jobs.suite_cell.listed]
    if all(result.complete for result in results):
        return results
    statuses = {status.cell_id: status for status in make_plan(suite, layout, registry).cells}
    return [result if result.complete else _explained(result, statuses[result.id]) for result in results]


def _explained(result: CellResult, status: CellStatus) -> CellResult:
    """A result with holes, and what planning knows of them."""
    if status.state == "blocked" and not status.gaps:
        return replace(result, reason=f"blocked: {status.reason}")
    gaps: dict[tuple[str, str], str] = {(gap.kind, gap.name): f"blocked: {gap.reason}" for gap in status.gaps}
    return replace(result, reason=result.reason or "not run yet", gaps=gaps)


def _result(jobs: CellJobs, graph: JobGraph, disk: Disk, metrics: Sequence[str], registry: Registry) -> CellResult:
    cell = jobs.suite_cell.cell
    protocol = protocol_of(registry, cell.task)
    tests = [cell.test_set(dataset) for dataset in jobs.suite_cell.tests]
    evaluations = {evaluation_id(cell, samples, protocol): samples for samples in tests}
    label = f"{protocol.name}/v{protocol.version}"
    columns = {
        (name, metric): Column(samples.dataset.name, digest(samples.dataset.identity(), 8), label, metric)
        for name, samples in evaluations.items()
        for metric in metrics
    }
    result = CellResult(jobs.id, cell, jobs.suite_cell.labels, tuple(columns.values()))
    kept = disk.kept[jobs.id]
    stale = outdated(jobs, graph, disk)
    if stale or kept.record is None:
        return replace(result, reason=f"stale: {stale}" if stale else "")
    training = kept.record.training
    result = replace(result, added_parameters=training.added_parameters if training else None)
    try:
        scores = _scores(disk.layout, kept.record, columns)
    except DataError as error:
        return replace(result, reason=f"stale: {one_line(error)}")
    reason = str(kept.failure) if kept.failure else "not evaluated yet" if training else ""
    return replace(result, scores=scores, reason=reason)


def _scores(
    layout: Layout, record: RunRecord, columns: Mapping[tuple[str, str], Column]
) -> dict[Column, dict[str, float]]:
    """The values of the wanted columns that the record vouches for, by image."""
    vouched = {(evaluation.id, metric) for evaluation in record.evaluations for metric in evaluation.metrics}
    wanted = {name: column for name, column in columns.items() if name in vouched}
    if not wanted:
        return {}
    scores: dict[Column, dict[str, float]] = {column: {} for column in wanted.values()}
    table = store.images_of(layout, record)
    names = ("evaluation", "metric", "key", "value")
    for evaluation, metric, key, value in zip(*(table.column(name).to_pylist() for name in names), strict=True):
        column = wanted.get((evaluation, metric))
        if column is not None:
            scores[column][key] = value
    return {column: values for column, values in scores.items() if values}
