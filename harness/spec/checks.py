"""Mistakes of meaning that need no look at other parts: combinations of settings that cannot be what was wanted."""

from __future__ import annotations

from collections.abc import Iterator

from harness.spec.cell import Recipe
from harness.spec.schema import VariantMapping

MIN_PATCH = 16
MAX_PIXELS = 1 << 26
"""Pixels of one forward pass that no device of today holds: batch and patch were probably swapped."""

Mistake = tuple[str, str, str]
"""Field, what is wrong, what to try."""


def recipe_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Settings of a recipe that contradict each other."""
    forward = recipe.micro_batch or recipe.batch
    if recipe.micro_batch and recipe.batch % recipe.micro_batch:
        what = f"micro_batch {recipe.micro_batch} does not divide batch {recipe.batch}"
        yield "micro_batch", what, f"one of {', '.join(map(str, _divisors(recipe.batch)))}"
    if recipe.patch < MIN_PATCH:
        yield "patch", f"tiles of {recipe.patch} pixels are too small to learn from", f"at least {MIN_PATCH}"
    elif forward * recipe.patch**2 > MAX_PIXELS:
        what = f"{forward} tiles of {recipe.patch}×{recipe.patch} pixels at once: no device holds that"
        yield "patch", what, "are batch and patch swapped? Otherwise set micro_batch"
    if recipe.stride and recipe.stride > recipe.patch:
        yield "stride", f"stride {recipe.stride} skips pixels between tiles of {recipe.patch}", "at most the patch"
    if recipe.lr_min > recipe.lr:
        yield "lr_min", f"lr_min {recipe.lr_min:g} is above lr {recipe.lr:g}", "the cosine falls from lr to lr_min"
    if recipe.warmup >= recipe.steps:
        yield "warmup", f"{recipe.warmup} warm-up steps of {recipe.steps} in all", "fewer than steps"
    if not all(0 <= beta < 1 for beta in recipe.betas):
        yield "betas", f"betas are in [0, 1), not {list(recipe.betas)}", ""
    names = [(term.part.name, str(term.part.options)) for term in recipe.losses]
    if len(set(names)) < len(names):
        yield "losses", "a loss is named twice", "add up their weights"


def _divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, min(number, 4096) + 1) if number % candidate == 0][-6:]


def variant_mistakes(variant: VariantMapping) -> Iterator[Mistake]:
    """A refiner without a prior or the other way round, and settings that do nothing without a refiner."""
    given = variant.model_fields_set
    if variant.refiner is not None and variant.prior is None:
        yield "refiner", f"the refiner {variant.refiner.name} needs a prior", "for a control write prior: random"
    if variant.refiner is None:
        if variant.prior is not None:
            yield "prior", f"the prior {variant.prior.name} has no refiner to guide", "add refiner: ptg_rm"
        if variant.regime != "joint":
            yield "regime", f"{variant.regime} needs a refiner: the base cell is itself the base", "add refiner: ptg_rm"
        for name in ("placement", "features"):
            if name in given:
                yield name, f"{name} does nothing without a refiner", "remove it, or add refiner and prior"
    if variant.base_recipe is not None and variant.regime == "joint":
        yield "base_recipe", "regime joint starts from no base cell", "regime: from_base, or regime: frozen"
