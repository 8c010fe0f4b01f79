"""In which order jobs start: prerequisites first, then whatever lets the most other work begin; and for whom."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping

from harness.planning.graph import JobGraph


def unlocks(depends: Mapping[str, Collection[str]]) -> dict[str, int]:
    """How many jobs cannot start before each one is done, directly or through others.

    `depends` names the prerequisites of each job, and stands in an order in which those come first.
    """
    place = {job: index for index, job in enumerate(depends)}
    waiting = dict.fromkeys(depends, 0)  # each value is a set of positions, as the bits of an integer
    for job in reversed(place):
        behind = waiting[job] | 1 << place[job]
        for needed in depends[job]:
            waiting[needed] |= behind
    return {job: bits.bit_count() for job, bits in waiting.items()}


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
    ids = list(place)
    served = dict.fromkeys(graph.nodes, 0)  # each value is a set of positions, as the bits of an integer
    for job, node in graph.backwards():
        if node.cell_id in place:
            served[job] |= 1 << place[node.cell_id]
        for needed in node.depends:
            served[needed] |= served[job]
    return {job: tuple(ids[index] for index in _bits(bits)) for job, bits in served.items()}


def _bits(number: int) -> list[int]:
    """The positions of the bits of a number that are 1, lowest first."""
    places = []
    while number:
        lowest = number & -number
        places.append(lowest.bit_length() - 1)
        number ^= lowest
    return places
