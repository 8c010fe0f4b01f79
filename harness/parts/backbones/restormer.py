"""Restormer: S. W. Zamir et al., CVPR 2022, arXiv 2111.09881. Our own code.

Written from the paper and a description of the network, and checked against sampled outputs. The authors' copy is under
a non-commercial licence and was not used; checkpoints with its parameter names load (harness.models.weights).
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MultipleOf
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count, Factor
from harness.api.traits import Rule, When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import TransformerBlock, double, halve


class Restormer(nn.Module):
    """Four-level U-shaped transformer with attention across channels.

    Levels halve the sides and double the channels. The decoder's first level and the refinement run at 2·`dim`
    channels. The output is the input image plus a residual, unclamped; with `dual_pixel_task` (six input channels: left
    RGB, right RGB) there is no image residual, and the input embedding is added before the output convolution.

    `num_blocks` and `heads` are per level, from full to 1/8 resolution. Defaults are the authors', for deraining and
    deblurring; denoising uses `layer_norm: bias_free`. Raises HarnessError for options that do not fit together.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2111.09881",
        verified=True,
        rules=(
            Rule("int(dim * ffn_expansion_factor) >= 1", "the feed-forward part has one channel at least"),
            Rule(
                "dim * (1, 2, 4, 8) % heads * num_blocks == 0",
                "the `heads` of a level with blocks divide its channels, which are `dim` times 1, 2, 4 and 8",
            ),
            Rule(
                "2 * dim % heads[0] * num_refinement_blocks == 0",
                "the first of the `heads` divides the channels of the refinement, which are two times `dim`",
            ),
            Rule(
                "inp_channels == out_channels",
                "the input image is added to the output, which has as many channels then",
                when=(When("dual_pixel_task", False),),
            ),
        ),
    )

    official = OfficialNames(parts={"body": "", "proj": ""})

    def __init__(
        self,
        *,
        inp_channels: Channels = 3,
        out_channels: Channels = 3,
        dim: Annotated[int, Ge(2), Le(65_536), MultipleOf(2)] = 48,
        num_blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (4, 6, 6, 8),
        num_refinement_blocks: Blocks = 4,
        heads: tuple[Count, Count, Count, Count] = (1, 2, 4, 8),
        ffn_expansion_factor: Factor = 2.66,
        bias: bool = False,
        layer_norm: Literal["with_bias", "bias_free"] = "with_bias",
        dual_pixel_task: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        if len(num_blocks) != 4 or len(heads) != 4:
            raise HarnessError("restormer has four levels: `num_blocks` and `heads` take four numbers each")
        self.capabilities = Capabilities(
            channels_in=inp_channels,
            channels_out=out_channels,
            size_multiple=8,
            min_size=8,
            taps=("encoder_level1", "encoder_level2", "encoder_level3", "latent"),
            decoder=("decoder_level3", "decoder_level2", "decoder_level1"),
        )

        def level(channels: int, blocks: int, level_heads: int) -> nn.Sequential:
            norm_bias = layer_norm == "with_bias"
            block = (channels, level_heads, ffn_expansion_factor)
            return nn.Sequential(*(TransformerBlock(*block, bias=bias, norm_bias=norm_bias) for _ in range(blocks)))

        # Never biased: inferred from the parameter count of a biased configuration of the authors' network. No sampled
        # output checks it; their published configurations all have `bias: false`.
        self.patch_embed = nn.Conv2d(inp_channels, dim, 3, padding=1, bias=False)
        self.encoder_level1 = level(dim, num_blocks[0], heads[0])
        self.down1_2 = halve(dim)
        self.encoder_level2 = level(2 * dim, num_blocks[1], heads[1])
        self.down2_3 = halve(2 * dim)
        self.encoder_level3 = level(4 * dim, num_blocks[2], heads[2])
        self.down3_4 = halve(4 * dim)
        self.latent = level(8 * dim, num_blocks[3], heads[3])
        self.up4_3 = double(8 * dim)
        self.reduce_chan_level3 = nn.Conv2d(8 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = level(4 * dim, num_blocks[2], heads[2])
        self.up3_2 = double(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = level(2 * dim, num_blocks[1], heads[1])
        self.up2_1 = double(2 * dim)
        self.decoder_level1 = level(2 * dim, num_blocks[0], heads[0])
        self.refinement = level(2 * dim, num_refinement_blocks, heads[0])
        self.skip_conv = nn.Conv2d(dim, 2 * dim, 1, bias=bias) if dual_pixel_task else None
        self.output = nn.Conv2d(2 * dim, out_channels, 3, padding=1, bias=bias)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, sides multiples of 8, to the initial restoration."""
        embedding = self.patch_embed(lq_BCHW)
        level1 = self.encoder_level1(embedding)
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        x = self.latent(self.down3_4(level3))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), level3], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], 1)))
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), level1], 1)))
        if self.skip_conv is not None:
            return self.output(x + self.skip_conv(embedding))
        return self.output(x) + lq_BCHW
