"""LPIPS as a loss. Files and network are those of the metric."""

from __future__ import annotations

from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.traits import Published
from harness.parts.shared.alex_lpips import build_network
from harness.weights.files import ready_files


class LPIPS(nn.Module):
    """Mean LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018, of images in [0, 1] as they are, not clamped.

    `scaled`: images are first taken to [−1, 1], which the network is made for. SMG's authors leave that out.
    Raises MissingWeights without its two files, DataError when one differs.
    """

    traits = LossTraits(weights=(Published("alexnet/imagenet"), Published("lpips/alex-v0.1")))

    def __init__(self, *, scaled: bool = True) -> None:
        super().__init__()
        self.scaled = scaled
        _, linear = ready_files(self.traits, {"scaled": scaled}, "loss lpips")
        self._network = build_network(linear).requires_grad_(False)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar ≥ 0. No gradient reaches the truth or the network."""
        distance_B1: Tensor = self._network(restored_BCHW, truth_BCHW.detach(), normalize=self.scaled)
        return distance_B1.mean()
