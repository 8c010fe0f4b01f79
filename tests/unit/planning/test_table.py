"""Plans in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.parts.catalogue import REGISTRY
from harness.planning.plan import make_plan
from harness.planning.table import cell_row, duration, job_row, reports, summary
from tests.unit.records.made import cell, finish, listed, refined, suite, values


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (12_000, "3 h 20 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_a_report_is_one_line_in_a_table_and_whole_below_it(layout):
    (todo,) = make_plan(suite(listed(cell(0))), layout, REGISTRY).cells
    report = "2 files do not fit\n    a.png: cut off\n    b.png: cut off · try: skip: [a.png]"
    blocked = [replace(todo, state="blocked", reason=reason) for reason in (report, report, "no such folder", "")]
    shown = "2 files do not fit … (2 more lines below)"
    assert [cell_row(each).reason for each in blocked] == [shown, shown, "no such folder", ""]
    assert reports(blocked) == [f"blocked: {report}"]


def test_rows_and_summary(layout):
    finish(layout, cell(0), values([20.0], [0.5]), seconds=120.0)
    needed = cell(1)
    frozen = refined(1, variant={"regime": "frozen"}, base=needed)
    cells = (listed(cell(0)), listed(needed, listed=False, tests=()), listed(frozen, "nss frozen"))
    planned = make_plan(suite(*cells), layout, REGISTRY)
    rows = [list(cell_row(status)) for status in planned.cells]
    assert rows[0] == ["done", "low_light", "NAFNet", "base", "0", cell(0).id, ""]
    assert rows[1][0] == "todo"
    assert rows[1][6] == "for other cells"
    assert rows[2][3] == "nss frozen"
    train = next(each for each in planned.jobs if each.id == f"train-{needed.id}")
    assert list(job_row(train)) == ["todo", "train low_light NAFNet base seed 1", "2", "2 min", ""]
    assert summary(planned, at_once=2) == (
        "cells: 1 todo, 1 done\njobs: 7 todo, 2 done\ntime to go: about 60 s, 2 at once, and 6 jobs of unknown length"
    )
