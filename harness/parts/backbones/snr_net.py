"""SNR-Net: X. Xu et al., "SNR-Aware Low-Light Image Enhancement", CVPR 2022. Our own code.

Written from a description of the network, and checked against sampled outputs.

Where an image is too noisy for its own neighbourhood to help (low signal-to-noise ratio), features come from a
transformer over the whole image that attends to clean patches only; elsewhere from a small convolutional branch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count
from harness.api.weights import OfficialNames
from harness.parts.shared.blocks import ResidualBlock, snr_map

LEVELS = 3
PATCH = 4
"""Side of the transformer's patches, at quarter resolution."""

Merge = Callable[[int, Tensor, Tensor], Tensor]
"""(level, the decoder's features, the encoder's) to both side by side, B×2·nf×h×w. Level 0 is 1/4 resolution, 1 is 1/2,
2 is full."""


class SNRNet(nn.Module):
    """SNR-aware network for low light. Sides are multiples of 16; the output is the input plus a residual, unclamped.

    `front_rbs`, `back_rbs` and `short_rbs` count residual blocks before, after and beside the transformer of `layers`
    layers. Defaults are the authors' SID configuration.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        guided=True,
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="SNR-Aware Low-Light Image Enhancement, CVPR 2022",
        verified=True,
    )

    official = OfficialNames(
        parts={
            "conv_first_1": "encode.0",
            "conv_first_2": "encode.1",
            "conv_first_3": "encode.2",
            "feature_extraction": "front",
            "recon_trunk_light": "short",
            "recon_trunk": "back",
            "transformer": "long",
            "layer_stack": "",
            "slf_attn": "attention",
            "w_qs": "query",
            "w_ks": "key",
            "w_vs": "value",
            "fc": "merge",
            "layer_norm": "norm",
            "pos_ffn": "feed_forward",
            "w_1": "expand",
            "w_2": "reduce",
            "upconv1": "up.0",
            "upconv2": "up.1",
            "HRconv": "fuse",
            "conv_last": "last",
        }
    )

    def __init__(
        self,
        *,
        nf: Channels = 64,
        front_rbs: Blocks = 1,
        back_rbs: Blocks = 1,
        short_rbs: Blocks = 6,
        layers: Blocks = 6,
        heads: Count = 8,
        head_dim: Channels = 64,
        inner: Channels = 2048,
    ) -> None:
        super().__init__()
        self.capabilities = Capabilities(
            size_multiple=4 * PATCH,
            min_size=4 * PATCH,
            taps=("front", "back"),
            decoder=tuple(f"decoded.{level}" for level in range(LEVELS)),
        )
        strides = ((3, 1), (nf, 2), (nf, 2))
        self.encode = nn.ModuleList(nn.Conv2d(channels, nf, 3, stride, 1) for channels, stride in strides)
        self.front = nn.Sequential(*(ResidualBlock(nf) for _ in range(front_rbs)))
        self.short = nn.Sequential(*(ResidualBlock(nf) for _ in range(short_rbs)))
        width = nf * PATCH * PATCH
        self.long = nn.ModuleList(TransformerLayer(width, heads, head_dim, inner) for _ in range(layers))
        self.back = nn.Sequential(*(ResidualBlock(nf) for _ in range(back_rbs)))
        # Names of the decoder's features before they are concatenated with the encoder's.
        self.decoded = nn.ModuleList(nn.Identity() for _ in range(LEVELS))
        self.up = nn.ModuleList(nn.Conv2d(2 * nf, 4 * nf, 3, padding=1) for _ in range(2))
        self.fuse = nn.Conv2d(2 * nf, nf, 3, padding=1)
        self.last = nn.Conv2d(nf, 3, 3, padding=1)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to the initial restoration; the SNR map is computed here."""
        return self.restore(lq_BCHW, snr_map(lq_BCHW))

    def guide(self, lq_BCHW: Tensor) -> Tensor:
        """The SNR map of whole images, B×1×H×W in [0, 1]."""
        return snr_map(lq_BCHW)

    def guided(self, lq_BCHW: Tensor, guide_BCHW: Tensor) -> Tensor:
        """As `forward`, with the SNR map given: that of the images before they were resized."""
        return self.restore(lq_BCHW, guide_BCHW)

    def restore(self, image_BCHW: Tensor, snr_B1HW: Tensor, merge: Merge | None = None) -> Tensor:
        """The network proper, with the SNR map in [0, 1] given.

        `merge` joins the decoder's and the encoder's features; see `Merge`.
        """
        merge = merge or _side_by_side
        skips = []
        x = image_BCHW
        for conv in self.encode:
            x = _leaky(conv(x))
            skips.append(x)
        features = self.front(x)
        snr = F.interpolate(snr_B1HW, size=features.shape[-2:], mode="nearest")
        x = self.back(self._long_range(features, snr) * (1 - snr) + self.short(features) * snr)
        for level, conv in enumerate(self.up):
            x = _leaky(F.pixel_shuffle(conv(merge(level, self.decoded[level](x), skips.pop())), 2))
        x = _leaky(self.fuse(merge(len(self.up), self.decoded[-1](x), skips.pop())))
        return self.last(x) + image_BCHW

    def _long_range(self, features_BCHW: Tensor, snr_B1HW: Tensor) -> Tensor:
        """Transformer over 4×4 patches. Patches whose mean SNR is at most 0.5 are not attended to.

        Where that is every patch of an image, attention is uniform over all of them.
        """
        reliable_BN = F.avg_pool2d(snr_B1HW, PATCH).flatten(1) > 0.5
        silence_B11N = torch.zeros_like(reliable_BN, dtype=features_BCHW.dtype)
        # The lowest number where the paper's code has -1e9: the same weights, and it also exists in half precision.
        silence_B11N = silence_B11N.masked_fill(~reliable_BN, torch.finfo(features_BCHW.dtype).min)[:, None, None]
        tokens_BNC = F.unfold(features_BCHW, PATCH, stride=PATCH).transpose(1, 2)
        for layer in self.long:
            tokens_BNC = layer(tokens_BNC, silence_B11N)
        return F.fold(tokens_BNC.transpose(1, 2), features_BCHW.shape[-2:], PATCH, stride=PATCH)


