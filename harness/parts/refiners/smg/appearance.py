"""SMG's appearance network: X. Xu et al., "Low-Light Image Enhancement via Structure Modeling and Guidance", CVPR 2023,
arXiv 2305.05839. Our own code, checked against sampled outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.parts.refiners.smg.unet import ENCODER_NAMES, Encoder, Tail, Up


class AppearanceNet(nn.Module):
    """Low-light image to the residual of a first restoration, same size, not clamped. Sides are multiples of 4."""

    size_multiple = 4

    official_names = ENCODER_NAMES | {"model5": "up1", "model6": "up2", "model7": "tail"}

    def __init__(self, *, width: int = 32, blocks: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(3, width, blocks)
        self.up1 = Up(8 * width, 2 * width)
        self.up2 = Up(4 * width, width)
        self.tail = Tail(2 * width, width)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        full, half, quarter, x = self.encoder(lq_BCHW)
        x = self.up1(torch.cat([x, quarter], 1))
        x = self.up2(torch.cat([x, half], 1))
        return self.tail(torch.cat([x, full], 1))
