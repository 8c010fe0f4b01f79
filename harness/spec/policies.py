"""Which images a prior sees in training, and where a recipe or the images leave no choice."""

from __future__ import annotations

from collections.abc import Iterator

from harness.api.declaration import declaration
from harness.api.reference import FeaturePolicy, PartRef
from harness.cells.recipe import Recipe
from harness.core.registry import Registry
from harness.core.wording import Mistake
from harness.spec.drafts import VariantDraft


def usual_policy(recipe: Recipe, task: PartRef) -> FeaturePolicy:
    """What a variant that says nothing has: the crops' own vectors where all crops are known and stored beforehand."""
    return "crop" if recipe.crop == "grid" and not _is_drawn(task) else "image"


def policy_mistakes(variant: VariantDraft, recipe: Recipe, task: PartRef, registry: Registry) -> Iterator[Mistake]:
    """Where a variant, a recipe and the images contradict each other."""
    if variant.prior is None:
        return
    live = declaration(registry, "prior", variant.prior.ref.name).traits.derived
    others = "features: image" if live else "features: image, or features: live"
    if variant.features == "crop" and recipe.crop != "grid":
        what = "features crop needs crops that are known beforehand, and the recipe cuts them at random"
        yield Mistake(("features",), what, f"in the recipe crop: grid, or {others}")
    elif variant.features == "crop" and _is_drawn(task):
        assert task.derived_from is not None, task
        what = f"{task.derived_from.name} is drawn anew at every step, so that no crop is known beforehand"
        yield Mistake(("features",), what, others)
    if variant.views == 1:
        return
    policy = variant.features or usual_policy(recipe, task)
    if policy != "image":
        what = f"views {variant.views} does nothing with features {policy}"
        yield Mistake(("views",), what, "remove it, or features: image")
    elif recipe.augment == "none":
        yield Mistake(("views",), "views does nothing: the recipe has augment none", "remove it")


def _is_drawn(task: PartRef) -> bool:
    return task.derived_from is not None and task.derived_from.drawn
