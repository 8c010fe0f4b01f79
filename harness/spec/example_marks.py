"""Which cells tables call `(example)`: whose images are bundled photographs in place of a data set of the field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from harness.api.declaration import declaration
from harness.api.library import library, read_note
from harness.api.reference import EXAMPLE_MARK
from harness.cells.cell import Cell
from harness.core.registry import Registry
from harness.recipes.mapping import PartMapping
from harness.spec.drafts import CellDraft

WORD = EXAMPLE_MARK.strip(" ()")
"""The mark where it may stand beside others: `low_light (synthetic, example)`."""


def prior_learned_from_examples(cell: Cell) -> bool:
    """Whether the network that gives a cell its prior, or one that this builds on, was trained on examples: it stands
    beside its base, which was not, and so its own name says it."""
    source, base = cell.prior_source, cell.base
    below = [each for each in (source, base) if each is not None]
    return (source is not None and _trained_on_examples(source)) or any(map(prior_learned_from_examples, below))


def of_examples(drafts: Sequence[CellDraft], places: Sequence[int]) -> list[bool]:
    """For every setting whether it is trained on examples, or tested on nothing else. The input of a task stands in the
    section of the rows that it is compared with: it is marked where all of these are.

    `places`: the number of each draft's setting, of which only seeds differ.
    """
    settings: dict[int, list[CellDraft]] = defaultdict(list)
    for draft, place in zip(drafts, places, strict=True):
        settings[place].append(draft)
    found = [_is_of_examples(settings[place]) for place in range(len(settings))]
    beside: dict[int, list[bool]] = defaultdict(list)
    for place, each in settings.items():
        if each[0].cell.backbone is not None and any(draft.listed for draft in each):
            beside[id(each[0].cell.task)].append(found[place])
    for place, each in settings.items():
        rows = beside[id(each[0].cell.task)]
        if each[0].cell.backbone is None and rows:
            found[place] = all(rows)
    return found


def _is_of_examples(setting: Sequence[CellDraft]) -> bool:
    tests = [test for draft in setting for test in draft.tests]
    only = bool(tests) and all(test.dataset.is_example for test in tests)
    return only or _trained_on_examples(setting[0].cell)


def _trained_on_examples(cell: Cell) -> bool:
    trained = cell.backbone is not None and not cell.ready_made and cell.train.is_example
    return trained or (cell.base is not None and _trained_on_examples(cell.base))


def in_use_as_example(dataset: Any, registry: Registry) -> bool:
    """Whether a data set of a suite, as its file says it, is examples in the library."""
    if not isinstance(dataset, PartMapping) or declaration(registry, "dataset", dataset.name).traits.source is None:
        return False
    note = read_note(dataset.name, library())
    return note is not None and note.dataset.is_example
