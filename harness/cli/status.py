"""`bench status`: the state of every cell of a suite or of a folder of results."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import replace

import typer

from harness.cli import exits
from harness.cli.common import DataPlaceOption, OutOption, SetOption
from harness.cli.leaderboard import told_of_earlier
from harness.cli.subject import SubjectArgument, find_subject
from harness.cli.tables import print_table
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.planning.plan import CellStatus
from harness.planning.table import cell_row, reports
from harness.records import store
from harness.records.mirrored import bring_log
from harness.records.model import RunRecord
from harness.records.state import activity
from harness.storage.copies import copy_at, shown_place
from harness.storage.lock import alive, holder_of


def status(
    subject: SubjectArgument, out: OutOption = None, data: DataPlaceOption = None, set_: SetOption = None
) -> None:
    """Show the state of every cell: of running ones the step, of failed ones the reason and the log."""
    found = find_subject(subject, out, set_)
    going_on = is_running(found.layout)
    statuses: dict[str, CellStatus] = {}
    for resolved, registry in found.suites:
        for cell in found.statuses(resolved, registry):
            statuses.setdefault(cell.cell_id, _now(cell, found.layout, going_on))
    cells = list(statuses.values())
    print_table(("state", "task", "backbone", "variant", "seed", "cell", "what"), map(cell_row, cells))
    typer.echo(_counts(cells) + (f" · a run is going on in {shown_place(found.layout.out)}" if going_on else ""))
    for report in reports(cells):
        typer.echo(f"\n{report}")
    _print_failures(cells, found.layout)
    for line in () if found.stored else told_of_earlier(found.suites[0][0].name, found.layout):
        typer.echo(line, err=True)
    failed = any(cell.state == "failed" for cell in cells)
    blocked = any(cell.state == "blocked" or cell.gaps for cell in cells)
    raise typer.Exit(exits.code_of_run(failed=failed, blocked=blocked))


def is_running(layout: Layout) -> bool:
    """Whether a run uses the folder. Asks the kernel's lock, because the text in the file outlives a killed run; of a
    store also the store's, which says so of runs on other machines."""
    copy = copy_at(layout.out)
    if copy is not None and (holder := holder_of(copy)) is not None and holder.copy != copy.id and alive(holder):
        return True
    try:
        with open(layout.lock, encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _now(cell: CellStatus, layout: Layout, going_on: bool) -> CellStatus:
    """The status of a cell, with what its worker last reported unless it is blocked, or done and not made again."""
    making = layout.anew_cell(cell.cell_id).is_dir()
    if making and not going_on:
        said = f"made again in part, beside this: {_goes_on(cell)} goes on with it"
        cell = replace(cell, reason=f"{cell.reason}; {said}" if cell.reason else said)
    if cell.state == "blocked" or (cell.state == "done" and not (making and going_on)):
        return cell
    where = replace(layout, anew=frozenset([cell.cell_id])) if making else layout
    latest = activity(store.read_events(where, cell.cell_id))
    if latest is None or latest.ended:
        return cell
    if going_on:
        return replace(cell, state="running", reason=f"made again: {latest}" if making else str(latest))
    return replace(cell, reason=f"{cell.reason}; last seen at {latest}" if cell.reason else f"stopped at {latest}")


def _goes_on(cell: CellStatus) -> str:
    """The command that makes the rest of a cell that was begun to be made again."""
    return f"bench run SUITE --force {cell.cell_id}" if cell.state == "done" else "bench run SUITE"


def _counts(cells: Sequence[CellStatus]) -> str:
    states = [cell.state for cell in cells]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states))) or "no cells"


def _print_failures(cells: Sequence[CellStatus], layout: Layout) -> None:
    """The failures on the records of cells, of those as well whose results from before stay."""
    for cell in cells:
        try:
            record = store.load(layout, cell.cell_id)
        except HarnessError:
            continue
        if record is not None and record.failure is not None and record.failure.kind != "interrupted":
            typer.echo(f"\n{cell.suite_cell.title}")
            typer.echo(f"  {record.failure.kind}: {record.failure.message}")
            typer.echo(f"  log: {_log(record, layout)}" if record.failure.log else "  no log")


def _log(record: RunRecord, layout: Layout) -> str:
    """The log of the last attempt, found in the folder where it lies now: records hold an absolute path."""
    assert record.failure is not None
    here = layout.job_log(record.attempts[-1].job) if record.attempts else None
    if record.attempts and not os.path.isfile(record.failure.log):
        bring_log(layout, record.attempts[-1].job)
    moved = here is not None and here.is_file() and not os.path.isfile(record.failure.log)
    return str(here) if moved else record.failure.log
