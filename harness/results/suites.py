"""The suites that were run into a folder of results, as they were when they ran."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class StoredSuites:
    """The suites of a folder that can be read, sorted by name, and a line on each of the others."""

    suites: tuple[ResolvedSuite, ...]
    problems: tuple[str, ...]


def read_suites(layout: Layout) -> StoredSuites:
    """All stored suites. Raises UnknownName when there is none, DataError when none can be read."""
    paths = suite_files(layout)
    if not paths:
        raise UnknownName("no suite has been run here", where=str(layout.out), hint="bench run SUITE --out DIR")
    suites: list[ResolvedSuite] = []
    errors: list[DataError] = []
    for path in paths:
        try:
            suites.append(read_suite_file(path))
        except DataError as error:
            errors.append(error)
    if not suites:
        raise errors[0]
    return StoredSuites(tuple(suites), tuple(f"{error.where}: {error.what}, left out" for error in errors))


def stored_suites(layout: Layout) -> list[ResolvedSuite]:
    """The stored suites that can be read, sorted by name. Raises what `read_suites` does."""
    return list(read_suites(layout).suites)


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
