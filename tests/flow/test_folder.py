"""A user's folder of pairs, from `bench data add` to the table."""

from __future__ import annotations

import json
import shutil
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from harness.cli import exits
from harness.parts.datasets.photos import Photos
from tests.unit.cli.results import bench

SUITE = """
suite: own
include: [mine.yaml]
metrics: [psnr]
defaults: {recipe: {steps: 2, batch: 2, patch: 32, lr: 1e-3}}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
"""
RUN = ("--executor", "local", "--tracker", "none")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Windows of the photographs and dark versions of them, in two folders, with one empty file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("PRIORBENCH_DATA", raising=False)
    home = tmp_path / "home"
    for side in ("low", "normal"):
        (home / "pictures" / side).mkdir(parents=True)
    for split in ("train", "test"):
        for image in Photos().images(split):
            assert image.pixels is not None
            window = image.pixels[40:112, 60:156, ::-1]
            cv2.imwrite(str(home / f"pictures/normal/normal_{image.key}.png"), window)
            cv2.imwrite(str(home / f"pictures/low/low_{image.key}.png"), (window * 0.3).astype(np.uint8))
    (home / "pictures/low/low_empty.png").touch()
    (home / "own.yaml").write_text(SUITE)
    return home


def test_a_folder_of_pairs_runs_from_its_files_to_the_table(place: Path, tmp_path: Path) -> None:
    words = ["data", "add", "mine", "--lq", "pictures/low", "--gt", "pictures/normal", "--holdout", "0.4"]
    words += ["--pair-lq", r"low_(\w+)", "--pair-gt", r"normal_(\w+)", "--scene", "normal_([a-z]+)"]
    with chdir(place):
        refused = bench(*words)
        assert (refused.exit_code, "lq/low_empty.png: it has 0 bytes" in refused.output) == (exits.FAILED, True)
        added = bench(*words, "--skip", "low_empty.png")
        assert added.exit_code == exits.DONE, added.output
        ran = bench("run", "own.yaml", *RUN)
        assert ran.exit_code == exits.DONE, ran.output
    out = place / "results/own"
    trained = json.loads(next(out.glob("cells/*/checkpoint")).with_name("record.json").read_text())
    assert trained["cell"]["train"]["options"]["skip"] == ["low_empty.png"]
    manifests = {path.parent.name: json.loads(path.read_text()) for path in out.glob("data/sets/*/*/manifest.json")}
    assert {name: found["samples"] for name, found in manifests.items()} == {"train": 5, "test": 3}
    assert manifests["train"]["skipped"] == [{"file": "lq/low_empty.png", "why": "it has 0 bytes"}]
    assert str(place) not in json.dumps(manifests)
    rows = pyarrow.parquet.read_table(next(out.glob("cells/*/images.parquet")))
    keys = set(rows.column("key").to_pylist())
    assert len(keys) == 3
    errors = []
    for key in sorted(keys):
        low = cv2.imread(str(place / f"pictures/low/{key}.png")).astype(np.float64)
        normal = cv2.imread(str(place / f"pictures/normal/{key.replace('low_', 'normal_')}.png")).astype(np.float64)
        errors.append(10 * np.log10(255**2 / np.mean((low - normal) ** 2)))
    board = bench("leaderboard", place / "own.yaml", "--out", out)
    assert f"{np.mean(errors):.2f}" in board.output, board.output

    shutil.move(place, tmp_path / "moved")
    with chdir(tmp_path / "moved"):
        again = bench("plan", "own.yaml")
        assert again.exit_code == exits.DONE, again.output
        assert "todo" not in again.output, "nothing depends on where the files lie"
        (Path("pictures/low/low_rocket.png")).unlink()
        blocked = bench("plan", "own.yaml", "--out", "elsewhere")
    assert blocked.exit_code == exits.BLOCKED
    assert "gt/normal_rocket.png: no lq file belongs to it" in blocked.output
