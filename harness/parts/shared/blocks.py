"""Building blocks that backbones and refiners share.

Restormer's blocks follow S. W. Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration",
CVPR 2022, arXiv 2111.09881 (section 3). Submodules carry the names of the published checkpoints, so that those load
once the other names are translated (harness.api.weights.OfficialNames).

Shape letters: B batch, C channels, H height, W width, N positions (H·W), K kernel positions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.ops import forms
from harness.parts.ops.defined import gated_gelu


class ChannelLayerNorm(nn.Module):
    """Layer normalisation over the channels of each position, B×C×H×W to the same.

    With `bias`: (x − mean) / √(var + eps) · weight + bias. Without (Restormer's "bias-free" form): x / √(var + eps) ·
    weight, where the mean is taken out of the variance but not out of x. The variance is the biased one.
    Statistics are taken in float32 or better, whatever autocast says.
    """

    def __init__(self, channels: int, *, bias: bool = True, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        if self.bias is not None and forms.lies_last(x):
            weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
            normed_BHWC = F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, self.eps)
            return normed_BHWC.permute(0, 3, 1, 2).to(x_BCHW.dtype)
        centred = x - x.mean(1, keepdim=True)
        # Spelled out on B×C×H×W: on a CPU twice as fast as layer_norm on a rearranged copy.
        scale = torch.rsqrt(centred.square().mean(1, keepdim=True) + self.eps)
        weight = self.weight[:, None, None]
        if self.bias is None:
            return (x * scale * weight).to(x_BCHW.dtype)
        return (centred * scale * weight + self.bias[:, None, None]).to(x_BCHW.dtype)


class TransposedAttention(nn.Module):
    """Multi-Dconv head transposed attention (MDTA), Restormer eq. 1: attention between channels, not positions.

    Queries and keys are L2-normalised along the positions; each head has a learned temperature. Cost grows linearly
    with the image. Raises HarnessError when the heads do not divide the channels.
    """

    def __init__(self, dim: int, heads: int, *, bias: bool = False) -> None:
        super().__init__()
        if dim % heads:
            raise HarnessError(f"{heads} attention heads do not divide {dim} channels")
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=bias)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        qkv = self.qkv_dwconv(self.qkv(x_BCHW))
        channels_last = forms.lies_last(qkv)
        # Views of either memory format, whose gradients come in that format too.
        if channels_last:
            parts = qkv.permute(0, 2, 3, 1).flatten(1, 2).unflatten(2, (3, self.heads, C // self.heads)).unbind(2)
            query_BhcN, key_BhcN, value_BhcN = (part_BNhc.permute(0, 2, 3, 1) for part_BNhc in parts)
        else:
            query_BhcN, key_BhcN, value_BhcN = qkv.flatten(2).unflatten(1, (3, self.heads, C // self.heads)).unbind(1)
        query_BhcN, key_BhcN = F.normalize(query_BhcN, dim=-1), F.normalize(key_BhcN, dim=-1)
        attention_Bhcc = (query_BhcN @ key_BhcN.transpose(-1, -2) * self.temperature).softmax(-1)
        attention_Bhcc = attention_Bhcc.to(value_BhcN.dtype)
        if channels_last:
            mixed_BNhc = (value_BhcN.transpose(-1, -2) @ attention_Bhcc.transpose(-1, -2)).transpose(1, 2)
            return self.project_out(mixed_BNhc.reshape(B, H, W, C).permute(0, 3, 1, 2))
        return self.project_out((attention_Bhcc @ value_BhcN).reshape(B, C, H, W))


class GatedFeedForward(nn.Module):
    """Gated depthwise feed-forward (GDFN), Restormer eq. 2: gelu(first half) · second half, ⌊dim·expansion⌋ wide.

    `gelu`: the exact function (`none`) or its `tanh` approximation.
    """

    def __init__(
        self, dim: int, expansion: float, *, bias: bool = False, gelu: Literal["none", "tanh"] = "none"
    ) -> None:
        super().__init__()
        self.gelu = gelu
        hidden = int(dim * expansion)
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.project_out(gated_gelu(self.dwconv(self.project_in(x_BCHW)), self.gelu))


class TransformerBlock(nn.Module):
    """Restormer's block: transposed attention, then gated feed-forward, each behind a norm and around a skip."""

    def __init__(self, dim: int, heads: int, expansion: float, *, bias: bool = False, norm_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(dim, bias=norm_bias)
        self.attn = TransposedAttention(dim, heads, bias=bias)
        self.norm2 = ChannelLayerNorm(dim, bias=norm_bias)
        self.ffn = GatedFeedForward(dim, expansion, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW + self.attn(self.norm1(x_BCHW))
        return x_BCHW + self.ffn(self.norm2(x_BCHW))


def halve(channels: int) -> nn.Sequential:
    """Restormer's downsampling: C channels to 2·C at half the sides, 2×2 pixels moved into channels."""
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))


def double(channels: int) -> nn.Sequential:
    """Restormer's upsampling: C channels to C/2 at twice the sides, channels moved into 2×2 pixels."""
    return nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.PixelShuffle(2))


