"""`bench track sync`: MLflow catches up with the records."""

from __future__ import annotations

import os

import typer

from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import DataPlaceOption, OutOption
from harness.cli.subject import SubjectArgument, find_subject
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.records.mirrored import bring_results
from harness.storage.mirror import shown

track = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bring MLflow up to date.")


@track.callback()
def _group() -> None:
    """Bring MLflow up to date."""


@track.command()
def sync(subject: SubjectArgument, out: OutOption = None, data: DataPlaceOption = None) -> None:
    """Mirror every record that MLflow does not show as it is. Asks the server, so that nothing is mirrored twice.

    The server is MLFLOW_TRACKING_URI, else the database in the folder of results.
    """
    found = find_subject(subject, out)
    layout = found.layout
    bring_results(layout, shown)
    behind: dict[str, str] = {}
    for suite, _ in found.suites:
        cells = _with_record(layout, suite)
        tracker = REGISTRY.load("tracker", "mlflow")(None, layout, suite.name, verify=True)
        reasons = tracker.sync(cells)
        tracker.close()
        typer.echo(f"{suite.name}: {len(cells) - len(reasons)} of {len(cells)} cells with a record are mirrored")
        behind |= reasons
    for reason in dict.fromkeys(behind.values()):
        typer.echo(reason, err=True)
    raise typer.Exit(exits.code_of_run(failed=bool(behind), blocked=False))


def _with_record(layout: Layout, suite: ResolvedSuite) -> list[str]:
    """Ids of the suite's cells that have a record."""
    ids = dict.fromkeys(cell.cell.id for cell in suite.cells)
    return [cell_id for cell_id in ids if os.path.lexists(layout.record(cell_id))]
