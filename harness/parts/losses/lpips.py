"""LPIPS as a loss. Torch-free until an instance is made; files and network are those of the metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.api.parts import WeightFile
from harness.parts import alex_lpips

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 1


class LPIPS:
    """Mean LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018, of images in [0, 1] as they are, not clamped.

    `scaled`: images are first taken to [−1, 1], which the network is made for. SMG's authors leave that out.
    Raises MissingWeights without its two files, DataError when one differs.
    """

    reduction = "mean"

    @staticmethod
    def weights(*, scaled: bool = True) -> tuple[WeightFile, ...]:
        """torchvision's ImageNet AlexNet and the five linear layers, where torchvision and pyiqa cache them."""
        return alex_lpips.weight_files()

    def __init__(self, *, scaled: bool = True) -> None:
        self.scaled = scaled
        self._network = alex_lpips.build_network().requires_grad_(False)

    def to(self, device: Any) -> LPIPS:
        """Moves the network, as nn.Module.to does."""
        self._network.to(device)
        return self

    def __call__(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar ≥ 0. No gradient reaches the truth or the network."""
        distance_B1: Tensor = self._network(restored_BCHW, truth_BCHW.detach(), normalize=self.scaled)
        return distance_B1.mean()
