"""Optimizer and learning rate, from the recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from harness.core.errors import HarnessError
from harness.spec.cell import Recipe


def build_optimizer(recipe: Recipe, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Adam or AdamW over the parameters that learn; frozen ones get no state and cannot move by weight decay.

    The fused step is one call for all tensors: restoration networks of benchmark size have hundreds of small ones,
    and a step one by one costs as much as a small forward pass. Raises HarnessError when nothing learns.
    """
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    if not learning:
        raise HarnessError("no parameter is left to train", hint="the regime `frozen` needs a refiner")
    kind = {"adam": Adam, "adamw": AdamW}[recipe.optimizer]
    return kind(learning, lr=recipe.lr, betas=recipe.betas, weight_decay=recipe.weight_decay, fused=True)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 1 to recipe.steps.

    Linear warm-up that reaches the peak at step `warmup`, then half a cosine that reaches lr_min at the last step.
    A function of the step alone, so that a resumed run needs no scheduler state.
    """
    if step <= recipe.warmup:
        return recipe.lr * step / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.lr
    first = recipe.warmup + 1
    progress = (step - first) / max(1, recipe.steps - first)
    return recipe.lr_min + (recipe.lr - recipe.lr_min) * (1 + math.cos(math.pi * progress)) / 2


def set_learning_rate(optimizer: Optimizer, value: float) -> None:
    """Sets it in every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = value
