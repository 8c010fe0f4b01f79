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
from harness.jobs.run import do_job, read_job, run_job_file
from harness.planning.places import layout_of
from harness.records.anew import recover
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
        return _run(given.file)


def _run(file: str) -> int:
    outcome = run_job_file(file)
    if outcome.failure is None:
        print(f"done in {outcome.seconds:.1f} s")
        return 0
    print(f"failed ({outcome.failure}): {outcome.message}\nlog: {outcome.log}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
