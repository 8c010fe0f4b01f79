"""What training minimises: eq. 8 of the PTG-RM paper, over image losses, networks' own losses and adversaries.

Shape letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from harness.api.batch import Restored
from harness.api.declaration import declaration
from harness.api.loss import Adversary, InputsLoss, Loss, LossInputs, LossTraits, Reads
from harness.cells.cell import Cell
from harness.cells.recipe import LossTerm, Stage
from harness.core.identity import seed
from harness.core.registry import Registry
from harness.models.boundary import How, as_written
from harness.models.fresh import fresh_module, fresh_whole
from harness.parts.guard import (
    called,
    check_loss,
    check_same,
    check_unchanged,
    copies_of,
    made_module,
    versions_of,
)
from harness.training.adversaries import Adversaries
from harness.training.outputs import detached, each_tensor, tensors_in


@dataclass(frozen=True)
class Images:
    """The images of a part of a batch, on the device; those that no loss reads are None."""

    lq_BCHW: Tensor
    gt_BCHW: Tensor | None = None
    clean_BCHW: Tensor | None = None


@dataclass(frozen=True)
class Term:
    """weight × loss."""

    weight: float
    """On the initial restoration; zero leaves the loss out there."""
    loss: Loss | InputsLoss
    options: Mapping[str, Any] = field(default_factory=dict)
    """All options of the loss, defaults filled in."""
    added: bool = False
    """Whether a refiner adds it to the recipe's losses. It then reads the final restoration alone."""
    refined_weight: float | None = None
    """On the refined restoration; None for the same weight, zero leaves the loss out there."""
    name: str = ""
    """What the catalogue calls the loss."""

    @property
    def traits(self) -> LossTraits:
        return self.loss.traits

    def weight_of(self, *, refined: bool) -> float:
        """The weight on one of the restorations."""
        if self.added or not refined or self.refined_weight is None:
            return self.weight
        return self.refined_weight

    def __call__(self, inputs: LossInputs, how: How = as_written) -> Tensor:
        """A loss of images is summed over all the restorations of one pass of the backbone.

        `how`: how such a loss is computed.
        """
        if self.traits.takes == "inputs":
            return cast(InputsLoss, self.loss)(inputs)
        loss = how(cast(nn.Module, self.loss), cast(Loss, self.loss))
        assert inputs.gt_BCHW is not None, "a loss that reads pairs makes the loader give them"
        restorations: Sequence[Tensor] = () if inputs.refined else inputs.outputs.get("restorations", ())
        total: Tensor = loss(inputs.restored_BCHW, inputs.gt_BCHW)
        for earlier_BCHW in restorations[1:]:
            total = total + loss(earlier_BCHW, inputs.gt_BCHW)
        return total

    def scale(self, share: float, ranks: int) -> float:
        """A factor by which neither micro-batches nor processes change the gradient.

        A loss that averages over images is weighted by their `share`; one that sums is multiplied by the `ranks` over
        which gradients are averaged.
        """
        return ranks if self.traits.sums(self.options) else share


