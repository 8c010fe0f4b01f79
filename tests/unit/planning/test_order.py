"""The order in which jobs start."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from typing import NamedTuple, cast

from hypothesis import given
from hypothesis import strategies as st

from harness.planning.nodes import CellJobs, JobGraph, JobNode
from harness.planning.order import cells_served, ordered, unlocks


def test_unlocks_counts_each_dependant_once():
    diamond = {"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"], "e": []}
    assert unlocks(diamond) == {"a": 3, "b": 1, "c": 1, "d": 0, "e": 0}


def test_what_ends_a_cell_goes_first_then_what_unlocks_most_then_what_is_quick():
    depends = {
        "slow": [],
        "quick": [],
        "base": [],
        "slow end": ["slow"],
        "quick end": ["quick"],
        "base end": ["base"],
        "frozen": ["base"],
        "frozen end": ["frozen"],
    }
    seconds = {"slow": 100.0, "quick": 5.0}
    expected = ["base", "base end", "quick", "quick end", "slow", "slow end", "frozen", "frozen end"]
    assert ordered(depends, seconds) == expected


def test_without_anything_known_the_first_goes_first():
    assert ordered({"b": [], "a": [], "c": []}, {}) == ["b", "a", "c"]


@given(st.lists(st.sets(st.integers(0, 30)), max_size=30), st.dictionaries(st.integers(0, 30), st.floats(0, 9)))
def test_every_order_is_complete_and_respects_what_comes_before(needs, costs):
    depends = {str(n): [str(m) for m in sorted(needed) if m < n] for n, needed in enumerate(needs)}
    order = ordered(depends, {str(n): cost for n, cost in costs.items()})
    assert sorted(order) == sorted(depends)
    place = {job: index for index, job in enumerate(order)}
    assert all(place[needed] < place[job] for job, all_needed in depends.items() for needed in all_needed)


class Node(NamedTuple):
    cell_id: str | None
    depends: tuple[str, ...]


def waiting(job, depends):
    """The jobs that cannot start before one is done, found by following every path."""
    direct = {other for other, needed in depends.items() if job in needed}
    return direct.union(*(waiting(other, depends) for other in direct))


@given(st.lists(st.sets(st.integers(0, 12), max_size=4), max_size=12), st.lists(st.integers(0, 4), min_size=12))
def test_what_waits_for_a_job_and_whom_it_serves_is_found_by_following_every_path(needs, owners):
    depends = {f"j{n}": tuple(f"j{m}" for m in sorted(needed) if m < n) for n, needed in enumerate(needs)}
    behind = {job: waiting(job, depends) for job in depends}
    assert unlocks(depends) == {job: len(jobs) for job, jobs in behind.items()}
    cells = ["c2", "c0", "c1"]  # of owners 3 and 4 the suite has no cell
    nodes = {job: Node(f"c{owners[n]}", needed) for n, (job, needed) in enumerate(depends.items())}
    graph = JobGraph(
        cast(Mapping[str, JobNode], nodes), tuple(CellJobs(None, each, None, None) for each in cells), {}, {}
    )
    for job, served in cells_served(graph).items():
        own = {nodes[each].cell_id for each in (job, *behind[job])}
        assert served == tuple(each for each in cells if each in own)


def peak(count):
    """Bytes that it takes to order the jobs of so many cells, which share ten sets, one in thirty parts."""
    shared: dict[str, list[str]] = {f"{kind}{n}": [] for kind, many in (("set", 10), ("part", 30)) for n in range(many)}
    depends = {**shared, "whole": [f"part{n}" for n in range(30)]}
    for cell in range(count):
        depends[f"train{cell}"] = ["whole", f"set{cell % 10}"]
        depends[f"evaluate{cell}"] = ["set0", f"train{cell}"]
    tracemalloc.start()
    try:
        assert len(ordered(depends, {})) == len(depends)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_as_the_number_of_cells():
    assert peak(8000) < 6 * peak(2000)
