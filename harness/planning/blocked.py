"""The third pass, forwards: which of the jobs that are to be run cannot run here, and why."""

from __future__ import annotations

from collections.abc import Mapping

from harness.core.registry import Registry
from harness.planning.missing import lacks
from harness.planning.nodes import JobGraph, JobNode
from harness.planning.verdict import Reason, Verdict, Why


def obstacles(
    graph: JobGraph, verdicts: Mapping[str, Verdict], registry: Registry, no_metrics: Reason | None
) -> dict[str, Reason]:
    """Why jobs cannot run, by id: what a job lacks itself, else the first obstacle among the jobs it depends on.

    `verdicts`: those of the second pass. `no_metrics`: why no metric can be computed; None when one can.
    """
    lacking = lacks({job: node.work for job, node in graph.nodes.items() if verdicts[job].runs}, registry)
    found: dict[str, Reason] = {}
    for job, node in graph.nodes.items():
        reason = verdicts[job].reason if verdicts[job].state == "blocked" else None
        if verdicts[job].runs:
            own = lacking.get(job) or (no_metrics if node.kind == "evaluate" else None)
            reason = own or _before(node, graph, found)
        if reason is not None:
            found[job] = reason
    return found


def _before(node: JobNode, graph: JobGraph, found: Mapping[str, Reason]) -> Reason | None:
    """ "Waits for …": the first obstacle among the jobs that it depends on; None when none has one."""
    for job in node.depends:
        reason = None if graph.nodes[job].kind == "scores" else found.get(job)  # it does without
        if reason is not None:
            return reason if reason.kind is Why.WAITS else Reason(Why.WAITS, graph.title(job), str(reason))
    return None
