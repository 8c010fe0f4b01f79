"""What is behind, by the digest of the record that was mirrored."""

from __future__ import annotations

import json
import time

import pytest

from harness.core.identity import file_sha256
from harness.tracking.ledger import Ledger
from tests.unit.tracking.records import layout_in, leave


@pytest.fixture
def layout(tmp_path):
    return layout_in(tmp_path)


def test_a_cell_is_behind_until_noted_and_again_when_its_record_changes(layout):
    cell_id = leave(layout, 0)
    sha = file_sha256(layout.record(cell_id))
    ledger = Ledger(layout, "u", "s")
    assert ledger.behind([cell_id, "no record"]) == {cell_id: sha}
    ledger.note({cell_id: sha})
    assert ledger.behind([cell_id]) == {}
    assert Ledger(layout, "u", "s").behind([cell_id]) == {}
    assert Ledger(layout, "u", "s").behind([cell_id], trust=False) == {cell_id: sha}
    leave(layout, 0, psnr=31.0)
    assert list(ledger.behind([cell_id])) == [cell_id]


def test_servers_and_suites_are_kept_apart(layout):
    cell_id = leave(layout, 0)
    first, second = Ledger(layout, "u", "s"), Ledger(layout, "u", "t")
    sha = file_sha256(layout.record(cell_id))
    first.note({cell_id: sha})
    second.note({})
    assert Ledger(layout, "u", "s").behind([cell_id]) == {}
    assert Ledger(layout, "u", "t").behind([cell_id]) == {cell_id: sha}
    assert Ledger(layout, "v", "s").behind([cell_id]) == {cell_id: sha}


@pytest.mark.parametrize("content", ["", "{torn", "[1]", "{}"])
def test_a_damaged_ledger_is_an_empty_one(layout, content):
    cell_id = leave(layout, 0)
    (layout.out / "tracking.json").write_text(content)
    ledger = Ledger(layout, "u", "s")
    assert list(ledger.behind([cell_id])) == [cell_id]
    ledger.note(ledger.behind([cell_id]))
    assert Ledger(layout, "u", "s").behind([cell_id]) == {}


def test_the_file_is_not_written_for_every_cell_and_flush_writes_the_rest(layout, monkeypatch):
    written = []

    def slowly(path, value):
        time.sleep(0.05)
        written.append(1)

    monkeypatch.setattr("harness.tracking.ledger.write_json", slowly)
    ledger = Ledger(layout, "u", "s")
    for number in range(20):
        ledger.note({f"cell {number}": "sha"})
    assert len(written) == 1
    monkeypatch.undo()
    ledger.flush()
    assert len(json.loads((layout.out / "tracking.json").read_text())["u"]["s"]) == 20
