"""Job files in waves: what may run side by side without a driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.jobs.run import read_job
from harness.scheduling.waves import waves, write_waves
from tests.unit.scheduling.plans import evaluate, plan, shards, train


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "out", tmp_path / "out" / "data")


def jobs(out: Path):
    first, second = shards("train", out), shards("test", out)
    trained, other = train(0, out, (first.id,)), train(1, out, (first.id,))
    scored = evaluate(0, out, (trained.id, second.id))
    return first, second, trained, other, scored


def test_a_job_is_in_the_wave_after_the_last_that_it_needs(tmp_path):
    first, second, trained, other, scored = jobs(tmp_path)
    planned = plan(first, second, trained, other, scored)
    assert list(waves(planned)) == [[first, second], [trained, other], [scored]]


def test_what_is_done_is_in_none_and_what_needs_a_blocked_job_neither(tmp_path):
    first, second, trained, other, scored = jobs(tmp_path)
    planned = plan(first, second, trained, other, scored, states={first.id: "done", trained.id: "blocked"})
    assert list(waves(planned)) == [[second, other]]


def test_the_lists_name_job_files_that_can_be_run(layout):
    planned = plan(*jobs(layout.out))
    written = write_waves(planned, layout)
    assert [count for _, count in written] == [2, 2, 1]
    files = [line for place, _ in written for line in Path(place).read_text().splitlines()]
    assert [Path(file).stem for file in files] == [each.id for each in planned.jobs]
    assert all(Path(file).is_absolute() for file in files)
    assert read_job(Path(files[2])).work == planned.jobs[2].job.work


def test_lists_of_an_earlier_plan_are_gone(layout):
    first, *_ = everything = jobs(layout.out)
    write_waves(plan(*everything), layout)
    assert len(write_waves(plan(first), layout)) == 1
    assert [path.name for path in (layout.out / "jobs").glob("wave-*")] == ["wave-1.txt"]


def test_cells_that_are_made_again_are_left_to_a_driver(layout):
    first, *_ = jobs(layout.out)
    with pytest.raises(HarnessError, match="1 cell is to be made again") as raised:
        write_waves(replace(plan(first), anew=("0123456789ab",)), layout)
    assert "bench run" in raised.value.hint
    assert not list(layout.out.rglob("*.json"))
