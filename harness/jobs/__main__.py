"""`python -m harness.jobs FILE [--debug]`: runs one job of a suite again, alone, without Ray.

Exit code 0 when it is done, 1 when it failed or another run uses the folder, whose lock it takes. `--debug` lets the
exception through with its traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.guests import tell_interrupts
from harness.core.paths import Layout
from harness.jobs.run import do_job, read_job, run_job_file
from harness.planning.job import Job
from harness.planning.places import layout_of
from harness.records.anew import recover, take_in
from harness.records.lock import run_lock


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job of a file under `<out>/jobs/`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.jobs", description="Run one job of a suite again, alone.")
    parser.add_argument("file", help="job file, <out>/jobs/<job>.json")
    parser.add_argument("--debug", action="store_true", help="stop with the traceback, leave the record as it is")
    given = parser.parse_args(arguments)
    tell_interrupts()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    with ExitStack() as held:
        try:
            job = read_job(Path(given.file))
            layout = layout_of(job)
            held.enter_context(run_lock(layout))
            recover(layout)
        except HarnessError as error:
            print(error, file=sys.stderr)
            return 1
        if given.debug:
            do_job(job, layout)
            return 0
        print(job.title)
        return _run(given.file, job, layout)


def _run(file: str, job: Job, layout: Layout) -> int:
    outcome = run_job_file(file)
    if outcome.failure is None:
        print(f"done in {outcome.seconds:.1f} s")
    else:
        print(f"failed ({outcome.failure}): {outcome.message}\nlog: {outcome.log}", file=sys.stderr)
    try:
        _told(job, layout)
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if outcome.failure is None else 1


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
    sys.exit(main())
