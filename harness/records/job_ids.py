"""How jobs are called: `<kind>-<digest of what they do>`, as in job files, logs, records and events."""

from __future__ import annotations

from typing import Literal

JobKind = Literal["shards", "features", "together", "train", "scores", "evaluate"]


def job_id_of(kind: JobKind, digest: str) -> str:
    """The id of a job; a train or evaluate job has its cell's id as digest."""
    return f"{kind}-{digest}"


def said_kind(job_id: str) -> str:
    """The kind that an id begins with, `job` without one.

    Only for texts about events of earlier releases, which name a job by its id alone. All other code asks the job.
    """
    return job_id.partition("-")[0] or "job"
