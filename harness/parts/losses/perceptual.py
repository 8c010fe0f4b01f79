"""Perceptual loss on VGG-19 features. The network is in `vgg.py` beside it."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.traits import FromOption, Published
from harness.parts.losses.vgg import FeatureDistance
from harness.weights.files import ready_files


class Perceptual(nn.Module):
    """L1 distance of VGG-19's relu1_1 … relu5_1, weighted 1/32, 1/16, 1/8, 1/4, 1. Johnson et al., ECCV 2016.

    Raises MissingWeights without torchvision's ImageNet weights, DataError when the file is another one.
    """

    traits = LossTraits(reduction=FromOption("reduction"), weights=(Published("vgg19/imagenet"),))

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction
        (path,) = ready_files(self.traits, {"reduction": reduction}, "loss perceptual")
        self._distance = FeatureDistance(path, reduction)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """RGB in [0, 1], not clamped, to a scalar. No gradient reaches the truth or the network."""
        distance: Tensor = self._distance(restored_BCHW, truth_BCHW)
        return distance
