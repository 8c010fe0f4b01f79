"""One optimizer step: forward, total loss, backward, clip, update.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.parts import Batch, Loss, Restored
from harness.core.registry import Registry
from harness.spec.cell import LossTerm, Recipe

EncodeLive = Callable[[Tensor], Tensor]
"""B×3×H×W degraded images to B×D prior rows, for the policy `live`."""


@dataclass(frozen=True)
class Objective:
    """Eq. 8 of the PTG-RM paper: L(Î, truth) + λ₁·L(Ī, truth), with L the recipe's weighted sum of losses.

    Networks without a refiner have only the first term.
    """

    terms: Sequence[tuple[float, Loss]]
    refined_weight: float

    def __call__(self, restored: Restored, truth_BCHW: Tensor, *, share: float, ranks: int) -> Tensor:
        """What this part of a batch adds to the loss, in float32 also under mixed precision.

        `share`: its images, of those of the rank's batch; `ranks`: over how many processes gradients are averaged.
        A loss that averages over images is weighted by the first, one that sums over them is multiplied by the second
        to undo the averaging; so neither micro-batches nor the number of processes changes the gradient.
        """
        total = truth_BCHW.new_zeros(())
        for weight, loss in self.terms:
            scale = weight * (ranks if getattr(loss, "reduction", "mean") == "sum" else share)
            total = total + scale * loss(restored.initial_BCHW.float(), truth_BCHW)
            if restored.refined_BCHW is not None:
                total = total + scale * self.refined_weight * loss(restored.refined_BCHW.float(), truth_BCHW)
        return total


def build_objective(recipe: Recipe, registry: Registry, device: torch.device) -> Objective:
    """The recipe's losses on a device. Raises MissingWeights when one of them has none."""

    def build(term: LossTerm) -> Loss:
        loss: Loss = registry.load("loss", term.part.name)(**term.part.arguments).to(device)
        return loss

    return Objective([(term.weight, build(term)) for term in recipe.losses], recipe.refined_weight)


@dataclass(frozen=True)
class Stepper:
    """What an optimizer step needs besides the batch."""

    accelerator: Accelerator
    model: nn.Module
    optimizer: Optimizer
    objective: Objective
    micro_batch: int | None
    clip_grad: float | None
    encode_live: EncodeLive | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Takes one optimizer step on a rank's batch; gives its loss, detached, without waiting for the device."""
        accelerator = self.accelerator
        images = len(batch.lq_BCHW)
        size = self.micro_batch or images
        total = torch.zeros((), device=accelerator.device)
        for start in range(0, images, size):
            part = slice(start, start + size)
            last = start + size >= images
            # Gradients of the parts add up locally; only the last part's backward pass exchanges them.
            with nullcontext() if last else accelerator.no_sync(self.model):
                loss = self._loss(batch, part, min(size, images - start) / images)
                accelerator.backward(loss)
            total += loss.detach()
        if self.clip_grad is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        self.model.zero_grad(set_to_none=True)  # the wrapped optimizer's inspects its own signature every time
        return total

    def _loss(self, batch: Batch, part: slice, share: float) -> Tensor:
        device = self.accelerator.device
        lq_BCHW = batch.lq_BCHW[part].to(device, non_blocking=True)
        gt_BCHW = batch.gt_BCHW[part].to(device, non_blocking=True)
        prior_BD = None if batch.prior_BD is None else batch.prior_BD[part].to(device, non_blocking=True)
        if self.encode_live is not None:
            prior_BD = self.encode_live(lq_BCHW)
        restored: Restored = self.model(lq_BCHW, prior_BD)
        return self.objective(restored, gt_BCHW, share=share, ranks=self.accelerator.num_processes)
