"""Charbonnier loss: a smooth L1 that restoration networks are mostly trained with."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.ranges import Factor
from harness.api.traits import FromOption


class Charbonnier(nn.Module):
    """sqrt(difference² + eps²), over all pixels and channels. Lai et al., CVPR 2017.

    `reduction` `sum` is what PTG-RM's authors trained with (its size, and so the step of a clipped or weight-decayed
    optimizer, grows with the batch and patch); `mean` does not depend on them. `clamp`: take the restored image into
    [0, 1] first, as MPRNet's authors do for denoising; values outside then get no gradient.
    """

    traits = LossTraits(reduction=FromOption("reduction"))

    def __init__(self, *, eps: Factor = 1e-3, reduction: Literal["mean", "sum"] = "mean", clamp: bool = False) -> None:
        super().__init__()
        self.eps = eps
        self.reduction = reduction
        self.clamp = clamp

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in the images' units; eps for equal images."""
        if self.clamp:
            restored_BCHW = restored_BCHW.clamp(0, 1)
        distance = torch.sqrt((restored_BCHW - truth_BCHW).square() + self.eps**2)
        return distance.sum() if self.reduction == "sum" else distance.mean()
