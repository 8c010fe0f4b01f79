"""What training minimises: eq. 8 of the PTG-RM paper, over image losses, networks' own losses and adversaries.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Adam

from harness.api.parts import Adversary, Loss, Reads, Restored, View, ViewLoss
from harness.core.identity import seed
from harness.core.registry import Registry
from harness.spec.cell import Cell, LossTerm, Stage


@dataclass(frozen=True)
class Images:
    """The images of a part of a batch, on the device; those that no loss reads are None."""

    lq_BCHW: Tensor
    gt_BCHW: Tensor | None = None
    clean_BCHW: Tensor | None = None


@dataclass(frozen=True)
class Term:
    """weight × loss. `added`: what a refiner adds to the recipe, which looks at the final restoration alone."""

    weight: float
    loss: Loss | ViewLoss
    added: bool = False

    def __call__(self, view: View) -> Tensor:
        """An image loss is summed over the restorations that a backbone gives in stages."""
        if isinstance(self.loss, ViewLoss):
            return self.loss.of(view)
        assert view.gt_BCHW is not None, "a loss that reads pairs makes the loader give them"
        stages: Sequence[Tensor] = () if view.refined else view.made.get("stages", ())
        total = self.loss(view.restored_BCHW, view.gt_BCHW)
        for earlier_BCHW in stages[1:]:
            total = total + self.loss(earlier_BCHW, view.gt_BCHW)
        return total


@dataclass(frozen=True)
class Objective:
    """L(Î, truth) + λ₁·L(Ī, truth), with L the weighted sum of the recipe's losses, and what the refiner adds.

    Networks without a refiner have only the first term.
    """

    terms: Sequence[Term]
    refined_weight: float
    adversaries: Adversaries = field(default_factory=lambda: Adversaries(()))

    @property
    def reads(self) -> frozenset[Reads]:
        """What the losses read beside the degraded images."""
        return frozenset(getattr(term.loss, "reads", "pair") for term in self.terms)

    def __call__(self, restored: Restored, images: Images, *, step: int, share: float, ranks: int) -> Tensor:
        """What this part of a batch adds to the loss, in float32 also under mixed precision.

        `share`: its images, of those of the rank's batch; `ranks`: over how many processes gradients are averaged.
        A loss that averages over images is weighted by the first, one that sums over them is multiplied by the second
        to undo the averaging; so neither micro-batches nor the number of processes changes the gradient.
        """
        total = images.lq_BCHW.new_zeros(())
        for factor, view, term in self._seen(restored, images, step):
            total = total + factor * _scale(term.loss, share, ranks) * term(view)
        return total

    def learn(self, restored: Restored, images: Images, *, step: int, share: float, ranks: int) -> None:
        """Adds the gradients of the adversaries' own losses on the same restorations."""
        if not self.adversaries.losses:
            return
        for factor, view, term in self._seen(_detached(restored), images, step):
            if isinstance(term.loss, Adversary):
                self.adversaries.backward(term.loss, view, factor * _scale(term.loss, share, ranks) / term.weight)

    def _seen(self, restored: Restored, images: Images, step: int) -> Sequence[tuple[float, View, Term]]:
        """Every term with what it looks at and its factor in the sum."""
        made = _float(restored.made)

        def view(image_BCHW: Tensor, refined: bool) -> View:
            return View(
                restored_BCHW=image_BCHW.float(),
                lq_BCHW=images.lq_BCHW,
                gt_BCHW=images.gt_BCHW,
                clean_BCHW=images.clean_BCHW,
                made=made,
                step=step,
                refined=refined,
            )

        views = [(1.0, view(restored.initial_BCHW, False))]
        if restored.refined_BCHW is not None:
            views.append((self.refined_weight, view(restored.refined_BCHW, True)))
        seen = [(term.weight * factor, each, term) for term in self.terms for factor, each in views if not term.added]
        return seen + [(term.weight, views[-1][1], term) for term in self.terms if term.added]


@dataclass
class Adversaries:
    """The losses that learn, each with its optimizer. Their parameters get gradients in `backward` alone."""

    losses: Sequence[Adversary]
    optimizers: list[Adam] = field(init=False)

    def __post_init__(self) -> None:
        self.optimizers = [
            Adam(_module(loss).parameters(), lr=loss.lr, betas=loss.betas, fused=True) for loss in self.losses
        ]
        for loss in self.losses:
            _module(loss).requires_grad_(False)

    def backward(self, loss: Adversary, view: View, factor: float) -> None:
        """Adds the gradients of one adversary's own loss."""
        module = _module(loss).requires_grad_(True)
        (factor * loss.learn(view)).backward()
        module.requires_grad_(False)

    def step(self, accelerator: Accelerator, rate: float) -> None:
        """Takes a step with the gradients that have gathered, averaged over processes, at `rate` of the peak rate."""
        for loss, optimizer in zip(self.losses, self.optimizers, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = loss.lr * rate
            for parameter in _module(loss).parameters():
                if parameter.grad is not None and accelerator.num_processes > 1:
                    parameter.grad = cast(Tensor, accelerator.reduce(parameter.grad, reduction="mean"))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, Any]]:
        """Weights and optimizer of each, for a checkpoint."""
        pairs = zip(self.losses, self.optimizers, strict=True)
        return [{"loss": _module(loss).state_dict(), "optimizer": own.state_dict()} for loss, own in pairs]

    def load(self, states: Sequence[dict[str, Any]]) -> None:
        """Puts them back where `state` found them."""
        for loss, optimizer, state in zip(self.losses, self.optimizers, states, strict=True):
            _module(loss).load_state_dict(state["loss"])
            optimizer.load_state_dict(state["optimizer"])


def build_objective(cell: Cell, stage: Stage, registry: Registry, device: torch.device) -> Objective:
    """The losses of a stage on a device. Raises MissingWeights when one of them has none.

    Fresh weights of a loss that learns depend on the cell alone, so that all processes begin with the same.
    """
    terms = [(term, False) for term in stage.losses or ()] + [(term, True) for term in cell.variant.losses]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed("loss", cell.id))
        built = [Term(term.weight, _build(term, registry, device), added) for term, added in terms]
    learning = [term.loss for term in built if isinstance(term.loss, Adversary)]
    return Objective(built, cell.recipe.refined_weight, Adversaries(learning))


def _build(term: LossTerm, registry: Registry, device: torch.device) -> Loss:
    loss: Loss = registry.load("loss", term.part.name)(**term.part.arguments).to(device)
    return loss


def _scale(loss: object, share: float, ranks: int) -> float:
    return ranks if getattr(loss, "reduction", "mean") == "sum" else share


def _module(loss: object) -> nn.Module:
    assert isinstance(loss, nn.Module), f"a loss that learns is an nn.Module: {type(loss).__name__}"
    return loss


def _detached(restored: Restored) -> Restored:
    refined = restored.refined_BCHW
    return Restored(
        restored.initial_BCHW.detach(),
        None if refined is None else refined.detach(),
        _each(restored.made, torch.Tensor.detach),
    )


def _float(made: Any) -> Any:
    return _each(made, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)


def _each(made: Any, change: Any) -> Any:
    """The same mappings, lists and tuples with every tensor changed."""
    if isinstance(made, Tensor):
        return change(made)
    if isinstance(made, dict):
        return {name: _each(value, change) for name, value in made.items()}
    if isinstance(made, tuple) and hasattr(made, "_fields"):
        return type(made)(*(_each(value, change) for value in made))
    if isinstance(made, list | tuple):
        return type(made)(_each(value, change) for value in made)
    return made
