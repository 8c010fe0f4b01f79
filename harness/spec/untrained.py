"""Cells that no loss trains: it depends on a recipe and a variant together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.api.reference import PartRef
from harness.cells.recipe import Recipe
from harness.core.wording import Mistake
from harness.core.yaml import Path
from harness.spec.cells import BASE, CONTINUED
from harness.spec.drafts import Layer, VariantDraft
from harness.spec.layers import Recipes


@dataclass(frozen=True)
class Training:
    """What one cell is trained as, and how messages call what would not be trained."""

    variant: VariantDraft
    layers: Sequence[Layer]
    backbone: PartRef | None
    task: PartRef | None
    who: str
    hint: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether it trains at all: a network alone with published weights does not."""
        return not (self.variant is BASE and self.backbone is not None and self.backbone.weights)


def untrained(
    variant: VariantDraft, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None, recipes: Recipes
) -> Iterator[tuple[Path | None, Mistake]]:
    """Mistakes of the cells of one combination, with where the file gives the losses; None where it gives none."""
    for training in trainings(variant, layers, backbone, task, recipes):
        where = training.layers, training.backbone, training.task
        recipe = recipes.combined(*where)
        if recipe is None or not training.is_trained:
            continue
        for mistake in _untrained(training.variant, recipe, training.who, training.hint):
            yield recipes.place(*where, mistake.path), mistake


def trainings(
    variant: VariantDraft, layers: Sequence[Layer], backbone: PartRef | None, task: PartRef | None, recipes: Recipes
) -> Iterator[Training]:
    """A combination's own cell, and those that stand beside it or that it requires."""
    where = layers, backbone, task
    if variant.refiner is not None:
        yield Training(variant, *where, f"the refiner {variant.refiner.name}")
    elif variant.regime == "joint":
        yield Training(BASE, *where, "a network without a refiner")
    else:
        yield Training(variant, *where, "base_continued")
    if variant.refiner is not None and variant.continued:
        yield Training(CONTINUED, *where, f"base_continued beside regime {variant.regime}", "continued: false")
    if variant.regime != "joint":
        below = [*layers, variant.base_recipe] if variant.base_recipe else layers
        who = f"the base that regime {variant.regime} starts from"
        yield Training(BASE, below, backbone, task, who, "other losses in base_recipe")
    source = variant.prior.any_source if variant.prior else None
    if source is not None:
        below = [*layers, source.recipe] if source.recipe else layers
        solved = source.task.ref
        network = recipes.backbone(*source.network, below, solved)
        yield Training(BASE, below, network, solved, "the network behind the prior", "other losses in its recipe")


def _untrained(variant: VariantDraft, recipe: Recipe, who: str, otherwise: str = "") -> Iterator[Mistake]:
    """Stages of a cell's training in which no loss weighs anything on the restoration that trains it.

    `who`: how messages call what is not trained; `otherwise`: another way out. Paths lead from the recipe.

    With R behind F, losses look at Î and at Ī. Only those at Ī train R, and a frozen F learns from neither. R inside F
    leaves a single restoration, on which losses have their plain weight, as they have without R.
    """
    single = variant.refiner is None or variant.placement == "features"
    weight = "weight" if single else "refined_weight"
    hint = ", or ".join(filter(None, (f"give one loss a {weight} above 0", otherwise)))
    parts = _trained(variant, recipe).parts
    replaced = bool(variant.stages) and all(own.losses for own in variant.stages)
    if variant.losses:  # they look at the final restoration in every stage of the recipe
        return
    for stage in parts[:-1] if replaced else parts:  # a refiner's own stages stand in the place of the last one
        terms = stage.losses or ()
        on_initial = any(term.weight for term in terms)
        on_refined = any(term.weight if term.refined_weight is None else term.refined_weight for term in terms)
        trained = on_initial if single else on_refined or (on_initial and not stage.trains_in("refiner"))
        if not trained:
            own = any(each.losses == stage.losses for each in recipe.stages)
            yield Mistake(("stages" if own else "losses",), f"no loss trains {who}", hint)


def _trained(variant: VariantDraft, recipe: Recipe) -> Recipe:
    """The recipe without the stages that train nothing of the cell."""
    if variant.refiner is None:
        return recipe.for_backbone
    return recipe.for_refiner if variant.regime == "frozen" else recipe
