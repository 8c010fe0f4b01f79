"""Edge loss: Charbonnier's distance of Laplacians."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossTraits
from harness.api.ranges import Factor
from harness.api.traits import FromOption

TAPS = (0.05, 0.25, 0.4, 0.25, 0.05)
"""The generating kernel of Burt & Adelson's pyramid, 1983."""


class Edge(nn.Module):
    """sqrt(L(difference)² + eps²) with L a level of a Laplacian pyramid, over all pixels and channels.

    L takes from an image its blurred, halved, doubled and again blurred copy. It is linear, so the difference of two
    Laplacians is the Laplacian of the difference. MPRNet's eq. 3 (S. W. Zamir et al., CVPR 2021), whose authors add
    0.05 times the mean to Charbonnier's loss for rain and blur.
    """

    traits = LossTraits(reduction=FromOption("reduction"))

    taps_5: Tensor

    def __init__(self, *, eps: Factor = 1e-3, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.eps = eps
        self.reduction = reduction
        self.register_buffer("taps_5", torch.tensor(TAPS), persistent=False)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in the images' units; eps for equal images."""
        edges = self.laplacian(restored_BCHW - truth_BCHW)
        distance = torch.sqrt(edges.square() + self.eps**2)
        return distance.sum() if self.reduction == "sum" else distance.mean()

    def laplacian(self, image_BCHW: Tensor) -> Tensor:
        """What the next level of the pyramid does not hold, in the image's shape."""
        doubled = torch.zeros_like(image_BCHW)
        doubled[..., ::2, ::2] = 4 * self._blur(image_BCHW)[..., ::2, ::2]
        return image_BCHW - self._blur(doubled)

    def _blur(self, image_BCHW: Tensor) -> Tensor:
        channels = image_BCHW.shape[1]
        taps = self.taps_5.expand(channels, 1, 1, 5)
        padded = F.pad(image_BCHW, (2, 2, 2, 2), mode="replicate")
        return F.conv2d(F.conv2d(padded, taps, groups=channels), taps.transpose(-1, -2), groups=channels)
