"""Settings of a recipe that contradict each other. Those of the learning rate are in harness.recipes.schedule, those of
what is cut from images in harness.recipes.crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.cells.recipe import Recipe, Stage
from harness.core.errors import did_you_mean
from harness.core.wording import Mistake
from harness.core.yaml import Path
from harness.recipes.crops import crop_mistakes, patch_mistakes
from harness.recipes.schedule import schedule_mistakes

ROOTS = ("backbone", "refiner")
"""What a module's name begins with."""


def recipe_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Settings of a recipe that contradict each other; paths lead from the recipe."""
    together = sum(part.steps for part in recipe.parts)
    if together != recipe.steps:
        yield Mistake(("stages",), f"the stages take {together} steps of {recipe.steps}", f"steps: {together}")
    for index, part in enumerate(recipe.parts):
        for mistake in (*_batch_mistakes(part), *patch_mistakes(part, recipe.resize)):
            yield replace(mistake, path=("stages", index, *mistake.path)) if recipe.stages else mistake
    yield from crop_mistakes(recipe)
    yield from schedule_mistakes(recipe)
    yield from _alteration_mistakes(recipe)
    yield from _module_mistakes(recipe)
    yield from _betas_mistakes(recipe)
    yield from _loss_mistakes(recipe)
    names = [(term.part.name, str(term.part.options)) for term in recipe.losses]
    if len(set(names)) < len(names):
        yield Mistake(("losses",), "a loss is named twice", "add up their weights")


def _module_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Modules of neither the backbone nor the refiner; whether those have them only the networks themselves know."""
    named: list[tuple[Path, str]] = [(("rates", module), module) for module in recipe.rates or ()]
    for index, stage in enumerate(recipe.stages):
        named += [(("stages", index, "trains", place), module) for place, module in enumerate(stage.trains)]
    for path, module in named:
        hint = _wrong_root(module)
        if hint is not None:
            yield Mistake(path, f"{module!r} is not a module: its name begins with `backbone` or `refiner`", hint)


def _wrong_root(module: str) -> str | None:
    """What to try in place of a module that is neither `backbone`, `refiner` nor below one; None for a right one."""
    steps = module.split(".")
    if steps[0] not in ROOTS:
        near = did_you_mean(steps[0], ROOTS)
        return near if near.startswith("did you mean") or not module else " or ".join(f"{r}.{module}" for r in ROOTS)
    return None if all(steps) else f"{'.'.join(filter(None, steps))}, without the empty name"


def _betas_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Betas out of range, and those of a stage that goes on with an optimizer that has its own."""
    stages = [(("stages", index, "betas"), stage.betas) for index, stage in enumerate(recipe.stages)]
    for path, betas in ((("betas",), recipe.betas), *stages):
        if betas is not None and not all(0 <= beta < 1 for beta in betas):
            yield Mistake(path, f"betas are in [0, 1), not {list(betas)}")
    for (path, betas), stage in list(zip(stages, recipe.stages, strict=True))[1:]:
        if betas is not None and not stage.restart:
            what = "betas are those of a new optimizer, and this stage goes on with the one before"
            yield Mistake(path, what, "restart: true, or remove it")


def _loss_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Losses that weigh nothing. Whether those that are left train a cell depends on its variant, too."""
    stages = [(("stages", index), stage.losses or ()) for index, stage in enumerate(recipe.stages) if stage.losses]
    for path, terms in ((), recipe.losses), *stages:
        for index, term in enumerate(terms):
            if not term.weight and not term.refined_weight:
                yield Mistake(
                    (*path, "losses", index, "weight"), f"the loss {term.part.name} weighs nothing", "remove it"
                )


def _alteration_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Mixing that never begins or has unequal groups, and ranges of noise and brightness that are empty."""
    mixup, darken, grain = recipe.mixup, recipe.darken, recipe.grain
    if mixup is not None and mixup.after >= recipe.steps:
        what = f"mixing begins after step {mixup.after} of {recipe.steps}"
        yield Mistake(("mixup", "after"), what, "fewer than steps")
    if mixup is not None:
        for batch in dict.fromkeys(part.batch or recipe.batch for part in recipe.parts):
            if batch % mixup.groups:
                what = f"{mixup.groups} groups of mixed samples do not divide batch {batch}"
                yield Mistake(("mixup", "groups"), what, f"one of {', '.join(map(str, _divisors(batch)))}")
    if grain is not None and (grain.least or 0) > grain.sigma:
        what = f"the smallest noise, {grain.least:g}, is above the largest, {grain.sigma:g}"
        yield Mistake(("grain", "least"), what, "least at most `sigma`")
    if darken is not None and darken.least > darken.most:
        what = f"the smallest divisor, {darken.least:g}, is above the largest, {darken.most:g}"
        yield Mistake(("darken", "least"), what, "least at most `most`")


def _batch_mistakes(part: Stage) -> Iterator[Mistake]:
    """What is wrong with the batches of one part of the training, in which everything is filled in."""
    assert part.batch is not None, part
    if part.micro_batch and part.batch % part.micro_batch:
        what = f"micro_batch {part.micro_batch} does not divide batch {part.batch}"
        yield Mistake(("micro_batch",), what, f"one of {', '.join(map(str, _divisors(part.batch)))}")


def _divisors(number: int) -> list[int]:
    """The largest divisors of a number, at most six and none above 4096."""
    return [candidate for candidate in range(1, min(number, 4096) + 1) if number % candidate == 0][-6:]
