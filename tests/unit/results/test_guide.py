"""docs/results.md: its examples run, and its tables are the schemas."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harness.core.paths import Layout, write_text
from harness.records.store import append_event
from harness.results import schema
from harness.results.frames import open_results
from tests.unit.records.made import cell, degraded, finish, listed, refined, suite, values

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
    found = {row[:4]: row[4:] for row in names["gain"].iter_rows()}
    assert found["low_light", "NAFNet", "nss", "psnr"] == (1.5, pytest.approx(math.sqrt(0.125)), 2)
    assert found["low_light", "NAFNet", "nss", "ssim"][0] == pytest.approx(0.1)
    means = {row[:4]: row[4:] for row in names["means"].iter_rows()}
    assert means["low_light", "NAFNet", "base", "psnr"] == (21.0, 0.0, 2)
    assert names["gaps"]["reason"].to_list() == ["not run yet"] * 2
    assert names["cost"].height == 3
    assert names["smooth"].height == 2


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
