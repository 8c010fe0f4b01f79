"""The suites that were run into a folder of results, as they were when they ran."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.cells.suite import ResolvedSuite
from harness.core.errors import DataError, SpecErrors, UnknownName
from harness.core.paths import Layout
from harness.core.registry import Registry
from harness.parts.plugins import extend


def suite_files(layout: Layout) -> list[Path]:
    """The files of the stored suites, sorted by name; none when there is no such folder."""
    return sorted(layout.suite("*").parent.glob("*.json"))


def read_suite_file(path: Path) -> ResolvedSuite:
    """One stored suite. Raises DataError when it cannot be read as a suite."""
    try:
        return ResolvedSuite.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        what = f"{error.error_count()} fields are wrong" if isinstance(error, ValidationError) else str(error)
        raise DataError(f"cannot be read as a suite: {what}", where=str(path), hint="bench run SUITE again") from error


def stored_suites(layout: Layout) -> list[ResolvedSuite]:
    """All stored suites, sorted by name. Raises UnknownName when there is none, DataError when one cannot be read."""
    paths = suite_files(layout)
    if not paths:
        raise UnknownName("no suite has been run here", where=str(layout.out), hint="bench run SUITE --out DIR")
    return [read_suite_file(path) for path in paths]


def registry_of(suite: ResolvedSuite, registry: Registry) -> Registry:
    """The registry with the parts of a suite's plug-ins, whose files are read, not run.

    A file that is gone or broken is skipped, because few results on record need the parts of a plug-in.
    """
    for file in suite.plugins:
        try:
            registry = extend(registry, [file])
        except SpecErrors:
            continue
    return registry
