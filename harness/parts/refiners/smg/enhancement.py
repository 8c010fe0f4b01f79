"""SMG's structure-guided enhancement: the appearance result is refined with filters and norms led by an edge map.

Paper: arXiv 2305.05839 (section 3.3). Our own code, checked against sampled outputs.

Shape letters: B batch, C channels, H×W image, h×w features, K kernel positions (9·C).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.weights import OfficialNames
from harness.parts.ops.defined import dynamic_filter
from harness.parts.shared.smg_unet import ENCODER_NAMES, Encoder, Tail, Up

SLOPE = 0.1
NORM_HIDDEN = 128


class EnhancementNet(nn.Module):
    """[appearance result, low-light image] and the edge map to a residual, not clamped. Sides are multiples of 4."""

    official = OfficialNames(
        parts=ENCODER_NAMES
        | {
            "deconv1": "up1.0",
            "deconv2": "up2.0",
            "deconv11": "guide1.merge",
            "deconv22": "guide2.merge",
            "conv1_1": "guide1.embed",
            "conv2_1": "guide2.embed",
            "fac_deblur1": "guide1.kernels",
            "fac_deblur2": "guide2.kernels",
            "stem": "",
            "norm1": "guide1.norm",
            "norm2": "guide2.norm",
            "model_tail": "tail",
        }
    )

    def __init__(self, *, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        self.encoder = Encoder(6, width, blocks)
        self.up1 = Up(8 * width, 2 * width)
        self.guide1 = StructureGuidance(2 * width)
        self.up2 = Up(4 * width, width)
        self.guide2 = StructureGuidance(width)
        self.tail = Tail(2 * width, width)

    def forward(self, images_B6HW: Tensor, edges_B1HW: Tensor) -> Tensor:
        full, half, quarter, x = self.encoder(images_B6HW)
        x = self.guide1(self.up1(torch.cat([x, quarter], 1)), edges_B1HW)
        x = self.guide2(self.up2(torch.cat([x, half], 1)), edges_B1HW)
        return self.tail(torch.cat([x, full], 1))


class StructureGuidance(nn.Module):
    """Adds to features what an edge map makes of them: filtered by its kernels, normalised by it, merged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.embed = _conv_leaky(1, channels, 3)
        # The kernels too leave through a LeakyReLU.
        self.kernels = nn.Sequential(
            _conv_leaky(channels, channels, 3), LeakyBlock(channels), _conv_leaky(channels, 9 * channels, 1)
        )
        self.norm = SpatialNorm(channels)
        self.merge = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BChw: Tensor, edges_B1HW: Tensor) -> Tensor:
        edges_B1hw = F.interpolate(edges_B1HW, size=x_BChw.shape[-2:], mode="nearest")
        kernels_BKhw = self.kernels(self.embed(edges_B1hw))
        filtered = self.norm(dynamic_filter(x_BChw, kernels_BKhw), edges_B1hw)
        return x_BChw + F.relu(self.merge(filtered))


class LeakyBlock(nn.Sequential):
    """conv3×3 – LeakyReLU – conv3×3 around a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__(*_conv_leaky(channels, channels, 3), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x_BChw: Tensor) -> Tensor:
        return x_BChw + super().forward(x_BChw)


class SpatialNorm(nn.Module):
    """SPADE (T. Park et al., CVPR 2019): instance norm, scaled and shifted at each position by the edge map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(1, NORM_HIDDEN, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(NORM_HIDDEN, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(NORM_HIDDEN, channels, 3, padding=1)

    def forward(self, x_BChw: Tensor, edges_B1hw: Tensor) -> Tensor:
        shared = self.mlp_shared(edges_B1hw)
        return F.instance_norm(x_BChw) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)


def _conv_leaky(channels: int, out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, kernel, padding=kernel // 2), nn.LeakyReLU(SLOPE))
