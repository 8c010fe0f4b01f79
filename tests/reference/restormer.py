"""Restormer computed plainly from its paper (arXiv 2111.09881), with the harness's names: norms rearrange to B×N×C and
back, attention rearranges to heads. Its state dict is harness.parts.backbones.restormer's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class PlainRestormer(nn.Module):
    """Norms with bias, convolutions without; three image channels in and out."""

    def __init__(
        self,
        *,
        dim: int = 48,
        num_blocks: tuple[int, int, int, int] = (4, 6, 6, 8),
        num_refinement_blocks: int = 4,
        heads: tuple[int, int, int, int] = (1, 2, 4, 8),
    ) -> None:
        super().__init__()

        def level(channels: int, blocks: int, level_heads: int) -> nn.Sequential:
            return nn.Sequential(*(Block(channels, level_heads, 2.66) for _ in range(blocks)))

        self.patch_embed = nn.Conv2d(3, dim, 3, 1, 1, bias=False)
        self.encoder_level1 = level(dim, num_blocks[0], heads[0])
        self.down1_2 = down(dim)
        self.encoder_level2 = level(2 * dim, num_blocks[1], heads[1])
        self.down2_3 = down(2 * dim)
        self.encoder_level3 = level(4 * dim, num_blocks[2], heads[2])
        self.down3_4 = down(4 * dim)
        self.latent = level(8 * dim, num_blocks[3], heads[3])
        self.up4_3 = up(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=False)
        self.decoder_level3 = level(4 * dim, num_blocks[2], heads[2])
        self.up3_2 = up(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=False)
        self.decoder_level2 = level(2 * dim, num_blocks[1], heads[1])
        self.up2_1 = up(2 * dim)
        self.decoder_level1 = level(2 * dim, num_blocks[0], heads[0])
        self.refinement = level(2 * dim, num_refinement_blocks, heads[0])
        self.output = nn.Conv2d(2 * dim, 3, 3, 1, 1, bias=False)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        first = self.encoder_level1(self.patch_embed(lq_BCHW))
        second = self.encoder_level2(self.down1_2(first))
        third = self.encoder_level3(self.down2_3(second))
        x = self.latent(self.down3_4(third))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), third], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), second], 1)))
        x = self.decoder_level1(torch.cat([self.up2_1(x), first], 1))
        return self.output(self.refinement(x)) + lq_BCHW


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, expansion: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = Norm(dim), Norm(dim)
        self.attn = Attention(dim, heads)
        self.ffn = FeedForward(dim, int(dim * expansion))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = x_BCHW + self.attn(self.norm1(x_BCHW))
        return x_BCHW + self.ffn(self.norm2(x_BCHW))


class Norm(nn.Module):
    """LayerNorm over the channels of B×N×C tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BNC = x_BCHW.flatten(2).transpose(1, 2).contiguous()
        mean = x_BNC.mean(-1, keepdim=True)
        variance = x_BNC.var(-1, keepdim=True, unbiased=False)
        normed = (x_BNC - mean) / torch.sqrt(variance + 1e-5) * self.weight + self.bias
        return normed.transpose(1, 2).reshape(x_BCHW.shape)


class Attention(nn.Module):
    """Equation 1: softmax(K·Q·temperature) between channels, heads apart."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, 1, 1, groups=3 * dim, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        query, key, value = self.qkv_dwconv(self.qkv(x_BCHW)).chunk(3, dim=1)
        query, key, value = (part.reshape(B, self.heads, C // self.heads, H * W) for part in (query, key, value))
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        attention = torch.softmax(query @ key.transpose(-2, -1) * self.temperature, dim=-1)
        return self.project_out((attention @ value).reshape(B, C, H, W))


class FeedForward(nn.Module):
    """Equation 2: gelu(first half) · second half."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(dim, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, 1, 1, groups=2 * hidden, bias=False)
        self.project_out = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x_BCHW)).chunk(2, dim=1)
        return self.project_out(F.gelu(gate) * value)


def down(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels // 2, 3, 1, 1, bias=False), nn.PixelUnshuffle(2))


def up(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, 1, 1, bias=False), nn.PixelShuffle(2))
