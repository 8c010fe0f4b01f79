"""The plan that prepares some sets for the library: the jobs of a suite's data, without cells that need them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.api.sets import PreparedSet
from harness.cells.suite import Run
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.planning.disk import read_disk
from harness.planning.graph import graph_of_sets
from harness.planning.job import Job, ShardsWork
from harness.planning.look import look
from harness.planning.nodes import JobNode
from harness.planning.order import ordered
from harness.planning.places import places
from harness.planning.plan import Plan
from harness.planning.planned import PlannedJob


def plan_of_sets(
    title: str, sets: Sequence[PreparedSet], layout: Layout, registry: Registry, plugins: Sequence[str] = ()
) -> Plan:
    """The jobs that make some prepared sets in `layout.data`, parts before the set that they are parts of.

    What is there is done, and so are the parts of a set that is there; a damaged set is made again. `title`: what the
    plan is called. `plugins`: absolute paths of plug-in files.
    """
    graph = graph_of_sets(sets, registry)
    found = look(graph, read_disk(graph, layout), ())
    wanted: set[str] = set()
    for job, node in graph.backwards():
        whole = isinstance(node.work, ShardsWork) and node.work.part is None
        if found[job].runs and (whole or job in wanted):
            wanted.update((job, *node.depends))

    def planned(node: JobNode) -> PlannedJob:
        verdict = found[node.id]
        state = verdict.state if not verdict.runs or node.id in wanted else "done"
        told = graph.told_apart.get(node.id, "")
        job = Job(
            work=node.work, depends=node.depends, told_apart=told, suite=title, run=Run(), **places(layout, plugins)
        )
        return PlannedJob(node.id, job, state, verdict.words, None, ())

    order = ordered({job: node.depends for job, node in graph.nodes.items()}, {})
    return Plan(title, tuple(planned(graph.nodes[job]) for job in order), ())