@dataclass(frozen=True)
class Objective:
    """L(Î, truth) + λ₁·L(Ī, truth), with L the weighted sum of the recipe's losses, and what the refiner adds.

    Networks without a refiner have only the first term.
    """

    terms: Sequence[Term]
    refined_weight: float
    adversaries: Adversaries = field(default_factory=lambda: Adversaries(()))
    _watched: set[tuple[int, bool]] = field(default_factory=set)
    """The terms, on the initial and on the refined restoration, that have left all values as they were once."""

    @property
    def reads(self) -> frozenset[Reads]:
        """What the losses read beside the degraded images."""
        return frozenset(term.traits.reads for term in self.terms)

    @property
    def modules(self) -> Sequence[nn.Module]:
        """The losses, which are modules."""
        return [cast(nn.Module, term.loss) for term in self.terms]

    def __call__(
        self,
        restored: Restored,
        images: Images,
        *,
        step: int,
        share: float,
        ranks: int,
        number: int = 0,
        how: How = as_written,
    ) -> Tensor:
        """What this part of a batch adds to the loss, in float32 also under mixed precision.

        `share`: this part's share of the rank's images; `ranks`: number of processes over which gradients are averaged.
        Neither micro-batches nor the number of processes changes the gradient (`Term.scale`). `number`: the seed that
        random numbers of losses follow from: each loss draws the same, whatever stands beside it, for all parts of a
        batch. `how`: how losses of images are computed.
        """
        total = images.lq_BCHW.new_zeros(())
        for share_of_look, inputs, term in self.seen(restored, images, step):
            weight = term.weight_of(refined=inputs.refined) * share_of_look
            torch.manual_seed(self._number("loss", term, inputs, number))
            value = self._value(term, inputs, how)
            learns = term.traits.takes == "images" and inputs.restored_BCHW.requires_grad
            total = total + weight * term.scale(share, ranks) * check_loss(term.loss, value, learns=learns)
        return total

    def _value(self, term: Term, inputs: LossInputs, how: How) -> Tensor:
        """What a term gives. Raises HarnessError when it changes what it is given.

        The values themselves are compared when a training begins: torch does not count all ways to change them.
        """
        read = (inputs.restored_BCHW, inputs.lq_BCHW, inputs.gt_BCHW, inputs.clean_BCHW)
        given = (*read, *tensors_in(inputs.outputs))
        look = (self.terms.index(term), inputs.refined)
        values = None if look in self._watched else copies_of(*given)
        before = versions_of(*given)
        with called(term.loss):
            value = term(inputs, how)
        check_unchanged(term.loss, before, *given)
        if values is not None:
            check_same(term.loss, values, *given)
            self._watched.add(look)
        return value

    def _number(self, purpose: str, term: Term, inputs: LossInputs, number: int) -> int:
        """The seed of a term on one of the restorations. A refiner's own terms come last, and so move no other's."""
        return seed(purpose, number, self.terms.index(term), int(inputs.refined))

    def train_adversaries(
        self, restored: Restored, images: Images, *, step: int, share: float, ranks: int, number: int = 0
    ) -> None:
        """Adds the gradients of the adversaries' own losses on the same restorations.

        They do not depend on the weights with which the model is trained. What a term does not weigh at all, its
        adversary does not see.
        """
        if not self.adversaries.losses:
            return
        for share_of_look, inputs, term in self.seen(detached(restored), images, step):
            if term.traits.adversary:
                torch.manual_seed(self._number("adversary", term, inputs, number))
                factor = share_of_look * term.scale(share, ranks)
                self.adversaries.backward(cast(Adversary, term.loss), inputs, factor)

    def seen(self, restored: Restored, images: Images, step: int) -> Sequence[tuple[float, LossInputs, Term]]:
        """Every term that weighs something, with its inputs and the share of this restoration: 1, or λ₁ for Ī."""
        outputs = each_tensor(restored.outputs, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)

        def inputs(image_BCHW: Tensor, refined: bool) -> LossInputs:
            return LossInputs(
                restored_BCHW=image_BCHW.float(),
                lq_BCHW=images.lq_BCHW,
                gt_BCHW=images.gt_BCHW,
                clean_BCHW=images.clean_BCHW,
                outputs=outputs,
                step=step,
                refined=refined,
            )

        looks = [(1.0, inputs(restored.initial_BCHW, False))]
        if restored.refined_BCHW is not None:
            looks.append((self.refined_weight, inputs(restored.refined_BCHW, True)))
        seen = [(factor, each, term) for term in self.terms for factor, each in looks if not term.added]
        seen += [(1.0, looks[-1][1], term) for term in self.terms if term.added]
        return [
            (factor, replace(each, outputs=each_tensor(outputs, lambda tensor: tensor)), term)  # containers of its own
            for factor, each, term in seen
            if term.weight_of(refined=each.refined)
        ]


def build_objective(
    cell: Cell,
    stage: Stage,
    registry: Registry,
    device: torch.device,
    *,
    added: Sequence[LossTerm] | None = None,
) -> Objective:
    """The losses of a stage on a device. Raises MissingWeights when a file of weights is missing.

    `added`: losses on the final restoration alone; those that the cell's refiner adds when None.
    Fresh weights of an adversary depend on the loss and the cell's seed (harness.models.fresh), so that all processes
    and all variants begin with the same.
    """
    beside = cell.variant.losses if added is None else added
    terms = [(term, False) for term in stage.losses or ()] + [(term, True) for term in beside]
    built = [_build(term, is_added, cell.seed, registry, device) for term, is_added in terms]
    adversaries = [cast(Adversary, term.loss) for term in built if term.traits.adversary]
    return Objective(built, cell.recipe.refined_weight, Adversaries(adversaries))


def _build(term: LossTerm, added: bool, number: int, registry: Registry, device: torch.device) -> Term:
    name = term.part.name
    declared = declaration(registry, "loss", name)
    # Others have no weights that train, and files of weights that are long to read twice.
    fresh = fresh_module if declared.traits.adversary else fresh_whole
    given = term.part.arguments
    loss = fresh("loss", term.part, number, lambda: made_module(registry, "loss", name, **given)).to(device)
    options = declared.filled(given)
    return Term(term.weight, cast("Loss | InputsLoss", loss), options, added, term.refined_weight, name)
