"""The second pass, backwards: which jobs are needed, and which cells are trained again for their lost checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.planning.disk import Disk
from harness.planning.graph import JobGraph, JobNode
from harness.planning.verdict import Reason, Verdict, Why, stale

NOT_NEEDED = Verdict("done", Reason(Why.NOT_NEEDED))


def need(graph: JobGraph, found: Mapping[str, Verdict], disk: Disk, forced: Collection[str]) -> dict[str, Verdict]:
    """The verdicts of the first pass, changed in two ways.

    Jobs that nothing needs count as done. A job is needed if it is the last job of a cell or a forced training, or if a
    needed job that is to be run depends on it. A trained cell whose checkpoint is gone is stale if another job needs
    it, and so is its evaluation.

    One pass from the last job to the first is enough, because every job stands after those that it depends on. The
    exception is an evaluation that becomes stale after the pass has left it behind. What it depends on besides the
    training are shards, which depend on nothing: a cell that others start from has no prior, and so no features.
    """
    verdicts = dict(found)
    evaluates = {jobs.id: jobs.evaluate for jobs in graph.cells}
    needed = _ends(graph, forced)
    inner: set[str] = set()  # those that another job needs
    for job, node in graph.backwards():
        if job in inner and _lost_its_checkpoint(node, verdicts[job], disk):
            verdicts[job] = stale(Why.CHECKPOINT_GONE)
            evaluate = evaluates.get(node.cell_id or "")
            if evaluate is not None:
                verdicts[evaluate] = stale(Why.TRAINED_AGAIN)
                depends = graph.nodes[evaluate].depends
                assert all(each in inner or graph.nodes[each].kind == "shards" for each in depends), evaluate
                inner.update(depends)
        if verdicts[job].runs and (job in needed or job in inner):
            inner.update(node.depends)
    needed |= inner
    return {job: NOT_NEEDED if verdict.runs and job not in needed else verdict for job, verdict in verdicts.items()}


def _ends(graph: JobGraph, forced: Collection[str]) -> set[str]:
    """The last job of each cell, and the trainings that are forced."""
    ends = {jobs.evaluate or (jobs.train if jobs.suite_cell.listed else None) for jobs in graph.cells}
    ends |= {jobs.train for jobs in graph.cells if jobs.id in forced}
    return {job for job in ends if job is not None}


def _lost_its_checkpoint(node: JobNode, verdict: Verdict, disk: Disk) -> bool:
    return node.kind == "train" and verdict.state == "done" and not disk.kept_by(node).trained
