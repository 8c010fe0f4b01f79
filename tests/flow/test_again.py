"""Cells that are made again, as a user sees it: old results stay, upstream changes travel down, folders can move."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from harness.core.identity import file_sha256
from harness.core.paths import Layout
from harness.records.lock import run_lock
from tests.flow.bench import Bench

pytestmark = pytest.mark.xdist_group("again")

SUITE = """
suite: s
run: {checkpoint_every: 2, log_every: 1, samples: 1, gpus: 0}
metrics: [psnr]
blocks:
  - task: low_light
    dataset: photos
    backbone: {name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
    recipe: {steps: 4, batch: 2, patch: 64, augment: none, lr: 1e-3}
    matrix:
      variant: [base, {refiner: ptg_rm, prior: nss, regime: frozen}]
"""
LOCAL = ("--executor", "local", "--tracker", "none")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, short_home: Path) -> Path:
    """A base and cells that start from it. Copy it, never write to it."""
    folder = tmp_path_factory.mktemp("again")
    (folder / "s.yaml").write_text(SUITE)
    Bench(folder, short_home).ok("run", folder / "s.yaml", "--out", folder / "out", *LOCAL)
    return folder


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the suite and its results, at another place than where they were made."""
    shutil.copytree(results, tmp_path / "copy")
    return tmp_path / "copy"


def table(bench: Bench, folder: Path) -> str:
    return bench.ok("leaderboard", folder / "out", "--format", "csv")


def records(out: Path) -> dict[str, dict]:
    return {path.parent.name: json.loads(path.read_text()) for path in (out / "cells").glob("*/record.json")}


def base_of(out: Path) -> str:
    return next(cell_id for cell_id, record in records(out).items() if record["labels"]["variant"] == "base")


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "out" / "cells").iterdir() if path.name.startswith("."))


def train_otherwise(folder: Path, cell_id: str) -> None:
    """Other weights for a trained cell, as another machine would have found them; an earlier release wrote the record.

    Records of earlier releases have no seal.
    """
    cell = folder / "out" / "cells" / cell_id
    final = cell / "checkpoint" / "final.safetensors"
    with safe_open(final, "pt") as handle:
        metadata = handle.metadata()
    tensors = {
        name: tensor * 1.5 if tensor.is_floating_point() else tensor for name, tensor in load_file(final).items()
    }
    save_file(tensors, final, metadata=metadata)
    record = json.loads((cell / "record.json").read_text())
    record["training"]["checkpoint_sha256"] = file_sha256(final)
    record.pop("sealed", None)
    (cell / "record.json").write_text(json.dumps(record))


def test_what_rests_on_a_cell_that_came_out_otherwise_is_made_anew_in_the_same_run(results, copy, bench):
    right, base = table(bench, results), base_of(copy / "out")
    train_otherwise(copy, base)
    bench.ok("run", copy / "s.yaml", "--out", copy / "out", *LOCAL)  # what starts from it follows
    assert table(bench, copy) != right
    said = bench.ok("run", copy / "s.yaml", "--out", copy / "out", *LOCAL, "--force", base)
    assert "2 cells rest on what was made anew: 4 more jobs" in said
    assert table(bench, copy) == right
    assert hidden(copy) == []
    found = records(copy / "out")
    sha256 = found[base]["training"]["checkpoint_sha256"]
    named = [record["provenance"]["weights"].get(f"cell {base}") for record in found.values()]
    assert named.count(sha256) == 2
    assert "nothing to do" in bench.ok("run", copy / "s.yaml", "--out", copy / "out", *LOCAL)


def test_a_failed_remake_leaves_weights_strips_and_table(results, copy, bench):
    right, base = table(bench, results), base_of(copy / "out")
    cell = copy / "out" / "cells" / base
    kept = {path: path.read_bytes() for path in cell.rglob("*") if path.is_file() and path.name != "record.json"}
    (shard, *_) = sorted((copy / "out" / "data").glob("sets/photos.*/train/*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = bench("run", copy / "s.yaml", "--out", copy / "out", *LOCAL, "--force", base)
    assert done.returncode == 1, done.stdout + done.stderr
    assert table(bench, copy) == right
    assert {path: path.read_bytes() for path in kept} == kept
    assert records(copy / "out")[base]["failure"]["kind"] == "data"


KILLED = """
import os, signal, sys

real = os.rename
def rename(source, target):
    real(source, target)
    if str(target).endswith(".old"):
        os.kill(os.getpid(), signal.SIGKILL)
os.rename = rename
from harness.cli.main import main
sys.argv = ["bench", *sys.argv[1:]]
main()
"""


def test_a_kill_between_the_renames_of_a_swap_hides_nothing_and_the_next_run_tidies(results, copy, bench):
    right, base = table(bench, results), base_of(copy / "out")
    words = ["run", str(copy / "s.yaml"), "--out", str(copy / "out"), *LOCAL]
    program = [sys.executable, "-c", KILLED, *words, "--force", base]
    done = subprocess.run(program, cwd=bench.cwd, env=bench.env(), capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert hidden(copy) == [f".{base}.anew", f".{base}.old"]
    assert table(bench, copy) == right
    assert "nothing to do" in bench.ok(*words)
    assert (table(bench, copy), hidden(copy)) == (right, [])


def test_a_job_of_a_moved_folder_runs_there_and_takes_the_lock(results, copy, bench):
    moved = copy / "elsewhere"
    os.rename(copy / "out", moved)
    (job,) = [path for path in (moved / "jobs").glob("evaluate-*.json") if base_of(moved) in path.name]
    program = [sys.executable, "-m", "harness.jobs", str(job)]
    for more in ((), ("--debug",)):
        with run_lock(Layout(moved, moved / "data")):
            held = subprocess.run([*program, *more], env=bench.env(), capture_output=True, text=True, timeout=200)
        assert held.returncode == 1
        assert "another run is using this folder" in held.stderr
        assert "Traceback" not in held.stderr
    done = subprocess.run(program, env=bench.env(), capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert not (copy / "out").exists()
    assert bench.ok("leaderboard", moved, "--format", "csv") == table(bench, results)
