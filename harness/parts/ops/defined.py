"""Operations that have a lean form for CPUs (harness.parts.ops.lean), each written out by its definition.

The definition is the truth. It is differentiable by autograd alone, makes no tensor on the host, uses nothing that
lacks a deterministic kernel on a GPU, and torch.compile fuses it. harness.parts.ops.forms chooses.

Shape letters: B batch, C channels, H height, W width, K kernel positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.parts.ops import forms, lean

GATED = 600_000
"""Numbers in a map from which on the lean gated GELU trains faster: on one thread of an AMD EPYC it took 1.2 to 1.3
times the definition's time at 173,000 numbers and fewer, 1.05 times at 520,000, 0.83 times at 690,000."""


class InstanceNormLeaky(nn.InstanceNorm2d):
    """Instance norm with learned scale and shift, then LeakyReLU; `slope` 1 leaves it a norm. B×C×H×W to the same.

    Statistics are taken in float32 or better, whatever autocast says.
    """

    def __init__(self, channels: int, slope: float = 1.0) -> None:
        super().__init__(channels, affine=True)
        self.slope = slope

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if forms.lean_as_laid("instance_norm_leaky", x_BCHW):
            return lean.instance_norm_leaky(x_BCHW, self.weight, self.bias, self.eps, self.slope)
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        normed = F.instance_norm(x, weight=self.weight.to(x.dtype), bias=self.bias.to(x.dtype), eps=self.eps)
        if self.slope != 1:
            normed = F.leaky_relu(normed, self.slope)
        return normed.to(x_BCHW.dtype)


def dynamic_filter(x_BCHW: Tensor, kernels_BKHW: Tensor) -> Tensor:
    """Filters each channel at each position with its own 3×3 kernel; borders replicate. B×C×H×W to the same.

    `kernels_BKHW` has 9·C channels, channel c·9 + row·3 + column. A sum over nine shifted views: no copy of the
    nine-fold unfolded features is made.
    """
    if forms.lean("dynamic_filter", x_BCHW):
        return lean.dynamic_filter(x_BCHW, kernels_BKHW)
    height, width = x_BCHW.shape[2:]
    padded = edges_repeated(x_BCHW)
    rows = [padded[:, :, row : row + height] for row in range(3)]
    kernels = kernels_BKHW.unflatten(1, (-1, 9)).unbind(2)
    products = [rows[tap // 3][..., tap % 3 : tap % 3 + width] * kernel for tap, kernel in enumerate(kernels)]
    total = products[0]
    for product in products[1:]:
        total = total + product
    return total


def edges_repeated(x_BCHW: Tensor) -> Tensor:
    """The map with its outermost rows and columns once more: B×C×(H+2)×(W+2).

    By concatenation, since the backward pass of F.pad's `replicate` adds in no fixed order on a GPU.
    """
    tall = torch.cat([x_BCHW[:, :, :1], x_BCHW, x_BCHW[:, :, -1:]], 2)
    return torch.cat([tall[..., :1], tall, tall[..., -1:]], 3)


class ShuffledConv(nn.Conv2d):
    """3×3 convolution without bias, pixel shuffle, LeakyReLU: B×C×H×W to B×`out_channels`×(H·factor)×(W·factor).

    The weights are nn.PixelShuffle's, with channel c·factor² + row·factor + column.
    """

    def __init__(self, in_channels: int, out_channels: int, factor: int, slope: float) -> None:
        super().__init__(in_channels, out_channels * factor**2, 3, padding=1, bias=False)
        self.factor, self.slope = factor, slope

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if forms.lean_as_laid("shuffled_conv", x_BCHW):
            return lean.shuffled_conv(x_BCHW, self.weight, self.factor, self.slope)
        return F.leaky_relu(F.pixel_shuffle(super().forward(x_BCHW), self.factor), self.slope)


def gated_gelu(x_BCHW: Tensor, approximate: str = "none") -> Tensor:
    """gelu(first half of the channels) · second half. B×2C×H×W to B×C×H×W."""
    if forms.lean("gated_gelu", x_BCHW, least=GATED):
        return lean.gated_gelu(x_BCHW, approximate)
    gate, value = x_BCHW.chunk(2, dim=1)
    return F.gelu(gate, approximate=approximate) * value
