"""`bench plan`: what a run would do, and why."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import DataPlaceOption, ForceOption, LimitOption, OutOption, SetOption, SuiteArgument
from harness.cli.subject import read_suite
from harness.cli.tables import print_table
from harness.core.garbage import seldom_collected
from harness.core.paths import Layout
from harness.planning.plan import Plan, make_plan
from harness.planning.table import cell_row, job_row, reports, summary
from harness.planning.unprepared import unprepared
from harness.results.shelf import keep_plugins
from harness.results.suites import keep_suite
from harness.spec.notes import notes

CellsOption = Annotated[bool, typer.Option("--cells", help="One line per cell instead of one per job.")]
WriteOption = Annotated[
    bool,
    typer.Option("--write-jobs", help="Write the job files, in waves, for `python -m harness.jobs FILE --beside`."),
]


def plan(
    suite: SuiteArgument,
    out: OutOption = None,
    data: DataPlaceOption = None,
    cells: CellsOption = False,
    limit: LimitOption = None,
    force: ForceOption = None,
    write_jobs: WriteOption = False,
    set_: SetOption = None,
) -> None:
    """Show which jobs are todo, done, stale or blocked, with reasons, counts and the time left. Runs nothing."""
    with seldom_collected():  # all that is read stays until the end
        subject = read_suite(suite, out, set_)
        resolved, registry = subject.suites[0]
        planned = make_plan(resolved, subject.layout, registry, force=force or (), limit=limit)
        if cells:
            titles = ("state", "task", "backbone", "variant", "seed", "cell", "reason")
            print_table(titles, map(cell_row, planned.cells))
            for report in reports(planned.cells):
                typer.echo(report)
        else:
            print_table(("state", "job", "cells", "time", "reason"), map(job_row, planned.jobs))
            reasons = (status.reason for status in planned.cells if status.state == "blocked" or status.gaps)
            for reason in dict.fromkeys(reasons):
                typer.echo(f"blocked: {reason}")
        for missing in unprepared(resolved.cells, registry):
            typer.echo(f"{missing.state}: {missing}")
        for note in notes(resolved, registry):
            typer.echo(f"note: {note}", err=True)
        if write_jobs:
            _write(resolved, subject.layout, planned)
        typer.echo(summary(planned, max(1, (os.cpu_count() or 1) // resolved.run.cpus)))
        raise typer.Exit(exits.BLOCKED if planned.blocked else exits.DONE)


def _write(suite: ResolvedSuite, layout: Layout, planned: Plan) -> None:
    """Leaves all that the jobs need to be run one by one, and says where their lists lie."""
    from harness.records.lock import run_lock
    from harness.scheduling.waves import write_waves

    with run_lock(layout):
        keep_suite(suite, layout)
        keep_plugins(suite, layout)
        for number, (place, count) in enumerate(write_waves(planned, layout), 1):
            typer.echo(f"wave {number}: {count} job{'' if count == 1 else 's'} · {place}")
