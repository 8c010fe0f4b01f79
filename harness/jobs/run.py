"""Runs one job file on this worker, whoever started the worker: Ray, the same process, or `python -m harness.jobs`."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import cv2
import torch

from harness.api.running import ALONE, JobOutcome, Seat
from harness.cells.suite import Run
from harness.core.conduct import watched
from harness.core.errors import DataError
from harness.core.fence import fenced
from harness.core.garbage import spare_modules
from harness.core.guests import FAILURES, contained
from harness.core.kept import usable
from harness.core.outlast import outlast, outlasting
from harness.core.paths import Layout
from harness.jobs.as_planned import check_parts
from harness.jobs.classify import classify, message
from harness.jobs.context import Context
from harness.jobs.determinism import refusals_told, settle_determinism
from harness.jobs.files import check_files
from harness.jobs.gang import device_index, gathered, leaks, on_gpu
from harness.jobs.job_log import logging_to
from harness.jobs.notes import note, now
from harness.jobs.staging import job_here, staged
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend
from harness.planning.job import Job
from harness.planning.places import layout_of, placed

log = logging.getLogger(__name__)

_TRAINS = ("train", "together")
"""Kinds of work that train."""


def run_job_file(path: str, seat: Seat = ALONE) -> JobOutcome:
    """Runs a job, or this process's share of it, and says how it ended. A failure is classified and logged.

    Rank 0 alone writes the cell's record: how the job ended, and a failure that is a reason of its own; the failures of
    other processes, and those of processes that lost each other, are put there by whoever started them
    (`JobOutcome.noted`). Raises nothing except KeyboardInterrupt, after it is noted.
    """
    began = time.perf_counter()
    try:
        file = job_here(path, seat)
        with outlasting(file.parent.parent):  # the driver has just written it there
            job = read_job(file)
            layout = layout_of(job)
        with (
            outlasting(*layout.roots),
            fenced(layout.job_attempt(job.id), job.attempt),
            logging_to(layout.job_log(job.id, seat.rank)) as logged,
            staged(job, layout, seat),
        ):
            outcome = _run_noted(job, layout, seat, str(layout.job_log(job.id, seat.rank)) if logged else "")
        outcome = replace(outcome, fresh=leaks(job.run.strategy))
    except FAILURES as error:
        outcome = JobOutcome(Path(path).stem, classify(error), message(error))
    return replace(outcome, seconds=time.perf_counter() - began, rank=seat.rank)


def debug_job_file(path: str, seat: Seat = ALONE) -> None:
    """Runs a job, or this process's share of it, and lets its exception through; nothing is noted."""
    job = read_job(job_here(path, seat))
    layout = layout_of(job)
    with fenced(layout.job_attempt(job.id), job.attempt), staged(job, layout, seat):
        do_job(job, layout, seat)


def read_job(path: Path) -> Job:
    """A job file's content, its paths absolute, as they are said from where the file lies.

    Raises DataError when it cannot be read, is not a job, or belongs to another folder.
    """
    try:
        return placed(Job.model_validate_json(outlast(path.read_bytes, path)), path)
    except OSError as error:
        raise DataError(f"cannot read the job file: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        hint = "run the suite again: it writes its job files anew"
        raise DataError(f"not a job file of this version: {error}", where=str(path), hint=hint) from error


def do_job(job: Job, layout: Layout, seat: Seat = ALONE) -> None:
    """Does the job's work in this process, beside the others of its gang; exceptions are not caught."""
    settle_process(job.run, seat, trains=job.work.kind in _TRAINS)
    work = import_module(f"harness.jobs.{job.work.kind}")
    spare_modules()
    with gathered(seat, job.run, f"{job.id} {job.attempt}") as gang:
        plugins = usable(job.plugins, job.copies)
        context = Context(layout, extend(REGISTRY, plugins), seat)
        check_parts(job.work, context.registry)
        check_files(job.work, context.registry)
        with watched(plugins), refusals_told():
            work.run(job, context)
        gang.end_together()


def settle_process(run: Run, seat: Seat = ALONE, *, trains: bool = False) -> None:
    """Threads, determinism and GPU of this job. The order of float sums, and so trained weights, depends on the
    threads. `trains`: whether the job is a training."""
    torch.set_num_threads(run.cpus)
    cv2.setNumThreads(run.cpus)
    settle_determinism(run, trains=trains)
    torch.set_default_dtype(torch.float32)  # planning may have run a data set's file in this process
    torch.set_grad_enabled(True)
    if seat.ranks > 1 and on_gpu(run):
        torch.cuda.set_device(device_index(seat))


def _run_noted(job: Job, layout: Layout, seat: Seat, log_file: str) -> JobOutcome:
    """Runs a job inside its log, if there is one; the attempt goes on record for the jobs that belong to a cell."""
    started, writes = now(), seat.rank == 0
    log.info("%s (%s)%s", job.title, job.id, f", rank {seat.rank} of {seat.ranks}" if seat.ranks > 1 else "")
    try:
        with contained("mend that line; the job's log has the whole traceback"):
            do_job(job, layout, seat)
    except KeyboardInterrupt as error:
        if writes:
            note(job, layout, started, error)
        raise
    except FAILURES as error:
        kind = classify(error)
        log.exception("failed: %s", kind)
        noted = writes and kind != "worker_lost" and note(job, layout, started, error)
        return JobOutcome(job.id, kind, message(error), log_file, noted=noted)
    log.info("done")
    if writes:
        note(job, layout, started, None)
    return JobOutcome(job.id, None, "", log_file)
