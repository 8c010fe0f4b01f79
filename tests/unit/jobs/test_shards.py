"""The job prepares exactly the set that it names."""

from __future__ import annotations

from pathlib import Path

from harness.api.shard_parts import NOTE, waiting_folder, waiting_shard
from harness.core.paths import Layout
from harness.data.shards import open_set
from harness.jobs import shards
from harness.jobs.context import Context
from harness.planning.job import Job, ShardsWork
from tests.small_set import prepared, registry


def test_the_job_prepares_its_set_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "out", tmp_path / "data")
    job = Job(work=ShardsWork(stored=prepared()))
    context = Context(layout=layout, registry=registry())
    shards.run(job, context)
    first = open_set(prepared(), layout.data)
    written = (first.folder / "000000.tar").stat().st_mtime_ns
    shards.run(job, context)
    assert (first.folder / "000000.tar").stat().st_mtime_ns == written
    assert len(first) == 6


def test_the_jobs_of_parts_leave_their_shards_to_the_job_of_the_set(tmp_path: Path) -> None:
    """A split of six images has one shard, which the second of two parts makes."""
    layout = Layout(tmp_path / "out", tmp_path / "data")
    context = Context(layout=layout, registry=registry())
    for part in (1, 2):
        shards.run(Job(work=ShardsWork(stored=prepared(), part=part, parts=2)), context)
        there = waiting_shard(prepared(), layout.data, 0) / NOTE
        assert there.is_file() == (part == 2)
    assert not prepared().folder(layout.data).exists()
    shards.run(Job(work=ShardsWork(stored=prepared())), context)
    assert len(open_set(prepared(), layout.data)) == 6
    assert not waiting_folder(prepared(), layout.data).exists()
