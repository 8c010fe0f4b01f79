"""Mean squared difference."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossTraits
from harness.api.traits import FromOption


class MSE(nn.Module):
    """difference², over all pixels and channels."""

    traits = LossTraits(reduction=FromOption("reduction"))

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in the images' units, squared."""
        return F.mse_loss(restored_BCHW, truth_BCHW, reduction=self.reduction)
