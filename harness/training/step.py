"""One optimizer step: forward, total loss, backward, clip, update.

Shape letters: B batch, C channels, H height, W width, D prior width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.api.batch import Batch, Restored
from harness.training.objective import Images, Objective

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
    mixup: float | None = None
    gives_truth: bool = False
    """Whether the model itself sees the truth in training (semantics of the truth, SKF)."""

    def __call__(self, batch: Batch, step: int = 1, *, rate: float = 1.0) -> Tensor:
        """Takes optimizer step `step` on a rank's batch; gives its loss, detached, without waiting for the device.

        `rate`: the learning rate of this step as a share of its peak, for adversaries.
        """
        accelerator = self.accelerator
        batch = batch if self.mixup is None else mixed(batch, self.mixup)
        images = len(batch.lq_BCHW)
        size = self.micro_batch or images
        total = torch.zeros((), device=accelerator.device)
        for start in range(0, images, size):
            part = slice(start, start + size)
            last = start + size >= images
            # Gradients of the parts add up locally; only the last part's backward pass exchanges them.
            with nullcontext() if last else accelerator.no_sync(self.model):
                total += self._backward(batch, part, step, min(size, images - start) / images)
        if self.clip_grad is not None:
            accelerator.clip_grad_norm_(self.model.parameters(), self.clip_grad)
        self.optimizer.step()
        # Not the wrapped optimizer's zero_grad, which inspects its own signature at every call.
        self.model.zero_grad(set_to_none=True)
        self.objective.adversaries.step(accelerator, rate)
        return total

    def _backward(self, batch: Batch, part: slice, step: int, share: float) -> Tensor:
        """The gradients of a part of the batch; gives its loss, detached."""
        lq_BCHW = self._moved(batch.lq_BCHW, part)
        assert lq_BCHW is not None
        images = Images(lq_BCHW, self._moved(batch.gt_BCHW, part), self._moved(batch.clean_BCHW, part))
        prior_BD = self.encode_live(lq_BCHW) if self.encode_live else self._moved(batch.prior_BD, part)
        truth = (images.gt_BCHW,) if self.gives_truth else ()
        restored: Restored = self.model(lq_BCHW, prior_BD, *truth)
        how = {"step": step, "share": share, "ranks": self.accelerator.num_processes}
        loss = self.objective(restored, images, **how)
        self.accelerator.backward(loss)
        self.objective.train_adversaries(restored, images, **how)
        return loss.detach()

    def _moved(self, tensor: Tensor | None, part: slice) -> Tensor | None:
        return None if tensor is None else tensor[part].to(self.accelerator.device, non_blocking=True)


def mixed(batch: Batch, alpha: float) -> Batch:
    """Mixup with probability ½: each sample is mixed with another one, with one weight per batch from Beta(α, α).

    As the authors of Restormer and MIRNet-v2 use it (arXiv 1710.09412). A mixed batch has no cached prior rows, because
    they belong to the unmixed images; the policy `live` encodes the mixed ones.
    """
    if torch.rand(()) < 0.5:
        return batch
    weight = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch.lq_BCHW))

    def mix(images_BCHW: Tensor | None) -> Tensor | None:
        return None if images_BCHW is None else weight * images_BCHW + (1 - weight) * images_BCHW[order]

    lq_BCHW = mix(batch.lq_BCHW)
    assert lq_BCHW is not None
    return replace(batch, lq_BCHW=lq_BCHW, gt_BCHW=mix(batch.gt_BCHW), prior_BD=None)
