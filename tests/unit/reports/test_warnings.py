"""What an evaluation found out about its test set stands below the table."""

from __future__ import annotations

from pathlib import Path

from harness.core.paths import Layout
from harness.records import store
from harness.reports.leaderboard import board_of
from harness.reports.text import notes
from tests.unit.records import made
from tests.unit.records.made import cell, listed, suite

TWINS = "test images 'a' and 'b' of photos are identical pixels: its means count the picture twice"


def test_a_warning_of_evaluations_is_told_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out", tmp_path / "data")
    for seed in (0, 1):
        made.finish(layout, cell(seed), made.values([20.0, 21.0]))
        record = store.load(layout, cell(seed).id)
        assert record is not None
        told = tuple(each.model_copy(update={"warnings": (TWINS,)}) for each in record.evaluations)
        store.save(layout, record.model_copy(update={"evaluations": told}))
    board = board_of([suite(listed(cell(0)), listed(cell(1)), metrics=["psnr"])], layout)
    assert board.warnings == (TWINS,)
    assert notes(board)[0] == TWINS