class TransformerLayer(nn.Module):
    """Self-attention with silenced keys, then a two-layer perceptron; each behind a norm and around a skip."""

    def __init__(self, width: int, heads: int, head_dim: int, inner: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads, head_dim)
        self.feed_forward = FeedForward(width, inner)

    def forward(self, x_BNC: Tensor, silence_B11N: Tensor) -> Tensor:
        return self.feed_forward(self.attention(x_BNC, silence_B11N))


class Attention(nn.Module):
    """Pre-norm multi-head attention around a skip; `silence` (0 or hugely negative) is added to each key's score."""

    def __init__(self, width: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.query = nn.Linear(width, heads * head_dim, bias=False)
        self.key = nn.Linear(width, heads * head_dim, bias=False)
        self.value = nn.Linear(width, heads * head_dim, bias=False)
        self.merge = nn.Linear(heads * head_dim, width, bias=False)

    def forward(self, x_BNC: Tensor, silence_B11N: Tensor) -> Tensor:
        normed = self.norm(x_BNC)
        query, key, value = (
            project(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        mixed_BhNd = F.scaled_dot_product_attention(query, key, value, attn_mask=silence_B11N.to(query.dtype))
        return x_BNC + self.merge(mixed_BhNd.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Pre-norm Linear – ReLU – Linear around a skip."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, inner)
        self.reduce = nn.Linear(inner, width)

    def forward(self, x_BNC: Tensor) -> Tensor:
        return x_BNC + self.reduce(F.relu(self.expand(self.norm(x_BNC))))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


def _side_by_side(level: int, decoded_BCHW: Tensor, encoded_BCHW: Tensor) -> Tensor:
    return torch.cat([decoded_BCHW, encoded_BCHW], 1)
