"""Cells of earlier releases, which stored their images cut and degraded: read for tables, never planned.

They are shown with the values that their records hold. What they were made from has no counterpart any more, so that
neither missing values nor changed images are looked for; a suite that is run again has cells of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from harness.api.sets import TestSet
from harness.api.task import EvaluationProtocol
from harness.cells.cell import Cell
from harness.core.identity import digest
from harness.planning.disk import Kept
from harness.planning.verdict import Reason, Why
from harness.records.model import weights_of

SAID = "of an earlier release"
"""What is said of the state of such a cell."""
MADE_ANEW = f"{SAID}, which alone could go on with it · try: bench run SUITE makes another cell in its place"
"""What is said of one that is not complete."""


def protocol_digest(protocol: EvaluationProtocol) -> str:
    """Tells the columns of earlier releases from present ones, 8 hex digits."""
    return digest({"earlier": protocol.identity()}, 8)


def evaluations(
    cell: Cell, scored: Iterable[tuple[TestSet, EvaluationProtocol]]
) -> Iterator[tuple[str, TestSet, EvaluationProtocol]]:
    """The evaluations of a cell, each with the id that earlier releases gave it. `scored`: its test sets, each with
    every protocol that scores it."""
    for test, protocol in scored:
        content = {"cell": cell.id, "samples": _images(test, protocol), "protocol": protocol.identity()}
        yield digest(content, 12), test, protocol


def _images(test: TestSet, protocol: EvaluationProtocol) -> dict[str, Any]:
    """Whole test images, as the ids of earlier releases describe them."""
    parts = {"dataset": test.dataset.identity(), "task": test.task.identity()}
    drawn = {} if protocol.draw == "named" else {"draw": protocol.draw}
    return {**parts, "split": test.split, "tile": None, "stride": None, **drawn}


def outdated(cell: Cell, kept: Kept, other: Callable[[str], Kept]) -> Reason | None:
    """Why the record of such a cell must not be shown: it is damaged, or it rests on weights that were made anew since.

    `other`: what another cell left, by its id.
    """
    if kept.trouble is not None or kept.record is None:
        return kept.trouble
    for why, needed in ((Why.BASE_CHANGED, cell.base), (Why.SOURCE_CHANGED, cell.prior_source)):
        used = None if needed is None else kept.record.provenance.weights.get(weights_of(needed.id))
        if needed is not None and used is not None and other(needed.id).weights_sha256 not in (None, used):
            return Reason(why, needed.id)
    return None
