"""Runs one job file on this worker, whoever started the worker: Ray, the same process, or `python -m harness.jobs`."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import cv2
import torch

from harness.api.running import JobOutcome
from harness.cells.suite import Run
from harness.core.conduct import watched
from harness.core.errors import DataError, HarnessError
from harness.core.guests import contained
from harness.core.paths import Layout, storage_error
from harness.jobs.as_planned import check_parts
from harness.jobs.classify import classify, message
from harness.jobs.context import Context
from harness.jobs.files import check_files
from harness.jobs.provenance import provenance
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.job import EvaluateWork, Job, TrainWork
from harness.planning.places import layout_of, placed
from harness.records import store
from harness.records.anew import note_attempt
from harness.records.job_failures import clear_failure, note_failure
from harness.records.model import Attempt, Failure

log = logging.getLogger(__name__)

FAILURES = (Exception, SystemExit, GeneratorExit)
"""What ends a job and not its worker: anything that a part may raise. Ctrl-C alone is the user's."""


def run_job_file(path: str) -> JobOutcome:
    """Runs a job and says how it ended. A failure is classified, logged and written to the cell's record.

    Raises nothing except KeyboardInterrupt, after it is noted.
    """
    began = time.perf_counter()
    try:
        job = read_job(Path(path))
        layout = layout_of(job)
        with _logging_to(layout.job_log(job.id)):
            outcome = _run_noted(job, layout)
    except FAILURES as error:
        outcome = JobOutcome(Path(path).stem, classify(error), message(error))
    return JobOutcome(outcome.job_id, outcome.failure, outcome.message, outcome.log, time.perf_counter() - began)


def read_job(path: Path) -> Job:
    """A job file's content, its paths absolute, as they are said from where the file lies.

    Raises DataError when it cannot be read, is not a job, or belongs to another folder.
    """
    try:
        return placed(Job.model_validate_json(path.read_bytes()), path)
    except OSError as error:
        raise DataError(f"cannot read the job file: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        hint = "run the suite again: it writes its job files anew"
        raise DataError(f"not a job file of this version: {error}", where=str(path), hint=hint) from error


def do_job(job: Job, layout: Layout) -> None:
    """Does the job's work in this process; exceptions are not caught."""
    settle_process(job.run)
    context = Context(layout, extend(REGISTRY, job.plugins))
    check_parts(job.work, context.registry)
    check_files(job.work, context.registry)
    with watched(job.plugins):
        import_module(f"harness.jobs.{job.work.kind}").run(job, context)


def settle_process(run: Run) -> None:
    """Threads and determinism of this job. The order of float sums, and so trained weights, depends on the threads.

    Where a GPU has no deterministic kernel, torch warns and goes on. Fresh tensors are not filled with NaN, which
    deterministic mode does by default and which costs a pass over memory for each.
    """
    torch.set_num_threads(run.cpus)
    cv2.setNumThreads(run.cpus)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms() does the same and imports Inductor: 4 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.set_default_dtype(torch.float32)  # planning may have run a data set's file in this process
    torch.set_grad_enabled(True)


def _run_noted(job: Job, layout: Layout) -> JobOutcome:
    """Runs a job inside its log; the attempt goes on record for the jobs that belong to a cell."""
    where = str(layout.job_log(job.id))
    started = _now()
    log.info("%s (%s)", job.title, job.id)
    try:
        with contained("mend that line; the job's log has the whole traceback"):
            do_job(job, layout)
    except KeyboardInterrupt as error:
        _note(job, layout, started, error)
        raise
    except FAILURES as error:
        log.exception("failed: %s", classify(error))
        _note(job, layout, started, error)
        return JobOutcome(job.id, classify(error), message(error), where)
    log.info("done")
    _note(job, layout, started, None)
    return JobOutcome(job.id, None, "", where)


def _note(job: Job, layout: Layout, started: str, error: BaseException | None) -> None:
    """Puts the attempt on record. When even that fails (a full disk), log and outcome still say why."""
    try:
        if job.cell_id is None:
            _note_of_set(job, layout, error)
        else:
            _note_of_cell(job, layout, started, error)
    except HarnessError:
        if error is None:
            raise
        log.exception("the failure could not be put on record")


def _note_of_set(job: Job, layout: Layout, error: BaseException | None) -> None:
    """Remembers why shards or features could not be made, until they are."""
    if error is None:
        clear_failure(layout, job.id)
    elif not isinstance(error, KeyboardInterrupt):
        failure = Failure(kind=classify(error), message=message(error), log=str(layout.job_log(job.id)))
        note_failure(layout, job.id, failure)


def _note_of_cell(job: Job, layout: Layout, started: str, error: BaseException | None) -> None:
    """Puts the attempt on the cell's record."""
    work = job.work
    assert isinstance(work, TrainWork | EvaluateWork), work.kind
    kind = classify(error) if error else None
    attempt = Attempt(
        job=job.id,
        started=started,
        ended=_now(),
        outcome="done" if kind is None else "interrupted" if kind == "interrupted" else "failed",
        failure=kind,
        message=message(error) if error else "",
        resumed_at=_resumed_at(job, layout),
    )
    failed = attempt.outcome == "failed" and kind is not None
    failure = Failure(kind=kind, message=attempt.message, log=str(layout.job_log(job.id))) if failed and kind else None
    note_attempt(
        layout,
        cell_id=work.cell.id,
        cell=work.cell.model_dump(mode="json"),
        labels=job.labels.model_dump() if job.labels else {},
        attempt=attempt,
        failure=failure,
        provenance=provenance(threads=job.run.cpus),
    )


def _resumed_at(job: Job, layout: Layout) -> int | None:
    """The checkpoint's step that this attempt's training went on from."""
    if not isinstance(job.work, TrainWork):
        return None
    events = store.read_events(layout, job.work.cell.id)
    steps = [event.get("step") for event in events if event.get("job") == job.id and event.get("event") == "start"]
    return (steps[-1] or None) if steps else None


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Sends Python's logging and warnings to the job's log, which earlier attempts have begun.

    A log that cannot be written costs no result: the job goes on without it, and says so where warnings go.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        log.warning("there will be no log: %s", storage_error(error, path))
        yield
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a full disk would put a traceback on standard error for every line
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
        root.removeHandler(handler)
        with suppress(OSError):  # it writes what is left, on a disk that may be full
            handler.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
