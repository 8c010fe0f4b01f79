"""The negative PSNR as a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api.loss import LossTraits

FLOOR = 1e-8
"""Added to the mean squared error: equal images get -80 dB and a gradient of zero."""


class PSNRLoss(nn.Module):
    """10·log10(mean squared error per image), averaged over the images: minus the PSNR of images in [0, 1].

    What NAFNet is trained with (L. Chen et al., ECCV 2022); from HINet, CVPR workshops 2021.
    """

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in dB, mostly negative."""
        error_B = (restored_BCHW - truth_BCHW).square().mean((1, 2, 3))
        return 10 * torch.log10(error_B + FLOOR).mean()
