"""The paths in job files: relative to where the file lies, so that a folder of results can be moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.core.paths import Layout
from harness.planning.job import Job, ShardsWork
from harness.planning.places import layout_of, placed, places, said_from
from tests.unit.records.made import cell


def test_what_lies_in_or_beside_the_results_is_relative_and_the_rest_absolute():
    layout = Layout(Path("/work/results/smoke"), Path("/work/results/smoke/data"))
    assert places(layout, ["/work/results/mine.py", "/home/me/other.py"]) == {
        "out": "..",
        "data": "../data",
        "plugins": ("../../mine.py", "/home/me/other.py"),
    }
    assert said_from(layout, "/work/results/shared") == "../../shared"
    assert said_from(layout, "/work/data") == "/work/data"
    assert said_from(Layout(Path("/out"), Path("/data")), "/data") == "/data"


def test_a_moved_job_finds_its_folders_where_its_file_is(tmp_path):
    job = Job(work=ShardsWork(stored=cell().train_samples.stored), anew=("x",), plugins=("../../mine.py", "/p.py"))
    found = placed(job, tmp_path / "new" / "out" / "jobs" / "a.json")
    assert layout_of(found) == Layout(tmp_path / "new/out", tmp_path / "new/out/data", frozenset("x"))
    assert found.plugins == (str(tmp_path / "new" / "mine.py"), "/p.py")


def test_an_absolute_job_file_is_refused_in_another_folder(tmp_path):
    old = tmp_path / "old"
    job = Job(work=ShardsWork(stored=cell().train_samples.stored), out=str(old), data=str(old / "data"))
    assert layout_of(placed(job, old / "jobs" / "a.json")) == Layout(old, old / "data")
    with pytest.raises(DataError, match="the folder was moved"):
        placed(job, tmp_path / "new" / "jobs" / "a.json")
    (tmp_path / "linked").symlink_to(old)
    (old / "jobs").mkdir(parents=True)
    assert placed(job, tmp_path / "linked" / "jobs" / "a.json").out == str(old)
