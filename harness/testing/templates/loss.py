"""The training loss `my_part`: say here what it asks of the restored image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api.loss import LossTraits
from harness.api.ranges import Factor


class MyPart(nn.Module):
    """Mean of sqrt(difference² + eps²). (This line is shown by `bench list losses`.)

    Option `eps`: in the images' units.
    """

    # For a loss that looks at more than the image and its truth: LossTraits(takes="inputs", reads="degraded"), and
    # `forward(self, inputs: LossInputs)`. One that adds over images instead of averaging says reduction="sum".
    traits = LossTraits(takes="images", reads="pair", reduction="mean")

    def __init__(self, *, eps: Factor = 1e-3) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """RGB images, white at 1, not clamped, to a scalar."""
        return torch.sqrt((restored_BCHW - truth_BCHW).square() + self.eps**2).mean()


CATALOGUE = (("loss", "my_part", "MyPart"),)
