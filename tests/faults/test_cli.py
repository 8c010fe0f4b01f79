"""Bad input as a user meets it: `bench run` says one clear thing, exits as documented, and shows no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("faults_cli")

SUITE = """
suite: s
run: {{checkpoint_every: 2, log_every: 1, samples: 0}}
{top}
blocks:
  - task: {task}
    dataset: photos
    backbone: {{name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}}
    variant: {variant}
    recipe: {{steps: 4, batch: 4, patch: 64, augment: none, lr: {lr}}}
"""

PLUGIN = '''
import numpy as np

from harness.api.degradation import DegradationTraits
from harness.api.task import TaskTraits


class Crop:
    """Loses a column, as a wrongly aligned pair of photographs does."""

    traits = DegradationTraits(quantised=True)

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return clean[:, 1:]


class Cropped:
    """A task whose pairs differ in size."""

    traits = TaskTraits(degradation="crop", protocol="rgb_uint8")


CATALOGUE = (("degradation", "crop", "Crop"), ("task", "cropped", "Cropped"))
'''


def write(folder: Path, *, top: str = "", task: str = "low_light", variant: str = "base", lr: str = "1e-3") -> Path:
    path = folder / "s.yaml"
    path.write_text(SUITE.format(top=top, task=task, variant=variant, lr=lr))
    return path


def bench(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "harness.cli.main", *map(str, arguments)]
    env = {**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
    return done


def run(folder: Path, suite: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return bench(folder, "run", suite, "--out", folder / "out", "--executor", "local", "--tracker", "none", *more)


def failure(folder: Path) -> dict[str, str]:
    """The failure on the only trained cell's record."""
    records = [json.loads(path.read_text()) for path in (folder / "out" / "cells").glob("[!.]*/record.json")]
    (found,) = [record["failure"] for record in records if record["labels"]["backbone"] != "input"]
    return found


def test_unknown_names_are_all_told_at_once(tmp_path):
    suite = write(tmp_path, task="low_ligth", variant="{refiner: ptgrm, prior: nns}", top="metrics: [pnsr]")
    done = run(tmp_path, suite)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for name in ("low_light", "ptg_rm", "nss", "psnr"):
        assert any(f"did you mean '{name}'" in line for line in lines), (name, lines)
    assert all("s.yaml:" in line for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["run", "check", "plan", "leaderboard", "status"])
def test_an_unknown_suite(tmp_path, command):
    done = bench(tmp_path, command, "smok")
    assert done.returncode == 2
    assert "smok" in done.stderr
    assert "smoke" in done.stderr


def test_a_missing_plugin_file(tmp_path):
    done = run(tmp_path, write(tmp_path, top="plugins: [nowhere.py]"))
    assert done.returncode == 2
    assert "nowhere.py" in done.stderr


def test_a_nan_loss_fails_its_cell_and_says_where(tmp_path):
    done = run(tmp_path, write(tmp_path, lr="1e30"))
    assert done.returncode == 1
    found = failure(tmp_path)
    assert found["kind"] == "nan"
    assert "step" in found["message"]
    assert found["message"].splitlines()[0] in done.stdout
    assert Path(found["log"]).is_file()
    assert "nan" in done.stdout


def test_a_damaged_shard_is_mended_by_the_runs_that_read_it(tmp_path):
    """A truncated one is seen at once; a flipped byte fails the job that reads it, and is mended by the next run."""
    suite = write(tmp_path)
    assert run(tmp_path, suite).returncode == 0
    (shard, *_) = sorted((tmp_path / "out" / "data").glob("sets/photos.*/train/*.tar"))
    (final,) = (tmp_path / "out" / "cells").glob("*/checkpoint/final.safetensors")
    whole, weights = shard.read_bytes(), final.read_bytes()
    shard.write_bytes(whole[:5000])
    assert run(tmp_path, suite, "--force", final.parents[1].name).returncode == 0
    assert (shard.read_bytes(), final.read_bytes()) == (whole, weights)
    shard.write_bytes(whole[:3000] + bytes([whole[3000] ^ 1]) + whole[3001:])
    done = run(tmp_path, suite, "--force", final.parents[1].name)
    assert (done.returncode, failure(tmp_path)["kind"], shard.name in done.stdout) == (1, "data", True)
    assert run(tmp_path, suite, "--force", final.parents[1].name).returncode == 0
    assert (shard.read_bytes(), final.read_bytes()) == (whole, weights)


def test_a_wrong_size_pair_is_named(tmp_path):
    (tmp_path / "cropped.py").write_text(PLUGIN)
    done = run(tmp_path, write(tmp_path, task="cropped", top="plugins: [cropped.py]"))
    assert done.returncode == 1
    assert "512×511×3 for image 'astronaut', which is 512×512×3" in done.stdout
    assert "— shards failed (plugin)" in done.stdout  # in the table
    assert f"log: {tmp_path / 'out' / 'jobs' / 'shards-'}" in done.stdout
    assert "not run yet" not in done.stdout
    assert "failed before" not in done.stdout
    assert "failed before (plugin)" in bench(tmp_path, "plan", tmp_path / "s.yaml", "--out", tmp_path / "out").stdout


def test_a_corrupt_final_checkpoint_fails_its_evaluation(tmp_path):
    suite = write(tmp_path)
    assert run(tmp_path, suite).returncode == 0
    (final,) = (tmp_path / "out" / "cells").glob("*/checkpoint/final.safetensors")
    content = bytearray(final.read_bytes())
    content[len(content) // 2] ^= 0xFF
    final.write_bytes(bytes(content))
    done = run(tmp_path, suite, "--set", "metrics=[ssim]")
    assert done.returncode == 0, "the metric is on record: nothing reads the checkpoint"
    images = final.parents[1] / "images.parquet"
    images.unlink()
    done = run(tmp_path, suite)
    assert done.returncode == 1
    assert failure(tmp_path)["kind"] == "checkpoint"
    assert run(tmp_path, suite, "--force", final.parents[1].name).returncode == 0


def mounted(folder: Path, options: str) -> bool:
    """Whether a small tmpfs could be mounted there; the caller unmounts it."""
    folder.mkdir(exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_full_disk_is_said_and_more_space_finishes_the_run(tmp_path):
    suite, out = write(tmp_path), tmp_path / "out"
    if not mounted(out, "size=6m"):
        pytest.skip("mounting a tmpfs needs privileges")
    try:
        done = run(tmp_path, suite)
        assert done.returncode == 1
        assert "the disk is full" in done.stdout + done.stderr
        assert "free some space" in done.stdout + done.stderr
        subprocess.run(["mount", "-o", "remount,size=200m", str(out)], check=True)
        assert run(tmp_path, suite).returncode == 0
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_read_only_output_folder(tmp_path):
    suite, out = write(tmp_path), tmp_path / "out"
    if not mounted(out, "size=6m,ro"):
        pytest.skip("mounting a tmpfs needs privileges")
    try:
        done = run(tmp_path, suite)
        assert done.returncode == 1
        assert "cannot write here" in done.stderr
        assert "--out" in done.stderr
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_blocked_cells_say_how_to_get_what_is_missing(tmp_path):
    suite = write(tmp_path, variant="{refiner: ptg_rm, prior: clip}")
    done = run(tmp_path, suite)
    assert done.returncode == 3
    assert "bench weights fetch clip/ViT-B-32-openai" in done.stdout
    assert "ViT-B-32" in done.stdout
    plan = bench(tmp_path, "plan", suite, "--out", tmp_path / "out")
    assert plan.returncode == 3
    assert "blocked" in plan.stdout
