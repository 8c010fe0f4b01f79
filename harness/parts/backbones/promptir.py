"""PromptIR: V. Potlapalli et al., "PromptIR: Prompting for All-in-One Blind Image Restoration", NeurIPS 2023,
arXiv 2306.13090. Our own code.

Written from the paper and a description of the network, and checked against sampled outputs. The authors' copy is under
a non-commercial licence and was not used; checkpoints with its parameter names load (harness.models.weights).

Restormer's encoder and decoder; before each decoder level, learned prompts, mixed in shares that the features decide,
are concatenated and processed. Shape letters as in harness.parts.shared.blocks; P prompts.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MultipleOf
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count, Factor
from harness.api.traits import Rule
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import TransformerBlock, double, halve


class PromptIR(nn.Module):
    """Restormer with prompts. Sides are multiples of 8; the output is the input plus a residual, unclamped.

    `num_blocks` and `heads` are per level, from full to 1/8 resolution. There are `prompt_len` prompts at each of 1/2,
    1/4 and 1/8 resolution, of `prompt_dims` channels; their side is `prompt_size` at 1/2 and halves at each lower one.
    They are resized to the features. Defaults are the authors'. Raises HarnessError for options that do not fit
    together.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2306.13090",
        verified=True,
        rules=(
            Rule("int(dim * ffn_expansion_factor) >= 1", "the feed-forward part has one channel at least"),
            Rule(
                "dim * (1, 2, 4, 8) % heads * num_blocks == 0",
                "the `heads` of a level with blocks divide its channels, which are `dim` times 1, 2, 4 and 8",
            ),
            Rule(
                "(dim * (2, 4, 8) + prompt_dims) % heads[2] == 0",
                "the third of the `heads` divides the channels of the features and prompts that meet, "
                "which are `dim` times 2, 4 and 8, plus `prompt_dims`",
            ),
            Rule(
                "2 * dim % heads[0] * num_refinement_blocks == 0",
                "the first of the `heads` divides the channels of the refinement, which are two times `dim`",
            ),
        ),
    )

    official = OfficialNames(
        parts={
            "body": "",
            "proj": "",
            **{f"prompt{level}": f"prompting.{level - 1}.prompt" for level in (1, 2, 3)},
            **{f"noise_level{level}": f"prompting.{level - 1}.block" for level in (1, 2, 3)},
            **{f"reduce_noise_level{level}": f"prompting.{level - 1}.reduce" for level in (1, 2, 3)},
            **{f"chnl_reduce{level}": f"unused.{level - 1}" for level in (1, 2, 3)},
            **{f"reduce_noise_channel_{level}": f"unused.{level + 2}" for level in (1, 2, 3)},
        }
    )

    def __init__(
        self,
        *,
        channels: Channels = 3,
        dim: Annotated[int, Ge(2), Le(65_536), MultipleOf(2)] = 48,
        num_blocks: tuple[Blocks, Blocks, Blocks, Blocks] = (4, 6, 6, 8),
        num_refinement_blocks: Blocks = 4,
        heads: tuple[Count, Count, Count, Count] = (1, 2, 4, 8),
        ffn_expansion_factor: Factor = 2.66,
        bias: bool = False,
        layer_norm: Literal["with_bias", "bias_free"] = "with_bias",
        prompt_dims: tuple[Channels, Channels, Channels] = (64, 128, 320),
        prompt_len: Count = 5,
        prompt_size: Annotated[int, Ge(4), Le(16_384)] = 64,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        if len(num_blocks) != 4 or len(heads) != 4 or len(prompt_dims) != 3:
            raise HarnessError("promptir takes four `num_blocks` and `heads`, one per level, and three `prompt_dims`")
        self.capabilities = Capabilities(
            channels_in=channels,
            channels_out=channels,
            size_multiple=8,
            min_size=8,
            taps=("encoder_level1", "encoder_level2", "encoder_level3", "latent"),
            decoder=("decoder_level3", "decoder_level2", "decoder_level1"),
        )
        norm_bias = layer_norm == "with_bias"
        block = partial(TransformerBlock, expansion=ffn_expansion_factor, bias=bias, norm_bias=norm_bias)

        def level(width: int, position: int, blocks: int) -> nn.Sequential:
            return nn.Sequential(*(block(width, heads[position]) for _ in range(blocks)))

        self.patch_embed = nn.Conv2d(channels, dim, 3, padding=1, bias=False)
        self.encoder_level1 = level(dim, 0, num_blocks[0])
        self.down1_2 = halve(dim)
        self.encoder_level2 = level(2 * dim, 1, num_blocks[1])
        self.down2_3 = halve(2 * dim)
        self.encoder_level3 = level(4 * dim, 2, num_blocks[2])
        self.down3_4 = halve(4 * dim)
        self.latent = level(8 * dim, 3, num_blocks[3])

        def prompting(width: int, out: int, position: int) -> Prompting:
            joined = width + prompt_dims[position]
            prompt = Prompt(width, prompt_dims[position], prompt_len, prompt_size >> position)
            return Prompting(prompt, block(joined, heads[2]), nn.Conv2d(joined, out, 1, bias=bias))

        widths = (2 * dim, 2 * dim), (4 * dim, 4 * dim), (8 * dim, 4 * dim)
        self.prompting = nn.ModuleList(prompting(*pair, position) for position, pair in enumerate(widths))
        # Half of Restormer's width comes up here, since the latent was reduced to 4·dim.
        self.up4_3 = double(4 * dim)
        self.reduce_chan_level3 = nn.Conv2d(6 * dim, 4 * dim, 1, bias=bias)
        self.decoder_level3 = level(4 * dim, 2, num_blocks[2])
        self.up3_2 = double(4 * dim)
        self.reduce_chan_level2 = nn.Conv2d(4 * dim, 2 * dim, 1, bias=bias)
        self.decoder_level2 = level(2 * dim, 1, num_blocks[1])
        self.up2_1 = double(2 * dim)
        self.decoder_level1 = level(2 * dim, 0, num_blocks[0])
        self.refinement = level(2 * dim, 0, num_refinement_blocks)
        self.output = nn.Conv2d(2 * dim, channels, 3, padding=1, bias=bias)
        self.unused = _unused(dim, prompt_dims, bias=bias)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, sides multiples of 8, to the initial restoration."""
        level1 = self.encoder_level1(self.patch_embed(lq_BCHW))
        level2 = self.encoder_level2(self.down1_2(level1))
        level3 = self.encoder_level3(self.down2_3(level2))
        x = self.prompting[2](self.latent(self.down3_4(level3)))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), level3], 1)))
        x = self.prompting[1](x)
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), level2], 1)))
        x = self.prompting[0](x)
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), level1], 1)))
        return self.output(x) + lq_BCHW


class Prompting(nn.Module):
    """Features beside their prompt, through a transformer block, to `reduce`'s width (the paper's PIM)."""

    def __init__(self, prompt: Prompt, block: TransformerBlock, reduce: nn.Conv2d) -> None:
        super().__init__()
        self.prompt = prompt
        self.block = block
        self.reduce = reduce

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.reduce(self.block(torch.cat([x_BCHW, self.prompt(x_BCHW)], 1)))


class Prompt(nn.Module):
    """Learned prompts, mixed in shares that the mean features decide, at the features' size (the paper's PGM)."""

    def __init__(self, width: int, prompt_dim: int, prompts: int, side: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, prompts, prompt_dim, side, side))
        self.linear_layer = nn.Linear(width, prompts)
        self.conv3x3 = nn.Conv2d(prompt_dim, prompt_dim, 3, padding=1, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        shares_BP = self.linear_layer(x_BCHW.mean((-2, -1))).softmax(-1)
        mixed_BCHW = torch.einsum("bp,pchw->bchw", shares_BP, self.prompt_param[0])
        return self.conv3x3(F.interpolate(mixed_BCHW, x_BCHW.shape[-2:], mode="bilinear", align_corners=False))


def _unused(dim: int, prompt_dims: tuple[int, int, int], *, bias: bool) -> nn.ModuleList:
    """Frozen convolutions that the function ignores: the authors' checkpoints hold them."""
    fine, mid, coarse = prompt_dims
    widths = [(fine, fine), (mid, mid), (coarse, 2 * mid)]
    widths += [(dim + fine, dim), (2 * dim + mid, 2 * dim), (4 * dim + 2 * mid, 4 * dim)]
    return nn.ModuleList(nn.Conv2d(channels, out, 1, bias=bias) for channels, out in widths).requires_grad_(False)
