"""Whether the pictures that a cell is tested on are among those that it was trained on, its base and prior included."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from harness.api.reference import PartRef
from harness.cells.cell import Cell
from harness.cells.overlaps import trained_on
from harness.core.errors import DataError, HarnessError
from harness.data.images import open_dataset
from harness.data.overlaps import Overlap, Split, overlap, repeated
from harness.data.prints import Prints, kept_prints, take_prints
from harness.jobs.context import Context

log = logging.getLogger(__name__)

_HINT = (
    "leave the test set out, or these pictures: a network must not be tested on what it was trained on; or write "
    "allow_overlap: true at the top of the suite, which every table then says"
)


@dataclass(frozen=True)
class TestSetAudit:
    """What the comparison of a test set with a cell's training images gave."""

    leak: DataError | None
    """A picture that is in both, of every training set that has one; None when none has."""
    warnings: tuple[str, ...] = ()
    """Pictures that the test set has twice, and data sets that could not be compared."""


def audit_test(cell: Cell, test: PartRef, split: str, context: Context) -> TestSetAudit:
    """Compares a test set with the training images of all that the cell rests on, and with itself.

    A data set whose images cannot be read here is named in a warning instead of being compared.
    """
    warnings: list[str] = []
    data = context.layout.data

    taken: dict[tuple[str, str], Prints | None] = {}

    def prints(of: Split) -> Prints | None:
        ref, part = of
        name = (ref.model_dump_json(), part)
        if name not in taken:  # they are read once, and missed in one warning
            taken[name] = _prints(ref, part, context, warnings)
        return taken[name]

    leaks: list[DataError] = []
    for train in trained_on(cell):
        compared = overlap((train, "train"), (test, split), prints, data)
        if compared is not None and compared.overlap is not None:
            leaks.append(_leak(train, test, split, compared.overlap))
    compared = repeated((test, split), prints, data)
    if compared is not None and compared.overlap is not None:
        warnings.append(_twice(test, split, compared.overlap))
    return TestSetAudit(_joined(leaks) if leaks else None, tuple(warnings))


def refuse_leaks(cell: Cell, tests: Sequence[PartRef], context: Context, split: str = "test", *, allowed: bool) -> None:
    """Raises DataError when a cell that is to be trained would be tested on pictures that it is trained on.

    All such test sets are named, each with a pair of pictures. Where the suite allows it, they are warnings in the log.
    """
    found = [audit_test(cell, test, split, context) for test in tests]
    leaks = [audit.leak for audit in found if audit.leak is not None]
    for leak in leaks if allowed else ():
        log.warning("the suite allows it: %s", leak.what)
    if leaks and not allowed:
        raise _joined(leaks)


def _joined(leaks: Sequence[DataError]) -> DataError:
    """One error that says what all of them say."""
    if len(leaks) == 1:
        return leaks[0]
    where = "; ".join(dict.fromkeys(leak.where for leak in leaks))
    return DataError("; ".join(leak.what for leak in leaks), where=where, hint=_HINT)


def _leak(train: PartRef, test: PartRef, split: str, found: Overlap) -> DataError:
    pair = f"train image {found.one!r} of {train.called} and {split} image {found.other!r}"
    more = f" (and {found.count - 1} more)" if found.count > 1 else ""
    what = f"{pair} of {test.called} are {found.how}{more}"
    return DataError(what, where=f"data sets {_told(train)} and {_told(test)}", hint=_HINT)


def _told(dataset: PartRef) -> str:
    """A data set by its name, with the first of its files where it has some: several sets may have one name."""
    place = next(iter(dataset.files.values()), None)
    return dataset.called if place is None else f"{dataset.called} ({place})"


def _twice(test: PartRef, split: str, found: Overlap) -> str:
    more = f" (and {found.count - 1} more pairs)" if found.count > 1 else ""
    pair = f"{split} images {found.one!r} and {found.other!r} of {test.called}"
    return f"{pair} are {found.how}{more}: its means count the picture twice"


def _prints(ref: PartRef, split: str, context: Context, warnings: list[str]) -> Prints | None:
    """None, with a warning, when the images cannot be read: the shards may be here without them."""
    data = context.layout.data
    known = kept_prints(ref, split, data)
    if known is not None:
        return known
    try:
        return take_prints(open_dataset(ref, context.registry), ref, split, data)
    except HarnessError as error:
        warnings.append(f"not compared with the {split} images of {ref.called}, which cannot be read: {error.what}")
        return None
