"""The job prepares exactly the set that it names."""

from __future__ import annotations

from pathlib import Path

from harness.core.paths import Layout
from harness.data.shards import open_set
from harness.jobs import shards
from harness.jobs.context import Context
from harness.planning.job import Job, ShardsWork
from tests.small_set import prepared, registry


def test_the_job_prepares_its_set_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out", tmp_path / "data")
    job = Job(work=ShardsWork(samples=prepared()))
    context = Context(layout=layout, registry=registry())
    shards.run(job, context)
    first = open_set(prepared(), layout.data)
    written = (first.folder / "000000.tar").stat().st_mtime_ns
    shards.run(job, context)
    assert (first.folder / "000000.tar").stat().st_mtime_ns == written
    assert len(first) == 54
