"""What `bench plan`, `bench status` and `bench leaderboard` say, and their exit codes."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from harness.cli import exits
from harness.cli.common import layout_for
from harness.core.paths import write_text
from harness.parts.catalogue import REGISTRY
from harness.records import anew, store
from harness.records.lock import run_lock
from harness.records.remake import Remake
from harness.spec.expand import expand
from harness.spec.parse import load_suite
from tests.unit.cli.results import Results, bench
from tests.unit.records import made


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PRIORBENCH_WEIGHTS", str(tmp_path / "weights"))
    return Results(tmp_path)


def lines(result):
    """The columns of each line, with two spaces or more between them."""
    return [re.split(" {2,}", line.strip()) for line in result.stdout.splitlines()]


# --- plan -------------------------------------------------------------------------------------------------------


def test_plan_shows_a_line_a_cell_and_the_counts(results):
    results.finish(0, 1)
    done = bench("plan", results.file, "--out", results.out, "--cells")
    assert done.exit_code == 0, done.output
    table = lines(done)
    assert table[0] == ["state", "task", "backbone", "variant", "seed", "cell", "reason"]
    assert [line[0] for line in table[1:6]] == ["done", "done", "todo", "todo", "todo"]
    assert table[3][4:6] == ["1", results.suite.cells[2].cell.id]
    assert "cells: 3 todo, 2 done" in done.stdout
    assert "time to go: about" in done.stdout


def test_plan_shows_a_line_a_job(results):
    done = bench("plan", results.file, "--out", results.out)
    assert done.exit_code == 0, done.output
    assert lines(done)[0] == ["state", "job", "cells", "time", "reason"]
    assert done.stdout.count("\ntodo") == 15  # clean and darkened images are a set each, for train and test
    assert "todo   shards photos/test degraded by low_light" in done.stdout
    assert "jobs: 15 todo" in done.stdout


def test_plan_writes_nothing(results):
    before = sorted(results.out.rglob("*"))
    bench("plan", results.file, "--out", results.out)
    assert sorted(results.out.rglob("*")) == before


def test_plan_says_what_blocks_and_leaves_with_3(results):
    done = bench("plan", results.file, "--out", results.out, "--set", "metrics=[psnr, lpips]")
    assert done.exit_code == 3, done.output
    assert "without lpips: metric lpips needs alexnet/imagenet, lpips/alex-v0.1" in done.stdout


def test_plan_takes_limit_and_force(results):
    results.finish(0, 1, 2, 3, 4)
    forced = results.suite.cells[1].cell.id
    done = bench("plan", results.file, "--out", results.out, "--force", forced, "--limit", 1, "--cells")
    assert done.exit_code == 0, done.output
    assert [line[0] for line in lines(done)[1:6]].count("todo") == 1
    assert "forced" in done.stdout
    wrong = bench("plan", results.file, "--out", results.out, "--force", "zzz")
    assert wrong.exit_code == 2
    assert "no cell of the suite begins with 'zzz'" in wrong.output


# --- status -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["folder", "suite"])
def test_status_of_a_folder_and_of_a_suite(results, by):
    results.finish(0, 1, 2, 3, 4)
    words = [results.out] if by == "folder" else [results.file, "--out", results.out]
    done = bench("status", *words)
    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip().endswith("5 done")


def test_status_shows_failures_with_their_logs_and_leaves_with_1(results):
    results.finish(0, 1)
    made.fail(results.layout, results.suite.cells[2].cell)
    done = bench("status", results.out)
    assert done.exit_code == 1, done.output
    assert "2 done, 1 failed, 2 todo" in done.stdout
    cell = "low_light (synthetic) NAFNet-8 base seed 1"
    assert f"{cell}\n  nan: the loss is NaN at step 7\n  log: jobs/x.log" in done.stdout


def test_status_shows_the_step_of_what_runs_and_of_what_was_stopped(results):
    cell_id = results.suite.cells[1].cell.id
    event = {"time": "2026-01-01T00:00:00+00:00", "job": f"train-{cell_id}", "step": 40, "steps": 300, "loss": 0.25}
    store.append_event(results.layout, cell_id, event | {"event": "step"})
    with run_lock(results.layout):
        going = bench("status", results.out)
    assert "train step 40/300, loss 0.2500" in going.stdout
    assert "1 running, 4 todo · a run is going on in" in going.stdout
    stopped = bench("status", results.out)
    assert "stopped at train step 40/300, loss 0.2500" in stopped.stdout
    assert "running" not in stopped.stdout
    with run_lock(results.layout):
        pass  # asking left no lock behind


def test_status_says_of_a_finished_cell_that_is_made_again_at_which_step_it_is(results):
    results.finish(0, 1)
    cell_id = results.suite.cells[1].cell.id
    anew.begin(results.layout, cell_id, Remake(purpose="train"))
    event = {"time": "2026-01-01T00:00:00+00:00", "job": f"train-{cell_id}", "step": 40, "steps": 300, "loss": 0.25}
    making = replace(results.layout, anew=frozenset([cell_id]))
    store.append_event(making, cell_id, event | {"event": "step"})
    with run_lock(results.layout):
        going = bench("status", results.out)
    assert "made again: train step 40/300, loss 0.2500" in going.stdout
    assert "1 done, 1 running, 3 todo" in going.stdout
    after = bench("status", results.out).stdout
    assert "2 done, 3 todo" in after
    assert "made again in part" in " ".join(after.split())
    assert f"--force {cell_id}" in " ".join(after.split())


def test_status_of_a_finished_cell_whose_remake_failed_shows_why_and_the_log(results):
    results.finish(0, 1)
    made.fail(results.layout, results.suite.cells[1].cell)
    done = bench("status", results.out)
    assert "2 done, 3 todo" in done.stdout
    assert "nan: the loss is NaN at step 7\n  log: jobs/x.log" in done.stdout


# --- leaderboard ------------------------------------------------------------------------------------------------


def test_leaderboard_forms(results):
    results.finish(0, 1, 2, 3, 4)
    table = bench("leaderboard", results.out)
    assert table.exit_code == 0, table.output
    assert "24.50 ± 0.71 (+2.00 ± 0.00, n = 2)" in table.stdout
    markdown = bench("leaderboard", results.file, "--out", results.out, "--format", "md").stdout
    assert "| NAFNet-8 | ptg_rm+nss | 250 | 24.50 ± 0.71 (+2.00 ± 0.00, n = 2) |" in markdown
    rows = list(csv.DictReader(io.StringIO(bench("leaderboard", results.out, "--format", "csv").stdout)))
    assert [row["variant"] for row in rows] == ["input", "base", "ptg_rm+nss"]
    assert rows[2]["photos.psnr@rgb_uint8/v1.delta"] == "2.000000"


def test_leaderboard_of_a_suite_that_has_not_run_shows_gaps(results):
    done = bench("leaderboard", results.file, "--out", results.out)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("— not run yet") == 3


def test_leaderboard_refuses_unknown_forms_and_sources(results):
    assert bench("leaderboard", results.out, "--format", "pdf").exit_code == 2
    assert bench("leaderboard", results.out, "--source", "memory").exit_code == 2


def test_a_folder_without_results_is_told_apart_from_a_suite(results, tmp_path):
    (tmp_path / "empty" / "suites").mkdir(parents=True)
    done = bench("leaderboard", tmp_path / "empty")
    assert done.exit_code == 2
    assert "no suite has been run here" in done.output


@pytest.mark.parametrize("command", ["status", "leaderboard"])
def test_a_broken_suite_in_the_folder_is_a_warning(results, command):
    results.finish(0, 1)
    before = bench(command, results.out)
    (results.out / "suites" / "bad.json").write_text("{")
    after = bench(command, results.out)
    assert after.exit_code == before.exit_code
    assert after.stdout == before.stdout
    assert after.stderr.startswith(f"warning: {results.out / 'suites' / 'bad.json'}: cannot be read as a suite: ")
    assert bench(command, "n" * 300).exit_code == exits.WRONG


def test_results_are_found_without_the_pictures(tmp_path: Path) -> None:
    for at, side in enumerate(("gt", "lq")):
        (tmp_path / "here" / side).mkdir(parents=True)
        for number in range(4):
            content = np.full((8, 8, 3), 40 * number + at, np.uint8)
            cv2.imwrite(str(tmp_path / "here" / side / f"{number}.png"), content)
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "suite: mine\nmetrics: [psnr]\ndefaults: {dataset: {name: folder, label: mine, gt: here/gt, lq: here/lq}}\n"
        "blocks: [{task: low_light, backbone: {name: nafnet, width: 8}}]\n"
    )
    out = tmp_path / "out"
    layout = layout_for("mine", out)
    read = expand(load_suite(str(suite)), REGISTRY)
    write_text(layout.suite("mine"), read.model_dump_json())
    for place, entry in enumerate(read.cells):
        made.finish(layout, entry.cell, made.values([20.0 + place, 22.0 + place]), dataset=entry.tests[0].dataset)
    before = bench("leaderboard", suite, "--out", out)
    assert "22.00" in before.stdout, before.output
    (tmp_path / "here").rename(tmp_path / "away")
    after = bench("leaderboard", suite, "--out", out)
    assert after.stdout == before.stdout
    assert f"warning: dataset folder: {tmp_path / 'here' / 'gt'}: gt: there is no such folder" in after.stderr
    assert after.stderr.count("warning") == 1
    done = bench("run", suite, "--out", out, "--executor", "local", "--tracker", "none")
    assert done.stdout.startswith("mine: nothing to do, ")
    assert "blocked" not in done.stdout
    assert bench("leaderboard", out).stdout == before.stdout, "the run kept what was stored"
    layout.suite("mine").unlink()
    assert f"bench leaderboard {out}" in bench("status", suite, "--out", out).stderr
    suite.write_text(suite.read_text().replace("defaults: {", "defaults: {seeds: [0, 1], "))
    done = bench("run", suite, "--out", tmp_path / "other", "--executor", "local", "--tracker", "none")
    assert done.stdout.startswith("mine: nothing can be run here: 3 cells are blocked, in whole or in part (")
    said = done.stdout.partition("3 cells are blocked:")[2].partition("low_light · ")[0].strip().splitlines()
    assert [line.strip().partition(" · ")[0] for line in said] == [
        "low_light input input seed 0",
        "low_light nafnet base seed 0, low_light nafnet base seed 1",
    ]
