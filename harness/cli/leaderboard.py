"""`bench leaderboard`: the table of results, from the records or from what MLflow has of them."""

from __future__ import annotations

import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.common import DataPlaceOption, OutOption, SetOption
from harness.cli.subject import Subject, SubjectArgument, find_subject
from harness.core.garbage import seldom_collected
from harness.core.paths import Layout
from harness.parts.catalogue import REGISTRY
from harness.planning.places import plugin_copies
from harness.reports.leaderboard import Leaderboard, board_of
from harness.reports.render import FORMATS, render
from harness.results.suites import earlier_namesakes
from harness.storage.copies import shown_place


class Source(StrEnum):
    """Where the numbers come from."""

    records = "records"
    mlflow = "mlflow"


Form = StrEnum("Form", {name: name for name in FORMATS})  # type: ignore[misc]
"""How the table is written."""

SourceOption = Annotated[Source, typer.Option("--source", help="The records on disk, or MLflow's copy of them.")]
FormOption = Annotated[Form, typer.Option("--format", help="How the table is written.")]


def leaderboard(
    subject: SubjectArgument,
    out: OutOption = None,
    data: DataPlaceOption = None,
    source: SourceOption = Source.records,
    form: FormOption = Form("table"),
    set_: SetOption = None,
) -> None:
    """Show the results of a suite, or of all suites that were run in a folder. Missing ones are shown with reasons."""
    with seldom_collected():  # all that is read stays until the end
        found = find_subject(subject, out, set_)
        for line in () if found.stored else told_of_earlier(found.suites[0][0].name, found.layout):
            typer.echo(line, err=True)
        board = _from_mlflow(found) if source is Source.mlflow else _board(found, found.layout)
        typer.echo(render(board, form.value), nl=False)


def told_of_earlier(name: str, layout: Layout) -> list[str]:
    """Where the results are that an earlier release left of a suite of this name; nothing where there are none."""
    old = ", ".join(earlier_namesakes(name, layout))
    again = f"bench leaderboard {shown_place(layout.out)}"
    more = f"results of an earlier release, kept as {old}, are not shown · try: {again}"
    return [more] if old else []


def _board(found: Subject, layout: Layout) -> Leaderboard:
    return board_of([suite for suite, _ in found.suites], layout)


def _from_mlflow(found: Subject) -> Leaderboard:
    """The same table from downloaded records; what is prepared or missing is still what this machine has."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Layout(Path(folder), found.layout.data)
        names = [suite.name for suite, _ in found.suites]
        REGISTRY.load("tracker", "mlflow").fetch(found.layout, names, copy)
        for name in names:
            if (plugins := plugin_copies(found.layout, name)).is_dir():
                shutil.copytree(plugins, plugin_copies(copy, name))
        return _board(found, copy)
