"""LLFormer: T. Wang et al., "Ultra-High-Definition Low-Light Image Enhancement: A Benchmark and Transformer-Based
Method", AAAI 2023, arXiv 2212.11548. Our own code.

Written from the paper and a description of the network, and checked against sampled outputs. The authors' copy is under
a non-commercial licence and was not used; checkpoints with its parameter names load (harness.models.weights).

Shape letters: B batch, C channels, H height, W width, L layers fused, h heads, c channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count, Factor
from harness.api.traits import Rule, When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import ChannelLayerNorm, GatedFeedForward, double, halve

FUSED = 3
"""Stages at full resolution, before and again after the U, that cross-layer attention fuses."""


class LLFormer(nn.Module):
    """U-shaped transformer whose attention runs along rows, then columns. Sides are multiples of 16.

    Three stages at full resolution are fused by attention between layers and enter a five-level U, whose skip at full
    resolution is a fourth stage (`latent`); three refining stages after the U are fused like the first. The output is
    unclamped; `skip` adds the input image to it.

    `num_blocks` and `heads` have four numbers: full resolution takes `num_blocks[0]` and `heads[0]`; 1/2, 1/4 and 1/8
    take `num_blocks[0..2]` and `heads[1..3]`; 1/16 takes `num_blocks[3]` and `heads[3]`. `attention`: whether the
    weights that mix encoder and decoder features learn; otherwise they stay at one (our reading of the authors' option
    of that name; their published configuration has it on). Defaults are the authors'. Raises HarnessError for options
    that do not fit together.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2212.11548",
        verified=True,
        rules=(
            Rule("int(dim * ffn_expansion_factor) >= 1", "the feed-forward part has one channel at least"),
            Rule(
                "dim * (1, 2, 4, 8, 16) % (heads[0], heads[1], heads[2], heads[3], heads[3]) * (num_blocks[0] + "
                "num_refinement_blocks, num_blocks[0], num_blocks[1], num_blocks[2], num_blocks[3]) == 0",
                "the `heads` of a level with blocks divide its channels, which are `dim` times 1, 2, 4, 8 and 16 "
                "(the last two levels have the last of the `heads`)",
            ),
            Rule(
                "inp_channels == out_channels",
                "the input image is added to the output, which has as many channels then",
                when=(When("skip", True),),
            ),
        ),
    )

    official = OfficialNames(
        parts={
            "body": "",
            "proj": "",
            "row_att": "rows",
            "col_att": "columns",
            "fac": "scale",
            "q1": "qkv.0",
            "q2": "qkv.1",
            "q3": "qkv.2",
            "fin": "project_out",
            "encoder_1": "encoders.0",
            "encoder_2": "encoders.1",
            "encoder_3": "encoders.2",
            "layer_fussion": "fusion.attention",
            "conv_fuss": "fusion.merge",
            "down_1": "down.0",
            "down_2": "down.1",
            "down_3": "down.2",
            "down_4": "down.3",
            "decoder_level1_0": "descent.0",
            "decoder_level2_0": "descent.1",
            "decoder_level3_0": "descent.2",
            "decoder_level4": "descent.3",
            "up4_3": "up.0",
            "up3_2": "up.1",
            "up2_1": "up.2",
            "up2_0": "up.3",
            "coefficient_4_3": "mixes.0.coefficients",
            "coefficient_3_2": "mixes.1.coefficients",
            "coefficient_2_1": "mixes.2.coefficients",
            "coefficient_1_0": "mixes.3.coefficients",
            "skip_4_3": "mixes.0.conv",
            "skip_3_2": "mixes.1.conv",
            "skip_1_0": "mixes.2.conv",
            "skip_2_1": "unused_conv",
            "coefficient": "unused_coefficients",
            "decoder_level3_1": "ascent.0",
            "decoder_level2_1": "ascent.1",
            "decoder_level1_1": "ascent.2",
            "refinement_1": "refinements.0",
            "refinement_2": "refinements.1",
            "refinement_3": "refinements.2",
            "layer_fussion_2": "refined_fusion.attention",
            "conv_fuss_2": "refined_fusion.merge",
        }
    )

    def __init__(
        self,
        *,
        inp_channels: Channels = 3,
        out_channels: Channels = 3,
        dim: Annotated[int, Ge(2), Le(65_536), MultipleOf(2)] = 16,
        num_blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (2, 4, 8, 16),
        num_refinement_blocks: Blocks = 2,
        heads: tuple[Count, Count, Count, Count] = (1, 2, 4, 8),
        ffn_expansion_factor: Factor = 2.66,
        bias: bool = False,
        layer_norm: Literal["with_bias", "bias_free"] = "with_bias",
        attention: bool = True,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        if len(num_blocks) != 4 or len(heads) != 4:
            raise HarnessError("llformer has four levels: `num_blocks` and `heads` take four numbers each")
        self.capabilities = Capabilities(
            channels_in=inp_channels,
            channels_out=out_channels,
            size_multiple=16,
            min_size=16,
            taps=("latent", "descent.0", "descent.1", "descent.2", "descent.3"),
            decoder=("ascent.0", "ascent.1", "ascent.2"),
        )
        self.skip = skip

        def stage(channels: int, blocks: int, stage_heads: int) -> nn.Sequential:
            norm_bias = layer_norm == "with_bias"
            block = (channels, stage_heads, ffn_expansion_factor)
            return nn.Sequential(*(AxisBlock(*block, bias=bias, norm_bias=norm_bias) for _ in range(blocks)))

        full = (dim, num_blocks[0], heads[0])
        halved = [(2 * dim, num_blocks[0], heads[1]), (4 * dim, num_blocks[1], heads[2])]
        halved += [(8 * dim, num_blocks[2], heads[3]), (16 * dim, num_blocks[3], heads[3])]
        rising = [channels for channels, *_ in reversed(halved)]

        self.patch_embed = nn.Conv2d(inp_channels, dim, 3, padding=1, bias=False)
        self.encoders = nn.ModuleList(stage(*full) for _ in range(FUSED))
        self.fusion = LayerFusion(dim, bias=bias)
        self.latent = stage(*full)
        self.down = nn.ModuleList(halve(channels // 2) for channels, *_ in halved)
        self.descent = nn.ModuleList(stage(*level) for level in halved)
        self.up = nn.ModuleList(double(channels) for channels in rising)
        self.mixes = nn.ModuleList(SkipMix(channels // 2, bias=bias, learned=attention) for channels in rising[:-1])
        self.mixes.append(SkipMix(dim, convolved=False, bias=bias, learned=attention))
        self.ascent = nn.ModuleList(stage(*level) for level in reversed(halved[:-1]))
        self.refinements = nn.ModuleList(stage(dim, num_refinement_blocks, heads[0]) for _ in range(FUSED))
        self.refined_fusion = LayerFusion(dim, bias=bias)
        # Where `bias` goes outside the feed-forward parts is our reading; no sampled output has it on.
        self.output = nn.Conv2d(dim, out_channels, 3, padding=1, bias=bias)
        # The authors' network holds these and never uses them; frozen, because no gradient would reach them.
        self.unused_coefficients = nn.Parameter(torch.ones(4, 2, 8 * dim), requires_grad=False)
        self.unused_conv = nn.Conv2d(2 * dim, 2 * dim, 1, bias=bias).requires_grad_(False)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images, sides multiples of 16, to the initial restoration."""
        x = self.fusion(_outputs(self.encoders, self.patch_embed(lq_BCHW)))
        skips = [self.latent(x)]  # Beside the U, not before it.
        for down, stage in zip(self.down, self.descent, strict=True):
            x = stage(down(x))
            skips.append(x)
        x = skips.pop()
        ascent = [*self.ascent, nn.Identity()]
        for up, mix, stage in zip(self.up, self.mixes, ascent, strict=True):
            x = stage(mix(skips.pop(), up(x)))
        restored = self.output(self.refined_fusion(_outputs(self.refinements, x)))
        return restored + lq_BCHW if self.skip else restored


class AxisBlock(nn.Module):
    """Attention along rows, then along columns, then the feed-forward part; each of the two behind a norm."""

    def __init__(self, dim: int, heads: int, expansion: float, *, bias: bool, norm_bias: bool) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(dim, bias=norm_bias)
        self.attn = nn.ModuleDict({"rows": RowAttention(dim, heads), "columns": RowAttention(dim, heads)})
        self.norm2 = ChannelLayerNorm(dim, bias=norm_bias)
        self.ffn = DualGatedFeedForward(dim, expansion, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        attended = self.attn["rows"](self.norm1(x_BCHW))
        # The whole attention sees the transposed map, its depthwise kernels too.
        attended = self.attn["columns"](attended.transpose(-1, -2)).transpose(-1, -2)
        x_BCHW = x_BCHW + attended
        return x_BCHW + self.ffn(self.norm2(x_BCHW))


class RowAttention(nn.Module):
    """Each row's positions attend to each other. Queries and keys are unit vectors; their product has a learned scale.

    Raises HarnessError when the heads do not divide the channels.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise HarnessError(f"{heads} attention heads do not divide {dim} channels")
        self.heads = heads
        self.scale = nn.Parameter(torch.ones(1))
        depthwise = [nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim) for _ in range(2)]
        self.qkv = nn.Sequential(nn.Conv2d(dim, 3 * dim, 1), *depthwise)
        self.project_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        qkv_BkhcHW = self.qkv(x_BCHW).view(B, 3, self.heads, C // self.heads, H, W)
        # Each row is a batch item: the fused kernel never keeps the B·H·h maps of W×W weights.
        query, key, value = qkv_BkhcHW.permute(1, 0, 4, 2, 5, 3).reshape(3, B * H, self.heads, W, C // self.heads)
        query, key = F.normalize(query, dim=-1) * self.scale, F.normalize(key, dim=-1)
        mixed = F.scaled_dot_product_attention(query.to(value.dtype), key.to(value.dtype), value, scale=1.0)
        return self.project_out(mixed.view(B, H, self.heads, W, -1).permute(0, 2, 4, 1, 3).reshape(B, C, H, W))


class DualGatedFeedForward(GatedFeedForward):
    """Gated depthwise feed-forward in which each half gates the other."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        one, other = self.dwconv(self.project_in(x_BCHW)).chunk(2, dim=1)
        return self.project_out(F.gelu(other) * one + F.gelu(one) * other)


class LayerFusion(nn.Module):
    """Attention between the outputs of successive stages, then one convolution to the width of a single one."""

    def __init__(self, dim: int, *, bias: bool) -> None:
        super().__init__()
        self.attention = LayerAttention(FUSED * dim)
        self.merge = nn.Conv2d(FUSED * dim, dim, 1, bias=bias)

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        return self.merge(self.attention(torch.cat(list(layers), 1)))


class LayerAttention(nn.Module):
    """Whole feature maps attend to each other, around a skip. The channels are those of FUSED maps, one after another.

    Queries and keys are L2-normalised over all channels and positions of their map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.qkv_dwconv = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels)
        self.project_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        qkv_BCHW = self.qkv_dwconv(self.qkv(x_BCHW))
        query_BLN, key_BLN, value_BLN = qkv_BCHW.view(len(x_BCHW), 3, FUSED, -1).unbind(1)
        query_BLN, key_BLN = F.normalize(query_BLN, dim=-1), F.normalize(key_BLN, dim=-1)
        attention_BLL = (query_BLN @ key_BLN.transpose(-1, -2) * self.temperature).softmax(-1)
        mixed_BLN = attention_BLL.to(value_BLN.dtype) @ value_BLN
        return x_BCHW + self.project_out(mixed_BLN.reshape(x_BCHW.shape))


class SkipMix(nn.Module):
    """Encoder and decoder features, each weighted per channel, summed; then a 1×1 convolution if `convolved`."""

    def __init__(self, channels: int, *, bias: bool, learned: bool, convolved: bool = True) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.ones(2, channels), requires_grad=learned)
        self.conv = nn.Conv2d(channels, channels, 1, bias=bias) if convolved else nn.Identity()

    def forward(self, encoded_BCHW: Tensor, decoded_BCHW: Tensor) -> Tensor:
        encoder, decoder = self.coefficients[:, :, None, None]
        return self.conv(encoder * encoded_BCHW + decoder * decoded_BCHW)


def _outputs(stages: nn.ModuleList, x_BCHW: Tensor) -> list[Tensor]:
    """What each of a chain of stages gives."""
    outputs: list[Tensor] = []
    for stage in stages:
        x_BCHW = stage(x_BCHW)
        outputs.append(x_BCHW)
    return outputs
