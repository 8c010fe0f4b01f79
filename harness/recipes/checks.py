"""Settings of a recipe that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from harness.cells.recipe import Recipe, Stage
from harness.core.wording import Mistake

MIN_PATCH = 16
MAX_PIXELS = 1 << 26
"""More pixels per forward pass than any device of today holds; batch and patch were probably swapped."""

READ_BY = {
    "milestones": ("step",),
    "gamma": ("step",),
    "cycles": ("cosine",),
    "hold": ("cosine", "linear"),
    "lr_min": ("cosine", "linear"),
}
"""Setting → the schedules that use it."""


def recipe_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Settings of a recipe that contradict each other; paths lead from the recipe."""
    if recipe.stages:
        together = sum(stage.steps for stage in recipe.stages)
        if together != recipe.steps:
            what = f"the stages take {together} steps of {recipe.steps}"
            yield Mistake(("stages",), what, f"steps: {together}")
        for index, stage in enumerate(recipe.parts):
            for mistake in _tile_mistakes(stage, recipe.stride):
                yield replace(mistake, path=("stages", index, *mistake.path))
    else:
        yield from _tile_mistakes(recipe.parts[0], recipe.stride)
    yield from _rate_mistakes(recipe)
    yield from _cycle_mistakes(recipe)
    yield from _milestone_mistakes(recipe)
    yield from _settings_without_effect(recipe)
    yield from _alteration_mistakes(recipe)
    if not all(0 <= beta < 1 for beta in recipe.betas):
        yield Mistake(("betas",), f"betas are in [0, 1), not {list(recipe.betas)}")
    yield from _loss_mistakes(recipe)
    names = [(term.part.name, str(term.part.options)) for term in recipe.losses]
    if len(set(names)) < len(names):
        yield Mistake(("losses",), "a loss is named twice", "add up their weights")


def _loss_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Losses that weigh nothing, one by one or together on F's restorations or on a refiner's."""
    stages = [(("stages", index), stage.losses or ()) for index, stage in enumerate(recipe.stages) if stage.losses]
    for path, terms in ((), recipe.losses), *stages:
        idle = [index for index, term in enumerate(terms) if not term.weight and not term.refined_weight]
        for index in idle:
            what = f"the loss {terms[index].part.name} weighs nothing"
            yield Mistake((*path, "losses", index, "weight"), what, "remove it")
        if idle or not terms:
            continue
        hint = "give one loss a weight above 0"
        if not any(term.weight for term in terms):
            yield Mistake((*path, "losses"), "no loss trains a network without a refiner", hint)
        if not any(term.weight if term.refined_weight is None else term.refined_weight for term in terms):
            hint = hint.replace("a weight", "a refined_weight")
            yield Mistake((*path, "losses"), "no loss looks at the restoration of a refiner", hint)


def _rate_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """A rate that would rise, and phases that are longer than the training."""
    steps, warmup, hold = recipe.steps, recipe.warmup, recipe.hold
    if recipe.lr_min > recipe.lr and recipe.schedule in READ_BY["lr_min"] and not recipe.cycles:
        what = f"lr_min {recipe.lr_min:g} is above lr {recipe.lr:g}"
        yield Mistake(("lr_min",), what, "the rate falls from lr to lr_min")
    if warmup >= steps:
        yield Mistake(("warmup",), f"{warmup} warm-up steps of {steps} in all", "fewer than steps")
    elif warmup + hold > steps:
        what = f"{warmup} + {hold} steps before the rate falls, of {steps}"
        yield Mistake(("hold",), what, f"hold: {steps - warmup} at most")


def _cycle_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Cycles that end before the training does, or begin after it."""
    if not recipe.cycles:
        return
    falls, together = recipe.steps - recipe.warmup, sum(cycle.steps for cycle in recipe.cycles)
    if together < falls:
        hint = f"{falls} at least: all steps but the warm-up"
        yield Mistake(("cycles",), f"the cycles take {together} steps of {falls}", hint)
    elif together - recipe.cycles[-1].steps >= falls:
        yield Mistake(("cycles",), f"the last cycle begins after all {falls} steps", "remove it")


def _milestone_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Milestones in a wrong order, after the end, or missing."""
    yield from _milestone_order(recipe.milestones, recipe.steps)
    for index, stage in enumerate(recipe.stages):
        path = ("stages", index, "milestones")
        if stage.milestones is None:
            if stage.gamma is not None:
                yield Mistake((*path[:2], "gamma"), "gamma does nothing without milestones of the stage", "remove it")
            continue
        if not stage.restart:
            yield Mistake(path, "milestones are counted from a restart, and this stage goes on", "restart: true")
        elif recipe.schedule != "step":
            yield Mistake(path, f"milestones does nothing with schedule {recipe.schedule}", "remove it")
        for mistake in _milestone_order(stage.milestones, until_restart(recipe.stages[index:])):
            yield replace(mistake, path=path)
    if recipe.schedule == "step" and not recipe.milestones and not any(each.milestones for each in recipe.stages):
        hint = "milestones: [STEP], or schedule: constant"
        yield Mistake(("schedule",), "schedule step never falls without milestones", hint)


def _milestone_order(milestones: tuple[int, ...], steps: int) -> Iterator[Mistake]:
    if list(milestones) != sorted(set(milestones)):
        yield Mistake(("milestones",), f"milestones rise, not {list(milestones)}")
    elif milestones and milestones[-1] >= steps:
        what = f"milestone {milestones[-1]} is not before the last step, {steps}"
        yield Mistake(("milestones",), what, "remove it")


def until_restart(stages: Sequence[Stage]) -> int:
    """Steps from the start of the first stage to the next restart."""
    going_on = takewhile(lambda stage: not stage.restart, stages[1:])
    return stages[0].steps + sum(stage.steps for stage in going_on)


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


def _settings_without_effect(recipe: Recipe) -> Iterator[Mistake]:
    """Settings that the chosen schedule does not use."""
    unusual = {name for name, field in Recipe.model_fields.items() if getattr(recipe, name) != field.default}
    for name, readers in READ_BY.items():
        if name in unusual and recipe.schedule not in readers:
            what = f"{name} does nothing with schedule {recipe.schedule}"
            yield Mistake((name,), what, f"remove it, or schedule: {readers[0]}")
    if recipe.cycles and recipe.schedule == "cosine":
        for name in sorted(unusual & {"hold", "lr_min"}):
            hint = "remove it: each cycle has its steps and its lr_min"
            yield Mistake((name,), f"{name} does nothing beside cycles", hint)


def _tile_mistakes(part: Stage, stride: int | None) -> Iterator[Mistake]:
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
    if stride and stride > part.patch:
        what = f"stride {stride} skips pixels between tiles of {part.patch}"
        yield Mistake(("stride",), what, "at most the patch")


def _divisors(number: int) -> list[int]:
    """The largest divisors of a number, at most six and none above 4096."""
    return [candidate for candidate in range(1, min(number, 4096) + 1) if number % candidate == 0][-6:]
