"""`bench run`: does the jobs of a suite and shows its table. Finished jobs are kept; stopped ones continue."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from harness.api.running import Executor
from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import (
    DataPlaceOption,
    ForceOption,
    LimitOption,
    OutOption,
    SetOption,
    SuiteArgument,
    bring_data,
    check_address,
    layout_for,
)
from harness.cli.subject import ran_before, suite_place
from harness.cli.tried import refuse, to_train
from harness.core.garbage import seldom_collected
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_placed
from harness.planning.assess import Assessment
from harness.planning.plan import Plan, assessed_plan, follow_up, make_plan
from harness.records.anew import recover, waiting
from harness.records.mirrored import send_suite
from harness.results.shelf import keep_plugins
from harness.results.suites import keep_suite, kept_as
from harness.spec.unread import Unread
from harness.storage.copies import copy_at, shown_place
from harness.storage.reach import patient

if TYPE_CHECKING:
    from harness.scheduling.drive import RunSummary

ROUNDS = 8
"""How often a run goes on after its end, longer than any chain of cells that rest on each other."""

ExecutorOption = Annotated[str, typer.Option("--executor", metavar="ray|local", help="Ray workers, or this process.")]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDR",
        envvar="RAY_ADDRESS",
        help="Join a Ray cluster: auto, or host:port. Results and data must lie in storage that all its nodes share: "
        "a folder, or a URL.",
    ),
]
TrackerOption = Annotated[str, typer.Option("--tracker", metavar="mlflow|none", help="Where results are mirrored.")]


def run(
    suite: SuiteArgument,
    out: OutOption = None,
    data: DataPlaceOption = None,
    executor: ExecutorOption = "ray",
    address: AddressOption = None,
    limit: LimitOption = None,
    force: ForceOption = None,
    set_: SetOption = None,
    tracker: TrackerOption = "mlflow",
) -> None:
    """Run a suite: everything that is not done yet. Ctrl-C stops it; the same command continues."""
    began = monotonic()
    for kind, name in (("executor", executor), ("tracker", tracker)):
        REGISTRY.get(kind, name)  # a misspelt name is an error before anything is written
    check_address(address)
    with seldom_collected():  # all that is read stays until the end
        resolved, registry, origins = open_placed(suite, set_ or ())
        layout = layout_for(resolved.name, out)
        known = ran_before(resolved, layout, registry)
        if known:  # else the suite that is stored would lose what is on record
            resolved, registry, origins = open_placed(suite, set_ or (), Unread(known))
        resolved = kept_as(resolved, suite_place(suite), layout)
        _recover(layout)
        plan, found = assessed_plan(resolved, layout, registry, force=force or (), limit=limit)
        if not plan.to_run:
            _keep(resolved, layout)
            typer.echo(f"{resolved.name}: {_nothing(plan)} ({monotonic() - began:.1f} s)")
            mirror = REGISTRY.load("tracker", tracker)(None, layout, resolved.name)
            if behind := mirror.behind([c.cell_id for c in plan.cells]):
                typer.echo(f"{len(behind)} cells are not mirrored yet: bench track sync {shown_place(layout.out)}")
            _end(plan, resolved, layout, found)
    del found  # it is of before the run
    refuse(resolved, registry, origins, to_train(plan))
    plan, summary, last = _work(resolved, layout, registry, force or [], limit, executor, address, tracker)
    _report(summary, layout)
    _end(plan, resolved, layout, last, failed=any(each.costs for each in summary.failures))


@seldom_collected()
def _end(
    plan: Plan, suite: ResolvedSuite, layout: Layout, found: Assessment | None, *, failed: bool = False
) -> NoReturn:
    """Shows what is blocked and the results, and ends the command. `found`: what planning has read of the folder, if
    that is how it is now."""
    _show_blocked(plan)
    _show_table(layout, suite, found)
    raise typer.Exit(exits.code_of_run(failed=failed, blocked=plan.blocked))


def _nothing(plan: Plan) -> str:
    """Why no job is to be run."""
    done = plan.counts()["done"]
    blocked = sum(status.state == "blocked" or bool(status.gaps) for status in plan.cells)
    if not blocked:
        return f"nothing to do, {_jobs(done)} {'is' if done == 1 else 'are'} done already"
    before = f", {_jobs(done)} {'is' if done == 1 else 'are'} done already" if done else ""
    return f"nothing can be run here: {_cells(blocked)} blocked, in whole or in part{before}"


def _cells(count: int) -> str:
    return "1 cell is" if count == 1 else f"{count} cells are"


def _jobs(count: int, more: str = "") -> str:
    return f"{count}{more} job{'' if count == 1 else 's'}"


def _recover(layout: Layout) -> None:
    """Ends what a killed run left between two folders of a cell, before anything is planned."""
    if waiting(layout):
        from harness.records.lock import run_lock

        with run_lock(layout):
            recover(layout)


def _work(
    resolved: ResolvedSuite,
    layout: Layout,
    registry: Registry,
    force: list[str],
    limit: int | None,
    executor: str,
    address: str | None,
    tracker: str,
) -> tuple[Plan, RunSummary, Assessment | None]:
    """Runs the plan, made again under the folder's lock: another run may just have ended.

    Then what has become stale because something that it rests on was made anew, until nothing is. Gives what ran first,
    what became of it, and what was found in the folder after the last job.
    """
    from harness.records.lock import run_lock

    with patient(), run_lock(layout):
        _send_data(layout)
        recover(layout)
        plan = make_plan(resolved, layout, registry, force=force, limit=limit)
        _keep(resolved, layout)
        counts = plan.counts()
        told = f"{_jobs(len(plan.to_run))} to do, {counts['done']} done before"
        typer.echo(f"{resolved.name}: {told} · {shown_place(layout.out)}")
        first, summary = plan, _round(plan, layout, executor, address, tracker)
        found: Assessment | None = None
        for _ in range(ROUNDS):
            plan, found = assessed_plan(resolved, layout, registry)
            further = follow_up(plan, summary.lost, first)
            if further is None:
                break
            typer.echo(f"{_stale(further)} rest on what was made anew: {_jobs(len(further.to_run), ' more')}")
            summary.add(_round(further, layout, executor, address, tracker))
            found = None
        return first, summary, found


def _send_data(layout: Layout) -> None:
    """Puts on the store of the data what a run that was killed has made here."""
    if copy_at(layout.data) is not None:
        from harness.data.mirrored import send_known

        send_known(layout.data)


def _round(plan: Plan, layout: Layout, executor: str, address: str | None, tracker: str) -> RunSummary:
    from harness.cli.progress import make_display
    from harness.scheduling.drive import drive

    pool = start_executor(executor, address)
    mirror = REGISTRY.load("tracker", tracker)(None, layout, plan.suite)
    summary = drive(plan, pool, mirror, layout, make_display(layout))
    bring_data(layout)  # what other machines have made of it
    return summary


def start_executor(name: str, address: str | None) -> Executor:
    """Starts what runs jobs. Ray takes some seconds, and is told as a step."""
    told, began = name == "ray", monotonic()
    if told:
        typer.echo(f"joining Ray at {address} …" if address else "starting Ray on this machine …")
    started: Executor = REGISTRY.load("executor", name)(address)
    if told:
        has = started.capacity()
        gpus = f", {has['gpus']:g} GPUs" if has["gpus"] else ""
        typer.echo(f"Ray is ready: {has['cpus']:g} CPUs{gpus} ({monotonic() - began:.1f} s)")
    return started


def _stale(plan: Plan) -> str:
    cells = {cell for planned in plan.to_run for cell in planned.cells}
    return "1 cell" if len(cells) == 1 else f"{len(cells)} cells"


def _keep(resolved: ResolvedSuite, layout: Layout) -> None:
    """Writes the resolved suite and copies of its plug-ins beside its results, for what is asked of the folder."""
    keep_suite(resolved, layout)
    keep_plugins(resolved, layout)
    send_suite(layout, resolved.name)


def _report(summary: RunSummary, layout: Layout) -> None:
    overhead = f", {summary.overhead_per_job:.2f} s of overhead per job" if summary.done else ""
    typer.echo(f"{_jobs(summary.done)} done in {summary.seconds:.1f} s ({summary.job_seconds:.1f} s in jobs{overhead})")
    if summary.failures:
        typer.echo(f"\n{len(summary.failures)} failed:")
    for failure in summary.failures:
        why = _indented(failure.message)
        typer.echo(f"  {failure.title} · {failure.kind} · {why}\n    log: {failure.log or 'none'}")
    if summary.not_run:
        typer.echo(f"\n{len(summary.not_run)} not run:")
    for title, reason in summary.not_run:
        typer.echo(f"  {title} · {reason}")
    if summary.untracked:
        typer.echo(
            f"\n{len(summary.untracked)} cells are not mirrored: {_indented(next(iter(summary.untracked.values())))}"
        )
        typer.echo(f"  the records are complete; `bench track sync {shown_place(layout.out)}` catches up")


def _show_blocked(plan: Plan) -> None:
    """The blocked cells; those of one reason, which may be a report of many lines, together."""
    blocked: dict[str, list[str]] = {}
    for status in plan.cells:
        if status.state == "blocked":
            blocked.setdefault(status.reason, []).append(status.suite_cell.title)
    if blocked:
        typer.echo(f"\n{_cells(sum(map(len, blocked.values())))} blocked:")
    for reason, titles in blocked.items():
        typer.echo(f"  {', '.join(titles)} · {_indented(reason)}")


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _show_table(layout: Layout, suite: ResolvedSuite, found: Assessment | None) -> None:
    from harness.cli.leaderboard import told_of_earlier
    from harness.reports.leaderboard import board_of
    from harness.reports.render import render

    typer.echo("")
    typer.echo(render(board_of([suite], layout, known={suite.name: found} if found else None), "table"))
    for line in told_of_earlier(suite.name, layout):
        typer.echo(line)
