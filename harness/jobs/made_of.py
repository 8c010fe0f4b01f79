"""What a training rests on: digests of all data and weights that it reads, found before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.cells.cell import Cell
from harness.core.paths import Layout
from harness.jobs.context import Context
from harness.jobs.inputs import Inputs, one_of_each
from harness.models.upstream import sound_weights
from harness.records.model import weights_of


class MadeOf(NamedTuple):
    """Digests of all that a training rests on, by name, and the files left out, as provenances hold them."""

    data: dict[str, str]
    weights: dict[str, str]
    skipped: dict[str, dict[str, str]]


def rests_on(cell: Cell, inputs: Sequence[Inputs], context: Context) -> MadeOf:
    """Found before training starts.

    Raises DataError when upstream weights are not those that their record names, or the prior's vectors are of others.
    """
    data = {name: sha256 for each in inputs for name, sha256 in each.data.items()}
    where = f"cell {cell.id}"
    found = one_of_each([*(each.weights for each in inputs), _weights(cell, context.layout)], where)
    record = context.record(cell.prior_source.id) if cell.prior_source else None
    if record is not None and record.training is not None and weights_of(record.cell_id) in found:
        one_of_each((found, {weights_of(record.cell_id): record.training.checkpoint_sha256}), where)
    return MadeOf(data, found, {name: files for each in inputs for name, files in each.skipped.items()})


def _weights(cell: Cell, layout: Layout) -> dict[str, str]:
    """Digests of the weights that training itself reads: the base cell's, a live prior's, a loss's."""
    parts = [term.part for term in cell.loss_terms]
    parts += [cell.variant.prior] if cell.variant.prior else []
    digests = {part.name: part.digest for part in parts if part.digest}
    if cell.ready_made and cell.backbone and cell.backbone.digest:
        digests[str(cell.backbone.weights)] = cell.backbone.digest
    read = [cell.base] if cell.base else []
    read += [cell.prior_source] if cell.prior_source and cell.variant.features == "live" else []
    return digests | {weights_of(each.id): sound_weights(each, layout) for each in read}
