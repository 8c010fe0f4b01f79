"""The second pass, backwards: which jobs are needed, and which cells are trained again for their lost checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from harness.core.identity import known_sha256
from harness.planning.disk import Disk
from harness.planning.nodes import JobGraph, JobNode
from harness.planning.verdict import Reason, Verdict, Why, stale
from harness.storage.mirror import elsewhere

NOT_NEEDED = Verdict("done", Reason(Why.NOT_NEEDED))


def need(graph: JobGraph, found: Mapping[str, Verdict], disk: Disk, forced: Collection[str]) -> dict[str, Verdict]:
    """The verdicts of the first pass, changed in two ways.

    Jobs that nothing needs count as done. A job is needed if it is the last job of a cell or a forced training, or if a
    needed job that is to be run depends on it, or if it makes a set of which a file is damaged. A trained cell whose
    checkpoint is gone is stale if another job needs it, and so is its evaluation; likewise one whose checkpoint is
    damaged. Only checkpoints are hashed that other cells' jobs need or that a job has complained of: to hash those of
    all cells that are only scored would take minutes, and the evaluation itself checks its own.

    One pass from the last job to the first is enough, because every job stands after those that it depends on. The
    exception is an evaluation that becomes stale after the pass has left it behind. What it depends on besides the
    training are shards, which depend on shards alone: a cell that others start from has no prior, and so no features.
    """
    verdicts = dict(found)
    evaluates = {jobs.id: jobs.evaluate for jobs in graph.cells}
    needed = _ends(graph, forced) | _to_mend(graph, disk)
    inner: set[str] = set()  # those that another job needs
    upstream: set[str] = set()  # those that another cell's job needs
    for job, node in graph.backwards():
        lost = _lost_checkpoint(node, verdicts[job], disk, hashed=job in upstream) if job in inner else None
        if lost is not None:
            verdicts[job] = Verdict("stale", lost)
            evaluate = evaluates.get(node.cell_id or "")
            if evaluate is not None:
                verdicts[evaluate] = stale(Why.TRAINED_AGAIN)
                depends = graph.nodes[evaluate].depends
                assert all(each in inner or graph.nodes[each].kind in ("shards", "scores") for each in depends), (
                    evaluate
                )
                inner.update(depends)
                inner.update(_before(depends, graph, verdicts))
        if verdicts[job].runs and (job in needed or job in inner):
            inner.update(node.depends)
            upstream.update(node.depends if node.kind not in ("scores", "evaluate") else ())
    needed |= inner
    return {job: NOT_NEEDED if verdict.runs and job not in needed else verdict for job, verdict in verdicts.items()}


def _before(jobs: Collection[str], graph: JobGraph, verdicts: Mapping[str, Verdict]) -> set[str]:
    """The shards jobs that those among some jobs which are to be run depend on, directly or through others."""
    found: set[str] = set()
    waiting = [job for job in jobs if graph.nodes[job].kind == "shards"]
    while waiting:
        job = waiting.pop()
        if verdicts[job].runs:
            waiting += [each for each in graph.nodes[job].depends if each not in found]
            found.update(graph.nodes[job].depends)
    return found


def _ends(graph: JobGraph, forced: Collection[str]) -> set[str]:
    """The last job of each cell, and the trainings that are forced."""
    ends = {jobs.evaluate or (jobs.train if jobs.suite_cell.listed else None) for jobs in graph.cells}
    ends |= {jobs.train for jobs in graph.cells if jobs.id in forced}
    return {job for job in ends if job is not None}


def _to_mend(graph: JobGraph, disk: Disk) -> set[str]:
    """The jobs of sets that are damaged, unless a network would have to be trained again to make them."""
    damaged = {
        job
        for job, manifest in disk.manifests.items()
        if manifest.damage is not None and not manifest.unreadable and job in graph.nodes
    }
    return {job for job in damaged if not any(_untrained(graph.nodes[each], disk) for each in graph.nodes[job].depends)}


def _untrained(node: JobNode, disk: Disk) -> bool:
    return node.kind == "train" and not disk.kept_by(node).trained


def _lost_checkpoint(node: JobNode, verdict: Verdict, disk: Disk, *, hashed: bool) -> Reason | None:
    """Why the weights of a trained cell cannot be used; None when they can. `hashed`: their digest is compared."""
    if node.kind != "train" or verdict.state != "done" or node.cell_id is None:
        return None
    kept = disk.kept_by(node)
    if not kept.trained:
        return Reason(Why.CHECKPOINT_GONE)
    failure = kept.record.failure if kept.record else None
    if not hashed and (failure is None or failure.kind != "checkpoint"):
        return None
    path = disk.layout.final_weights(node.cell_id)
    try:
        sound = kept.weights_sha256 in (None, elsewhere(path) or known_sha256(path))
    except OSError:
        sound = False
    return None if sound else Reason(Why.CHECKPOINT_DAMAGED, path.name)
