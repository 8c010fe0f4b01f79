"""The prior `my_part`: say here in a sentence what it knows of an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.api.prior import PriorTraits
from harness.api.ranges import Factor


class MyPart:
    """Mean colour of the degraded image, raised to a power. (This line is shown by `bench list priors`.)

    Option `power`: say what it does, its unit and its range.
    """

    # Raise the version whenever the numbers change. Files of weights go here, too:
    # PriorTraits(weights=(OwnFile("checkpoint"),)) with an option `checkpoint: LocalFile | None = None`.
    traits = PriorTraits(version=1)

    def __init__(self, *, power: Factor = 1.0) -> None:
        # Keyword-only parameters are the options of suites: annotated, with a literal as default.
        self.power = power
        self.dim = 3  # how many numbers a vector has

    @torch.no_grad()
    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded RGB images, mostly in [0, 1], to B×dim float32 rows of length 1. Row b depends on image b alone."""
        colour_BC = lq_BCHW.clamp(0, 1).mean(dim=(2, 3)) ** self.power
        return F.normalize(colour_BC, dim=1)


CATALOGUE = (("prior", "my_part", "MyPart"),)