class ResidualBlock(nn.Module):
    """conv3×3 – ReLU – conv3×3 around a skip, without normalisation (EDSR, CVPR workshops 2017)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.conv2(F.relu(self.conv1(x_BCHW)))


def position_grid(height: int, width: int, like: Tensor) -> Tensor:
    """1×2×H×W coordinates in [-1, 1], corners included; channel 0 runs along the height, channel 1 along the width."""
    rows = torch.linspace(-1, 1, height, device=like.device, dtype=like.dtype)
    columns = torch.linspace(-1, 1, width, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


def grey_of(image_B3HW: Tensor, weights: tuple[float, float, float]) -> Tensor:
    """The weighted sum of red, green and blue, B×1×H×W.

    The weights are numbers and no tensor, which would have to be copied to a GPU at every call.
    """
    red, green, blue = (image_B3HW[:, place : place + 1] * weight for place, weight in enumerate(weights))
    return red + green + blue


def snr_map(image_BCHW: Tensor) -> Tensor:
    """Estimated signal-to-noise ratio of each pixel, B×1×H×W in [0, 1], relative to the image's largest.

    Signal: grey of the 5×5 box mean (borders mirrored); noise: how far the pixel's grey is from it. Needs no gradient.
    """
    with torch.no_grad():
        grey = grey_of(image_BCHW, (0.299, 0.587, 0.114))
        signal = F.avg_pool2d(F.pad(grey, (2, 2, 2, 2), mode="reflect"), 5, stride=1)
        ratio = signal / ((grey - signal).abs() + 1e-4)
        return (ratio / (ratio.amax((1, 2, 3), keepdim=True) + 1e-4)).clamp(0, 1)


def draw_normal_weights(module: nn.Module, std: float = 0.02, *, clear_biases: bool = False) -> None:
    """Draws the weights of all convolutions inside from N(0, std²), the factors of batch norms from N(1, std²).

    Biases of convolutions stay as PyTorch makes them, or are cleared.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=std)
            if clear_biases and part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, std)


def reflect_pad(image_BCHW: Tensor, height: int, width: int) -> Tensor:
    """Grows an image to the right and below by reflection without repeating the edge, as often as it takes.

    An image that fits comes back as it is. torch's own reflection stops at side - 1 pixels, too few for an image
    smaller than its padding.
    """
    return _reflected(_reflected(image_BCHW, height, -2), width, -1)


def reflect_to_square(image_BCHW: Tensor) -> Tensor:
    """Grows the shorter side by `reflect_pad`."""
    side = max(image_BCHW.shape[-2:])
    return reflect_pad(image_BCHW, side, side)


def _reflected(image_BCHW: Tensor, length: int, axis: int) -> Tensor:
    """Mirrors an image at its end, and what comes of it at its own, until it has that length along an axis."""
    while (reach := image_BCHW.shape[axis] - 1) < length - 1:
        if reach == 0:
            return torch.cat([image_BCHW] * length, axis)
        more = min(reach, length - 1 - reach)
        image_BCHW = torch.cat([image_BCHW, image_BCHW.narrow(axis, reach - more, more).flip(axis)], axis)
    return image_BCHW
