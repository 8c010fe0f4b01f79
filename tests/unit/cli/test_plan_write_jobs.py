"""`bench plan --write-jobs`, and single jobs run beside each other from what it wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import app
from harness.core.paths import Layout
from harness.jobs.__main__ import main as run_one
from harness.records.lock import run_lock, side_lock

SUITE = """
suite: waves
defaults: {dataset: photos, recipe: {steps: 2, batch: 1, patch: 64}}
blocks:
  - task: low_light
    backbone: {name: nafnet, width: 8, enc_blk_nums: [1], middle_blk_num: 1, dec_blk_nums: [1]}
    variant: base
"""


def planned(folder: Path) -> tuple[int, str]:
    (folder / "waves.yaml").write_text(SUITE)
    words = ["plan", str(folder / "waves.yaml"), "--out", str(folder / "out"), "--write-jobs"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    return done.exit_code, done.output


def lists(said: str) -> list[tuple[int, Path]]:
    return [(int(count), Path(place)) for count, place in re.findall(r"^wave \d+: (\d+) jobs? · (\S+)$", said, re.M)]


def test_the_lists_are_told_and_their_jobs_run_side_by_side(tmp_path, capfd):
    code, said = planned(tmp_path)
    assert code == 0, said
    assert [count for count, _ in lists(said)] == [2, 2, 2, 1]  # sets, degraded sets, training and input, evaluation
    files = lists(said)[0][1].read_text().splitlines()
    layout = Layout(tmp_path / "out", tmp_path / "out" / "data")
    with side_lock(layout, "another"):  # another job of the array
        assert run_one([files[0], "--beside"]) == 0, capfd.readouterr().err
        assert run_one([files[1]]) == 1  # alone: it would have the folder to itself
        assert "another run is using this folder" in capfd.readouterr().err
    code, said = planned(tmp_path)
    assert [count for count, _ in lists(said)] == [2, 2, 1, 1]  # what is done is in no list
    assert not any(files[0] in place.read_text() for _, place in lists(said))


@pytest.mark.parametrize("lock", [lambda layout: run_lock(layout), lambda layout: side_lock(layout, "one")])
def test_nothing_is_written_while_jobs_run(tmp_path, lock):
    with lock(Layout(tmp_path / "out", tmp_path / "out" / "data")):
        code, said = planned(tmp_path)
    assert code == 1
    assert "another run is using this folder" in said
    assert not list((tmp_path / "out").rglob("wave-*.txt"))
