"""The job `shards`: degrade one split of a data set and write it as shards."""

from __future__ import annotations

from harness.data.prepare import prepare_set
from harness.jobs.context import Context
from harness.planning.job import Job, ShardsWork


def run(job: Job, context: Context) -> None:
    """Prepares the job's set, or verifies the one that is there. Raises DataError (see `prepare_set`)."""
    assert isinstance(job.work, ShardsWork), job.work.kind
    prepare_set(job.work.samples, context.registry, context.layout.data)
