"""A job whose results lie on a disk that is away for a moment ends as it would have."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from harness.core import outlast
from harness.core.paths import Layout
from harness.jobs.run import run_job_file
from harness.planning.job import ShardsWork
from tests.odd_loss import odd_job
from tests.small_world import SmallWorld, small_cell


def test_a_training_whose_results_are_away_for_a_moment_loses_nothing(
    world: SmallWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlast, "_PAUSE", 0.05)
    plain = SmallWorld(Layout(tmp_path / "plain", world.layout.data))
    job, cell = odd_job(plain, tmp_path)
    assert run_job_file(str(plain.write(job))).failure is None
    monkeypatch.setenv("ODD", "away")
    monkeypatch.setenv("ODD_RANK", "0")
    monkeypatch.setenv("ODD_FILE", str(world.layout.out))
    job, cell = odd_job(world, tmp_path)
    outcome = run_job_file(str(world.write(job)))
    assert (outcome.failure, outcome.message) == (None, "")
    assert world.curve(cell) == plain.curve(cell)
    weights = [each.layout.final_weights(cell.id).read_bytes() for each in (world, plain)]
    assert weights[0] == weights[1]
    assert "its disk is back after" in world.layout.job_log(job.id).read_text()


def test_a_job_whose_file_is_away_when_it_begins_waits_for_it(
    world: SmallWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlast, "_PAUSE", 0.05)
    out = world.layout.out
    file, away = world.write(world.job(ShardsWork(stored=small_cell().train_samples.stored))), out.with_name("away")
    out.rename(away)
    timer = threading.Timer(0.3, away.rename, [out])
    timer.start()
    outcome = run_job_file(str(file))
    timer.join()
    assert (outcome.failure, outcome.message) == (None, "")
