"""What a newcomer does: a fresh clone, a fresh environment, the demo; and the built wheel, away from the repository.

Minutes each, so behind the marker `slow`: `make test-slow`.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ROOT = Path(__file__).parents[2]


def shell(*words: object, cwd: Path, **environment: str) -> str:
    """Runs a command, gives its stdout."""
    kept = {key: value for key, value in os.environ.items() if key not in ("VENV", "PYTHONPATH")}
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, env=kept | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_make_demo_in_a_fresh_clone_with_a_fresh_environment(tmp_path):
    clone = tmp_path / "clone"
    shell("git", "clone", "--quiet", ROOT, clone, cwd=tmp_path)
    said = shell("make", "demo", cwd=clone)
    assert "PSNR" in said
    bench = clone / ".venv" / "bin" / "bench"
    rows = list(csv.DictReader(io.StringIO(shell(bench, "leaderboard", "smoke", "--format", "csv", cwd=clone))))
    assert len(rows) == 18
    assert all(row["note"] == "" for row in rows)
    psnr = {(row["task"], row["backbone"], row["variant"]): float(row["photos.psnr@rgb_uint8/v1.mean"]) for row in rows}
    for backbone in ("NAFNet-w8", "Restormer-d8"):
        task = "low_light (synthetic)"
        assert psnr[task, backbone, "base"] >= psnr[task, "input", "input"] + 3
    assert shell(bench, "run", "smoke", cwd=clone).startswith("smoke: nothing to do")


def test_the_wheel_runs_away_from_the_repository(tmp_path):
    shell(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target]
    shell(*pip, wheel, cwd=tmp_path)
    for shipped in ("suites/smoke.yaml", "results_schema/record.v1.json", "launchers/ray_node.sh"):
        assert (target / shipped).is_file(), shipped
    assert not (target / "tests").exists()
    bench = [sys.executable, "-m", "harness.cli.main"]
    away = {"PYTHONPATH": str(target), "HOME": str(tmp_path)}
    place = shell(sys.executable, "-c", "import harness.cli.main as m; print(m.__file__)", cwd=tmp_path, **away)
    assert place.startswith(str(target))
    small = ["--set", "defaults.recipe.steps=2", "--limit", "3", "--executor", "local"]
    said = shell(*bench, "run", "smoke", *small, cwd=tmp_path, **away)
    assert "NAFNet-w8" in said
    assert (tmp_path / "results" / "smoke" / "mlflow.db").is_file()
