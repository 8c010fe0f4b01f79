"""The stages of a training: which steps, which parameters, which losses, and what goes on from one to the next."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator
from torch import nn
from torch.optim import Optimizer

from harness.core.registry import Registry
from harness.spec.cell import Cell, Recipe, Stage
from harness.training.objective import Objective, build_objective
from harness.training.optim import build_optimizer, learning_rate
from harness.training.step import EncodeLive, Stepper


@dataclass(frozen=True)
class Span:
    """A stage in its place: optimizer steps first + 1 to last."""

    number: int
    stage: Stage
    """With everything filled in."""
    first: int
    last: int
    began: int
    """The step after which its optimizer and its learning rate began."""
    aimed: int
    """The step after which its losses began."""
    recipe: Recipe
    """The whole one."""

    @property
    def batch(self) -> int:
        assert self.stage.batch is not None, self.stage
        return self.stage.batch

    @property
    def peak(self) -> float:
        """The stage's highest learning rate."""
        assert self.stage.lr is not None, self.stage
        return self.stage.lr

    def learning_rate(self, step: int) -> float:
        """Of a step of the whole training."""
        return learning_rate(self.recipe, step)


def spans(recipe: Recipe) -> Iterator[Span]:
    """The stages in their places."""
    parts = recipe.parts
    first = began = aimed = 0
    for number, part in enumerate(parts):
        if part.restart:
            began = first
        if part.restart or part.losses != parts[number - 1].losses:
            aimed = first
        yield Span(number, part, first, first + part.steps, began, aimed, recipe)
        first += part.steps


def choose_learning(model: nn.Module, learnable: Collection[str], modules: Collection[str]) -> None:
    """Lets the parameters of some modules learn, of all when none is named.

    `learnable`: parameters that may learn at all; what the regime or the network froze stays frozen.
    """
    prefixes = tuple(f"{module}." for module in modules)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learnable and (not prefixes or name.startswith(prefixes)))


@dataclass
class Part:
    """What a stage trains with: the model as Accelerate wraps it, its optimizer, its losses."""

    span: Span
    wrapped: nn.Module
    optimizer: Optimizer
    stepped: Optimizer
    """The optimizer as Accelerate wraps it."""
    objective: Objective

    @classmethod
    def after(
        cls,
        before: Part | None,
        span: Span,
        cell: Cell,
        model: nn.Module,
        registry: Registry,
        accelerator: Accelerator,
    ) -> Part:
        """A stage's part. What does not begin anew in it is taken over from the stage before."""
        if before is None or span.began == span.first:
            own = span.recipe.model_copy(update={"lr": span.peak, "betas": span.stage.betas})
            optimizer = build_optimizer(own, model.parameters())
            wrapped, stepped = accelerator.prepare(model, optimizer)
        else:
            optimizer, wrapped, stepped = before.optimizer, before.wrapped, before.stepped
        if before is None or span.aimed == span.first:
            objective = build_objective(cell, span.stage, registry, accelerator.device)
        else:
            objective = before.objective
        return cls(span, wrapped, optimizer, stepped, objective)

    def load(self, state: dict[str, Any], step: int, accelerator: Accelerator) -> None:
        """Goes on from a checkpoint of that step; what begins after it begins fresh."""
        if step > self.span.began:
            self.optimizer.load_state_dict(state["optimizer"])
        if step > self.span.aimed:
            self.objective.adversaries.load(state["adversaries"])
        if accelerator.scaler and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])

    def stepper(
        self, cell: Cell, accelerator: Accelerator, encode_live: EncodeLive | None, *, gives_truth: bool
    ) -> Stepper:
        """What takes the steps of the stage."""
        return Stepper(
            accelerator,
            self.wrapped,
            self.stepped,
            self.objective,
            self.span.stage.micro_batch,
            cell.recipe.clip_grad,
            encode_live,
            mixup=cell.recipe.mixup,
            gives_truth=gives_truth,
        )
