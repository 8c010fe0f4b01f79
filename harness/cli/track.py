"""`bench track sync`: MLflow catches up with the records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import exits
from harness.cli.common import OutOption, layout_for
from harness.core.errors import HarnessError
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.spec.resolved import ResolvedSuite

track = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Bring MLflow up to date.")

Subject = Annotated[str, typer.Argument(metavar="SUITE|DIR", help="A suite, or a folder of results.")]


@track.callback()
def _group() -> None:
    """Bring MLflow up to date."""


@track.command()
def sync(subject: Subject, out: OutOption = None) -> None:
    """Mirror every record that MLflow does not show as it is. Asks the server, so that nothing is mirrored twice.

    The server is MLFLOW_TRACKING_URI, else the database in the folder of results.
    """
    layout, names = _suites(subject, out)
    behind: dict[str, str] = {}
    for name in names:
        cells = _cells(layout, name)
        tracker = REGISTRY.load("tracker", "mlflow")(None, layout, name, verify=True)
        reasons = tracker.sync(cells)
        tracker.close()
        typer.echo(f"{name}: {len(cells) - len(reasons)} of {len(cells)} cells with a record are mirrored")
        behind |= reasons
    for reason in dict.fromkeys(behind.values()):
        typer.echo(reason, err=True)
    raise typer.Exit(exits.code_of_run(failed=bool(behind), blocked=False))


def _suites(subject: str, out: Path | None) -> tuple[Layout, list[str]]:
    """The folder of results and the suites there that are meant."""
    if out is None and (Path(subject) / "suites").is_dir():
        layout = Layout(Path(subject).absolute(), Path(subject).absolute() / "data")
        return layout, sorted(path.stem for path in layout.suite("*").parent.glob("*.json"))
    from harness.spec.parse import load_suite

    name = load_suite(subject).suite
    return layout_for(name, out), [name]


def _cells(layout: Layout, suite: str) -> list[str]:
    path = layout.suite(suite)
    if not path.is_file():
        raise HarnessError(f"suite {suite!r} has not been run here", where=str(layout.out), hint=f"bench run {suite}")
    resolved = ResolvedSuite.model_validate_json(path.read_bytes())
    ids = dict.fromkeys(cell.cell.id for cell in resolved.cells)
    return [cell_id for cell_id in ids if layout.record(cell_id).is_file()]
