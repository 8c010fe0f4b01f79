"""The stages of a training: their steps, parameters and losses, and what one stage takes over from the one before."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Recipe, Stage
from harness.core.errors import HarnessError
from harness.core.registry import Registry
from harness.parts.ops.whole_batch import prepare
from harness.training.alter import Alteration
from harness.training.compiled import Graphs
from harness.training.engines.base import Engine
from harness.training.objective import build_objective
from harness.training.optim import build_optimizer, learning_rate
from harness.training.passes import Passes
from harness.training.step import EncodeLive, Stepper


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
    """What a stage trains with: the network and its losses, as the engine has prepared them."""

    span: Span
    engine: Engine
    passes: Passes

    @classmethod
    def after(
        cls,
        before: Part | None,
        span: Span,
        cell: Cell,
        model: nn.Module,
        trainable: Collection[str],
        registry: Registry,
        engine: Engine,
    ) -> Part:
        """The part for a stage. Whatever the stage does not start anew is taken from the stage before.

        Afterwards the parameters that the stage trains are trainable, as far as they are in `trainable`. Raises
        HarnessError when the engine cannot train the network.
        """
        aims = before is None or span.aimed == span.first
        objective = build_objective(cell, span.stage, registry, engine.device, added=span.added) if aims else None
        for loss in () if objective is None else objective.modules:
            prepare(loss)
        if before is None:
            assert objective is not None
            prepare(model)
            passes = Passes(model, objective)
        else:
            passes = before.passes
            passes.objective = objective or passes.objective
        if before is None or span.began == span.first:
            choose_trained(model, trainable, span.optimised)
            own = span.recipe.model_copy(update={"lr": span.peak, "betas": span.stage.betas})
            engine.prepare(passes, build_optimizer(own, model.named_parameters()))
        choose_trained(model, trainable, span.stage.trains)
        return cls(span, engine, passes)

    def load(self, state: dict[str, Any], step: int) -> None:
        """Goes on from a checkpoint of that step. An optimizer or loss that begins after it keeps its fresh state."""
        if step > self.span.began:
            self.engine.load_optimizer(state["optimizer"])
        if step > self.span.aimed:
            self.passes.objective.adversaries.load(state["adversaries"])
        if state["scale"] is not None:
            self.engine.load_scale(state["scale"])

    def stepper(
        self,
        cell: Cell,
        encode_live: EncodeLive | None,
        *,
        gives_truth: bool,
        tells_settings: bool = False,
        halved: int = 0,
        graphs: Graphs | None = None,
    ) -> Stepper:
        """The callable that takes the optimizer steps of this stage. `halved`: how often its micro-batch is."""
        stage, engine = self.span.stage, self.engine
        assert stage.patch is not None, stage
        return Stepper(
            engine,
            self.passes,
            micro_batch_of(stage, engine.ranks, halved),
            cell.recipe.clip_grad,
            encode_live,
            Alteration(cell.recipe, cell.seed, stage.patch, engine.rank, engine.ranks),
            gives_truth=gives_truth,
            tells_settings=tells_settings,
            group=stage.micro_batch,
            seed=cell.seed,
            graphs=graphs,
        )


def micro_batch_of(stage: Stage, processes: int, halved: int = 0) -> int:
    """Images of one process in one pass, at least one. `halved`: how often it was halved, an odd number upwards."""
    assert stage.batch is not None, stage
    share = -(-stage.batch // processes)
    return -(-min(stage.micro_batch or share, share) // 2**halved)
