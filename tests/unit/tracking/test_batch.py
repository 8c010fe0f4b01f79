"""What is told of a run in one call, and what in several."""

from __future__ import annotations

import pytest

from harness.tracking.batch import ALL_PER_CALL, ENTRIES_PER_CALL, METRICS_PER_CALL, Batch
from harness.tracking.entries import Point


def batch(parameters: int, metrics: int, tags: int) -> Batch:
    return Batch(
        {f"p{n}": str(n) for n in range(parameters)},
        [Point(f"m{n}", float(n), n, 0) for n in range(metrics)],
        {f"t{n}": str(n) for n in range(tags)},
    )


def test_a_cell_is_told_in_one_call():
    assert len(list(batch(60, 500, 20).calls())) == 1


@pytest.mark.parametrize("counts", [(0, 0, 1), (100, 800, 100), (100, 801, 100), (350, 2500, 250), (3, 1000, 1)])
def test_no_call_is_more_than_mlflow_takes_and_the_last_one_has_the_last_tag(counts):
    calls = list(batch(*counts).calls())
    for name, limit in (("params", ENTRIES_PER_CALL), ("metrics", METRICS_PER_CALL), ("tags", ENTRIES_PER_CALL)):
        told = [each for call in calls for each in call.get(name, [])]
        assert [each.key for each in told] == [f"{name[0]}{n}" for n in range(len(told))]
        assert max(len(call.get(name, [])) for call in calls) <= limit
    assert all(sum(map(len, call.values())) <= ALL_PER_CALL for call in calls)
    totals = tuple(sum(len(call.get(name, [])) for call in calls) for name in ("params", "metrics", "tags"))
    assert totals == counts
    assert calls[-1]["tags"][-1].key == f"t{counts[2] - 1}"
