"""Settings of the learning rate that contradict each other, or that never act.

A stage that restarts begins the schedule anew: warm-up, hold, cycles and milestones are counted from there. So each
must fit every stretch from one restart to the next one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from harness.cells.recipe import Recipe, Stage
from harness.core.wording import Mistake
from harness.core.yaml import Path

READ_BY = {
    "milestones": ("step",),
    "gamma": ("step",),
    "cycles": ("cosine",),
    "hold": ("cosine", "linear"),
    "lr_min": ("cosine", "linear"),
}
"""Setting → the schedules that use it."""


@dataclass(frozen=True)
class _Stretch:
    """Steps with one schedule: from a restart, or the start, to the next restart."""

    first: int
    """Index of its first stage."""
    stage: Stage
    """Its first stage."""
    steps: int
    alone: bool
    """Whether nothing restarts, so that it is the whole training."""

    @property
    def begins(self) -> str:
        return "" if self.alone else f" from stages.{self.first} on, where the schedule begins anew"

    @property
    def own_milestones(self) -> bool:
        return self.stage.restart and self.stage.milestones is not None


def schedule_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Mistakes in the learning rate; paths lead from the recipe."""
    stretches = _stretches(recipe)
    yield from _peak_mistakes(recipe)
    yield from _phase_mistakes(recipe, min(stretches, key=lambda stretch: stretch.steps))
    yield from _cycle_mistakes(recipe, stretches)
    yield from _milestone_mistakes(recipe, stretches)
    yield from _stage_milestone_mistakes(recipe)
    yield from _settings_without_effect(recipe)


def until_restart(stages: Sequence[Stage]) -> int:
    """Steps from the start of the first stage to the next restart."""
    going_on = takewhile(lambda stage: not stage.restart, stages[1:])
    return stages[0].steps + sum(stage.steps for stage in going_on)


def _stretches(recipe: Recipe) -> list[_Stretch]:
    stages = recipe.stages or (Stage(steps=recipe.steps),)
    starts = [index for index, stage in enumerate(stages) if stage.restart or index == 0]
    return [_Stretch(start, stages[start], until_restart(stages[start:]), len(starts) == 1) for start in starts]


def _peak_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """A rate that would rise, because its end is above a peak."""
    if recipe.schedule not in READ_BY["lr_min"] or recipe.cycles:
        return
    peaks: list[tuple[Path, float, str]] = [
        (("stages", index, "lr"), stage.lr, " of this stage")
        for index, stage in enumerate(recipe.stages)
        if stage.lr is not None
    ]
    if not peaks or len(peaks) < len(recipe.stages):
        peaks.insert(0, (("lr_min",), recipe.lr, ""))
    for path, lr, whose in peaks:
        if recipe.lr_min > lr:
            what = f"lr_min {recipe.lr_min:g} is above lr {lr:g}{whose}"
            yield Mistake(path, what, "the rate falls from lr to lr_min")


def _phase_mistakes(recipe: Recipe, shortest: _Stretch) -> Iterator[Mistake]:
    """A peak or a fall that is never reached."""
    steps, warmup, hold = shortest.steps, recipe.warmup, recipe.hold
    if warmup >= steps:
        what = f"{warmup} warm-up steps of {steps}{shortest.begins or ' in all'}"
        hint = "fewer than steps" if shortest.alone else f"warmup: {steps - 1} at most, or longer stages"
        yield Mistake(("warmup",), what, hint)
    elif hold and warmup + hold >= steps:
        what = f"{warmup} + {hold} steps before the rate falls, of {steps}{shortest.begins}"
        yield Mistake(("hold",), what, f"hold: {steps - warmup - 1} at most, or schedule: constant")


def _cycle_mistakes(recipe: Recipe, stretches: Sequence[_Stretch]) -> Iterator[Mistake]:
    """Cycles that end before their steps do, or begin after them. A single one may be cut, as some authors' is."""
    together = sum(cycle.steps for cycle in recipe.cycles)
    for stretch in stretches if recipe.cycles else ():
        falls = stretch.steps - recipe.warmup
        if falls < 1:  # the warm-up is too long
            continue
        fit = "" if stretch.alone else "; each restart begins the first one, so leave out `restart` or change the steps"
        if together < falls:
            what = f"the cycles take {together} steps of {falls}{stretch.begins}"
            yield Mistake(("cycles",), what, f"{falls} at least: all steps but the warm-up{fit}")
            return
        if together - recipe.cycles[-1].steps >= falls:
            what = f"the last cycle begins after all {falls} steps{stretch.begins}"
            yield Mistake(("cycles",), what, f"remove it{fit}")
            return
    longest = max(stretches, key=lambda stretch: stretch.steps)
    if len(recipe.cycles) > 1 and together not in (longest.steps - recipe.warmup, longest.steps):
        falls = longest.steps - recipe.warmup
        what = f"the last of several cycles is cut: they take {together} steps of {falls}{longest.begins}"
        yield Mistake(("cycles",), what, f"{falls} together, or a single cycle, which may be longer")


def _milestone_mistakes(recipe: Recipe, stretches: Sequence[_Stretch]) -> Iterator[Mistake]:
    """The recipe's milestones in a wrong order, after the end of a stretch, without effect, or missing."""
    shared = [stretch for stretch in stretches if not stretch.own_milestones]
    if shared:
        shortest = min(shared, key=lambda stretch: stretch.steps)
        for mistake in _milestone_order(recipe.milestones, shortest.steps, shortest.begins):
            own = f"remove it, or stages.{shortest.first}: milestones of its own, [] for none, and restart: true"
            yield mistake if shortest.alone or not mistake.hint else replace(mistake, hint=own)
    elif recipe.milestones:
        yield Mistake(("milestones",), "milestones does nothing: each stage that restarts has its own", "remove it")
    if recipe.schedule == "step" and not recipe.milestones and not any(each.milestones for each in recipe.stages):
        hint = "milestones: [STEP], or schedule: constant"
        yield Mistake(("schedule",), "schedule step never falls without milestones", hint)


def _stage_milestone_mistakes(recipe: Recipe) -> Iterator[Mistake]:
    """Milestones and factors of a stage that do nothing, and milestones in a wrong order or after the end."""
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


def _milestone_order(milestones: tuple[int, ...], steps: int, begins: str = "") -> Iterator[Mistake]:
    if list(milestones) != sorted(set(milestones)):
        yield Mistake(("milestones",), f"milestones rise, not {list(milestones)}")
    elif milestones and milestones[-1] >= steps:
        what = f"milestone {milestones[-1]} is not before the last step, {steps}{begins}"
        yield Mistake(("milestones",), what, "remove it")


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
