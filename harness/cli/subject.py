"""What a command is about: a suite file, or a folder of results with the suites that have been run there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness.api.reference import PartRef
from harness.cells.suite import ResolvedSuite
from harness.cli.common import layout_for
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import open_suite
from harness.planning.missing import lack
from harness.planning.plan import CellStatus, make_plan
from harness.results.shelf import cell_statuses, shelve
from harness.results.suites import kept_as, read_suites, suite_files
from harness.spec.sources import find_suite, shipped_suites
from harness.spec.unread import Unread
from harness.storage.copies import folder_of, shown_place
from harness.storage.reach import is_url

SubjectArgument = Annotated[
    str, typer.Argument(metavar="SUITE|DIR", help="A suite, or a folder of results, which may be a URL.")
]


@dataclass(frozen=True)
class Subject:
    """Suites, each with the registry of its plug-ins, and where their results lie."""

    layout: Layout
    suites: list[tuple[ResolvedSuite, Registry]]
    stored: bool = False
    """Whether they are the suites of a folder as they were when they ran; plug-ins may have gone since then."""

    def statuses(self, suite: ResolvedSuite, registry: Registry) -> Sequence[CellStatus]:
        """The state of each cell of one of the suites."""
        if self.stored:
            return cell_statuses(suite, self.layout, shelve(suite, self.layout, REGISTRY))
        return make_plan(suite, self.layout, registry).cells


def read_suite(name: str, out: Path | None, overrides: Sequence[str] | None, *, as_it_ran: bool = False) -> Subject:
    """A suite as its file says it now, under the name that it has in the folder of its results.

    `as_it_ran`: data sets that this machine cannot open count as those of the same paths that suites of the folder ran
    on, so that results are found without the pictures. Raises SpecErrors with all that is wrong in it and its plug-ins.
    """
    resolved, registry = open_suite(name, overrides or ())
    layout = layout_for(resolved.name, out)
    if as_it_ran and (known := ran_before(resolved, layout, registry)):
        resolved, registry = open_suite(name, overrides or (), Unread(known))
    return Subject(layout, [(kept_as(resolved, suite_place(name), layout), registry)])


def ran_before(suite: ResolvedSuite, layout: Layout, registry: Registry) -> dict[str, str]:
    """The digests of the data sets of a suite that this machine cannot open, by their stand-ins, as far as suites of
    the folder ran on them at the same paths. Warns of each that cannot be opened."""
    unread = {ref.digest: ref for ref in _datasets(suite) if ref.is_unread}
    stored = read_suites(layout).suites if unread and suite_files(layout) else ()
    before = [ref for each in stored for ref in _datasets(each) if ref.digest]
    known = {ref.unread: str(ref.digest) for ref in before if not ref.is_unread and ref.unread in unread}
    trained = any((layout.out / "cells").glob("*/record.json"))
    for stand_in, ref in unread.items():
        said = lack("dataset", ref, registry)
        told = ""
        if stand_in in known:
            told = "; its results are those of the last run"
        elif any(each.name == ref.name and not each.is_unread for each in before) or (not before and trained):
            told = f"; its results cannot be told · try: bench leaderboard {shown_place(layout.out)}"
        typer.echo(f"warning: {said or ref.name}{told}", err=True)
    return known


def _datasets(suite: ResolvedSuite) -> list[PartRef]:
    """All that the cells of a suite are trained or tested on."""
    found = (part for entry in suite.cells for part in (entry.cell.train, *(test.dataset for test in entry.tests)))
    return list({id(part): part for part in found}.values())


def suite_place(name: str) -> str:
    """Where a suite's file lies, links resolved; `shipped:<name>` for one that came with the package."""
    file = find_suite(name)
    return f"shipped:{file.stem}" if file in shipped_suites() else os.path.realpath(file)


def find_subject(name: str, out: Path | None = None, overrides: Sequence[str] | None = None) -> Subject:
    """A folder of results if that is what `name` is, else a suite."""
    folder = folder_of(name)
    there = layout_for("", folder) if is_url(name) else None
    if there is not None or (os.path.isdir(folder / "suites") and out is None and not overrides):
        layout = there or layout_for("", folder)
        stored = read_suites(layout)
        shelves = [(suite, shelve(suite, layout, REGISTRY)) for suite in stored.suites]
        problems = [problem for _, shelf in shelves for problem in shelf.problems.values()]
        for problem in dict.fromkeys([*stored.problems, *problems]):
            typer.echo(f"warning: {problem}", err=True)
        return Subject(layout, [(suite, shelf.planned) for suite, shelf in shelves], stored=True)
    return read_suite(name, out, overrides, as_it_ran=True)
