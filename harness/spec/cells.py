"""Drafts → cells: priors are bound to the cell that consumes them, required cells are made beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.api.reference import PartRef
from harness.api.sets import TestSet
from harness.cells.cell import RULES, Cell, Variant
from harness.cells.recipe import Recipe
from harness.spec.drafts import CellDraft, Layer, PriorDraft, SourceDraft, VariantDraft
from harness.spec.layers import Recipes
from harness.spec.policies import usual_policy
from harness.spec.tasks import Tasks

BASE = VariantDraft()
CONTINUED = VariantDraft(regime="from_base")
_BASE = Variant()
_CONTINUED = Variant(regime="from_base")
_NO_TRAINING = Recipe()
"""The recipe of base cells with published weights, which are not trained."""


class Cells:
    """Makes cells; equal base cells come out as the same object, so that their ids are computed once."""

    def __init__(self, recipes: Recipes, tasks: Tasks) -> None:
        self._recipes, self._tasks = recipes, tasks
        self._bases: dict[tuple[int, ...], Cell] = {}
        self._bound: dict[tuple[int, ...], PartRef] = {}
        self._variants: dict[tuple[int, ...], tuple[object, Variant]] = {}

    def make(
        self,
        task: PartRef,
        train: PartRef,
        backbone: PartRef,
        variant: VariantDraft,
        layers: Sequence[Layer],
        seed: int,
        tests: tuple[TestSet, ...],
    ) -> Iterator[CellDraft]:
        """The cell of one combination and seed, after the cells that it requires. Nothing when a recipe is wrong.

        `task`: as it is solved on the images of `train`.
        """
        recipe = self._recipes.combined(layers, backbone, task)
        if recipe is None:
            return
        whole = {"task": task, "train": train, "backbone": backbone, "recipe": recipe, "seed": seed, "rules": RULES}
        if variant.regime == "joint":
            base = None
        else:
            base_layers = [*layers, variant.base_recipe] if variant.base_recipe else layers
            base_recipe = self._recipes.combined(base_layers, backbone, task)
            if base_recipe is None:
                return
            base = self._base(task, train, backbone, base_recipe, seed)
            yield CellDraft(base, BASE, (), listed=False)
        if variant.refiner is None and base is None:
            yield CellDraft(self._base(task, train, backbone, recipe, seed), variant, tests)
            return
        if variant.refiner is None or variant.continued:
            named = CONTINUED if variant.refiner else variant
            alone = {**whole, "recipe": self._recipes.cut(recipe, "backbone")}
            yield CellDraft(Cell(**alone, variant=_CONTINUED, base=base), named, tests)
        if variant.refiner is not None:
            yield from self._refined(variant, variant.refiner, whole, base, layers, tests)

    def _refined(
        self,
        variant: VariantDraft,
        refiner: PartRef,
        whole: Mapping[str, Any],
        base: Cell | None,
        layers: Sequence[Layer],
        tests: tuple[TestSet, ...],
    ) -> Iterator[CellDraft]:
        """The cell of a variant with a refiner, after the one behind its prior. `whole`: what it shares with others."""
        recipe: Recipe = whole["recipe"]
        if variant.regime == "frozen":
            recipe = self._recipes.cut(recipe, "refiner")
        needed = variant.prior.any_source if variant.prior else None
        source = self._source(needed, whole, layers) if needed else None
        if needed is not None:
            if source is None:
                return
            yield CellDraft(source, BASE, (), listed=False)
        bound = self._variant(variant, refiner, source, recipe, whole["task"])
        cell = Cell(**({**whole, "recipe": recipe}), variant=bound, base=base, prior_source=source)
        yield CellDraft(cell, variant, tests)

    def _variant(
        self, variant: VariantDraft, refiner: PartRef, source: Cell | None, recipe: Recipe, task: PartRef
    ) -> Variant:
        """A variant of cells; equal ones come out as the same object, like base cells."""
        prior = variant.prior and self._bind(variant.prior, source)
        of = (variant, refiner, prior, recipe, task)
        key = tuple(map(id, of))
        if key not in self._variants:
            made = Variant(
                refiner=refiner,
                prior=prior,
                placement=variant.placement,
                regime=variant.regime,
                features=(variant.features or usual_policy(recipe, task)) if variant.prior else "image",
                views=variant.views,
                losses=variant.losses,
                stages=self._recipes.declared_stages(variant.stages, recipe.parts[-1].steps, ("refiner", refiner.name)),
            )
            self._variants[key] = of, made
        return self._variants[key][1]

    def _base(self, task: PartRef, train: PartRef, backbone: PartRef, recipe: Recipe, seed: int) -> Cell:
        recipe = _NO_TRAINING if backbone.weights else self._recipes.cut(recipe, "backbone")
        key = (id(task), id(train), id(backbone), id(recipe), seed)
        if key not in self._bases:
            self._bases[key] = Cell(
                task=task, train=train, backbone=backbone, variant=_BASE, recipe=recipe, seed=seed, rules=RULES
            )
        return self._bases[key]

    def _source(self, draft: SourceDraft, whole: Mapping[str, Any], layers: Sequence[Layer]) -> Cell | None:
        """The cell that trains a prior's network. What the file leaves open is taken from the consuming cell."""
        layers = [*layers, draft.recipe] if draft.recipe else layers
        dataset: PartRef = draft.dataset or whole["train"]
        task = self._tasks.seen(draft.task, dataset, draft.task.path)
        if task is not None and draft.dataset is None and not self._tasks.shares(task, whole["task"], draft.task.path):
            return None
        backbone = self._recipes.backbone(*draft.network, layers, task)
        recipe = self._recipes.combined(layers, backbone, draft.task.ref)
        if recipe is None or backbone is None or task is None:
            return None
        own_seed = whole["seed"] if draft.seed is None else draft.seed
        return self._base(task, dataset, backbone, recipe, own_seed)

    def _bind(self, draft: PriorDraft, source: Cell | None) -> PartRef:
        """The prior's reference for one consuming cell. The id of the source cell stands for the prior's content."""
        key = (id(draft), id(source))
        if key not in self._bound:
            update: dict[str, object] = (
                {"derived_from": self._bind(draft.derived_from, source)} if draft.derived_from else {}
            )
            if draft.source is not None and source is not None:
                update["digest"] = source.id
            self._bound[key] = draft.ref.model_copy(update=update)
        return self._bound[key]
