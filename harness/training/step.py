"""One optimizer step: forward, total loss, backward, clip, update.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.batch import Batch, Restored
from harness.core.identity import seed as named_seed
from harness.parts.guard import differentiated
from harness.training.alter import Alteration
from harness.training.objective import Images, Objective
from harness.training.pixels import scaled

if TYPE_CHECKING:  # an import of accelerate takes longer than a trial of a small suite
    from accelerate import Accelerator

EncodeLive = Callable[[Tensor], Tensor]
"""B×3×H×W degraded images to B×D prior rows, for the policy `live`."""


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
    alteration: Alteration | None = None
    """What the recipe does to batches; None for nothing."""
    gives_truth: bool = False
    """Whether the model itself sees the truth in training (semantics of the truth, SKF)."""
    tells_settings: bool = False
    """Whether the model is told what its degraded images were made with (harness.api.backbone.Capabilities.told)."""
    seed: int = 0
    """The cell's seed, which the random numbers of every step follow from."""

    def __call__(self, batch: Batch, step: int = 1, *, rate: float = 1.0) -> Tensor:
        """Takes optimizer step `step` on a rank's batch; gives its loss, detached, without waiting for the device.

        `rate`: the learning rate of this step as a share of its peak, for adversaries.
        """
        accelerator = self.accelerator
        batch, seen_BCHW = self.alteration(batch, step) if self.alteration else (batch, batch.lq_BCHW)
        images = len(batch.lq_BCHW)
        size = self.micro_batch or images
        total = torch.zeros((), device=accelerator.device)
        for start in range(0, images, size):
            part = slice(start, start + size)
            last = start + size >= images
            # Gradients of the parts add up locally; only the last part's backward pass exchanges them.
            with nullcontext() if last else accelerator.no_sync(self.model):
                total += self._backward(batch, seen_BCHW, part, step, min(size, images - start) / images)
        if self.clip_grad is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        # Not the wrapped optimizer's zero_grad, which inspects its own signature at every call.
        self.model.zero_grad(set_to_none=True)
        self.objective.adversaries.step(accelerator, rate)
        return total

    def _backward(self, batch: Batch, seen_BCHW: Tensor, part: slice, step: int, share: float) -> Tensor:
        """The gradients of a part of the batch; gives its loss, detached.

        `seen_BCHW`: the degraded images that the network sees, where they are others than the losses read.
        """
        lq_BCHW = shown_BCHW = self._on_device(batch.lq_BCHW, part)
        if seen_BCHW is not batch.lq_BCHW:
            shown_BCHW = self._on_device(seen_BCHW, part)
        images = Images(lq_BCHW, self._moved(batch.gt_BCHW, part), self._moved(batch.clean_BCHW, part))
        prior_BD = self.encode_live(shown_BCHW) if self.encode_live else self._moved(batch.prior_BD, part)
        truth = (images.gt_BCHW,) if self.gives_truth else ()
        # Anew for every part, and just before F: a variant's F drops the same paths as its base.
        number = named_seed("train", self.seed, self.accelerator.process_index, step, part.start)
        torch.manual_seed(number)
        told = {"settings": self._settings(batch, part)} if self.tells_settings else {}
        restored: Restored = self.model(shown_BCHW, prior_BD, *truth, **told)
        how = {"step": step, "share": share, "ranks": self.accelerator.num_processes, "number": number}
        loss = self.objective(restored, images, **how)
        with differentiated(self.model, *self.objective.modules):
            self.accelerator.backward(loss)
        self.objective.train_adversaries(restored, images, **how)
        return loss.detach()

    def _settings(self, batch: Batch, part: slice) -> dict[str, Tensor]:
        return {name: values_B[part].to(self.accelerator.device) for name, values_B in batch.settings.items()}

    def _moved(self, tensor: Tensor | None, part: slice) -> Tensor | None:
        return None if tensor is None else self._on_device(tensor, part)

    def _on_device(self, tensor: Tensor, part: slice) -> Tensor:
        """Images or prior rows of a part of the batch, float32. Pixels travel as they are stored: smaller."""
        return scaled(tensor[part].to(self.accelerator.device, non_blocking=True))
