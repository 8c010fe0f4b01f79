"""What a job leaves on record of its attempt: how it ended, and why it failed."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import cast

from harness.api.running import JobOutcome
from harness.core.errors import FailureClass, HarnessError
from harness.core.paths import Layout
from harness.jobs.classify import classify, message
from harness.planning.job import EvaluateWork, Job, TogetherWork, TrainWork
from harness.records import store
from harness.records.anew import note_attempt
from harness.records.job_failures import clear_failure, note_failure
from harness.records.model import Attempt, Failure, Provenance

log = logging.getLogger(__name__)


def now() -> str:
    """The time as records hold it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def note(job: Job, layout: Layout, started: str, error: BaseException | None) -> bool:
    """Puts the attempt on record; whether it is there. When even that fails (a full disk), log and outcome still say
    why, and whoever handed the job out can put it there (`JobOutcome.noted`).
    """
    try:
        if job.cell_id is None:
            _note_of_set(job, layout, error)
        else:
            _note_of_cell(job, layout, started, error)
    except HarnessError:
        if error is None:
            raise
        log.exception("the failure could not be put on record")
        return False
    return True


def log_of(job: Job, layout: Layout) -> str:
    """The log of the process that writes a job's results; empty when there is none, as it could not be written."""
    path = layout.job_log(job.id)
    return str(path) if path.is_file() else ""


def _note_of_set(job: Job, layout: Layout, error: BaseException | None) -> None:
    """Remembers why what belongs to no cell could not be made, shards, features or parts of scores, until it is."""
    if isinstance(job.work, TogetherWork):  # nothing rests on it: the cells' own jobs say what they meet
        return
    if error is None:
        clear_failure(layout, job.id)
    elif not isinstance(error, KeyboardInterrupt):
        failure = Failure(kind=classify(error), message=message(error), log=log_of(job, layout))
        note_failure(layout, job.id, failure)


def _note_of_cell(job: Job, layout: Layout, started: str, error: BaseException | None) -> None:
    """Puts the attempt on the cell's record."""
    work = job.work
    assert isinstance(work, TrainWork | EvaluateWork), work.kind
    kind = classify(error) if error else None
    attempt = Attempt(
        job=job.id,
        started=started,
        ended=now(),
        outcome="done" if kind is None else "interrupted" if kind == "interrupted" else "failed",
        failure=kind,
        message=message(error) if error else "",
        resumed_at=_resumed_at(job, layout),
    )
    failed = attempt.outcome == "failed" and kind is not None
    failure = Failure(kind=kind, message=attempt.message, log=log_of(job, layout)) if failed and kind else None
    note_attempt(
        layout,
        cell_id=work.cell.id,
        cell=work.cell.model_dump(mode="json"),
        labels=job.labels.model_dump() if job.labels else {},
        attempt=attempt,
        failure=failure,
        provenance=_provenance(job),
    )


def _resumed_at(job: Job, layout: Layout) -> int | None:
    """The checkpoint's step that this attempt's training went on from."""
    if not isinstance(job.work, TrainWork):
        return None
    events = store.read_events(layout, job.work.cell.id)
    steps = [event.get("step") for event in events if event.get("job") == job.id and event.get("event") == "start"]
    return (steps[-1] or None) if steps else None


def note_outcome(job: Job, layout: Layout, outcome: JobOutcome, *, goes_on: bool = False) -> None:
    """Puts a failure on record that the job's own processes did not (`JobOutcome.noted`), as they were lost, or as the
    one that failed does not write. To be called when none of them writes any more.

    `layout`: the folder's, or the job's own. `goes_on`: the job is tried again; should the run end before, it was
    interrupted, and has not failed. Raises HarnessError when it cannot be written.
    """
    if outcome.failure is None or outcome.noted or isinstance(job.work, TogetherWork):
        return
    kind = cast(FailureClass, outcome.failure)
    stands = "interrupted" if goes_on else kind
    failure = Failure(kind=stands, message=outcome.message, log=outcome.log or log_of(job, layout))
    if not isinstance(job.work, TrainWork | EvaluateWork):
        note_failure(layout, job.id, failure)
        return
    ended = datetime.now(UTC)
    attempt = Attempt(
        job=job.id,
        started=(ended - timedelta(seconds=outcome.seconds)).isoformat(timespec="milliseconds"),
        ended=ended.isoformat(timespec="milliseconds"),
        outcome="failed",
        failure=kind,
        message=outcome.message,
    )
    note_attempt(
        replace(layout, anew=frozenset(job.anew)),
        cell_id=job.work.cell.id,
        cell=job.work.cell.model_dump(mode="json"),
        labels=job.labels.model_dump() if job.labels else {},
        attempt=attempt,
        failure=failure,
        provenance=_provenance(job),
    )


def _provenance(job: Job) -> Provenance:
    found: Provenance = import_module("harness.jobs.provenance").provenance(threads=job.run.cpus)  # imports torch
    return found
