"""The order in which jobs start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.planning.order import ordered, unlocks


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
