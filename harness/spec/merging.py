"""The cells of all blocks become one list: each cell once, and the degraded input before those that it is compared
with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.api.sets import TestSet
from harness.cells.cell import RULES, Cell
from harness.spec.cells import BASE
from harness.spec.drafts import CellDraft


def with_inputs(drafts: Sequence[CellDraft]) -> Iterator[CellDraft]:
    """Adds the degraded input before the first listed cell of every task; it is tested on all test sets of the task."""
    inputs: dict[int, CellDraft] = {}
    for draft in drafts:
        task = draft.cell.task
        if draft.listed:
            known = inputs.get(id(task))
            if known is None:
                known = CellDraft(Cell(task=task, train=draft.cell.train, backbone=None, rules=RULES), BASE, ())
            inputs[id(task)] = CellDraft(known.cell, BASE, _union(known.tests, draft.tests))
    for draft in drafts:
        if draft.listed and (first := inputs.pop(id(draft.cell.task), None)):
            yield first
        yield draft


def merged_drafts(drafts: Iterable[CellDraft]) -> list[CellDraft]:
    """Each cell once, where it first occurs, with the tests of all its occurrences."""
    merged: dict[str, CellDraft] = {}
    for draft in drafts:
        known = merged.get(draft.cell.id)
        if known is not None:
            # A listed cell's variant holds the label that the file may give.
            variant = known.variant if known.listed and known.variant.label else draft.variant
            draft = CellDraft(known.cell, variant, _union(known.tests, draft.tests), known.listed or draft.listed)
        merged[draft.cell.id] = draft
    return list(merged.values())


def _union(left: Sequence[TestSet], right: Sequence[TestSet]) -> tuple[TestSet, ...]:
    return tuple({id(test): test for test in (*left, *right)}.values())
