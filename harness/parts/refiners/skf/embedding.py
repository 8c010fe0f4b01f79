"""SKF's semantic-aware embedding: Y. Wu et al., "Learning Semantic-Aware Knowledge Guidance for Low-Light Image
Enhancement", CVPR 2023, arXiv 2304.07039 (section 3.2). Our own code, checked against sampled outputs.

Channels of the image's features attend to one another as the features of a segmentation network say: queries come from
the semantics, keys and values from the image.

Shape letters: B batch, C channels, S semantic channels, H×W image features, h×w semantic features, N positions (H·W).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import ChannelLayerNorm, GatedFeedForward

EXPANSION = 2.66


class SemanticEmbedding(nn.Module):
    """Fuses semantic features, of any size, into image features, B×C×H×W to the same.

    Both streams pass one norm, and the normalised image stream replaces the features: there is no skip around it. The
    feed-forward is gated by the `semantics` (with SNR-Net) or by the `image` stream itself (with DRBN).
    """

    official = OfficialNames(parts={"body": ""})

    def __init__(
        self, channels: int, semantic_channels: int, *, gate: Literal["semantics", "image"], heads: int = 2
    ) -> None:
        super().__init__()
        self.gate = gate
        self.conv1 = nn.Conv2d(semantic_channels, channels, 1)
        self.norm1 = ChannelLayerNorm(channels)
        self.attn = SemanticAttention(channels, heads)
        self.norm2 = ChannelLayerNorm(channels)
        self.ffn: nn.Module
        if gate == "semantics":
            self.ffn = SemanticFeedForward(channels)
        else:
            self.ffn = GatedFeedForward(channels, EXPANSION, gelu="tanh")

    def forward(self, x_BCHW: Tensor, semantics_BShw: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """`size`: height and width that the semantics cover, where they go beyond x to the right and below."""
        H, W = x_BCHW.shape[-2:]
        # Resized last: what comes before treats every position alike, and there are fewer before.
        semantics_BChw = self.norm1(self.conv1(semantics_BShw))
        semantics_BCHW = F.interpolate(semantics_BChw, size=size or (H, W), mode="nearest")[..., :H, :W]
        x_BCHW = self.norm1(x_BCHW)
        x_BCHW = x_BCHW + self.attn(x_BCHW, semantics_BCHW)
        if self.gate == "semantics":
            return x_BCHW + self.ffn(self.norm2(x_BCHW), self.norm2(semantics_BCHW))
        return x_BCHW + self.ffn(self.norm2(x_BCHW))


class SemanticAttention(nn.Module):
    """Transposed attention (see harness.parts.shared.blocks) of image channels with queries from the semantics.

    Raises HarnessError when the heads do not divide the channels.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise HarnessError(f"{heads} attention heads do not divide {channels} channels")
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.kv = nn.Conv2d(channels, 2 * channels, 1, bias=False)
        self.kv_dwconv = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=2 * channels, bias=False)
        self.q = nn.Conv2d(channels, channels, 1, bias=False)
        self.q_dwconv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)  # Dense, for all its name.
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x_BCHW: Tensor, semantics_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        shape = (B, -1, self.heads, C // self.heads, H * W)
        key_BhcN, value_BhcN = self.kv_dwconv(self.kv(x_BCHW)).view(shape).unbind(1)
        query_BhcN = self.q_dwconv(self.q(semantics_BCHW)).view(shape).squeeze(1)
        query_BhcN, key_BhcN = F.normalize(query_BhcN, dim=-1), F.normalize(key_BhcN, dim=-1)
        attention_Bhcc = (query_BhcN @ key_BhcN.transpose(-1, -2) * self.temperature).softmax(-1)
        return self.project_out((attention_Bhcc.to(value_BhcN.dtype) @ value_BhcN).reshape(B, C, H, W))


class SemanticFeedForward(nn.Module):
    """gelu(image) · gelu(semantics), each mapped to ⌊2.66·C⌋ channels, and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = int(channels * EXPANSION)
        self.project_in_R = nn.Conv2d(channels, hidden, 1, bias=False)
        self.project_in_S = nn.Conv2d(channels, hidden, 1, bias=False)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=False)
        # The published network has these two and uses neither: they are kept for its weights and never trained.
        self.project_in = nn.Conv2d(channels, hidden, 1, bias=False).requires_grad_(False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, groups=2 * hidden, bias=False).requires_grad_(False)

    def forward(self, x_BCHW: Tensor, semantics_BCHW: Tensor) -> Tensor:
        return self.project_out(F.gelu(self.project_in_R(x_BCHW)) * F.gelu(self.project_in_S(semantics_BCHW)))
