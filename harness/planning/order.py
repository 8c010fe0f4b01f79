"""In which order jobs start: prerequisites first, then whatever lets the most other work begin; and for whom."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping

from harness.planning.nodes import JobGraph


def unlocks(depends: Mapping[str, Collection[str]]) -> dict[str, int]:
    """How many jobs cannot start before each one is done, directly or through others.

    `depends` names the prerequisites of each job, and stands in an order in which those come first.
    """
    dependents = _dependents(depends)
    above = _Above(depends, dependents)
    found = dict.fromkeys(depends, 0)
    for job in depends:
        for needed in above.of(job):
            found[needed] += 1
    for job in reversed(tuple(depends)):
        if len(dependents[job]) == 1:
            found[job] = found[dependents[job][0]] + 1
    return found


class _Above:
    """The jobs above each one, directly or through others, that several jobs depend on directly.

    What waits for a job that has one dependent alone is that one and what waits for it. So the many parts of a set, and
    the training of every cell, are in no list: as a rule the lists name the few sets that a cell is made from, and both
    memory and time grow as the number of jobs.
    """

    def __init__(self, depends: Mapping[str, Collection[str]], dependents: Mapping[str, Collection[str]]) -> None:
        self._depends, self._dependents = depends, dependents
        self._known: dict[str, frozenset[str]] = {}
        self._same: dict[frozenset[str], frozenset[str]] = {}
        for job in depends:
            if dependents[job]:
                found = self.of(job)
                self._known[job] = self._same.setdefault(found, found)

    def of(self, job: str) -> frozenset[str]:
        found: set[str] = set()
        for needed in self._depends[job]:
            found |= self._known[needed]
            if len(self._dependents[needed]) > 1:
                found.add(needed)
        return frozenset(found)


def ordered(depends: Mapping[str, Collection[str]], seconds: Mapping[str, float]) -> list[str]:
    """All jobs, prerequisites first. Among those that could start, in this order:

    1. jobs that end a cell, because they are short and give the results; 2. those that unlock the most; 3. the quicker
    ones (`seconds`, where known); 4. those that stand first in `depends`.
    """
    unlocked = unlocks(depends)
    rank = {
        job: (unlocked[job] > 0, -unlocked[job], seconds.get(job, float("inf")), index)
        for index, job in enumerate(depends)
    }
    missing = {job: len(set(needed)) for job, needed in depends.items()}
    dependents = _dependents(depends)
    ready = [(rank[job], job) for job, count in missing.items() if count == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, job = heapq.heappop(ready)
        order.append(job)
        for dependent in dependents[job]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                heapq.heappush(ready, (rank[dependent], dependent))
    assert len(order) == len(depends), "jobs depend on each other in a circle"
    return order


def _dependents(depends: Mapping[str, Collection[str]]) -> Mapping[str, list[str]]:
    """The jobs that need each job directly; none twice."""
    found: dict[str, list[str]] = {job: [] for job in depends}
    for job, needed in depends.items():
        for prerequisite in set(needed):
            found[prerequisite].append(job)
    return found


def cells_served(graph: JobGraph) -> Mapping[str, tuple[str, ...]]:
    """The cells that need each job: its own, and those of the jobs that depend on it. In the suite's order."""
    place = {jobs.id: index for index, jobs in enumerate(graph.cells)}
    depends = {job: node.depends for job, node in graph.nodes.items()}
    dependents = _dependents(depends)
    above = _Above(depends, dependents)
    own: dict[str, list[str]] = {cell_id: [] for cell_id in place}
    for job, node in graph.nodes.items():
        if node.cell_id in own:
            own[node.cell_id].append(job)
    served: dict[str, list[str]] = {job: [] for job in graph.nodes}
    for cell_id, jobs in own.items():
        for job in set(jobs).union(*map(above.of, jobs)):
            served[job].append(cell_id)
    found: dict[str, tuple[str, ...]] = {}
    for job, _ in graph.backwards():
        below = found[dependents[job][0]] if len(dependents[job]) == 1 else ()
        if set(served[job]) <= set(below[:1]):
            found[job] = below
        else:
            found[job] = tuple(sorted({*served[job], *below}, key=place.__getitem__)) if below else tuple(served[job])
    return found
