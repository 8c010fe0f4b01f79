"""Settings of a recipe that contradict each other. Those of the learning rate are in harness.recipes.schedule."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from harness.cells.recipe import Recipe, Stage
from harness.core.errors import did_you_mean
from harness.core.wording import Mistake
from harness.core.yaml import Path
from harness.recipes.schedule import schedule_mistakes

MIN_PATCH = 16
MAX_PIXELS = 1 << 26
"""More pixels per forward pass than any device of today holds; batch and patch were probably swapped."""

MAX_STORED = 2048
"""Side of the largest prepared tile; images of training sets are rarely larger than that."""

ROOTS = ("backbone", "refiner")
"""What a module's name begins with."""


def recipe_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Settings of a recipe that contradict each other; paths lead from the recipe."""
    together = sum(part.steps for part in recipe.parts)
    if together != recipe.steps:
        yield Mistake(("stages",), f"the stages take {together} steps of {recipe.steps}", f"steps: {together}")
    for index, part in enumerate(recipe.parts):
        for mistake in _tile_mistakes(part):
            yield replace(mistake, path=("stages", index, *mistake.path)) if recipe.stages else mistake
    yield from _stride_mistakes(recipe)
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
    yield from _scale_mistakes(recipe)


def _scale_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Samples so small that no image holds the tile from which they are made."""
    stored = max(recipe.stored_tiles)
    patch = max(part.patch or recipe.patch for part in recipe.parts)
    if recipe.scale is None and stored > MAX_STORED:
        yield Mistake(("patch",), f"no tiles of {patch} pixels are prepared", f"patch: {MAX_STORED} at most")
    elif recipe.scale is not None and stored > MAX_STORED:
        what = f"tiles of {patch} pixels, made smaller by {recipe.scale.least:g}, need prepared ones of {stored}"
        least = math.ceil(1000 * patch / MAX_STORED) / 1000
        hint = f"least: {least:g} or more, or a smaller patch" if least < 1 else "a smaller patch"
        yield Mistake(("scale", "least"), what, hint)


def _stride_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Gaps between prepared tiles."""
    stored = min(recipe.stored_tiles)
    if recipe.stride and recipe.stride > stored:
        what = f"stride {recipe.stride} skips pixels between tiles of {stored}"
        yield Mistake(("stride",), what, "at most the patch" if recipe.scale is None else "at most patch / scale.least")


def _tile_mistakes(part: Stage) -> Iterator[Mistake]:
    """What is wrong with batches and tiles of one part of the training, in which everything is filled in."""
    assert part.batch is not None, part
    assert part.patch is not None, part
    forward = part.micro_batch or part.batch
    if part.micro_batch and part.batch % part.micro_batch:
        what = f"micro_batch {part.micro_batch} does not divide batch {part.batch}"
        yield Mistake(("micro_batch",), what, f"one of {', '.join(map(str, _divisors(part.batch)))}")
    if part.patch < MIN_PATCH:
        what = f"tiles of {part.patch} pixels are too small to learn from"
        yield Mistake(("patch",), what, f"at least {MIN_PATCH}")
    elif forward * part.patch**2 > MAX_PIXELS:
        what = f"{forward} tiles of {part.patch}×{part.patch} pixels at once: no device holds that"
        yield Mistake(("patch",), what, "are batch and patch swapped? Otherwise set micro_batch")


def _divisors(number: int) -> list[int]:
    """The largest divisors of a number, at most six and none above 4096."""
    return [candidate for candidate in range(1, min(number, 4096) + 1) if number % candidate == 0][-6:]
