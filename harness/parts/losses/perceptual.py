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

    `normalise`: whether the network sees images normalised to ImageNet's mean and deviation, as it was trained. The
    authors of SNR-Net and of PTG-RM show it images in [0, 1] as they are (models/loss.py, `VGGLoss`, in both
    repositories) and sum (`reduction: sum`). Noise and blur then weigh some four times less, a wrong brightness two to
    three times less.

    Raises MissingWeights without torchvision's ImageNet weights, DataError when the file is another one.
    """

    traits = LossTraits(reduction=FromOption("reduction"), weights=(Published("vgg19/imagenet"),))

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean", normalise: bool = True) -> None:
        super().__init__()
        self.reduction = reduction
        (path,) = ready_files(self.traits, {"reduction": reduction, "normalise": normalise}, "loss perceptual")
        self._distance = FeatureDistance(path, reduction, normalise=normalise)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """RGB in [0, 1], not clamped, to a scalar. No gradient reaches the truth or the network."""
        distance: Tensor = self._distance(restored_BCHW, truth_BCHW)
        return distance
