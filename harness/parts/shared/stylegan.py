"""Layers of StyleGAN2: T. Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, arXiv
1912.04958. Our own code.

Weights start as N(0, 1) and are scaled at run time, so that all learn at the same rate. A styled layer's features are
concatenated with the guiding ones, not added to them (T. Yang et al., GPEN, CVPR 2021).

Shape letters: B batch, C channels, O output channels, S style width, H×W image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.parts.ops.whole_batch import drawn

SLOPE = 0.2
BINOMIAL = (1.0, 3.0, 3.0, 1.0)


def scaled_leaky(x: Tensor) -> Tensor:
    """LeakyReLU that keeps the variance of its input."""
    return F.leaky_relu(x, SLOPE) * math.sqrt(2)


class ScaledLeaky(nn.Module):
    """A bias per channel, then `scaled_leaky`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return scaled_leaky(x_BCHW + self.bias[:, None, None])


class EqualConv2d(nn.Module):
    """Convolution without bias whose weight is scaled at run time."""

    def __init__(self, channels: int, out: int, kernel: int, *, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, channels, kernel, kernel))
        self.scale = 1 / math.sqrt(channels * kernel * kernel)
        self.stride, self.padding = stride, padding

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.conv2d(x_BCHW, self.weight * self.scale, stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """Linear layer whose weight and bias are scaled at run time; `rate` makes it learn slower than the others."""

    def __init__(self, inputs: int, out: int, *, bias: float = 0.0, rate: float = 1.0, leaky: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, inputs) / rate)
        self.bias = nn.Parameter(torch.full((out,), bias))
        self.scale, self.rate, self.leaky = rate / math.sqrt(inputs), rate, leaky

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(x, self.weight * self.scale, self.bias * self.rate)
        return scaled_leaky(x) if self.leaky else x


class Blur(nn.Module):
    """Low-pass filter against aliasing, with zeros beyond the borders; `gain` compensates zeros put between pixels."""

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0) -> None:
        super().__init__()
        self.padding = padding
        self.register_buffer("kernel", binomial(gain))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        C = x_BCHW.shape[1]
        return F.conv2d(x_BCHW, self.kernel.expand(C, 1, -1, -1), padding=self.padding, groups=C)


class Upsample(nn.Module):
    """Twice the sides through the same filter."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", binomial(4.0))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        C = x_BCHW.shape[1]
        return F.conv_transpose2d(x_BCHW, self.kernel.expand(C, 1, -1, -1), stride=2, padding=1, groups=C)


def binomial(gain: float) -> Tensor:
    """4×4 binomial kernel that adds up to `gain`."""
    row = torch.tensor(BINOMIAL)
    kernel = torch.outer(row, row)
    return kernel / kernel.sum() * gain


class ConvLayer(nn.Sequential):
    """Convolution and activation; with `halve`, behind a blur and with stride 2."""

    def __init__(self, channels: int, out: int, kernel: int, *, halve: bool = False) -> None:
        if halve:
            # Padded in the blur, by what the blur and the strided convolution take away together.
            conv = EqualConv2d(channels, out, kernel, stride=2)
            super().__init__(Blur((kernel + 1) // 2), conv, ScaledLeaky(out))
        else:
            super().__init__(EqualConv2d(channels, out, kernel, padding=kernel // 2), ScaledLeaky(out))


class ModulatedConv2d(nn.Module):
    """Convolution whose input channels a style scales; `demodulate`: outputs are brought back to unit variance.

    Scales the features instead of the weights: the same result, without weights per image.
    """

    def __init__(
        self, channels: int, out: int, kernel: int, style: int, *, demodulate: bool = True, double: bool = False
    ) -> None:
        super().__init__()
        self.demodulate = demodulate
        self.scale = 1 / math.sqrt(channels * kernel * kernel)
        self.weight = nn.Parameter(torch.randn(1, out, channels, kernel, kernel))
        self.modulation = EqualLinear(style, channels, bias=1.0)
        self.blur = Blur(1, gain=4.0) if double else None

    def forward(self, x_BCHW: Tensor, style_BS: Tensor) -> Tensor:
        weight_OCkk = self.weight[0] * self.scale
        style_BC = self.modulation(style_BS)
        x = x_BCHW * style_BC[:, :, None, None]
        if self.blur is not None:
            x = self.blur(F.conv_transpose2d(x, weight_OCkk.transpose(0, 1), stride=2))
        else:
            x = F.conv2d(x, weight_OCkk, padding=weight_OCkk.shape[-1] // 2)
        if not self.demodulate:
            return x
        variance_BO = style_BC.square() @ weight_OCkk.square().sum((2, 3)).T
        return x * torch.rsqrt(variance_BO + 1e-8)[:, :, None, None]


class StyledConv(nn.Module):
    """Modulated 3×3 convolution, whose features are concatenated with as many guiding ones. B×C×h×w to B×2O×H×W."""

    def __init__(self, channels: int, out: int, style: int, *, double: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(channels, out, 3, style, double=double)
        self.noise = Weight()
        self.activate = ScaledLeaky(2 * out)

    def forward(self, x_BCHW: Tensor, style_BS: Tensor, guide_BOHW: Tensor | None) -> Tensor:
        """Without a guide, fresh Gaussian noise takes its place in training, and zeros otherwise."""
        x = self.conv(x_BCHW, style_BS)
        if guide_BOHW is None:
            guide_BOHW = drawn(x, torch.randn_like) if self.training else torch.zeros_like(x)
        return self.activate(torch.cat([x, self.noise.weight * guide_BOHW], 1))


class Weight(nn.Module):
    """One learned number, zero at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


class PixelNorm(nn.Module):
    """Brings vectors to a mean square of one."""

    def forward(self, x_BS: Tensor) -> Tensor:
        return x_BS * torch.rsqrt(x_BS.square().mean(1, keepdim=True) + 1e-8)
