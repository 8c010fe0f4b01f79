"""From records on disk to the rows and columns of a table."""

from __future__ import annotations

import csv
import io
import math
import shutil
from dataclasses import replace

import polars as pl
import pytest

from harness.api.reference import PartRef
from harness.cells.recipe import Recipe
from harness.cells.suite import Labels
from harness.core.errors import HarnessError
from harness.core.paths import Layout, write_text
from harness.reports.formats import comma_separated, markdown, table
from harness.reports.formats.comma_separated import CSV_DECIMALS
from harness.reports.leaderboard import board_of, build, leaderboard
from harness.reports.query import query
from harness.reports.render import render
from harness.reports.text import entry, number
from harness.results.frames import Results
from harness.results.suites import stored_suites
from tests.unit.records.made import cell, degraded, fail, finish, listed, refined, suite, task, values

PSNR = "photos.psnr@rgb_uint8/v1"
SSIM = "photos.ssim@rgb_uint8/v1"


def full(layout, metrics=("psnr", "ssim")):
    """Input, base and nss with two seeds, as finished on disk."""
    finish(layout, degraded(), values([10.0, 12.0], [0.2, 0.4]))
    finish(layout, cell(0), values([20.0, 22.0], [0.5, 0.6]))
    finish(layout, cell(1), values([21.0, 23.0], [0.5, 0.7]))
    finish(layout, refined(0), values([21.0, 23.5], [0.6, 0.7]))
    finish(layout, refined(1), values([21.0, 23.0], [0.5, 0.7]))
    cells = [listed(refined(0)), listed(refined(1)), listed(degraded()), listed(cell(0)), listed(cell(1))]
    return suite(*cells, metrics=metrics)


def lines(board):
    return list(csv.DictReader(io.StringIO(comma_separated.write(board))))


def test_rows_columns_and_numbers(layout):
    board = board_of([full(layout)], layout)
    (section,) = board.sections
    assert section.task == "low_light"
    assert [(row.backbone, row.variant, row.added_parameters) for row in section.rows] == [
        ("input", "input", None),
        ("NAFNet", "nss", 250),
        ("NAFNet", "base", 0),
    ]
    assert [(column.metric, column.protocol) for column in section.columns] == [
        ("psnr", "rgb_uint8/v1"),
        ("ssim", "rgb_uint8/v1"),
    ]
    found = {row["variant"]: row for row in lines(board)}
    assert found["input"][f"{PSNR}.mean"] == "11.000000"
    assert found["input"][f"{PSNR}.spread"] == ""
    assert found["base"][f"{PSNR}.mean"] == "21.500000"
    assert found["base"][f"{PSNR}.spread"] == f"{math.sqrt(0.5):.6f}"
    assert found["base"][f"{PSNR}.delta"] == ""
    assert found["nss"][f"{PSNR}.mean"] == "22.125000"
    assert found["nss"][f"{PSNR}.delta"] == "0.625000"
    assert found["nss"][f"{PSNR}.delta_seeds"] == "2"
    assert found["nss"][f"{SSIM}.mean"] == "0.625000"
    assert {row[f"{PSNR}.images"] for row in found.values()} == {"2"}
    assert {row["note"] for row in found.values()} == {""}


def test_the_csv_does_not_depend_on_where_and_in_which_order_results_were_written(layout, tmp_path):
    resolved = full(layout)
    first = comma_separated.write(board_of([resolved], layout))
    elsewhere = Layout(tmp_path / "elsewhere", tmp_path / "other data")
    shutil.copytree(layout.out, elsewhere.out)
    content = values([21.0, 23.0], [0.5, 0.7])
    finish(elsewhere, cell(1), {metric: dict(reversed(list(by.items()))) for metric, by in content.items()})
    assert comma_separated.write(board_of([resolved], elsewhere)) == first
    assert "\r" not in first
    assert first.endswith("\n")


