"""What a command is about: a suite file, or a folder of results with the suites that have been run there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from harness.cells.suite import ResolvedSuite
from harness.cli.common import layout_for
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.catalogue import REGISTRY
from harness.parts.plugins import extend, open_suite
from harness.results.suites import read_suites

SubjectArgument = Annotated[str, typer.Argument(metavar="SUITE|DIR", help="A suite, or a folder of results.")]


@dataclass(frozen=True)
class Subject:
    """Suites, each with the registry of its plug-ins, and where their results lie."""

    layout: Layout
    suites: list[tuple[ResolvedSuite, Registry]]


def read_suite(name: str, out: Path | None, overrides: Sequence[str] | None) -> Subject:
    """A suite as its file says it now. Raises SpecErrors with all that is wrong in it and its plug-ins."""
    resolved, registry = open_suite(name, overrides or ())
    return Subject(layout_for(resolved.name, out), [(resolved, registry)])


def find_subject(name: str, out: Path | None = None, overrides: Sequence[str] | None = None) -> Subject:
    """A folder of results if that is what `name` is, else a suite."""
    if os.path.isdir(Path(name) / "suites") and out is None and not overrides:
        layout = layout_for("", Path(name))
        stored = read_suites(layout)
        for problem in stored.problems:
            typer.echo(f"warning: {problem}", err=True)
        return Subject(layout, [(suite, extend(REGISTRY, suite.plugins)) for suite in stored.suites])
    return read_suite(name, out, overrides)
