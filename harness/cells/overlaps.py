"""Test sets whose pictures a cell was trained on, as far as the data sets themselves declare it.

A data set of the field says in its `Source.shared` which pictures of its splits another data set has, too. What nobody
declared is found by comparing prints of the pictures (harness.jobs.leaks).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from harness.api.declaration import declaration
from harness.api.reference import PartRef
from harness.api.source import Shared
from harness.cells.cell import Cell
from harness.core.errors import HarnessError
from harness.core.registry import Registry


class Overlap(NamedTuple):
    """A test set that shares pictures with what a cell was trained on."""

    train: PartRef
    test: PartRef
    split: str
    """The test set's."""
    why: str

    def __str__(self) -> str:
        return (
            f"{self.train.called} is trained on, and shares pictures with the test set {self.test.called}: {self.why}"
        )


def trained_on(cell: Cell) -> tuple[PartRef, ...]:
    """The data sets that a cell, its base and its prior's source were trained on, through all of them, each once.

    What published weights were trained on is not known, and so not among them.
    """
    return tuple({ref.model_dump_json(): ref for ref in _trained_on(cell)}.values())


def _trained_on(cell: Cell) -> Iterator[PartRef]:
    if cell.backbone is not None and not cell.ready_made:
        yield cell.train
    for required in cell.requires:
        yield from _trained_on(required)


def declared_overlaps(cell: Cell, tests: Iterable[tuple[PartRef, str]], registry: Registry) -> Iterator[Overlap]:
    """The declared overlaps of a cell's training images with test sets, given as (data set, split)."""
    held_out = list(tests)
    for train in trained_on(cell):
        for test, split in held_out:
            for why in shared_by(train.name, "train", test.name, split, registry):
                yield Overlap(train, test, split, why)


def shared_by(one: str, split: str, other: str, other_split: str, registry: Registry) -> tuple[str, ...]:
    """Why two splits are known to share pictures: what the first one's data set declares, else the other's."""
    return tuple(why for *splits, why in shared_splits(one, other, registry) if splits == [split, other_split])


def shared_splits(one: str, other: str, registry: Registry) -> list[tuple[str, str, str]]:
    """Which splits of two data sets are known to share pictures, and why: (of the one, of the other, why).

    Either may declare it; where both do, the first one's words count.
    """
    found = {(each.split, each.other_split): each.why for each in _shared_of(other, registry) if each.other == one}
    found = {(split, other_split): why for (other_split, split), why in found.items()}
    found |= {(each.split, each.other_split): each.why for each in _shared_of(one, registry) if each.other == other}
    return [(*splits, why) for splits, why in found.items()]


def _shared_of(name: str, registry: Registry) -> tuple[Shared, ...]:
    """What a data set declares to share with others; nothing of one that is not of the field, or not known here."""
    try:
        traits = declaration(registry, "dataset", name).traits
    except HarnessError:  # of a plug-in that is gone
        return ()
    return traits.source.shared if traits.source is not None else ()
