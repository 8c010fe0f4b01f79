"""Stages of a recipe that no cell of a suite trains in: each cell leaves out what is not its own, and all leave these.

One recipe may serve a network alone and with a refiner. The network alone then has no stage of the refiner, and its
last stage takes the steps of those that it leaves out; a stage that nobody trains in is a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from harness.api.reference import PartRef
from harness.core.wording import Mistake
from harness.core.yaml import Path
from harness.spec.drafts import Layer, VariantDraft
from harness.spec.layers import Recipes
from harness.spec.untrained import trainings


class StageUses:
    """Which stages that the file gives are trained in, over all combinations of a suite."""

    def __init__(self, recipes: Recipes) -> None:
        self._recipes = recipes
        self._trains: dict[Path, tuple[str, ...]] = {}
        self._used: set[Path] = set()

    def note(
        self, variant: VariantDraft, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None
    ) -> None:
        """Notes the stages of one combination's cells, and of those that they require."""
        for training in trainings(variant, layers, backbone, task, self._recipes):
            where = training.layers, training.backbone, training.task
            recipe = self._recipes.combined(*where)
            if recipe is None or not training.is_trained:
                continue
            roots = _roots(training.variant)
            for index, stage in enumerate(recipe.stages):
                place = self._recipes.place(*where, ("stages", index))
                if place is None or "preset" in place:  # a preset serves many suites
                    continue
                self._trains[place] = stage.trains
                if any(stage.trains_in(root) for root in roots):
                    self._used.add(place)

    def mistakes(self) -> list[tuple[Path, Mistake]]:
        """The stages that no cell trains in, with where the file gives them."""
        found = []
        for place, modules in self._trains.items():
            if place not in self._used:
                what = f"no cell of this suite trains {' or '.join(f'`{module}`' for module in modules)}"
                hint = "remove the stage, or add a variant that trains it"
                found.append((place, Mistake(("trains",), what, hint)))
        return found


def _roots(variant: VariantDraft) -> tuple[Literal["backbone", "refiner"], ...]:
    """What trains in a cell of a variant."""
    if variant.refiner is None:
        return ("backbone",)
    return ("refiner",) if variant.regime == "frozen" else ("backbone", "refiner")
