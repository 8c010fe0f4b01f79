"""The plug-ins of a suite that was run: as they are now, and as they were.

A run keeps a copy of each plug-in file beside the suite, `suites/<suite>.plugins/<place in the list>.py`. This copy is
read, never run, for what tables and plans need to know of a part: its protocol, its unit. Results on record need no
more, so that a file may have gone, broken or changed since then. What is not on record cannot be made: such a cell is
blocked, and the others are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.cells.cell import Cell
from harness.cells.suite import ResolvedSuite, SuiteCell
from harness.core.errors import HarnessError, SpecErrors
from harness.core.kept import UNREADABLE, keep
from harness.core.paths import Layout, write_bytes
from harness.core.registry import Entry, Registry
from harness.parts.plugins import declared, extend
from harness.planning.places import plugin_copies
from harness.planning.plan import CellStatus, make_plan
from harness.records import store
from harness.records.labels import samples_digest
from harness.records.model import EvaluationRecord, RunRecord
from harness.results import earlier


@dataclass(frozen=True)
class Shelf:
    """The parts that a suite may use."""

    current: Registry
    """Those that can run."""
    planned: Registry
    """Those, with the tasks as they were, because tasks say how cells are scored."""
    readable: Registry
    """Those, with all the suite's plug-ins as they were."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Why a plug-in cannot be used, or no longer has a part, by its file."""

    def lost(self, suite_cell: SuiteCell) -> str:
        """Why a cell cannot be run here: a part of it that is gone. Empty when all are there."""
        for kind, part in _parts(suite_cell):
            if (kind, part.name) not in self._known:
                why = "; ".join(self.problems.values()) or "no plug-in of the suite has it"
                return f"{kind} {part.name} is gone: {why}"
        return ""

    @cached_property
    def _known(self) -> frozenset[tuple[str, str]]:
        return frozenset((entry.kind, entry.name) for entry in self.current.entries())

    def knows_task(self, suite_cell: SuiteCell) -> bool:
        """Whether it is known how the cell's task is scored."""
        return suite_cell.cell.task.name in self.planned.names("task")

    def judged(self, suite_cell: SuiteCell) -> bool:
        """Whether planning can say what becomes of the cell."""
        return not suite_cell.cell.is_earlier and self.knows_task(suite_cell)


def keep_plugins(suite: ResolvedSuite, layout: Layout) -> None:
    """Copies the plug-in files of a suite that is about to run. A file that cannot be read is left to the run.

    Besides the copies that are read, those that jobs run where the files are not (harness.core.kept).
    """
    folder = plugin_copies(layout, suite.name)
    for place, file in enumerate(suite.plugins):
        kept = folder / f"{place}.py"
        try:
            content = Path(file).read_bytes()
            known = kept.read_bytes() if kept.is_file() else None
        except OSError:
            continue
        if content != known:
            write_bytes(kept, content)
        with suppress(*UNREADABLE):
            keep(folder, file)


def shelve(suite: ResolvedSuite, layout: Layout, registry: Registry) -> Shelf:
    """The registry with the parts of a suite's plug-ins, whose files are read, not run. Never raises for a plug-in."""
    current, before, problems = registry, [], {}
    for place, file in enumerate(suite.plugins):
        kept = _as_it_was(plugin_copies(layout, suite.name) / f"{place}.py")
        before += kept
        try:
            current = extend(current, [file])
        except (HarnessError, RecursionError, MemoryError) as error:
            problems[file] = f"plug-in {file}: {_first(error)}"
        lacking = [entry for entry in kept if entry.name not in current.names(entry.kind)]
        if lacking:
            names = ", ".join(f"{entry.kind} {entry.name}" for entry in lacking)
            problems.setdefault(file, f"plug-in {file} no longer has {names}")
    tasks = [entry for entry in before if entry.kind == "task"]
    return Shelf(current, _replaced(current, tasks), _replaced(current, before), problems)


