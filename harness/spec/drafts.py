"""What stands between a suite file and its cells: names resolved, but not yet known for which cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.api.reference import FeaturePolicy, PartRef, Placement, Regime
from harness.core.yaml import Path
from harness.spec.cell import Cell, LossTerm
from harness.spec.schema import BackboneMapping, RecipeMapping


@dataclass(frozen=True)
class Layer:
    """One recipe mapping and where it stands in the file."""

    recipe: RecipeMapping
    path: Path


@dataclass(frozen=True, eq=False)
class SourceDraft:
    """The cell behind a prior before it is known for which cell: what is None is then taken from that one."""

    task: PartRef
    backbone: PartRef
    dataset: PartRef | None
    seed: int | None
    recipe: Layer | None
    network: tuple[BackboneMapping, Path]
    """The backbone as the file gives it, and where: the recipe's preset may have options for it."""

    def content(self) -> dict[str, Any]:
        """What tells it from other drafts; labels do not."""
        recipe = self.recipe and self.recipe.recipe.model_dump(mode="json", exclude_unset=True, exclude={"label"})
        parts = [part and part.identity() for part in (self.task, self.backbone, self.dataset)]
        return {"parts": parts, "seed": self.seed, "recipe": recipe}


@dataclass(frozen=True, eq=False)
class PriorDraft:
    """A prior before it is known for which cell. `ref` lacks the digest of the source."""

    ref: PartRef
    of: PriorDraft | None = None
    source: SourceDraft | None = None

    def content(self) -> dict[str, Any]:
        """What tells it from other drafts; labels do not."""
        of, source = self.of and self.of.content(), self.source and self.source.content()
        return {"ref": self.ref.identity(), "of": of, "source": source}

    @property
    def any_source(self) -> SourceDraft | None:
        """The cell that this prior or the one that it is made of needs."""
        return self.source or (self.of.any_source if self.of else None)


@dataclass(frozen=True, eq=False)
class VariantDraft:
    """A variant before it is known for which cell its prior is made."""

    refiner: PartRef | None = None
    prior: PriorDraft | None = None
    placement: Placement = "image"
    regime: Regime = "joint"
    features: FeaturePolicy = "tile"
    losses: tuple[LossTerm, ...] = ()
    base_recipe: Layer | None = None
    label: str | None = None


@dataclass(frozen=True, eq=False)
class CellDraft:
    """A cell with what its labels are made of."""

    cell: Cell
    variant: VariantDraft
    tests: tuple[PartRef, ...]
    listed: bool = True
