"""What evaluations leave out because something is missing here, so that the rest is measured."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.cells.suite import SuiteMetric
from harness.core.registry import Registry
from harness.planning.disk import Disk
from harness.planning.graph import HeldOut, JobGraph, Node, without
from harness.planning.look import not_scored
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
"""By cell id; cells without any are not in it."""


def metric_gaps(
    graph: JobGraph,
    disk: Disk,
    registry: Registry,
    lost: Sequence[tuple[SuiteMetric, Reason]],
    forced: Collection[str],
) -> Gaps:
    """The metrics of `lost`, which cannot be computed here, as gaps of the cells that do not have them on record.

    A forced cell loses what it has on record.
    """
    found = {}
    for cell_id, node in _evaluations(graph) if lost else ():
        record = None if cell_id in forced else disk.of(node).record
        gaps = [
            Gap("metric", metric.key, reason)
            for metric, reason in lost
            if record is None or not_scored(record, node, (metric,), registry)
        ]
        if gaps:
            found[cell_id] = gaps
    return found


def leave_out(graph: JobGraph, found: Mapping[str, Verdict], obstacles: Mapping[str, Reason]) -> tuple[JobGraph, Gaps]:
    """The graph without the test sets that cannot be prepared here, and which they are.

    Only evaluations that are to run by what is on disk (`found`, the first pass) leave out test sets. One that would
    have to leave out all of them leaves out none, and is blocked.
    """
    gaps, smaller = {}, []
    for cell_id, node in _evaluations(graph):
        lost = list(_lost(node, obstacles)) if found[node.id].runs else []
        if 0 < len(lost) < len(node.tests):
            gaps[cell_id] = [Gap("dataset", test.samples.dataset.name, reason) for test, reason in lost]
            smaller.append(without(node, [test for test, _ in lost]))
    return graph.with_nodes(smaller) if smaller else graph, gaps


def joined(first: Gaps, second: Gaps) -> Gaps:
    """Both, those of the first before those of the second."""
    return {cell_id: [*first.get(cell_id, ()), *second.get(cell_id, ())] for cell_id in [*first, *second]}


def _evaluations(graph: JobGraph) -> Iterator[tuple[str, Node]]:
    """(cell id, evaluate job) of the cells that have one."""
    return ((jobs.id, graph.nodes[jobs.evaluate]) for jobs in graph.cells if jobs.evaluate is not None)


def _lost(node: Node, obstacles: Mapping[str, Reason]) -> Iterator[tuple[HeldOut, Reason]]:
    """The test sets of an evaluation that cannot be prepared here, each with the first reason."""
    for test in node.tests:
        reason = next((obstacles[job] for job in test.jobs if job in obstacles), None)
        if reason is not None:
            yield test, reason
