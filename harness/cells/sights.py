"""Protocols under which a network gets another image than the prior whose cached vector guides it."""

from __future__ import annotations

from harness.api.declaration import declaration
from harness.api.task import EvaluationProtocol, Sides
from harness.cells.cell import Cell
from harness.core.registry import Registry


def sight_beside_prior(cell: Cell, protocol: EvaluationProtocol, registry: Registry) -> Sides | None:
    """Height and width at which the network gets test images where the cell's prior saw them as they are stored.

    None where both see the same, and for cells without a prior or with one that sees no image.
    """
    prior, read, through = cell.variant.prior, *protocol.sight
    sides = through or read
    if prior is None or sides is None:
        return None
    while prior.derived_from is not None:
        prior = prior.derived_from
    return None if declaration(registry, "prior", prior.name).traits.derived else sides


def told(protocol: EvaluationProtocol, title: str, sides: Sides) -> str:
    """What readers of a table should know of such a test set."""
    size = f"{sides[1]}×{sides[0]}"
    return f"{title}: under {protocol.name} the prior saw the images as they are stored, the network at {size}"
