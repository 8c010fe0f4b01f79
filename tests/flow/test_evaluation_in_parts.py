"""A large test set is scored in parts by the workers that are free: a killed one costs its part alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flow.bench import Bench

pytestmark = pytest.mark.slow

SUITE = """
suite: parts
run: {{gpus: 0, samples: 2}}
plugins: [{plugin}]
metrics: [psnr, deadly]
defaults: {{dataset: many, recipe: {{steps: 2, batch: 2, patch: 16, augment: none}}}}
blocks:
  - task: gaussian_denoise
    backbone: {{name: nafnet, width: 4, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
"""


UNDIVIDED = """
import harness.api.score_parts
harness.api.score_parts.UNDIVIDED = 10_000
from harness.cli.main import main
main()
"""
"""`bench`, to which no test set is large."""


def results(out: Path) -> dict[str, bytes]:
    """What tables are made of, by cell: the values of every image, and the strips."""
    files = [*out.glob("cells/*/images.parquet"), *out.glob("cells/*/samples/*")]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_a_killed_part_is_scored_again_and_the_table_is_that_of_an_undivided_run(tmp_path: Path, bench: Bench) -> None:
    plugin = tmp_path / "parts_plugin.py"
    shutil.copy(Path(__file__).with_name("parts_plugin.py"), plugin)
    suite = tmp_path / "parts.yaml"
    suite.write_text(SUITE.format(plugin=plugin))
    killed = tmp_path / "killed"

    bench.ok("run", suite, "--out", tmp_path / "out", "--tracker", "none")
    assert killed.exists()
    assert len(list((tmp_path / "out" / "jobs").glob("scores-*.log"))) == 4  # of the input and the network
    assert not list((tmp_path / "out" / "jobs").glob("*.scores"))
    records = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("cells/*/record.json")]
    assert {record["status"] for record in records} == {"done"}
    attempts = [attempt for record in records for attempt in record["attempts"]]
    assert {attempt["outcome"] for attempt in attempts} == {"done"}

    # the same cells, each test set by one job
    one = tmp_path / "one"
    shutil.copytree(tmp_path / "out", one)
    ids = [record["cell_id"] for record in records]
    for cell in ids:
        (one / "cells" / cell / "images.parquet").unlink()
    for path in (one / "jobs").glob("scores-*"):
        path.unlink()
    script = tmp_path / "undivided.py"
    script.write_text(UNDIVIDED)
    given = ("run", suite, "--out", one, "--data", tmp_path / "out" / "data", "--tracker", "none")
    done = subprocess.run(
        [sys.executable, str(script), *map(str, given)], cwd=bench.cwd, env=bench.env(), capture_output=True, text=True,
        timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((one / "jobs").glob("scores-*"))
    assert results(one) == results(tmp_path / "out")
    tables = [bench.ok("leaderboard", out, "--format", "csv") for out in (one, tmp_path / "out")]
    assert tables[0] == tables[1]
