"""Perceptual loss on VGG-19 features. This module is torch-free; the network is in `vgg.py` beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harness.api.parts import WeightFile
from harness.core.hub import hub_file, verify_weights

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1

FILE = "vgg19-dcbb9e9d.pth"
SHA256 = "dcbb9e9d"
"""torchvision publishes the first eight digits, in the file's name."""
FETCH = "bench weights fetch vgg19/imagenet"


class Perceptual:
    """L1 distance of VGG-19's relu1_1 … relu5_1, weighted 1/32, 1/16, 1/8, 1/4, 1. Johnson et al., ECCV 2016.

    Raises MissingWeights without torchvision's ImageNet weights, DataError when the file is another one.
    """

    @staticmethod
    def weights(*, reduction: str = "mean") -> tuple[WeightFile, ...]:
        """torchvision's ImageNet VGG-19, in torch.hub's cache."""
        return (WeightFile("vgg19", str(hub_file("checkpoints", FILE)), FETCH),)

    def __init__(self, *, reduction: Literal["mean", "sum"] = "mean") -> None:
        path = hub_file("checkpoints", FILE)
        verify_weights(path, SHA256, fetch=FETCH)
        from harness.parts.losses.vgg import FeatureDistance

        self.reduction = reduction
        self._distance = FeatureDistance(path, reduction)

    def to(self, device: Any) -> Perceptual:
        """Moves the network, as nn.Module.to does."""
        self._distance.to(device)
        return self

    def __call__(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """RGB in [0, 1], not clamped, to a scalar. No gradient reaches the truth or the network."""
        distance: Tensor = self._distance(restored_BCHW, truth_BCHW)
        return distance
