"""Zero-DCE: C. Guo et al., "Zero-Reference Deep Curve Estimation for Low-Light Image Enhancement", CVPR 2020.

arXiv 2001.06826. Our own code, written from the paper and a description of the network, and checked against sampled
outputs. The authors' copy is for academic use only and was not used; parameter names are those of their checkpoints.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Channels, Count
from harness.api.traits import LossUse
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import draw_normal_weights


class ZeroDCE(nn.Module):
    """Seven convolutions predict brightening curves per pixel and channel, which are applied one after another.

    `iterations`: how many curves. Any image size. The result is not clamped, but curves with parameters in (-1, 1) map
    [0, 1] into itself. Defaults are the authors'. Raises HarnessError for fewer than one iteration.
    """

    traits = BackboneTraits(
        losses=(LossUse("zero_dce"),),
        taps=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2001.06826",
        verified=True,
    )

    def __init__(self, *, width: Channels = 32, iterations: Count = 8) -> None:
        super().__init__()
        if iterations < 1:
            raise HarnessError("zero_dce applies its curve at least once: `iterations`")
        self.iterations = iterations
        self.capabilities = Capabilities(
            taps=("e_conv1", "e_conv2", "e_conv3", "e_conv4"),
        )
        self.e_conv1 = nn.Conv2d(3, width, 3, padding=1)
        self.e_conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv4 = nn.Conv2d(width, width, 3, padding=1)
        self.e_conv5 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.e_conv6 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.e_conv7 = nn.Conv2d(2 * width, 3 * iterations, 3, padding=1)
        draw_normal_weights(self)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to enhanced ones."""
        return self.enhance(lq_BCHW)[1]

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        """The enhanced images, and the curves for the loss."""
        _, restored, curves = self.enhance(lq_BCHW)
        return {"restored": restored, "curves": curves}

    def enhance(self, image_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Images after half of the iterations and after all, and the curves of all iterations, B×3·iterations×H×W."""
        curves = self.curves(image_BCHW)
        x = half = image_BCHW
        for step, curve in enumerate(curves.chunk(self.iterations, 1)):
            x = x + curve * (x.square() - x)
            if step + 1 == self.iterations // 2:
                half = x
        return half, x, curves

    def curves(self, image_BCHW: Tensor) -> Tensor:
        """Curve parameters in (-1, 1); negative ones brighten."""
        x1 = F.relu(self.e_conv1(image_BCHW))
        x2 = F.relu(self.e_conv2(x1))
        x3 = F.relu(self.e_conv3(x2))
        x4 = F.relu(self.e_conv4(x3))
        x = F.relu(self.e_conv5(torch.cat([x3, x4], 1)))
        x = F.relu(self.e_conv6(torch.cat([x2, x], 1)))
        return torch.tanh(self.e_conv7(torch.cat([x1, x], 1)))
