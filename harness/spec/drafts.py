"""The stage between a suite file and its cells: names are resolved, but the cells do not exist yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from harness.api.reference import FeaturePolicy, PartRef, Placement, Regime
from harness.api.sets import TestSet
from harness.api.traits import StageUse
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm
from harness.core.yaml import Path
from harness.recipes.mapping import BackboneMapping, PartMapping, RecipeMapping


@dataclass(frozen=True)
class Layer:
    """One recipe mapping and where it stands in the file."""

    recipe: RecipeMapping
    path: Path


@dataclass(frozen=True, eq=False)
class TaskDraft:
    """A task as the file gives it, with its degradation, before it is known which data set it meets."""

    ref: PartRef
    spec: PartMapping
    path: Path


@dataclass(frozen=True, eq=False)
class SourceDraft:
    """The cell that trains a prior's network, as the file says. Fields that are None come from the consuming cell."""

    task: TaskDraft
    backbone: PartRef
    dataset: PartRef | None
    seed: int | None
    recipe: Layer | None
    network: tuple[BackboneMapping, Path]
    """The backbone as the file gives it, and where: the recipe's preset may have options for it."""

    def content(self) -> dict[str, Any]:
        """What tells it from other drafts; labels do not."""
        recipe = self.recipe and self.recipe.recipe.model_dump(mode="json", exclude_unset=True, exclude={"label"})
        parts = [part and part.identity() for part in (self.task.ref, self.backbone, self.dataset)]
        given = sorted(self.task.spec.options)
        return {"parts": parts, "task": given, "seed": self.seed, "recipe": recipe}


@dataclass(frozen=True, eq=False)
class PriorDraft:
    """A prior, before its consuming cell is known. `ref` lacks the digest of the source."""

    ref: PartRef
    derived_from: PriorDraft | None = None
    source: SourceDraft | None = None

    def content(self) -> dict[str, Any]:
        """What tells it from other drafts; labels do not."""
        derived_from, source = self.derived_from and self.derived_from.content(), self.source and self.source.content()
        return {"ref": self.ref.identity(), "derived_from": derived_from, "source": source}

    @property
    def any_source(self) -> SourceDraft | None:
        """The cell that this prior needs, or that the prior it is made from needs."""
        return self.source or (self.derived_from.any_source if self.derived_from else None)


@dataclass(frozen=True, eq=False)
class VariantDraft:
    """A variant, before its cell is known."""

    refiner: PartRef | None = None
    prior: PriorDraft | None = None
    placement: Placement = "image"
    regime: Regime = "joint"
    features: FeaturePolicy | None = None
    """None: what each cell's recipe and images allow (`harness.spec.policies.usual_policy`)."""
    views: Literal[1, 8] = 1
    losses: tuple[LossTerm, ...] = ()
    stages: tuple[StageUse, ...] = ()
    base_recipe: Layer | None = None
    continued: bool = False
    """Whether the base with as many further steps is listed beside it."""
    label: str | None = None


@dataclass(frozen=True, eq=False)
class CellDraft:
    """A cell, with the variant that its label is made of."""

    cell: Cell
    variant: VariantDraft
    tests: tuple[TestSet, ...]
    listed: bool = True
