"""Data sets that this machine cannot open: their files are elsewhere, or do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.core.errors import HarnessError, Problem, Unfit
from harness.core.yaml import Path
from harness.spec.schema import SuiteFile


@dataclass
class Unread:
    """What is known of them before a suite is read, and what is found then."""

    digests: Mapping[str, str] = field(default_factory=dict)
    """Those that they had when they could be opened, by their stand-ins (`PartRef.unread`)."""
    missing: list[Problem] = field(default_factory=list)
    """Where the suite names sets whose files are not here, or whose plug-in fails. No mistake: another machine may have
    them."""
    unfit: list[Problem] = field(default_factory=list)
    """The same of files that are here and do not fit."""

    def note(self, error: HarnessError, name: str, suite: SuiteFile, path: Path) -> None:
        """Notes why a data set cannot be opened."""
        lines = [line.strip() for line in error.what.splitlines()]
        place = "" if error.where.startswith("data set") or not error.where else f" {error.where}:"
        problem = suite.problem(path, f"data set {name}:{place} {'; '.join(lines)}", error.hint)
        (self.unfit if isinstance(error, Unfit) else self.missing).append(problem)
