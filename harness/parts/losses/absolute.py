"""Losses of absolute differences."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossTraits
from harness.api.ranges import Weight
from harness.api.traits import FromOption


class L1(nn.Module):
    """|difference|, over all pixels and channels: DRUNet, Restormer and Retinexformer are trained with its mean."""

    traits = LossTraits(reduction=FromOption("reduction"))

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in the images' units."""
        return F.l1_loss(restored_BCHW, truth_BCHW, reduction=self.reduction)


class SmoothL1(nn.Module):
    """difference² / (2·beta) below `beta`, |difference| − beta/2 above it: LLFormer is trained with its mean.

    Girshick, ICCV 2015. With images in [0, 1] and the authors' `beta` of 1 it is half the squared error.
    """

    traits = LossTraits(reduction=FromOption("reduction"))

    def __init__(self, *, beta: Weight = 1.0, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.beta = beta
        self.reduction = reduction

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar."""
        return F.smooth_l1_loss(restored_BCHW, truth_BCHW, beta=self.beta, reduction=self.reduction)
