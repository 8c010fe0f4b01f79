"""The stages of a training: their steps, parameters and losses, and what one stage takes over from the one before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Recipe, Stage
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.training.alter import Alteration
from harness.training.objective import Objective, build_objective
from harness.training.optim import build_optimizer, learning_rate
from harness.training.step import EncodeLive, Stepper

if TYPE_CHECKING:  # an import of accelerate takes longer than a trial of a small suite
    from accelerate import Accelerator


@dataclass(frozen=True)
class Span:
    """A stage in its place: optimizer steps first + 1 to last."""

    number: int
    """Index of the recipe's stage whose training data it sees."""
    stage: Stage
    """The stage with all fields filled in."""
    added: tuple[LossTerm, ...]
    """Losses on the final restoration alone, beside the stage's own."""
    first: int
    last: int
    began: int
    """The step after which its optimizer and its learning rate began."""
    aimed: int
    """The step after which its losses began."""
    recipe: Recipe
    """The recipe of the whole training."""
    optimised: tuple[str, ...] = ()
    """The modules that train in any stage of the same optimizer; all when empty."""

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
        """The learning rate of a step, counted over the whole training."""
        return learning_rate(self.recipe, step)


def spans(cell: Cell) -> list[Span]:
    """The stages of a cell's training in their places: the recipe's, the last of them divided by the refiner's own."""
    parts, own = cell.recipe.parts, cell.variant
    placed = [(number, part, own.losses) for number, part in enumerate(parts)]
    if own.stages:
        placed[-1:] = [(len(parts) - 1, *_divided(parts[-1], stage, own.losses)) for stage in own.stages]
    found: list[Span] = []
    first = began = aimed = 0
    before: tuple[object, object] | None = None
    for number, stage, added in placed:
        if stage.restart:
            began = first
        if stage.restart or (stage.losses, added) != before:
            aimed = first
        before = stage.losses, added
        found.append(Span(number, stage, added, first, first + stage.steps, began, aimed, cell.recipe))
        first += stage.steps
    return [replace(span, optimised=_trained_from(span.began, found)) for span in found]


def _trained_from(began: int, found: Sequence[Span]) -> tuple[str, ...]:
    """The modules that train in the stages whose optimizer began there; none for all of them."""
    trains = [span.stage.trains for span in found if span.began == began]
    return tuple(dict.fromkeys(module for modules in trains for module in modules)) if all(trains) else ()


def _divided(part: Stage, own: Stage, added: tuple[LossTerm, ...]) -> tuple[Stage, tuple[LossTerm, ...]]:
    """One of a refiner's stages as a piece of the recipe's stage, and the losses on the final restoration in it.

    Losses of its own replace all others, because they train the refiner.
    """
    changes: dict[str, object] = {"steps": own.steps, "trains": own.trains or part.trains, "restart": own.restart}
    if own.losses is None:
        return part.model_copy(update=changes), added
    return part.model_copy(update=changes | {"losses": ()}), own.losses


def choose_trained(model: nn.Module, trainable: Collection[str], modules: Collection[str]) -> None:
    """Lets the parameters of some modules train, of all when none is named.

    `trainable`: parameters that may train at all; what the regime or the network froze stays frozen. Raises
    HarnessError when that leaves nothing to train.
    """
    prefixes = tuple(f"{module}." for module in modules)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable and (not prefixes or name.startswith(prefixes)))
    if modules and not any(parameter.requires_grad for parameter in model.parameters()):
        what = f"nothing of {', '.join(modules)} trains here: it is frozen, or this cell does not have it"
        raise HarnessError(what, where="recipe.stages", hint="trains: the modules that may train")


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
        trainable: Collection[str],
        registry: Registry,
        accelerator: Accelerator,
    ) -> Part:
        """The part for a stage. Whatever the stage does not start anew is taken from the stage before.

        Afterwards the parameters that the stage trains are trainable, as far as they are in `trainable`.
        """
        if before is None or span.began == span.first:
            choose_trained(model, trainable, span.optimised)
            own = span.recipe.model_copy(update={"lr": span.peak, "betas": span.stage.betas})
            optimizer = build_optimizer(own, model.named_parameters())
            wrapped, stepped = accelerator.prepare(model, optimizer)
        else:
            optimizer, wrapped, stepped = before.optimizer, before.wrapped, before.stepped
        choose_trained(model, trainable, span.stage.trains)
        if before is None or span.aimed == span.first:
            objective = build_objective(cell, span.stage, registry, accelerator.device, added=span.added)
        else:
            objective = before.objective
        return cls(span, wrapped, optimizer, stepped, objective)

    def load(self, state: dict[str, Any], step: int, accelerator: Accelerator) -> None:
        """Goes on from a checkpoint of that step. An optimizer or loss that begins after it keeps its fresh state."""
        if step > self.span.began:
            self.optimizer.load_state_dict(state["optimizer"])
        if step > self.span.aimed:
            self.objective.adversaries.load(state["adversaries"])
        if accelerator.scaler and state["scaler"]:
            accelerator.scaler.load_state_dict(state["scaler"])

    def stepper(
        self,
        cell: Cell,
        accelerator: Accelerator,
        encode_live: EncodeLive | None,
        *,
        gives_truth: bool,
        tells_settings: bool = False,
    ) -> Stepper:
        """The callable that takes the optimizer steps of this stage."""
        assert self.span.stage.patch is not None, self.span.stage
        ranks = accelerator.process_index, accelerator.num_processes
        alteration = Alteration(cell.recipe, cell.seed, self.span.stage.patch, *ranks)
        return Stepper(
            accelerator,
            self.wrapped,
            self.stepped,
            self.objective,
            self.span.stage.micro_batch,
            cell.recipe.clip_grad,
            encode_live,
            alteration,
            gives_truth=gives_truth,
            tells_settings=tells_settings,
            seed=cell.seed,
        )
