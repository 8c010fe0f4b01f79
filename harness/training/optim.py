"""Optimizer and learning rate, from the recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RAdam

from harness.cells.recipe import Recipe
from harness.core.errors import HarnessError

RATE = "rate"
"""Key of a parameter group: factor of the learning rate in it."""


def build_optimizer(recipe: Recipe, parameters: Iterable[tuple[str, nn.Parameter]]) -> Optimizer:
    """The optimizer over named parameters that train; frozen ones get no state and cannot move by weight decay.

    RAdam decays weights apart from the gradient, as torch_optimizer's, which IFAN trains with, does. Parameters of the
    modules in `recipe.rates` form groups of their own; where modules lie in each other the inner one counts.

    The fused step is one call for all tensors: restoration networks of benchmark size have hundreds of small ones,
    and a step one by one costs as much as a small forward pass. Raises HarnessError when no parameter trains.
    """
    groups = _groups(recipe, [(name, value) for name, value in parameters if value.requires_grad])
    if not groups:
        what = "no parameter is left to train"
        raise HarnessError(what, hint="the regime `frozen` needs a refiner")
    if recipe.optimizer == "sgd":
        momentum = recipe.betas[0]
        return SGD(groups, lr=recipe.lr, momentum=momentum, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimizer == "radam":
        return RAdam(groups, recipe.lr, recipe.betas, 1e-8, recipe.weight_decay, decoupled_weight_decay=True)
    kind = {"adam": Adam, "adamw": AdamW}[recipe.optimizer]
    return kind(groups, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def _groups(recipe: Recipe, trained: Sequence[tuple[str, nn.Parameter]]) -> list[dict[str, Any]]:
    """Parameter groups, one for each factor of the rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trained:
        inside = [module for module in recipe.rates or () if name.startswith(f"{module}.")]
        factor = (recipe.rates or {})[max(inside, key=len)] if inside else 1.0
        groups.setdefault(factor, []).append(parameter)
    return [{"params": parameters, RATE: factor} for factor, parameters in groups.items()]


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 1 to recipe.steps.

    Linear warm-up that reaches the peak at step `warmup`, then what `schedule` says. A decay is at the peak in its
    first step and at `lr_min` in its last one. A stage may have its own peak. A stage that restarts begins a new
    schedule, which ends at the next restart, and may have milestones of its own. The rate depends on the step alone, so
    a resumed run needs no scheduler state.
    """
    recipe, step = _since_restart(recipe, step)
    if step <= recipe.warmup:
        return recipe.lr * step / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        passed = sum(step > milestone for milestone in recipe.milestones)
        return recipe.lr * recipe.gamma**passed
    if recipe.cycles:
        return _cyclic(recipe, step - recipe.warmup)
    first = recipe.warmup + recipe.hold + 1
    progress = max(0, step - first) / max(1, recipe.steps - first)
    if recipe.schedule == "linear":
        return recipe.lr + (recipe.lr_min - recipe.lr) * progress
    return _half_cosine(recipe.lr, recipe.lr_min, progress)


def _half_cosine(peak: float, floor: float, progress: float) -> float:
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


def _cyclic(recipe: Recipe, step: int) -> float:
    """The rate of a step after the warm-up. The training may end before the last cycle does."""
    for cycle in recipe.cycles:
        if step <= cycle.steps:
            return _half_cosine(recipe.lr, cycle.lr_min, (step - 1) / max(1, cycle.steps - 1))
        step -= cycle.steps
    return recipe.cycles[-1].lr_min


def _since_restart(recipe: Recipe, step: int) -> tuple[Recipe, int]:
    """The recipe without stages that holds at a step, and the step counted from the last restart."""
    if not recipe.stages:
        return recipe, step
    began, first, peak = 0, 1, recipe.lr
    milestones, gamma = recipe.milestones, recipe.gamma
    for stage in recipe.stages:
        if stage.restart and step < first:
            break
        if stage.restart:
            began = first - 1
            milestones = recipe.milestones if stage.milestones is None else stage.milestones
            gamma = stage.gamma or recipe.gamma
        if first <= step < first + stage.steps:
            peak = stage.lr or recipe.lr
        first += stage.steps
    falls = {"milestones": milestones, "gamma": gamma}
    return recipe.model_copy(update={"stages": (), "lr": peak, "steps": first - 1 - began, **falls}), step - began


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Sets it in every parameter group, times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = value * group[RATE]
