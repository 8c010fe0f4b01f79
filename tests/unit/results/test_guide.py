"""docs/results.md: its examples run, and its tables are the schemas."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.cells.cell import Cell
from harness.core.identity import digest
from harness.core.paths import Layout, write_text
from harness.records.store import append_event
from harness.results import schema
from harness.results.frames import open_results
from tests.unit.records.made import cell, conditioned, degraded, finish, listed, photos, refined, suite, values

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
SCHEMAS = {
    "cells": schema.CELLS,
    "images": schema.IMAGES,
    "coverage": schema.COVERAGE,
    "curves": schema.CURVES,
    "metrics": schema.METRICS,
}


@pytest.fixture
def _results(tmp_path, monkeypatch):
    """A folder `results/smoke` in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    layout = Layout(tmp_path / "results" / "smoke", tmp_path / "results" / "smoke" / "data")
    finish(layout, degraded(), values([10.0, 12.0], [0.2, 0.4]))
    cells = [listed(degraded())]
    for seed in (0, 1):
        finish(layout, cell(seed), values([20.0, 22.0, math.inf], [0.5, 0.6]))
        finish(layout, refined(seed), values([21.0 + seed, 23.5, 30.0], [0.6, 0.7]))
        append_event(layout, cell(seed).id, {"event": "step", "step": 20, "loss": 0.5, "lr": 1e-3})
        cells += [listed(cell(seed)), listed(refined(seed))]
    write_text(layout.suite("smoke"), suite(*cells, listed(refined(2)), name="smoke").model_dump_json())


@pytest.mark.usefixtures("_results")
def test_the_examples_run():
    names: dict[str, Any] = {}
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)):
        exec(compile(block, f"docs/results.md, example {number}", "exec"), names)
    gain = by_column(names["gain"], "gain", "deviation", "seeds")
    assert gain["nss", "photos", "", "psnr"] == (1.5, pytest.approx(math.sqrt(0.125)), 2)
    assert gain["nss", "photos", "", "ssim"][0] == pytest.approx(0.1)
    means = by_column(names["means"], "mean", "deviation", "seeds")
    assert means["base", "photos", "", "psnr"] == (21.0, 0.0, 2)
    assert names["gaps"]["reason"].to_list() == ["not run yet"] * 2
    assert names["cost"].height == 3
    assert names["smooth"].height == 2


@pytest.mark.usefixtures("_results")
def test_the_examples_average_over_no_two_columns():
    """Three columns of one metric: two data sets of one name, and a condition of the second."""
    layout = Layout(Path("results/smoke").absolute(), Path("results/smoke/data").absolute())
    cells, folder = [cell(), refined()], PartRef(name="photos", digest="other")
    for shift, content in zip((0.0, 1.0), cells, strict=True):
        sets = held_out(content, folder)
        found = [values([20.0 + 10 * number + shift * (number + 1)]) for number in range(3)]
        finish(layout, content, tests=list(zip(sets, found, strict=True)))
    asked = [listed(each, tests=held_out(each, folder)) for each in cells]
    labels = {digest(folder.identity(), 8): "mine"}
    kept = suite(*asked, name="smoke", metrics=["psnr"]).model_copy(update={"dataset_labels": labels})
    write_text(layout.suite("smoke"), kept.model_dump_json())
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S):
        exec(compile(block, "docs/results.md", "exec"), names)
    means, gain = (by_column(names[name], of) for name, of in (("means", "mean"), ("gain", "gain")))
    columns = [("photos", ""), ("mine", ""), ("mine", "exposure_min=0.1")]
    assert means == {
        (variant, *each, "psnr"): (20.0 + 10 * number + shift * (number + 1),)
        for variant, shift in (("base", 0.0), ("nss", 1.0))
        for number, each in enumerate(columns)
    }
    assert gain == {("nss", *each, "psnr"): (number + 1.0,) for number, each in enumerate(columns)}
    assert set(open_results("results/smoke").coverage()["dataset_label"]) == {"photos", "mine"}


def held_out(content: Cell, other: PartRef) -> list[TestSet]:
    return [content.test_set(photos()), content.test_set(other), conditioned(content, other, exposure_min=0.1)]


def by_column(frame: pl.DataFrame, *values: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Values by variant, what the suite calls the data set, condition and metric. No key has two rows."""
    keys = ("variant", "dataset_label", "condition", "metric")
    found = {row[:4]: row[4:] for row in frame.select(*keys, *values).iter_rows()}
    assert len(found) == frame.height
    return found


@pytest.mark.usefixtures("_results")
def test_the_readmes_example_runs():
    [block] = [text for text in re.findall(r"^```python\n(.*?)^```", README, re.M | re.S) if "open_results" in text]
    names: dict[str, Any] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["results"].curves().height == 2


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_tables_are_the_schemas(name):
    table = GUIDE.partition(f"\n### {name}\n")[2].partition("\n#")[0]
    rows = re.findall(r"^\| `(\w+)`( ●)? \| ([^|]+) \|", table, re.M)
    said = [(column, kind) for column, _, kind in rows]
    assert said == [(column, _said(kind)) for column, kind in SCHEMAS[name].items()]


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.usefixtures("_results")
def test_what_is_never_null_is_marked(name):
    table = GUIDE.partition(f"\n### {name}\n")[2].partition("\n#")[0]
    marked = re.findall(r"^\| `(\w+)` ● \|", table, re.M)
    frame = getattr(open_results("results/smoke"), name)()
    assert frame.height
    assert frame.select(marked).null_count().sum_horizontal().sum() == 0


def _said(kind: Any) -> str:
    if isinstance(kind, pl.List):
        return f"List({_said(kind.inner)})"
    return "Datetime(UTC)" if isinstance(kind, pl.Datetime) else str(kind)
