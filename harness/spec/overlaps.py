"""Suites that would train on pictures of their own test sets, as data sets declare it: a mistake, unless allowed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from harness.cells.overlaps import declared_overlaps, shared_splits
from harness.cells.suite import ResolvedSuite
from harness.core.errors import Problem
from harness.core.registry import Registry
from harness.spec.drafts import CellDraft
from harness.spec.origins import Origin

ALLOW = "leave it out, or write allow_overlap: true at the top of the suite, which every table then says"
"""What to do about a test set that shares pictures with the training images."""


def overlap_mistakes(
    drafts: Iterable[CellDraft], places: Mapping[str, Origin], registry: Registry
) -> Iterator[Problem]:
    """Every declared overlap of training images with a test set once, at the place of the first cell that has it.

    The training images of a cell's base, and of the cell behind its prior, count as its own.
    """
    known: set[tuple[str, str, str]] = set()
    for draft in drafts:
        tests = [(test.dataset, test.split) for test in draft.tests]
        for found in declared_overlaps(draft.cell, tests, registry):
            pair = (found.train.model_dump_json(), found.test.model_dump_json(), found.why)
            if pair not in known:
                known.add(pair)
                yield places[draft.cell.id].of_tests(what=str(found), hint=ALLOW)


def selection_notes(suite: ResolvedSuite, registry: Registry) -> list[str]:
    """A line on each test set that shares pictures with a split of a training set which nobody trains on, such as the
    one by which its authors chose their checkpoints."""
    found: dict[str, None] = {}
    for entry in suite.cells:
        if entry.cell.backbone is None:
            continue
        for test in entry.tests:
            train, tested = entry.cell.train.name, test.dataset.name
            for split, tested_split, why in shared_splits(train, tested, registry):
                if split != "train" and tested_split == test.split:
                    found[f"the test set {tested} shares pictures with the split {split} of {train}: {why}"] = None
    return list(found)
