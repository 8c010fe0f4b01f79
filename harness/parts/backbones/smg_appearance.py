"""SMG's appearance network: X. Xu et al., "Low-Light Image Enhancement via Structure Modeling and Guidance", CVPR 2023,
arXiv 2305.05839. Our own code, checked against sampled outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels
from harness.api.weights import OfficialNames
from harness.parts.shared.smg_unet import ENCODER_NAMES, Encoder, Tail, Up


class SMGAppearance(nn.Module):
    """A small U-Net that adds a residual to the low-light image. With the refiner `smg` it is the whole of SMG.

    Sides are multiples of 4. The output is unclamped; the refiner clamps it, as the authors do. `width`: channels at
    full resolution; `blocks`: residual blocks at a quarter of it.
    """

    traits = BackboneTraits(
        taps=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2305.05839",
        verified=True,
    )

    official = OfficialNames(parts=ENCODER_NAMES | {"model5": "up1", "model6": "up2", "model7": "tail"})

    def __init__(self, *, width: Channels = 32, blocks: Blocks = 1) -> None:
        super().__init__()
        self.encoder = Encoder(3, width, blocks)
        self.up1 = Up(8 * width, 2 * width)
        self.up2 = Up(4 * width, width)
        self.tail = Tail(2 * width, width)
        self.capabilities = Capabilities(
            size_multiple=4,
            min_size=8,  # borders are mirrored at a quarter of the sides
            taps=("encoder.conv1", "encoder.conv2", "encoder.blocks"),
        )

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to the initial restoration."""
        return self.residual(lq_BCHW) + lq_BCHW

    def residual(self, lq_BCHW: Tensor) -> Tensor:
        """What is added to the images: the published network."""
        full, half, quarter, x = self.encoder(lq_BCHW)
        x = self.up1(torch.cat([x, quarter], 1))
        x = self.up2(torch.cat([x, half], 1))
        return self.tail(torch.cat([x, full], 1))