def test_tasks_are_sections_and_protocols_never_share_a_column(layout):
    derain = task("derain")
    finish(layout, cell(), values([20.0]))
    finish(layout, cell(task=derain), values([30.0]))
    board = board_of([suite(listed(cell()), listed(cell(task=derain)), metrics=["psnr"])], layout)
    assert [section.task for section in board.sections] == ["low_light", "derain"]
    one, other = lines(board)
    assert (one[f"{PSNR}.mean"], one["photos.psnr@y_matlab/v1.mean"]) == ("20.000000", "")
    assert (other[f"{PSNR}.mean"], other["photos.psnr@y_matlab/v1.mean"]) == ("", "30.000000")


def test_gaps_say_why(layout):
    finish(layout, cell(0), values([20.0], [0.5]))
    fail(layout, cell(1))
    finish(layout, cell(3))
    clip = refined(prior=PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"}))
    cells = [listed(cell(seed)) for seed in range(4)] + [listed(clip), listed(refined(0))]
    board = board_of([suite(*cells, metrics=("psnr", "ssim"))], layout)
    base, blocked, todo = lines(board)
    assert (base[f"{PSNR}.seeds"], base[f"{PSNR}.seeds_wanted"]) == ("1", "4")
    assert base["note"] == "failed (nan): the loss is NaN at step 7; not run yet; not evaluated yet"
    assert blocked["note"].startswith("blocked: waits for features clip")
    assert todo["note"] == "not run yet"
    text = table.write(board, 200)
    assert "20.00 [1 of 4 seeds]" in text
    assert "— blocked" in text
    assert "low_light NAFNet base: failed (nan): the loss is NaN at step 7" in text


def test_a_metric_without_weights_is_a_gap_of_its_column_alone(layout):
    finish(layout, cell(), values([20.0]))
    (row,) = lines(board_of([suite(listed(cell()), metrics=("psnr", "lpips"))], layout))
    assert row[f"{PSNR}.mean"] == "20.000000"
    assert row["photos.lpips@rgb_uint8/v1.mean"] == ""
    assert row["note"].startswith("blocked: metric lpips needs")
    later = cell(1)
    text = table.write(board_of([suite(listed(later), metrics=("psnr", "lpips"))], layout), 200)
    assert "— not run yet" in text
    assert "— blocked" in text


@pytest.mark.parametrize("file", ["record", "images"])
def test_damaged_results_are_gaps_not_numbers(layout, file):
    finish(layout, cell(0), values([20.0]))
    finish(layout, cell(1), values([22.0]))
    path = layout.record(cell(1).id) if file == "record" else layout.images(cell(1).id)
    path.write_bytes(path.read_bytes()[:-30])
    (row,) = lines(board_of([suite(listed(cell(0)), listed(cell(1)), metrics=["psnr"])], layout))
    assert row[f"{PSNR}.mean"] == "20.000000"
    assert row[f"{PSNR}.seeds"] == "1"
    assert row["note"].startswith(("stale: cells/", "stale: the per-image"))
    assert "damaged" in row["note"]


def test_infinite_values_are_kept_out_and_said(layout):
    finish(layout, cell(), values([20.0, math.inf, 30.0]))
    finish(layout, refined(), values([math.inf, math.inf]))
    board = board_of([suite(listed(cell()), listed(refined()), metrics=["psnr"])], layout)
    base, nss = lines(board)
    assert (base[f"{PSNR}.mean"], base[f"{PSNR}.infinite"]) == ("25.000000", "1")
    assert (nss[f"{PSNR}.mean"], nss[f"{PSNR}.infinite"]) == ("", "2")
    assert (base[f"{PSNR}.seeds"], nss[f"{PSNR}.seeds"]) == ("1", "0")
    text = table.write(board, 200)
    assert "25.00 [1 of 3 images left out: ∞]" in text
    assert "all ∞" in text


def test_a_base_and_its_variants_are_averaged_over_the_same_images(layout):
    finish(layout, cell(), values([20.0, 26.0, 30.0]))
    finish(layout, refined(), values([21.0, 27.0, math.inf]))
    board = board_of([suite(listed(cell()), listed(refined()), metrics=["psnr"])], layout)
    base, nss = lines(board)
    means = [row[f"{PSNR}.mean"] for row in (base, nss)]
    assert (means, nss[f"{PSNR}.delta"]) == (["23.000000", "24.000000"], "1.000000")
    assert [(row[f"{PSNR}.infinite"], row[f"{PSNR}.left_out"]) for row in (base, nss)] == [("0", "1"), ("1", "1")]
    text = table.write(board, 200)
    assert "23.00 [1 of 3 images left out: ∞]" in text
    assert "24.00 (+1.00, n = 1) [1 of 3 images left out: ∞]" in text


def test_a_table_says_when_its_cells_differ_in_threads(layout):
    told = "not all made with the same number of threads (2 with 1, 1 with 4), on which sums of floats,"
    finish(layout, cell(0), values([20.0]))
    finish(layout, cell(1), values([21.0]))
    finish(layout, degraded(), values([9.0]), threads=8)
    cells = [listed(degraded()), listed(cell(0)), listed(cell(1))]
    alike = board_of([suite(*cells, metrics=["psnr"])], layout)
    assert alike.warnings == ()
    finish(layout, refined(0), values([22.0]), threads=4)
    board = board_of([suite(*cells, listed(refined(0)), metrics=["psnr"])], layout)
    assert told in table.write(board, 200)
    assert told in render(board, "md")
    assert "threads" not in table.write(alike, 200)


def test_only_cells_that_the_suite_lists_are_shown(layout):
    finish(layout, cell(), values([20.0]))
    finish(layout, refined(), values([21.0]))
    board = board_of([suite(listed(cell(), listed=False), listed(refined()), metrics=["psnr"])], layout)
    (row,) = lines(board)
    assert (row["variant"], row[f"{PSNR}.delta"]) == ("nss", "")


def test_a_refined_cell_is_compared_with_the_base_it_started_from(layout):
    short, long = cell(recipe=Recipe(steps=10)), cell(recipe=Recipe(steps=20))
    frozen = refined(variant={"regime": "frozen"}, base=short, recipe=Recipe(steps=20))
    joint = refined(recipe=Recipe(steps=20))
    for content, value in ((short, 20.0), (long, 24.0), (frozen, 25.0), (joint, 26.0)):
        finish(layout, content, values([value]))
    cells = [listed(short, "base short"), listed(long, "base"), listed(frozen, "frozen"), listed(joint, "joint")]
    rows = lines(board_of([suite(*cells, metrics=["psnr"])], layout))
    deltas = {row["variant"]: row[f"{PSNR}.delta"] for row in rows}
    assert deltas == {"base short": "", "base": "", "frozen": "5.000000", "joint": "2.000000"}


def test_seeds_share_a_row_even_where_they_stand_in_other_cells_ids(layout):
    """The base of each seed, and the cell behind its prior, have another id in every seed."""
    cells = []
    for seed in (0, 1):
        source = cell(seed, task=task("derain"))
        prior = PartRef(name="restoration", digest=source.id)
        content = refined(seed, prior, {"regime": "frozen"}, base=cell(seed), prior_source=source)
        finish(layout, content, values([20.0 + seed]))
        cells.append(listed(content))
    (row,) = lines(board_of([suite(*cells, metrics=["psnr"])], layout))
    assert (row[f"{PSNR}.seeds"], row[f"{PSNR}.mean"]) == ("2", "20.500000")


def test_different_cells_with_the_same_labels_are_told_apart(layout):
    for steps in (10, 20):
        finish(layout, cell(recipe=Recipe(steps=steps)), values([float(steps)]))
    cells = [listed(cell(recipe=Recipe(steps=steps))) for steps in (10, 20)]
    one, other = lines(board_of([suite(*cells, metrics=["psnr"])], layout))
    assert one["variant"] != other["variant"]
    assert one["variant"].startswith("base [")
    assert (one[f"{PSNR}.mean"], other[f"{PSNR}.mean"]) == ("10.000000", "20.000000")


def test_tasks_with_the_same_label_are_told_apart(layout):
    cells = []
    for sigma in (15.0, 25.0):
        content = cell(task=task("gaussian_denoise", sigma=sigma))
        finish(layout, content, values([sigma]))
        labels = Labels(task="denoise", backbone="NAFNet", variant="base")
        cells.append(listed(content).model_copy(update={"labels": labels}))
    one, other = board_of([suite(*cells, metrics=["psnr"])], layout).sections
    assert one.task.startswith("denoise [")
    assert one.task != other.task


def test_two_suites_in_one_folder_make_one_table(layout):
    finish(layout, cell(), values([20.0], [0.5]))
    finish(layout, refined(), values([21.0], [0.6]))
    one = suite(listed(cell()), metrics=["psnr"], name="one")
    other = suite(listed(cell(), "called otherwise"), listed(refined()), metrics=["ssim"], name="other")
    for resolved in (one, other):
        write_text(layout.suite(resolved.name), resolved.model_dump_json())
    assert [stored.name for stored in stored_suites(layout)] == ["one", "other"]
    base, nss = lines(leaderboard(layout))
    assert (base["variant"], base[f"{PSNR}.mean"], base[f"{SSIM}.mean"]) == ("base", "20.000000", "0.500000")
    assert (nss[f"{PSNR}.mean"], nss[f"{SSIM}.mean"]) == ("", "0.600000")
    assert len(lines(leaderboard(layout, "one"))) == 1
    with pytest.raises(HarnessError, match="'three' has not been run here"):
        leaderboard(layout, "three")


def test_a_broken_suite_in_the_folder_does_not_stop_the_table(layout):
    resolved = full(layout)
    write_text(layout.suite(resolved.name), resolved.model_dump_json())
    whole = render(leaderboard(layout), "csv")
    write_text(layout.suite("bad"), "{")
    assert render(leaderboard(layout), "csv") == whole


def test_a_folder_without_suites_says_so(layout):
    with pytest.raises(HarnessError, match="no suite has been run here"):
        leaderboard(layout)


def test_the_table_shows_every_number_with_its_metrics_decimals(layout):
    text = table.write(board_of([full(layout)], layout), 200)
    assert "low_light · rgb_uint8/v1" in text
    assert "photos PSNR (dB) ↑" in text
    assert "photos SSIM ↑" in text
    assert "22.12 ± 0.18 (+0.62 ± 0.88, n = 2)" in text
    assert "0.6250 ± 0.0354 (+0.0500 ± 0.0707, n = 2)" in text
    assert "250" in text


def test_narrow_tables_fold_and_lose_nothing(layout):
    board = board_of([full(layout)], layout)
    whole, narrow = table.write(board, 200), table.write(board, 48)
    assert max(map(len, narrow.splitlines())) <= 48
    assert sorted(filter(str.isdigit, narrow)) == sorted(filter(str.isdigit, whole))


def test_markdown_is_a_table_per_task(layout):
    board = board_of([full(layout)], layout)
    text = markdown.write(board)
    assert text.splitlines()[:5] == [
        "### low_light · rgb_uint8/v1",
        "",
        "| backbone | variant | +params | photos PSNR (dB) ↑ | photos SSIM ↑ |",
        "| --- | --- | ---: | ---: | ---: |",
        "| input | input |  | 11.00 | 0.3000 |",
    ]
    assert render(board, "md") == text


def test_pipes_in_names_do_not_break_markdown(layout):
    finish(layout, cell(), values([20.0]))
    board = board_of([suite(listed(cell(), "a|b"), metrics=["psnr"])], layout)
    assert "| NAFNet | a\\|b |" in markdown.write(board)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [
        (1.005, False, "1.00"),
        (-0.001, True, "+0.00"),
        (-0.001, False, "0.00"),
        (-1.5, True, "-1.50"),
        (2.0, True, "+2.00"),
    ],
)
def test_numbers(value, sign, text):
    assert number(value, 2, sign=sign) == text


def test_an_entry_nobody_asked_for_is_empty():
    assert entry(None, 2) == ""


def test_an_unknown_form_is_refused(layout):
    with pytest.raises(ValueError, match="no such form"):
        render(board_of([full(layout)], layout), "pdf")


def test_build_takes_rows_from_anywhere(layout):
    """A source other than the disk gives loaded rows and gets the identical table."""
    resolved = full(layout)
    results = query(Results([resolved], layout))
    assert comma_separated.write(build(results)) == comma_separated.write(board_of([resolved], layout))
    better = replace(results, images=results.images.with_columns(pl.col("value") + 1.0))
    assert lines(build(better))[0][f"{PSNR}.mean"] == f"{12.0:.{CSV_DECIMALS}f}"
