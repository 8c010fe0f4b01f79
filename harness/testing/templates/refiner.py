"""The refiner `my_part`: say here how it uses what a prior knows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api.ranges import Channels
from harness.api.refiner import RefinerTraits


class MyPart(nn.Module):
    """Adds a correction that a prior's vector steers. (This line is shown by `bench list refiners`.)

    Option `width`: channels of its layers.
    """

    # It sits behind the backbone and gets a prior's vector. See docs/refiner.md for placements inside the backbone,
    # for losses and stages of its own, and for a refiner that brings its own knowledge (needs_prior=False).
    traits = RefinerTraits(placements=("image",), needs_prior=True)

    def __init__(self, prior_dim: int, *, width: Channels = 16) -> None:
        # The harness gives the width of the prior's vectors; options of suites come after the *.
        super().__init__()
        self.enter = nn.Conv2d(6, width, 3, padding=1)
        self.steer = nn.Linear(prior_dim, width)
        self.leave = nn.Conv2d(width, 3, 3, padding=1, bias=False)
        # At the start the restoration stays as it is: a trained backbone must not be spoilt.
        nn.init.zeros_(self.leave.weight)

    def forward(self, lq_BCHW: Tensor, initial_BCHW: Tensor, prior_BD: Tensor) -> Tensor:
        """Degraded images, their initial restorations and B×prior_dim vectors to refined restorations of that size."""
        features = self.enter(torch.cat([lq_BCHW, initial_BCHW], dim=1))
        features = torch.sigmoid(features + self.steer(prior_BD)[:, :, None, None])
        return initial_BCHW + self.leave(features)


CATALOGUE = (("refiner", "my_part", "MyPart"),)
