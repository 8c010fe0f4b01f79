"""The job `shards`: write one split of a data set as a prepared set, or the shards of one part of it."""

from __future__ import annotations

from harness.data.prepare import prepare_part, prepare_set
from harness.jobs.context import Context
from harness.planning.job import Job, ShardsWork


def run(job: Job, context: Context) -> None:
    """Prepares the job's set or part, or verifies what is there. Raises DataError (see `prepare_set`)."""
    work = job.work
    assert isinstance(work, ShardsWork), work.kind
    registry, data = context.registry, context.layout.data
    if work.part is None:
        prepare_set(work.stored, registry, data)
    else:
        prepare_part(work.stored, work.part, work.parts, registry, data)
