"""From a folder of results to frames."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow
import pytest

from harness.api.reference import PartRef
from harness.cells.recipe import Recipe, Stage
from harness.cells.suite import ResolvedSuite
from harness.core.errors import DataError, HarnessError, UnknownName
from harness.core.paths import Layout, write_text
from harness.records.model import Leg
from harness.records.store import append_event, save
from harness.results import schema
from harness.results.frames import Results, open_results
from tests.unit.records.made import cell, degraded, fail, finish, listed, photos, prepare, refined, suite, values


def keep(layout: Layout, *suites: ResolvedSuite) -> Results:
    """Opens the folder after these suites were run there."""
    for resolved in suites:
        write_text(layout.suite(resolved.name), resolved.model_dump_json())
    return open_results(layout.out)


def full(layout: Layout) -> Results:
    """Input, base and nss, finished with two seeds."""
    finish(layout, degraded(), values([10.0, 12.0], [0.2, 0.4]))
    for seed in (0, 1):
        finish(layout, cell(seed), values([20.0 + seed, math.inf], [0.5, 0.6]))
        finish(layout, refined(seed), values([21.0 + seed, 23.5], [0.6, 0.7]))
    cells = [listed(degraded()), *(listed(each) for seed in (0, 1) for each in (cell(seed), refined(seed)))]
    return keep(layout, suite(*cells))


def by_cell(frame: pl.DataFrame) -> dict[str, dict]:
    return {row["cell"]: row for row in frame.iter_rows(named=True)}


FRAMES = {
    "cells": schema.CELLS,
    "images": schema.IMAGES,
    "coverage": schema.COVERAGE,
    "curves": schema.CURVES,
    "metrics": schema.METRICS,
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("empty", [True, False])
def test_every_frame_has_its_columns_and_types(layout, name, empty):
    results = keep(layout, suite()) if empty else full(layout)
    assert getattr(results, name)().schema == FRAMES[name]


def test_a_row_per_cell(layout):
    frame = full(layout).cells()
    assert frame["cell"].to_list() == [degraded().id, cell(0).id, refined(0).id, cell(1).id, refined(1).id]
    assert frame["state"].unique().to_list() == ["done"]
    assert frame["reason"].null_count() == frame.height
    found = by_cell(frame)
    base, nss, untouched = found[cell(1).id], found[refined(1).id], found[degraded().id]
    assert (base["task"], base["backbone"], base["variant"], base["seed"]) == ("low_light", "NAFNet", "base", 1)
    assert (base["network"], base["refiner"], base["prior"], base["placement"], base["regime"], base["base"]) == (
        ("nafnet", None, None, None, None, None)
    )
    assert (nss["refiner"], nss["prior"], nss["placement"], nss["regime"]) == ("ptg_rm", "nss", "image", "joint")
    assert nss["base"] == cell(1).id
    assert (base["features"], nss["features"], untouched["features"]) == (None, refined().variant.features, None)
    assert (nss["backbone_parameters"], nss["added_parameters"]) == (1000, 250)
    assert (nss["training_seconds"], nss["steps"]) == (60.0, refined().recipe.steps)
    assert (nss["processor"], nss["gpus"], nss["suites"], nss["listed"]) == ("CPU", [], ["made"], True)
    assert nss["threads"] == 1
    assert (nss["processes"], nss["strategy"], nss["machines"], untouched["processes"]) == ([1], [], [], None)
    assert (untouched["network"], untouched["backbone"], untouched["steps"]) == (None, "input", None)


def test_a_cell_says_on_which_machines_it_was_trained(layout):
    record = finish(layout, cell(), values([20.0], [0.5]))
    earlier = Leg(after=0, processes=1, strategy=None)
    first = Leg(after=4, processes=1, strategy=None, machine="A100")
    second = Leg(after=9, processes=2, strategy="ddp", machine="H100")
    training = record.training.model_copy(update={"legs": (earlier, first, second)})
    save(layout, record.model_copy(update={"training": training}))
    frame = keep(layout, suite(listed(cell()))).cells()
    columns = ("machines", "processes", "strategy")
    assert frame.select(columns).row(0) == ([None, "A100", "H100"], [1, 1, 2], [None, None, "ddp"])


def test_a_cell_says_what_its_prior_saw(layout):
    record = finish(layout, refined(), values([20.0], [0.5]))
    training = record.training.model_copy(update={"prior_saw": "whole images"})
    save(layout, record.model_copy(update={"training": training}))
    finish(layout, cell(), values([20.0], [0.5]))
    frame = keep(layout, suite(listed(refined()), listed(cell()))).cells()
    assert frame.select("features", "prior_saw").rows() == [(refined().variant.features, "whole images"), (None, None)]


def test_seeds_share_a_configuration(layout):
    frame = full(layout).cells()
    assert frame["configuration"].n_unique() == 3
    assert (frame.group_by("configuration").len().sort("len")["len"]).to_list() == [1, 2, 2]


def test_a_row_per_image_with_the_labels(layout):
    images = full(layout).images()
    assert images.height == 5 * 2 * 2
    means = images.filter(pl.col("value").is_finite()).group_by("backbone", "variant", "metric").agg(pl.mean("value"))
    found = {row[:3]: row[3] for row in means.iter_rows()}
    assert found["NAFNet", "base", "psnr"] == 20.5
    assert found["NAFNet", "nss", "psnr"] == 22.5
    assert found["input", "input", "ssim"] == pytest.approx(0.3)
    assert images["value"].is_infinite().sum() == 2
    assert images.select("dataset", "protocol").unique().row(0) == ("photos", "rgb_uint8/v1")
    assert set(images["image"]) == {"a", "b"}


def test_differences_to_the_base_are_one_join(layout):
    images = full(layout).images().filter(metric="ssim")
    keys = ["dataset", "protocol", "metric", "image"]
    paired = images.join(images.select(*keys, base="cell", before="value"), on=["base", *keys])
    assert paired.height == 2 * 2
    assert (paired["value"] - paired["before"]).mean() == pytest.approx(0.1)


def test_what_is_missing_is_a_row_with_a_reason(layout):
    finish(layout, cell(0), values([20.0]))
    fail(layout, cell(1))
    clip = refined(prior=PartRef(name="clip", options={"model": "ViT-B-32-quickgelu", "pretrained": "openai"}))
    results = keep(layout, suite(*(listed(each) for each in (cell(0), cell(1), cell(2), clip))))
    states = {row["cell"]: (row["state"], row["reason"]) for row in results.cells().iter_rows(named=True)}
    assert states[cell(0).id] == ("todo", "evaluated before, not yet: ssim of photos")
    assert states[cell(1).id] == ("failed", "failed (nan): the loss is NaN at step 7")
    assert states[cell(2).id] == ("todo", None)
    assert states[clip.id][0] == "blocked"
    rows = {(row["cell"], row["metric"]): row for row in results.coverage().iter_rows(named=True)}
    assert len(rows) == 4 * 2
    assert (rows[cell(0).id, "psnr"]["images"], rows[cell(0).id, "psnr"]["reason"]) == (1, None)
    assert (rows[cell(0).id, "ssim"]["images"], rows[cell(0).id, "ssim"]["reason"]) == (0, "not evaluated yet")
    assert rows[cell(1).id, "psnr"]["reason"] == "failed (nan): the loss is NaN at step 7"
    assert rows[cell(2).id, "psnr"]["reason"] == "not run yet"
    assert rows[clip.id, "psnr"]["reason"].startswith("blocked: waits for features clip")
    assert results.images()["cell"].unique().to_list() == [cell(0).id]


@pytest.mark.parametrize("file", ["record", "images"])
@pytest.mark.parametrize("damage", [lambda text: text[:-30], lambda text: b"", lambda text: b"[3]"])
def test_what_is_damaged_is_a_row_with_a_reason(layout, file, damage):
    finish(layout, cell(0), values([20.0], [0.5]))
    finish(layout, cell(1), values([22.0], [0.5]))
    path = layout.record(cell(1).id) if file == "record" else layout.images(cell(1).id)
    path.write_bytes(damage(path.read_bytes()))
    results = keep(layout, suite(listed(cell(0)), listed(cell(1))))
    broken = by_cell(results.cells())[cell(1).id]
    assert broken["state"] == "stale"
    assert "damaged" in broken["reason"]
    assert broken["steps"] == (None if file == "record" else cell().recipe.steps)
    assert results.images()["cell"].unique().to_list() == [cell(0).id]
    reasons = results.coverage().filter(cell=cell(1).id)["reason"].to_list()
    assert all(reason.startswith("stale: ") and "damaged" in reason for reason in reasons)


def test_results_of_other_images_than_there_are_now_are_not_shown(layout):
    stored = cell().test_set(photos()).samples().stored
    finish(layout, cell(), values([20.0], [0.5]), data={f"{stored.name}/{stored.split}": "another digest"})
    prepare(layout, stored)
    resolved = suite(listed(cell()))
    results = keep(layout, resolved)
    assert results.images().is_empty()
    assert by_cell(results.cells())[cell().id]["state"] == "stale"
    assert open_results(layout.out, layout.out / "elsewhere").images().height == 2


def test_a_row_per_logged_step(layout):
    results = full(layout)
    time = "2026-01-01T01:00:05.250+01:00"
    for event in (
        {"event": "start", "step": 0, "time": time},
        {"event": "step", "step": 20, "loss": 0.5, "lr": 1e-3, "images_per_s": 63.5, "time": time},
        {"event": "step", "step": 40, "loss": None, "lr": "fast", "time": "noon"},
        {"event": "step", "loss": 0.25},
    ):
        append_event(layout, cell(1).id, event)
    with open(layout.events(cell(1).id), "ab") as handle:
        handle.write(b'{"event": "st')
    curves = results.curves()
    assert curves.select("backbone", "variant", "seed").unique().row(0) == ("NAFNet", "base", 1)
    first, second = curves.drop("cell", "task", "backbone", "variant", "seed").iter_rows()
    assert first == (20, 0.5, 1e-3, 63.5, datetime(2026, 1, 1, 0, 0, 5, 250000, UTC))
    assert second == (40, None, None, None, None)


def test_a_row_per_metric(layout):
    metrics = full(layout).metrics()
    assert metrics.rows() == [("psnr", "psnr", "psnr", "dB", True, 2), ("ssim", "ssim", "ssim", "", True, 4)]


def test_suites_together_and_alone(layout):
    finish(layout, cell(), values([20.0], [0.5]))
    finish(layout, refined(), values([21.0], [0.6]))
    one = suite(listed(cell()), metrics=["psnr"], name="one")
    other = suite(
        listed(cell(), "called otherwise"), listed(refined()), listed(cell(1)), metrics=["ssim"], name="other"
    )
    results = keep(layout, one, other)
    assert results.suites == ("one", "other")
    found = by_cell(results.cells())
    assert (found[cell().id]["suites"], found[cell().id]["variant"]) == (["one", "other"], "base")
    assert results.images().filter(cell=cell().id)["metric"].to_list() == ["psnr", "ssim"]
    assert results.cells("one")["cell"].to_list() == [cell().id]
    assert results.images("other").filter(cell=cell().id)["variant"].to_list() == ["called otherwise"]
    assert results.coverage("other")["metric"].unique().to_list() == ["ssim"]
    assert results.metrics("one")["metric"].to_list() == ["psnr"]
    with pytest.raises(UnknownName, match="'three' has not been run here"):
        results.curves("three")


def test_a_cell_is_done_when_every_suite_has_what_it_asks_for(layout):
    finish(layout, cell(), values([20.0]))
    one, other = (suite(listed(cell()), metrics=[name], name=name) for name in ("psnr", "ssim"))
    (row,) = keep(layout, one, other).cells().iter_rows(named=True)
    assert (row["state"], row["reason"]) == ("todo", "evaluated before, not yet: ssim of photos")


def test_cells_that_only_others_need_have_no_images(layout):
    finish(layout, cell(), values([20.0], [0.5]))
    finish(layout, refined(), values([21.0], [0.6]))
    results = keep(layout, suite(listed(cell(), listed=False), listed(refined())))
    assert results.cells()["listed"].to_list() == [False, True]
    assert by_cell(results.cells())[refined().id]["base"] is None
    assert results.images()["cell"].unique().to_list() == [refined().id]
    assert results.coverage()["cell"].unique().to_list() == [refined().id]


def test_a_cell_stands_where_a_suite_lists_it_first(layout):
    needs = suite(listed(cell(), listed=False), listed(refined()), name="a")
    results = keep(layout, needs, suite(listed(cell(), "mine"), name="b"))
    assert results.cells().select("cell", "variant", "listed").rows() == [
        (refined().id, "nss", True),
        (cell().id, "mine", True),
    ]


def test_a_plug_in_is_neither_run_nor_needed(layout, tmp_path):
    finish(layout, cell(), values([20.0], [0.5]))
    finish(layout, refined(), values([21.0], [0.6]))
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness.api.metric import MetricTraits\nraise SystemExit\n"
        "class Mine:\n    traits = MetricTraits(higher_is_better=False)\nCATALOGUE = (('metric', 'mine', 'Mine'),)\n"
    )
    resolved = suite(listed(cell()), listed(refined()), metrics=["psnr", "mine"])
    results = keep(layout, resolved.model_copy(update={"plugins": (str(file),)}))
    assert results.metrics().row(1) == ("mine", "mine", "mine", "", False, 4)
    results = keep(layout, resolved.model_copy(update={"plugins": (str(tmp_path / "gone.py"),)}))
    assert results.metrics().row(1) == ("mine", "mine", "mine", None, None, None)
    assert results.images().height == 2
    assert "no metric is called 'mine'" in results.coverage().filter(metric="mine")["reason"][0]


def test_folders_without_suites_and_with_a_broken_one(layout):
    with pytest.raises(UnknownName, match="no suite has been run here"):
        open_results(layout.out)
    write_text(layout.suite("broken"), json.dumps({"name": 3}))
    with pytest.raises(DataError, match="cannot be read as a suite: 3 fields are wrong"):
        open_results(str(layout.out))


def test_a_broken_suite_beside_others_is_left_out_with_the_reason(layout):
    full(layout)
    write_text(layout.suite("bad"), '{"name": 3}')
    results = open_results(layout.out)
    assert results.suites == ("made",)
    assert results.images().height > 0
    assert results.problems == (f"{layout.suite('bad')}: cannot be read as a suite: 3 fields are wrong, left out",)


@pytest.mark.parametrize("given", [(5,), (None,), ("results", 5)])
def test_only_paths_are_folders(given):
    with pytest.raises(HarnessError, match="a folder is a path, not"):
        open_results(*given)


def test_values_are_taken_over_from_arrow_without_a_copy():
    table = pyarrow.table({"value": pyarrow.array([1.0, 2.0])})
    address = table["value"].chunk(0).buffers()[1].address
    assert pl.DataFrame(table)["value"].to_arrow().buffers()[1].address == address


def test_frames_need_no_heavy_library(layout):
    full(layout)
    program = (
        "import sys\nfrom harness.results.frames import open_results\n"
        f"results = open_results({str(layout.out)!r})\n"
        "frames = results.cells(), results.images(), results.coverage(), results.curves(), results.metrics()\n"
        "print(*sorted({'torch', 'ray', 'mlflow', 'pandas', 'scipy', 'webdataset', 'accelerate'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == ""


def test_the_base_of_a_joint_variant_lacks_the_stages_of_the_refiner_alone(layout):
    recipe = Recipe(steps=8, stages=(Stage(steps=3, trains=("backbone",)), Stage(steps=5, trains=("refiner",))))
    joint = refined(recipe=recipe)
    base, other = cell(recipe=recipe.for_backbone), cell()
    results = keep(layout, suite(listed(base), listed(other), listed(joint)))
    assert by_cell(results.cells())[joint.id]["base"] == base.id
