"""What evaluations leave out because something is missing here, so that the rest is measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.cells.suite import SuiteMetric
from harness.planning.disk import Disk
from harness.planning.look import not_scored
from harness.planning.nodes import HeldOut, JobGraph, JobNode, without
from harness.planning.verdict import Reason, Verdict


@dataclass(frozen=True)
class Gap:
    """A metric or a test set that an evaluation leaves out because something is missing here."""

    kind: Literal["metric", "dataset"]
    name: str
    """The metric's key, or the data set's name."""
    reason: Reason

    def __str__(self) -> str:
        return f"without {self.name}: {self.reason}"


Gaps = Mapping[str, Sequence[Gap]]
"""Gaps by cell id; cells without gaps are not in it."""


def metric_gaps(
    graph: JobGraph,
    disk: Disk,
    lost: Sequence[tuple[SuiteMetric, Reason]],
    forced: Collection[str],
) -> Gaps:
    """The metrics of `lost`, which cannot be computed here, as gaps of the cells that do not have them on record.

    What a forced cell has on record does not count, because it is removed.
    """
    found = {}
    for cell_id, node in _evaluations(graph) if lost else ():
        record = None if cell_id in forced else disk.kept_by(node).record
        gaps = [
            Gap("metric", metric.key, reason)
            for metric, reason in lost
            if record is None or not_scored(record, node, (metric,))
        ]
        if gaps:
            found[cell_id] = gaps
    return found


def leave_out(graph: JobGraph, found: Mapping[str, Verdict], obstacles: Mapping[str, Reason]) -> tuple[JobGraph, Gaps]:
    """The graph without the test sets that cannot be prepared here, and these sets as gaps.

    Test sets are left out only of evaluations that are to be run according to the first pass (`found`). An evaluation
    that would lose all its test sets keeps them, and is blocked.
    """
    gaps, smaller = {}, []
    for cell_id, node in _evaluations(graph):
        lost = list(_lost(node, obstacles)) if found[node.id].runs else []
        if 0 < len(lost) < len(node.tests):
            each = [Gap("dataset", test.samples.dataset.called, reason) for test, reason in lost]
            gaps[cell_id] = list(dict.fromkeys(each))  # a set that protocols draw in two ways is named once
            smaller.append(without(node, [test for test, _ in lost]))
    return graph.with_nodes(smaller) if smaller else graph, gaps


def joined(first: Gaps, second: Gaps) -> Gaps:
    """The gaps of both, cell by cell."""
    return {cell_id: [*first.get(cell_id, ()), *second.get(cell_id, ())] for cell_id in [*first, *second]}


def _evaluations(graph: JobGraph) -> Iterator[tuple[str, JobNode]]:
    """(cell id, evaluate job) of the cells that have one."""
    return ((jobs.id, graph.nodes[jobs.evaluate]) for jobs in graph.cells if jobs.evaluate is not None)


def _lost(node: JobNode, obstacles: Mapping[str, Reason]) -> Iterator[tuple[HeldOut, Reason]]:
    """The test sets of an evaluation that cannot be prepared here, each with the first reason."""
    for test in node.tests:
        reason = next((obstacles[job] for job in test.jobs if job in obstacles), None)
        if reason is not None:
            yield test, reason
