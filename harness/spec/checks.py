"""Mistakes of meaning that need no look at other parts: combinations of settings that cannot be what was wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.api.reference import Placement
from harness.spec.cell import Recipe, Stage
from harness.spec.schema import VariantMapping

MIN_PATCH = 16
MAX_PIXELS = 1 << 26
"""Pixels of one forward pass that no device of today holds: batch and patch were probably swapped."""

Mistake = tuple[str, str, str]
"""Field, what is wrong, what to try."""


def recipe_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Settings of a recipe that contradict each other."""
    if recipe.stages:
        together = sum(stage.steps for stage in recipe.stages)
        if together != recipe.steps:
            yield "stages", f"the stages take {together} steps of {recipe.steps}", f"steps: {together}"
        for stage in recipe.parts:
            yield from (("stages", what, hint) for _, what, hint in _tile_mistakes(stage, recipe.stride))
    else:
        yield from _tile_mistakes(recipe.parts[0], recipe.stride)
    yield from _schedule_mistakes(recipe)
    if not all(0 <= beta < 1 for beta in recipe.betas):
        yield "betas", f"betas are in [0, 1), not {list(recipe.betas)}", ""
    names = [(term.part.name, str(term.part.options)) for term in recipe.losses]
    if len(set(names)) < len(names):
        yield "losses", "a loss is named twice", "add up their weights"


def _schedule_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Lengths that do not fit the training, and settings that the chosen schedule does not look at."""
    if recipe.lr_min > recipe.lr and recipe.schedule in READ_BY["lr_min"] and not recipe.cycles:
        yield "lr_min", f"lr_min {recipe.lr_min:g} is above lr {recipe.lr:g}", "the rate falls from lr to lr_min"
    if recipe.warmup >= recipe.steps:
        yield "warmup", f"{recipe.warmup} warm-up steps of {recipe.steps} in all", "fewer than steps"
    elif recipe.warmup + recipe.hold > recipe.steps:
        yield "hold", f"{recipe.warmup} + {recipe.hold} steps before the rate falls, of {recipe.steps}", "fewer"
    falls, together = recipe.steps - recipe.warmup, sum(cycle.steps for cycle in recipe.cycles)
    if recipe.cycles and together < falls:
        yield "cycles", f"the cycles take {together} steps of {falls}", "steps less warmup, or more"
    elif recipe.cycles and together - recipe.cycles[-1].steps >= falls:
        yield "cycles", f"the last cycle begins after all {falls} steps", "remove it"
    if list(recipe.milestones) != sorted(set(recipe.milestones)):
        yield "milestones", f"milestones rise, not {list(recipe.milestones)}", ""
    elif recipe.milestones and recipe.milestones[-1] >= recipe.steps:
        yield (
            "milestones",
            f"milestone {recipe.milestones[-1]} is not before the last step, {recipe.steps}",
            "remove it",
        )
    if recipe.schedule == "step" and not recipe.milestones:
        yield "schedule", "schedule step never falls without milestones", "milestones: [STEP], or schedule: constant"
    unusual = {name for name, field in Recipe.model_fields.items() if getattr(recipe, name) != field.default}
    for name, readers in READ_BY.items():
        if name in unusual and recipe.schedule not in readers:
            what = f"{name} does nothing with schedule {recipe.schedule}"
            yield name, what, f"remove it, or schedule: {readers[0]}"
    if recipe.cycles and recipe.schedule == "cosine":
        for name in sorted(unusual & {"hold", "lr_min"}):
            yield name, f"{name} does nothing beside cycles", "remove it: each cycle has its steps and its lr_min"


READ_BY = {
    "milestones": ("step",),
    "gamma": ("step",),
    "cycles": ("cosine",),
    "hold": ("cosine", "linear"),
    "lr_min": ("cosine", "linear"),
}
"""Schedules that look at a setting."""


def _tile_mistakes(part: Stage, stride: int | None) -> Iterator[Mistake]:
    """What is wrong with batches and tiles of one part of the training, in which everything is filled in."""
    assert part.batch is not None, part
    assert part.patch is not None, part
    forward = part.micro_batch or part.batch
    if part.micro_batch and part.batch % part.micro_batch:
        what = f"micro_batch {part.micro_batch} does not divide batch {part.batch}"
        yield "micro_batch", what, f"one of {', '.join(map(str, _divisors(part.batch)))}"
    if part.patch < MIN_PATCH:
        yield "patch", f"tiles of {part.patch} pixels are too small to learn from", f"at least {MIN_PATCH}"
    elif forward * part.patch**2 > MAX_PIXELS:
        what = f"{forward} tiles of {part.patch}×{part.patch} pixels at once: no device holds that"
        yield "patch", what, "are batch and patch swapped? Otherwise set micro_batch"
    if stride and stride > part.patch:
        yield "stride", f"stride {stride} skips pixels between tiles of {part.patch}", "at most the patch"


def _divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, min(number, 4096) + 1) if number % candidate == 0][-6:]


def placements(declared: Mapping[str, Any]) -> tuple[Placement, ...]:
    """Where a refiner can sit, by what it declares; the first is where it sits when a suite says nothing."""
    return declared.get("placements", ("image",))


def variant_mistakes(variant: VariantMapping, declared: Mapping[str, Any]) -> Iterator[Mistake]:
    """A refiner without a prior or the other way round, and settings that do nothing, or that it cannot have.

    `declared`: what the refiner says of itself (harness.api.parts.Refiner); empty without one.
    """
    given = variant.model_fields_set
    refiner = variant.refiner
    if refiner is None:
        if variant.prior is not None:
            yield "prior", f"the prior {variant.prior.name} has no refiner to guide", "add refiner: ptg_rm"
        if variant.regime != "joint":
            yield "regime", f"{variant.regime} needs a refiner: the base cell is itself the base", "add refiner: ptg_rm"
        for name in ("placement", "features"):
            if name in given:
                yield name, f"{name} does nothing without a refiner", "remove it, or add refiner and prior"
    elif not declared.get("needs_prior", True):
        if variant.prior is not None:
            yield "prior", f"the refiner {refiner.name} brings its own knowledge and takes no prior", "remove prior"
        if "features" in given:
            yield "features", f"features does nothing for the refiner {refiner.name}, which takes no prior", "remove it"
    elif variant.prior is None:
        yield "refiner", f"the refiner {refiner.name} needs a prior", "for a control write prior: random"
    if refiner is not None and "placement" in given and variant.placement not in placements(declared):
        what = f"the refiner {refiner.name} cannot be placed on {variant.placement!r}"
        yield "placement", what, "it takes " + ", ".join(placements(declared))
    if variant.base_recipe is not None and variant.regime == "joint":
        yield "base_recipe", "regime joint starts from no base cell", "regime: from_base, or regime: frozen"
