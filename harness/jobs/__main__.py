"""`python -m harness.jobs FILE [--debug] [--beside]`: runs one job of a suite, without Ray, on this machine.

A training that runs out of memory is tried once more with half its micro-batch, as in a run.
Exit code 0 when it is done, 1 when it failed or another run uses the folder, whose lock it takes. `--debug` lets the
exception through with its traceback. `--beside` shares the lock with other jobs that are run so, as in a batch system's
array (launchers/slurm/array.sbatch).
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.api.running import ALONE, JobOutcome
from harness.core.errors import HarnessError
from harness.core.guests import tell_interrupts
from harness.core.paths import Layout, write_json, write_text
from harness.jobs.local_gang import debug_gang, run_gang
from harness.jobs.notes import note_outcome
from harness.jobs.run import debug_job_file, read_job, run_job_file
from harness.jobs.staging import job_here
from harness.planning.job import Job, TrainWork
from harness.planning.places import layout_of
from harness.records.anew import recover, take_in
from harness.records.lock import run_lock, side_lock
from harness.records.mirrored import job_place, send_cell


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job of a file under `<out>/jobs/`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.jobs", description="Run one job of a suite again, alone.")
    parser.add_argument("file", help="job file, <out>/jobs/<job>.json, or its URL")
    parser.add_argument("--debug", action="store_true", help="stop with the traceback, leave the record as it is")
    parser.add_argument("--beside", action="store_true", help="let other jobs of the folder run beside it")
    given = parser.parse_args(arguments)
    tell_interrupts()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    with ExitStack() as held:
        try:
            given.file = str(job_here(given.file, ALONE))
            job = read_job(Path(given.file))
            layout = layout_of(job)
            if given.beside:
                for name in job.journals or (job.id,):
                    held.enter_context(side_lock(layout, name))
            else:
                held.enter_context(run_lock(layout))
                recover(layout)
            begin_attempt(given.file, layout.job_attempt(job.id))
            job_place(layout, job.id)
        except HarnessError as error:
            print(error, file=sys.stderr)
            return 1
        if given.debug:
            return _debug(given.file, job, layout)
        print(job.title)
        return _run(given.file, job, layout)


def begin_attempt(file: str, token_file: Path, **changes: int) -> None:
    """Makes this try of the job the only one that may write: a lost worker of an earlier one may still live.

    `changes`: of the job's fields, in this try.
    """
    content = {**json.loads(Path(file).read_bytes()), "attempt": uuid.uuid4().hex, **changes}
    write_text(token_file, content["attempt"])
    write_json(Path(file), content)


def _debug(file: str, job: Job, layout: Layout) -> int:
    if job.processes > 1:
        return debug_gang(file, job, layout)
    debug_job_file(file)
    return 0


def _run(file: str, job: Job, layout: Layout) -> int:
    try:
        outcome = _tried(file, job, layout)
        if outcome.failure == "memory" and isinstance(job.work, TrainWork) and not job.halved:  # as a driver does
            print("once more, with half the micro-batch")
            begin_attempt(file, layout.job_attempt(job.id), halved=1)
            outcome = _tried(file, job, layout)
        if job.cell_id is not None:
            send_cell(layout, job.cell_id)
        _told(job, layout)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if outcome.failure is None else 1


def _tried(file: str, job: Job, layout: Layout) -> JobOutcome:
    """How a try of a job ended, which is said and on record then."""
    outcome = run_job_file(file) if job.processes == 1 else run_gang(file, job, layout, loud=True)
    if outcome.failure is None:
        print(f"done in {outcome.seconds:.1f} s")
    else:
        print(f"failed ({outcome.failure}): {outcome.message}\nlog: {outcome.log or 'none'}", file=sys.stderr)
    note_outcome(job, layout, outcome)
    return outcome


def _told(job: Job, layout: Layout) -> None:
    """Takes in the cell that is made again, if it is whole now; else says what will."""
    own = job.cell_id
    if own not in job.anew or not layout.anew_cell(str(own)).is_dir():
        return
    if take_in(layout, str(own)):
        print(f"cell {own} is whole, and has taken the place of its old results")
    else:
        print(f"cell {own} is made again beside its old results, and not whole yet: bench run SUITE goes on with it")
        print(f"(if it is neither stale nor half scored: bench run SUITE --force {own})")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which batch systems send: it stops as Ctrl-C does
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)
