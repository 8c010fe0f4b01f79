"""Folders of earlier releases: `earlier.json` is one, as such a release left it; the numbers are those that it showed.

It holds a stored suite with two protocols, the three records, and the values of each image. The features of its refined
cell are those that this release calls `crop`.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.api.protocols import Y_MATLAB
from harness.api.reference import PartRef
from harness.api.task import present_label
from harness.cells.cell import RULES, Cell, evaluation_id
from harness.cells.suite import Labels, ResolvedSuite, SuiteCell, SuiteMetric
from harness.core.paths import Layout, write_bytes, write_text
from harness.parts.catalogue import REGISTRY
from harness.records import store
from harness.records.images import table_bytes
from harness.records.model import weights_of
from harness.reports.formats import comma_separated
from harness.reports.leaderboard import leaderboard
from harness.results import earlier
from harness.results.frames import open_results
from harness.results.shelf import cell_statuses, shelve
from harness.results.suites import keep_suite, kept_as, read_suites
from tests.unit.cli.results import Results, bench
from tests.unit.records.made import finish, protocol, values

KEPT = json.loads(Path(__file__).with_name("earlier.json").read_text(encoding="utf-8"))
INPUT, BASE, REFINED = "f6d31b003f60", "846f8340705a", "a0b4d53af2b0"
BY_NAME, BY_SEED0 = "photos.psnr@rgb_uint8/v1", "photos.psnr@noise_seed0/v1"
MEANS = {
    "input": ("20.690858", "20.699422"),
    "base": ("17.354612", "17.368561"),
    "ptg_rm+nss": ("17.830647", "17.845373"),
}
"""What the release itself showed, under both protocols."""


def leave(layout: Layout, *, without: tuple[str, ...] = (), suite: str = "tiny") -> None:
    """Writes the folder. `without`: cells that left no record."""
    write_text(layout.suite(suite), json.dumps(KEPT["suite"]))
    for cell_id, record in KEPT["records"].items():
        if cell_id in without:
            continue
        rows = [store.ImageRow(*row) for owner, *row in KEPT["images"] if owner == cell_id]
        content = table_bytes(rows)
        write_bytes(layout.images(cell_id), content)
        said = record | {"images_sha256": store.sha256_of(content)}
        write_text(layout.record(cell_id), json.dumps(said))


def rows(layout: Layout) -> dict[str, dict[str, str]]:
    text = comma_separated.write(leaderboard(layout))
    return {f"{row['task']} {row['variant']}": row for row in csv.DictReader(io.StringIO(text))}


def states(layout: Layout) -> list[tuple[str, str]]:
    (made,) = read_suites(layout).suites
    return [(each.state, each.reason) for each in cell_statuses(made, layout, shelve(made, layout, REGISTRY))]


def present(suite_cell: SuiteCell) -> SuiteCell:
    """The same cell as this release plans it."""
    cell = suite_cell.cell.model_copy(update={"rules": RULES})
    return suite_cell.model_copy(update={"cell": cell})


def test_cells_and_evaluations_have_the_ids_that_the_release_gave_them(layout: Layout) -> None:
    made = ResolvedSuite.model_validate(KEPT["suite"])
    assert [each.cell.id for each in made.cells] == [INPUT, BASE, REFINED]
    for each in made.cells:
        known = {(present_label(one["protocol"]), one["id"]) for one in KEPT["records"][each.cell.id]["evaluations"]}
        scored = [(test, protocol) for test in each.tests for protocol in made.protocols]
        found = {(by.label, name) for name, _, by in earlier.evaluations(each.cell, scored)}
        assert found == known


def test_the_table_has_the_numbers_that_the_release_showed(layout: Layout) -> None:
    leave(layout)
    found = rows(layout)
    shown = {
        name: tuple(found[f"gaussian_denoise {name}"][f"{by}.mean"] for by in (BY_NAME, BY_SEED0)) for name in MEANS
    }
    assert shown == MEANS
    refined = found["gaussian_denoise ptg_rm+nss"]
    assert (refined[f"{BY_NAME}.delta"], refined[f"{BY_SEED0}.delta"]) == ("0.476035", "0.476812")
    assert {row["note"] for row in found.values()} == {""}


def test_the_table_says_that_they_are_of_an_earlier_release(layout: Layout) -> None:
    leave(layout)
    (warning,) = leaderboard(layout).warnings
    assert warning.startswith("gaussian_denoise: cells of an earlier release, whose images were cut")
    assert open_results(layout.out).cells()["earlier"].to_list() == [True] * 3
    assert states(layout) == [("done", "of an earlier release")] * 3
    done = bench("status", layout.out)
    assert (done.exit_code, done.stdout.count("of an earlier release")) == (0, 3)


def test_old_and_present_results_share_neither_column_nor_row_nor_base(layout: Layout) -> None:
    """A suite that was run again under another name, beside the old one: same labels, data set and protocol."""
    leave(layout)
    made = ResolvedSuite.model_validate(KEPT["suite"])
    again = present(next(each for each in made.cells if each.cell.id == BASE))
    finish(layout, again.cell, values([30.0, 32.0]), protocols=[protocol(again.cell)], dataset=again.tests[0].dataset)
    now = made.model_copy(update={"name": "again", "cells": (again,), "protocols": ()})
    write_text(layout.suite("again"), now.model_dump_json())
    board = leaderboard(layout)
    assert [section.task for section in board.sections] == ["gaussian_denoise", "gaussian_denoise (earlier release)"]
    new, old = (set(section.columns) for section in board.sections)
    assert not new & old
    assert {column[:4] for column in new} < {column[:4] for column in old}, "the same set, protocol and condition"
    cells = {row["cell"]: row for row in open_results(layout.out).cells().iter_rows(named=True)}
    assert cells[REFINED]["base"] == BASE
    assert cells[again.cell.id]["earlier"] is False
    found = [row for row in rows(layout).values() if row["variant"] == "base"]
    assert sorted(value for row in found for name, value in row.items() if name.endswith(".mean") and value) == [
        "17.354612", "17.368561", "31.000000",
    ]  # fmt: skip


def test_the_same_suite_run_again_hides_and_removes_no_old_result(layout: Layout, tmp_path: Path) -> None:
    """The stored suite says not where its file lay; a new run is a suite beside it, under which both are found."""
    leave(layout)
    made = ResolvedSuite.model_validate(KEPT["suite"])
    again = made.model_copy(update={"cells": tuple(map(present, made.cells[:2])), "protocols": ()})
    for _ in range(2):
        kept = kept_as(again, str(tmp_path / "tiny.yaml"), layout)
        keep_suite(kept, layout)
        assert kept.name == "tiny~2"
    assert {each.name: len(each.cells) for each in read_suites(layout).suites} == {"tiny": 3, "tiny~2": 2}
    assert set(open_results(layout.out).images()["cell"]) == {INPUT, BASE, REFINED}
    for cell_id in (INPUT, BASE, REFINED):
        write_text(layout.job_file(f"evaluate-{cell_id}"), "{}")
    done = bench("clean", layout.out, "--yes")
    assert (done.exit_code, done.output) == (0, "nothing to remove: all that is here is needed\n")


def test_the_table_of_the_new_suite_says_where_the_old_results_are(tmp_path: Path) -> None:
    ran = Results(tmp_path)
    leave(ran.layout, suite="small")
    done = bench("leaderboard", ran.file, "--out", ran.out)
    assert "earlier release)" not in done.stdout
    assert done.stderr == (
        f"results of an earlier release, kept as small, are not shown · try: bench leaderboard {ran.layout.out}\n"
    )
    assert bench("status", ran.file, "--out", ran.out).stderr == done.stderr
    assert bench("leaderboard", ran.out).stderr == bench("status", ran.out).stderr == ""


def test_a_present_variant_is_not_compared_with_an_old_base(layout: Layout) -> None:
    leave(layout)
    made = ResolvedSuite.model_validate(KEPT["suite"])
    again = present(next(each for each in made.cells if each.cell.id == REFINED))
    finish(layout, again.cell, values([30.0, 32.0]), dataset=again.tests[0].dataset)
    now = made.model_copy(update={"name": "again", "cells": (again,), "protocols": ()})
    write_text(layout.suite("again"), now.model_dump_json())
    frame = open_results(layout.out).cells().filter(cell=again.cell.id)
    assert frame["base"].to_list() == [None]


def test_what_is_missing_is_not_promised(layout: Layout) -> None:
    leave(layout, without=(BASE,))
    assert [state for state, _ in states(layout)] == ["done", "stale", "done"]
    missing = open_results(layout.out).coverage().filter(cell=BASE)
    assert missing["images"].to_list() == [0, 0]
    assert set(missing["reason"]) == {earlier.MADE_ANEW}


@pytest.mark.parametrize("damage", [lambda text: text[:-30], lambda text: b"", lambda text: b"[3]"])
@pytest.mark.parametrize("file", ["record", "images"])
def test_damaged_files_are_left_out_with_the_reason(layout: Layout, file: str, damage: Any) -> None:
    leave(layout)
    path = layout.record(BASE) if file == "record" else layout.images(BASE)
    path.write_bytes(damage(path.read_bytes()))
    results = open_results(layout.out)
    assert sorted(results.images()["cell"].unique()) == sorted([INPUT, REFINED])
    reasons = results.coverage().filter(cell=BASE)["reason"].to_list()
    assert all(reason.startswith("stale: ") and "damaged" in reason for reason in reasons)


def test_a_cell_on_weights_that_were_made_anew_since_is_not_shown(layout: Layout) -> None:
    """As a forced base leaves those that started from it, when the run is cut off before they follow."""
    made = ResolvedSuite.model_validate(KEPT["suite"])
    base, refined = made.cells[1], made.cells[2]
    started = refined.cell.model_copy(update={"base": base.cell})
    record = KEPT["records"][REFINED]
    leave(layout)
    content = record | {"cell_id": started.id, "cell": started.model_dump(mode="json"), "images_sha256": None}
    content["provenance"] = record["provenance"] | {"weights": {weights_of(BASE): "f" * 64}}
    write_text(layout.record(started.id), json.dumps(content))
    cells = (*made.cells[:2], refined.model_copy(update={"cell": started}))
    write_text(layout.suite("tiny"), made.model_copy(update={"cells": cells}).model_dump_json())
    (reason,) = set(open_results(layout.out).coverage().filter(cell=started.id)["reason"])
    assert reason == f"stale: its base cell ({BASE}) was trained again to other weights"


def test_a_plug_ins_task_that_is_gone_is_found_by_the_names_on_record(layout: Layout) -> None:
    text = json.dumps(KEPT["suite"]).replace('"gaussian_denoise"', '"mine"')
    made = ResolvedSuite.model_validate(json.loads(text)).model_copy(update={"protocols": ()})
    cell = made.cells[0].cell
    write_text(layout.suite("tiny"), made.model_copy(update={"cells": made.cells[:1]}).model_dump_json())
    kept = [store.ImageRow(*row) for owner, *row in KEPT["images"] if owner == INPUT]
    write_bytes(layout.images(cell.id), table_bytes(kept))
    sha256 = store.sha256_of(table_bytes(kept))
    said = KEPT["records"][INPUT] | {"cell_id": cell.id, "cell": cell.model_dump(mode="json"), "images_sha256": sha256}
    write_text(layout.record(cell.id), json.dumps(said))
    means = open_results(layout.out).images().group_by("protocol").agg(pl.mean("value")).sort("protocol")
    assert [(name, round(mean, 6)) for name, mean in means.rows()] == [
        ("noise_seed0/v1", 20.699422),
        ("rgb_uint8/v1", 20.690858),
    ]


def test_values_under_the_first_name_of_a_protocol_are_in_the_column_of_the_present_one(layout: Layout) -> None:
    """A folder of the release that called it y_uint8, which gave this id to the evaluation."""
    cell = Cell(task=PartRef(name="derain"), train=PartRef(name="photos"), backbone=None, rules=RULES)
    old = replace(Y_MATLAB, name="y_uint8")
    assert evaluation_id(cell, cell.test_set(cell.train).samples(), old) == "91ac6fda6bfe"
    finish(layout, cell, values([30.0, 32.0]), protocols=[old], dataset=cell.train)
    labels = Labels(task="derain", backbone="input", variant="input")
    metrics = (SuiteMetric.model_validate("psnr"),)
    listed = SuiteCell(cell=cell, labels=labels, tests=(cell.test_set(cell.train),))
    for name, protocols in (("by_suite", (old,)), ("by_task", ())):
        made = ResolvedSuite(name=name, cells=(listed,), metrics=metrics, protocols=protocols)
        write_text(layout.suite(name), made.model_dump_json())
    (section,) = leaderboard(layout).sections
    assert [column.protocol for column in section.columns] == ["y_matlab/v1"]
    assert comma_separated.write(leaderboard(layout)).count("31.000000") == 1
