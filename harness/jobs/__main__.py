"""`python -m harness.jobs FILE [--debug]`: runs one job of a suite again, alone, without Ray.

Exit code 0 when it is done, 1 when it failed. `--debug` lets the exception through with its traceback.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.jobs.run import do_job, read_job, run_job_file


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the job of a file under `<out>/jobs/`; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.jobs", description="Run one job of a suite again, alone.")
    parser.add_argument("file", help="job file, <out>/jobs/<job>.json")
    parser.add_argument("--debug", action="store_true", help="stop with the traceback, leave the record as it is")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    if given.debug:
        job = read_job(Path(given.file))
        do_job(job, Layout(Path(job.out), Path(job.data)))
        return 0
    try:
        job = read_job(Path(given.file))
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1
    print(job.title)
    outcome = run_job_file(given.file)
    if outcome.failure is None:
        print(f"done in {outcome.seconds:.1f} s")
        return 0
    print(f"failed ({outcome.failure}): {outcome.message}\nlog: {outcome.log}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
