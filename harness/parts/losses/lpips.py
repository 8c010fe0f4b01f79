"""LPIPS as a loss. Files and network are those of the metric."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.traits import Published
from harness.parts.shared.alex_lpips import absolute_distance, build_network
from harness.weights.files import ready_files


class LPIPS(nn.Module):
    """Mean LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018, of images in [0, 1] as they are, not clamped.

    - `scaled`: images are first taken to [−1, 1], which the network is made for.
    - `differences`: of the features, each of length one, whose channels the published linear layers weigh: `squared`,
      as LPIPS is defined, or `absolute`, which is much larger, and not the measure that was fitted to what people
      see.

    The authors of SMG train with `scaled: false, differences: absolute` (their criteria/lpips/lpips.py).
    Raises MissingWeights without its two files, DataError when one differs.
    """

    traits = LossTraits(weights=(Published("alexnet/imagenet"), Published("lpips/alex-v0.1")))

    def __init__(self, *, scaled: bool = True, differences: Literal["squared", "absolute"] = "squared") -> None:
        super().__init__()
        self.scaled = scaled
        self.differences = differences
        _, linear = ready_files(self.traits, {"scaled": scaled}, "loss lpips")
        self._network = build_network(linear).requires_grad_(False)

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar ≥ 0. No gradient reaches the truth or the network."""
        truth_BCHW = truth_BCHW.detach()
        if self.differences == "squared":
            distance_B1: Tensor = self._network(restored_BCHW, truth_BCHW, normalize=self.scaled)
            return distance_B1.mean()
        images = (restored_BCHW, truth_BCHW)
        return absolute_distance(self._network, *(2 * image - 1 if self.scaled else image for image in images)).mean()
