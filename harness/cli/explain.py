"""`bench explain`: in which fields two cells differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from harness.cells.cell import Cell
from harness.cells.explain import explain as differences
from harness.cells.suite import ResolvedSuite
from harness.cli import exits
from harness.cli.common import SetOption, bring, folder_named
from harness.cli.tables import show
from harness.core.errors import DataError, UnknownName, did_you_mean
from harness.core.paths import Layout
from harness.parts.plugins import open_suite
from harness.results.suites import read_suite_file, suite_files

Cells = dict[str, tuple[Cell, str]]
"""Cells by id, each with what people call it."""

CellArgument = Annotated[str, typer.Argument(metavar="CELL", help="The first digits of a cell's id.")]
SuiteOption = Annotated[
    list[str] | None, typer.Option("--suite", metavar="SUITE", help="Look the cells up in this suite. May be repeated.")
]
OutsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        metavar="DIR|URL",
        parser=folder_named,
        help="Look them up in this folder of results. Default: all of results/.",
    ),
]


def explain(
    left: CellArgument,
    right: CellArgument,
    suite: SuiteOption = None,
    out: OutsOption = None,
    overrides: SetOption = None,
) -> int:
    """Name every field in which two cells differ, with both values."""
    folders = out or ([] if suite else sorted(Path("results").glob("*")))
    for folder in folders:
        bring(Layout(folder, folder / "data"))
    cells = _known_cells([open_suite(name, overrides or ())[0] for name in suite or ()], folders)
    (a, title_a), (b, title_b) = _find(left, cells), _find(right, cells)
    found = differences(a, b)
    if not found:
        typer.echo(f"{a.id} is one and the same cell")
        return exits.DONE
    headings = ("field", f"{a.id}\n{title_a}", f"{b.id}\n{title_b}")
    show("", headings, ((each.field, each.left, each.right) for each in found))
    return exits.DONE


def _known_cells(suites: Sequence[ResolvedSuite], folders: Sequence[Path]) -> Cells:
    """The cells of suites, and of folders of results: of the suites that were run there, and of the records."""
    cells: Cells = {}
    for suite in [*suites, *chain.from_iterable(map(_stored_suites, folders))]:
        for entry in suite.cells:
            title = f"{entry.labels.task} {entry.labels.backbone} {entry.labels.variant}"
            cells[entry.cell.id] = entry.cell, title
    for cell, title in chain.from_iterable(map(_recorded, folders)):
        cells.setdefault(cell.id, (cell, title))
    return cells


def _stored_suites(folder: Path) -> Iterator[ResolvedSuite]:
    """The suites that were run into a folder."""
    for file in suite_files(Layout(folder, folder / "data")):
        try:
            yield read_suite_file(file)
        except DataError as error:
            typer.echo(f"{file}: {error.what}, left out", err=True)


def _recorded(folder: Path) -> Iterator[tuple[Cell, str]]:
    """The cells that left a record in a folder."""
    for file in sorted((folder / "cells").glob("*/record.json")):
        try:
            record = json.loads(file.read_bytes())
            yield Cell.model_validate(record["cell"]), " ".join(record["labels"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            typer.echo(f"{file}: cannot be read as a record, left out ({type(error).__name__})", err=True)


def _find(prefix: str, cells: Cells) -> tuple[Cell, str]:
    """The one cell whose id begins so. Raises UnknownName when there is none, or more than one."""
    matching = [cell_id for cell_id in cells if prefix and cell_id.startswith(prefix)]
    if len(matching) == 1:
        return cells[matching[0]]
    if matching:
        raise UnknownName(f"{len(matching)} cells begin with {prefix!r}", hint=", ".join(sorted(matching)[:4]))
    hint = did_you_mean(prefix, cells) or "name the suite or the folder: --suite SUITE, --out DIR"
    raise UnknownName(f"no cell begins with {prefix!r} among {len(cells)} known", hint=hint)
