"""How often a job is tried."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from harness.api.running import JobOutcome
from harness.core.paths import Layout
from harness.planning.job import Job, TogetherWork, TrainWork
from harness.records.store import read_events


@dataclass
class Submission:
    """A job that was handed to the executor."""

    job: Job
    retries: int = 0
    """Tries that were lost one after the other, none of which got further than the one before."""
    reached: int | None = None
    """The newest checkpoint's step when it was first handed out, and at every loss; None before."""
    started: float | None = None


def again(submission: Submission, outcome: JobOutcome, layout: Layout) -> Submission | None:
    """The next try of a job that failed, if that may help: with half the memory, or after a lost worker.

    A process that its machine ended for memory is like a lost worker where the job has nothing to halve: what ran
    beside it then may have taken the memory. Lost tries are counted anew once one has left a newer checkpoint: a long
    training may lose machine after machine, and one that dies at the same place every time still ends. What a machine
    ended that took its leave does not count.
    """
    job, reached, retries = submission.job, submission.reached or 0, submission.retries
    if outcome.failure == "memory" and isinstance(job.work, TrainWork) and not job.halved:
        return Submission(job.model_copy(update={"halved": 1}), retries, reached)
    if outcome.failure != "worker_lost" and not outcome.killed:
        return None
    now = newest_checkpoint(job, layout)
    if now > reached:
        retries = 0
    if not outcome.left:
        retries += 1
    return Submission(job, retries, max(now, reached)) if retries <= job.run.retries else None


def newest_checkpoint(job: Job, layout: Layout) -> int:
    """The step of the newest checkpoint that a training tells of in its cell's events, as it wrote it or began from it;
    0 without one. Of several trainings in one job the sum.

    `layout`: the folder's. On a store the events arrive with the checkpoints. Other jobs have none.
    """
    if not isinstance(job.work, TogetherWork | TrainWork):
        return 0
    where = replace(layout, anew=frozenset(job.anew))
    return sum(_newest(read_events(where, cell_id), own) for cell_id, own in job.journals.items())


def _newest(events: Iterable[dict[str, Any]], own: str) -> int:
    telling = (line for line in events if line.get("event") in ("checkpoint", "start") and line.get("job") == own)
    steps = (line.get("step") for line in telling)
    return max((step for step in steps if isinstance(step, int)), default=0)