def _as_it_was(copy: Path) -> list[Entry]:
    """The parts of a plug-in as the run knew them; none when there is no copy, as in folders of earlier releases."""
    try:
        return declared(str(copy)) if copy.is_file() else []
    except (HarnessError, RecursionError, MemoryError, OSError):
        return []


def _replaced(registry: Registry, entries: Sequence[Entry]) -> Registry:
    """The registry with these entries in place of those of the same names; itself without any."""
    if not entries:
        return registry
    names = {(entry.kind, entry.name): entry for entry in entries}
    others = [entry for entry in registry.entries() if (entry.kind, entry.name) not in names]
    return Registry([*others, *names.values()])


def _first(error: Exception) -> str:
    if isinstance(error, SpecErrors) and error.problems:
        first = error.problems[0]
        return f"{first.path}: {first.what}" if first.path else first.what
    return error.what if isinstance(error, HarnessError) else "it is nested too deep"


def _parts(suite_cell: SuiteCell) -> Iterator[tuple[str, PartRef]]:
    yield from _parts_of(suite_cell.cell)
    for test in suite_cell.tests:
        yield "dataset", test.dataset


def _parts_of(cell: Cell) -> Iterator[tuple[str, PartRef]]:
    yield "task", cell.task
    if cell.backbone is None:
        return
    yield "dataset", cell.train
    named = (("backbone", cell.backbone), ("refiner", cell.variant.refiner), ("prior", cell.variant.prior))
    yield from ((kind, part) for kind, part in named if part is not None)
    yield from (("loss", term.part) for term in cell.loss_terms)
    for needed in cell.requires:
        yield from _parts_of(needed)


def cell_statuses(suite: ResolvedSuite, layout: Layout, shelf: Shelf) -> list[CellStatus]:
    """The state of each cell of a suite that was run, in its order, whatever has become of its plug-ins."""
    judged = tuple(each for each in suite.cells if shelf.judged(each))
    planned = make_plan(suite.model_copy(update={"cells": judged}), layout, shelf.planned).cells
    by_id = {status.cell_id: status for status in planned}
    found = [by_id.get(each.cell.id) or by_record(each, suite, _sound(layout, each)) for each in suite.cells]
    return [without_parts(status, shelf.lost(status.suite_cell)) for status in found]


def without_parts(status: CellStatus, lost: str) -> CellStatus:
    """The status of a cell of which a part is gone: blocked, unless all of it is on record."""
    return replace(status, state="blocked", reason=lost) if lost and status.state != "done" else status


def _sound(layout: Layout, suite_cell: SuiteCell) -> RunRecord | None:
    try:
        return store.load(layout, suite_cell.cell.id)
    except HarnessError:
        return None


def by_record(suite_cell: SuiteCell, suite: ResolvedSuite, record: RunRecord | None) -> CellStatus:
    """The state of a cell that planning cannot judge, by its record alone."""
    done = record is not None and is_complete(record, suite_cell, suite)
    if suite_cell.cell.is_earlier:
        said = earlier.SAID if done else earlier.MADE_ANEW
        return CellStatus(suite_cell, suite_cell.cell.id, "done" if done else "stale", said)
    return CellStatus(suite_cell, suite_cell.cell.id, "done" if done else "todo", "")


def is_complete(record: RunRecord, suite_cell: SuiteCell, suite: ResolvedSuite) -> bool:
    """Whether a record has every metric of every test set of a cell, under whatever protocol.

    The last attempt may have failed all the same: at making the cell again, beside what is there.
    """
    return bool(record.evaluations) and all(
        any(metric.key in each.metrics for each in record.evaluations if is_of(each, test))
        for test in suite_cell.tests
        for metric in suite.metrics
    )


def is_of(evaluation: EvaluationRecord, test: TestSet) -> bool:
    """Whether an evaluation is of a test set: of its very images, or as far as the names of older records tell."""
    if evaluation.samples:
        return evaluation.samples == samples_digest(test.samples())
    names = evaluation.dataset, evaluation.split, dict(evaluation.condition)
    return names == (test.dataset.called, test.split, dict(test.condition))
