"""Presets fitted to what a suite sets above them: fewer steps, smaller batches, another schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import accumulate
from math import gcd
from typing import Any

from harness.cells.recipe import Recipe
from harness.recipes.mapping import RecipeMapping
from harness.recipes.presets import Preset
from harness.recipes.schedule import READ_BY, until_restart

STAGED = ("patch", "batch", "micro_batch", "lr", "betas", "losses", "milestones", "gamma")
"""Fields that a stage may have of its own."""


def fitted(preset: Preset, values: Mapping[str, Any], kept: AbstractSet[str]) -> dict[str, Any]:
    """A preset's fields after a suite has set others above them. `kept`: those that are still the preset's.

    - When the suite changes `steps`, the lengths among them (warm-up, hold, cycles, milestones, stages, steps before
      mixing, the window of the average of weights) keep their share; one that shrinks to nothing is left out.
    - When the suite changes `batch`, samples are mixed in as many of the preset's groups as can be had.
    - When the suite changes `schedule`, settings that the new one does not use are dropped.
    - When the suite changes `crop` or `patch`, settings that go with the preset's way of cutting alone are dropped.
    - A field that stages may set themselves (patch, batch, …) holds in every stage when the suite sets it.
    """
    fit = {**values, **_fitted_lengths(preset.recipe, values, kept)}
    falls = fit["milestones"] or any(stage.milestones for stage in fit["stages"])
    if "milestones" in kept and not falls and fit["schedule"] == "step":
        fit["schedule"] = "constant"
    for name, readers in READ_BY.items():
        if name in kept and fit["schedule"] not in readers:
            fit[name] = Recipe.model_fields[name].default
    fit |= _fitted_crops(fit, kept)
    if "stages" in kept:
        cleared = {name: None for name in STAGED if name in fit and name not in kept}
        if fit["schedule"] != "step" or "milestones" in cleared:
            cleared |= {"milestones": None, "gamma": None}
        fit["stages"] = tuple(stage.model_copy(update=cleared) for stage in fit["stages"])
    if "mixup" in kept and fit["mixup"] is not None:
        batches = [stage.batch or fit["batch"] for stage in fit["stages"]] or [fit["batch"]]
        fit["mixup"] = fit["mixup"].model_copy(update={"groups": gcd(fit["mixup"].groups, *batches)})
    return fit


def _fitted_crops(values: Mapping[str, Any], kept: AbstractSet[str]) -> dict[str, Any]:
    """Those of `kept` that the suite's own way of cutting leaves nothing to do, at their defaults."""
    whole = values["patch"] == "whole" and "patch" not in kept
    idle = {
        "stride": whole or values["crop"] != "grid",
        "regions": whole or values["crop"] == "grid",
        "crop": whole,
        "pad": whole,
        "scale": whole,
    }
    return {name: Recipe.model_fields[name].default for name in kept if idle.get(name)}


def _fitted_lengths(official: RecipeMapping, values: Mapping[str, Any], kept: AbstractSet[str]) -> dict[str, Any]:
    """The lengths among `kept`, scaled to the new number of `steps`."""
    old, new = official.steps, values["steps"]
    fit = {name: values[name] * new // old for name in kept & {"warmup", "hold"}}
    if "cycles" in kept:
        warmup = fit.get("warmup", values["warmup"])
        fit["cycles"] = _shrunk(values["cycles"], old - official.warmup, max(1, new - warmup))
    if "milestones" in kept:
        fit["milestones"] = _moved(values["milestones"], new / old, new)
    if "stages" in kept:
        fit["stages"] = _fitted_stages(values["stages"], old, new)
    if "mixup" in kept and values["mixup"] is not None:
        fit["mixup"] = values["mixup"].model_copy(update={"after": values["mixup"].after * new // old})
    if "ema" in kept and values["ema"] is not None and new != old:
        fit["ema"] = values["ema"] ** (old / new)
    return fit


def _fitted_stages(stages: Sequence[Any], old: int, new: int) -> tuple[Any, ...]:
    """Stages of `old` steps as stages of `new` ones, with their own milestones."""
    fit = _shrunk(stages, old, new)
    return tuple(
        stage.model_copy(update={"milestones": _moved(stage.milestones, new / old, until_restart(fit[index:]))})
        if stage.milestones
        else stage
        for index, stage in enumerate(fit)
    )


def _moved(milestones: Sequence[int], scale: float, end: int) -> tuple[int, ...]:
    """Milestones after `scale` as many steps; those that come to lie at the end or after it are gone."""
    moved = sorted({max(1, round(milestone * scale)) for milestone in milestones})
    return tuple(milestone for milestone in moved if milestone < end)


def _shrunk(parts: Sequence[Any], old: int, new: int) -> tuple[Any, ...]:
    """Parts of `old` steps as parts of `new` ones that add up as before; those left without steps are gone."""
    ends = [round(end * new / old) for end in accumulate(part.steps for part in parts)]
    spans = zip(parts, [0, *ends], ends, strict=False)
    return tuple(part.model_copy(update={"steps": end - start}) for part, start, end in spans if start < min(end, new))
