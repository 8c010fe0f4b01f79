"""What a cell's parts declare of how they are joined, with their options."""

from __future__ import annotations

from typing import Literal

from harness.api.declaration import Declaration, declaration
from harness.api.prior import PriorDim
from harness.api.reference import PartRef
from harness.api.refiner import RefinerTraits
from harness.core.errors import HarnessError
from harness.core.registry import Registry


def shows_truth(ref: PartRef, registry: Registry) -> tuple[Literal["training", "test"], ...]:
    """When F, with these options, sees the clean images."""
    declared = declaration(registry, "backbone", ref.name)
    if declared.holds(declared.traits.reads_truth_at_test, ref.arguments):
        return ("training", "test")
    return ("training",) if declared.holds(declared.traits.reads_truth, ref.arguments) else ()


def dim_told(prior_dim: PriorDim | None, declared: Declaration[RefinerTraits], ref: PartRef) -> PriorDim:
    """What the refiner is told of its prior. Raises HarnessError without one, and for maps that it cannot read."""
    if prior_dim is None:
        raise HarnessError(f"refiner {ref.name!r} needs a prior", hint="give the variant a `prior`")
    reads_maps = declared.holds(declared.traits.reads_maps, ref.arguments)
    if isinstance(prior_dim, tuple) and not reads_maps:
        raise HarnessError(f"refiner {ref.name!r} reads vectors, and this prior gives maps", hint="another prior")
    return prior_dim


def passes_of(declared: Declaration[RefinerTraits], ref: PartRef) -> int:
    """How often F runs with the refiner's edits, with these options."""
    passes = declared.traits.passes
    return passes if isinstance(passes, int) else int(declared.filled(ref.arguments)[passes.option])
