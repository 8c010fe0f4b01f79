"""What planning has read of a folder of results is not read again for its tables, and they are the same."""

from __future__ import annotations

import polars as pl
import pyarrow
import pytest
from polars.testing import assert_frame_equal
from pyarrow import parquet

from harness.core.identity import file_sha256
from harness.core.paths import Layout, write_text
from harness.parts.catalogue import REGISTRY
from harness.planning.plan import assessed_plan
from harness.records import store
from harness.records.model import IMAGE_COLUMNS
from harness.reports.leaderboard import board_of
from harness.results import columns
from harness.results.frames import Results
from tests.unit.records.made import cell, degraded, fail, finish, listed, refined, suite, values


@pytest.fixture
def resolved(layout):
    """The suite of a folder with cells that are done, damaged, failed and not begun."""
    finish(layout, degraded(), values([10.0, 12.0], [0.2, 0.4]))
    for seed in range(3):
        finish(layout, cell(seed), values([20.0 + seed, 23.0], [0.5, 0.6]))
        finish(layout, refined(seed), values([21.0 + seed, 23.5], [0.6, 0.7]))
    layout.images(cell(1).id).write_bytes(b"")
    layout.record(refined(1).id).write_bytes(b"{}")
    fail(layout, cell(3))
    cells = [degraded(), *(each for seed in range(5) for each in (cell(seed), refined(seed)))]
    return suite(*map(listed, cells))


@pytest.fixture
def loaded(monkeypatch):
    """The cells whose records are read, in order."""
    cells: list[str] = []
    load = store.load_from

    def noted(folder, cell_id):
        cells.append(cell_id)
        return load(folder, cell_id)

    monkeypatch.setattr(store, "load_from", noted)
    return cells


def test_what_planning_has_read_is_not_read_again_and_gives_the_same_table(layout, resolved, loaded):
    _, found = assessed_plan(resolved, layout, REGISTRY)
    ids = [each.cell.id for each in resolved.cells]
    assert sorted(loaded) == sorted(ids)
    known = board_of([resolved], layout, known={resolved.name: found})
    assert sorted(loaded) == sorted(ids)
    assert known == board_of([resolved], layout)
    assert sorted(loaded) == sorted([*ids, *ids])


@pytest.mark.parametrize("how", ["forced", "limited", "other cells", "other folder"])
def test_what_says_of_something_else_is_not_taken(layout, resolved, loaded, how, tmp_path):
    force, limit = [cell(2).id] if how == "forced" else [], 1 if how == "limited" else None
    asked = suite(*resolved.cells[:4]) if how == "other cells" else resolved
    place = Layout(tmp_path / "none", layout.data) if how == "other folder" else layout
    _, found = assessed_plan(asked, place, REGISTRY, force=force, limit=limit)
    loaded.clear()
    known = Results([resolved], layout, known={resolved.name: found})
    plain = Results([resolved], layout)
    for frame in ("cells", "coverage", "images"):
        assert_frame_equal(getattr(known, frame)(), getattr(plain, frame)())
    assert len(loaded) == 2 * len(resolved.cells)


def rewrite(layout: Layout, cell_id: str, change) -> None:
    """Puts another table of images in a cell, soundly named by its record."""
    path = layout.images(cell_id)
    parquet.write_table(change(parquet.read_table(path)), path)
    record = store.load(layout, cell_id)
    assert record is not None
    store.save(layout, record.model_copy(update={"images_sha256": file_sha256(path)}))


def old(table: pyarrow.Table) -> pyarrow.Table:
    """As earlier releases wrote it."""
    return table.select(IMAGE_COLUMNS[:-2])


@pytest.mark.parametrize("at_once", [1, 1 << 26])
def test_tables_of_earlier_releases_and_wrong_ones_stand_beside_sound_ones(layout, monkeypatch, at_once):
    monkeypatch.setattr(columns, "_AT_ONCE", at_once)
    for seed in range(4):
        finish(layout, cell(seed), values([20.0 + seed], [0.5]))
    rewrite(layout, cell(1).id, old)
    rewrite(layout, cell(2).id, lambda table: table.rename_columns([*IMAGE_COLUMNS[:-1], "party"]))
    resolved = suite(*(listed(cell(seed)) for seed in range(4)))
    write_text(layout.suite(resolved.name), resolved.model_dump_json())
    results = Results([resolved], layout)
    found = results.images().filter(metric="psnr").sort("value")
    assert found["cell"].to_list() == [cell(seed).id for seed in (0, 1, 3)]
    assert found["value"].to_list() == [20.0, 21.0, 23.0]
    assert found["group"].to_list() == ["", "", ""]
    wrong = results.coverage().filter(pl.col("images") == 0)
    assert wrong["cell"].unique().to_list() == [cell(2).id]
    assert all(reason.startswith("stale: has the columns") for reason in wrong["reason"])
