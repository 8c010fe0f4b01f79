"""What the selftest says of trainings that are alike, that differ, and that failed."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from harness.api.running import JobOutcome
from harness.cli import exits
from harness.cli.main import app
from harness.scheduling import selftest
from harness.scheduling.selftest import Bench, Trained

DONE = JobOutcome("train-x")


def trained(folder: Path, losses: list[float], weight: float = 1.0, outcome: JobOutcome = DONE) -> Trained:
    file = folder / f"{len(list(folder.iterdir()))}.safetensors"
    save_file({"w": np.full(3, weight, np.float32)}, file)
    return Trained(outcome, losses, file, 1.0)


@pytest.mark.parametrize(
    ("losses", "weight", "holds", "words"),
    [
        ([0.5, 0.25], 1.0, True, "2 losses, by 0e+00 of them; weights, by 0e+00"),
        ([0.5, 0.2500001], 1.0, True, "2 losses, by 4e-07"),
        ([0.5, 0.2525], 1.0, False, "2 losses, by 1e-02"),
        ([0.5], 1.0, False, "1 losses, and not 2"),
        ([0.5, float("nan")], 1.0, False, "by nan"),
        ([0.5, 0.25], 1.000001, True, "weights, by 1e-06"),
        ([0.5, 0.25], 1.005, False, "weights, by 5e-03"),
        ([0.5, 0.25], float("nan"), False, "weights, by nan"),
    ],
)
def test_losses_and_weights_decide(tmp_path: Path, losses: list[float], weight: float, holds: bool, words: str) -> None:
    found = selftest._compared("x", trained(tmp_path, losses, weight), trained(tmp_path, [0.5, 0.25]), monotonic())
    assert found.holds is holds
    assert words in str(found)
    assert str(found).endswith("s  holds" if holds else "s  DOES NOT HOLD")


@pytest.mark.parametrize("failed", ["one", "other"])
def test_a_training_that_failed_holds_nothing(tmp_path: Path, failed: str) -> None:
    lost = JobOutcome("train-x", "worker_lost", "gone\nfor good")
    one = trained(tmp_path, [0.5], outcome=lost if failed == "one" else DONE)
    other = trained(tmp_path, [0.5], outcome=lost if failed == "other" else DONE)
    found = selftest._compared("x", one, other, monotonic())
    assert not found.holds
    assert found.compared == ("worker_lost: gone" if failed == "one" else "")


@pytest.mark.parametrize(("ranks", "batch"), [(2, 4), (3, 3), (4, 4), (8, 8)])
def test_its_batch_can_be_divided(tmp_path: Path, ranks: int, batch: int) -> None:
    assert Bench(tmp_path, ranks, on_gpus=False).cell.recipe.batch == batch


def test_two_ways_to_say_the_same_are_refused() -> None:
    found = CliRunner().invoke(app, ["selftest", "--gpus", "2", "--processes", "2"])
    assert found.exit_code == exits.WRONG
    assert "try: bench selftest --gpus 2" in found.output


@pytest.mark.slow
def test_everything_holds_on_two_processes() -> None:
    found = CliRunner().invoke(app, ["selftest", "--processes", "2"])
    assert found.exit_code == exits.DONE, found.output
    lines = [line for line in found.output.splitlines() if line.endswith("holds")]
    assert len(lines) == 12
