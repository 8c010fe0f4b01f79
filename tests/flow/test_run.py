"""`bench run` end to end: what a finished run leaves, and that every way to it leads to the same numbers."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import results_schema.loader as schemas
from tests.flow.bench import TINY, Bench

pytestmark = pytest.mark.xdist_group("tiny")

CELLS = 11
"""base, nss and frozen shuffled with two seeds each, restoration with one; its source cell; the input."""


def leaderboard(bench: Bench, out: Path, source: str = "records") -> str:
    return bench.ok("leaderboard", out, "--format", "csv", "--source", source)


def records(out: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in (out / "cells").glob("*/record.json")}


def test_a_run_leaves_a_valid_record_and_its_files_for_every_cell(finished):
    found = records(finished)
    assert len(found) == CELLS
    for cell_id, record in found.items():
        schemas.validate("record", record)
        source = record["labels"]["task"] == "derain (synthetic)"
        assert record["status"] == ("trained" if source else "done"), record["failure"]
        assert record["cell_id"] == cell_id
        if record["labels"]["backbone"] == "input":
            continue
        cell = finished / "cells" / cell_id
        assert (cell / "checkpoint" / "final.safetensors").stat().st_size > 10_000
        steps = [json.loads(line) for line in (cell / "events.jsonl").read_text().splitlines()]
        assert [event["step"] for event in steps if event["event"] == "step"] == [2, 4, 6, 8]
    evaluated = [r for r in found.values() if r["evaluations"]]
    assert all((finished / "cells" / r["cell_id"] / "images.parquet").is_file() for r in evaluated)
    assert not list(finished.rglob("*.tmp"))


def test_the_table_shows_every_listed_row_and_the_input(finished, bench):
    rows = list(csv.DictReader(io.StringIO(leaderboard(bench, finished))))
    variants = [row["variant"] for row in rows]
    assert variants[0] == "input"
    assert len(rows) == 6
    assert {"base", "base_continued", "ptg_rm+nss"} <= set(variants)
    text = bench.ok("leaderboard", finished)
    assert "NAFNet-8" in text
    assert "PSNR" in text


def test_a_strip_shows_input_restored_and_truth(finished):
    from PIL import Image

    strips = sorted((finished / "cells").glob("*/samples/*.png"))
    assert strips
    width, height = Image.open(strips[0]).size
    assert width > 2.5 * height


def test_the_same_command_again_does_nothing_and_loads_no_tensor_library(finished, bench):
    before = {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*") if path.is_file()}
    program = (
        "import sys\nfrom harness.cli.main import main\n"
        f"sys.argv = ['bench', 'run', {str(TINY)!r}, '--out', {str(finished)!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "print('LOADED', sorted({'torch', 'ray', 'mlflow', 'accelerate', 'webdataset'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], env=bench.env(), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "LOADED []" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (finished / "cells").rglob("*") if path.is_file()}


def test_mlflow_holds_the_identical_table(finished, bench):
    assert leaderboard(bench, finished, "mlflow") == leaderboard(bench, finished, "records")


def test_the_local_executor_gets_the_same_numbers_from_other_processes(finished, bench, tmp_path):
    out = tmp_path / "local"
    bench.ok("run", TINY, "--out", out, "--executor", "local", "--tracker", "none")
    assert leaderboard(bench, out) == leaderboard(bench, finished)
    for cell_id, record in records(finished).items():
        if record["training"]:
            assert records(out)[cell_id]["training"]["checkpoint_sha256"] == record["training"]["checkpoint_sha256"]


@pytest.mark.parametrize("moment", [10, pytest.param(16, marks=pytest.mark.slow)])
def test_killed_anywhere_and_started_again_ends_with_the_same_numbers(finished, bench, tmp_path, moment):
    """SIGKILL to the driver: its Ray goes down with it, whatever its workers were doing."""
    out = tmp_path / "killed"
    process = bench.start("run", TINY, "--out", out, "--tracker", "none")
    time.sleep(moment)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(3)
    bench.ok("run", TINY, "--out", out, "--tracker", "none")
    assert leaderboard(bench, out) == leaderboard(bench, finished)


def test_one_job_runs_alone(finished, bench, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    job = min((out / "jobs").glob("evaluate-*.json"))
    done = subprocess.run(
        [sys.executable, "-m", "harness.jobs", str(job)], env=bench.env(), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert leaderboard(bench, out) == leaderboard(bench, finished)


def test_a_new_test_metric_evaluates_and_does_not_retrain(finished, bench, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    before = {i: r["training"] for i, r in records(out).items()}
    bench.ok("run", TINY, "--out", out, "--tracker", "none", "--set", "metrics=[psnr]")
    assert {i: r["training"] for i, r in records(out).items()} == before
