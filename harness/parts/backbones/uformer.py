"""Uformer: Z. Wang et al., "Uformer: A General U-Shaped Transformer for Image Restoration", CVPR 2022,
arXiv 2106.03106.

The network is spandrel's (MIT), with the authors' parameter names.

Shape letters: B batch, C channels, H height, W width, N positions (H·W).
"""

from __future__ import annotations

import warnings
from math import isqrt, lcm
from typing import Annotated, Literal

import torch
from annotated_types import MaxLen, MinLen
from spandrel.architectures.Uformer import Uformer as SpandrelUformer
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Chance, Channels, Count, Factor, Pixels
from harness.api.traits import Rule, When
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import reflect_to_square
from harness.parts.shared.windows import keep_on_device

LEVELS = 4
"""How often the encoder halves the sides."""

TILE = 512
"""Smallest side of tiles."""


class Uformer(SpandrelUformer):
    """U-shaped transformer with attention in windows; levels halve the sides and double the channels.

    The network takes squares only. Here an image is grown to a square by reflection to the right and below, and the
    result is cut back; the authors' tests put it in the middle of zeros instead. Tiles are squares already. The output
    is the input plus a residual, unclamped (the prediction alone when `dd_in`, the input channels, is not 3).

    Defaults are the authors' Uformer-B for denoising. T and S have nine times 2 `depths`, T has `embed_dim` 16.
    `img_size`, the side of the training patches (128 for denoising, 256 for deblurring), decides the function: a level
    where it spans at most one window does not shift its windows. `cross_modulator` has a norm (`norm_cross`) that is
    in the authors' checkpoints and has no effect. Raises HarnessError for options that do not fit together.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="MIT (network from spandrel)",
        paper="arXiv 2106.03106",
        verified=True,
        rules=(
            Rule(
                "depths[5] + depths[6] + depths[7] + depths[8] <= depths[0] + depths[1] + depths[2] + depths[3]",
                "the decoder's blocks have the drop rates of the encoder's, so that the last four of `depths` add up "
                "to no more than the first four",
            ),
            Rule("int(embed_dim * mlp_ratio) >= 1", "the feed-forward part has one channel at least"),
            Rule(
                "embed_dim * (1, 2, 4, 8, 16, 16, 8, 4, 2) % num_heads * depths == 0",
                "the `num_heads` of a stage with blocks divide its channels, which are `embed_dim` times 1, 2, 4, 8, "
                "16, 16, 8, 4 and 2",
            ),
            Rule(
                "in_chans == 3", "the input image is added to the output, which is RGB then", when=(When("dd_in", 3),)
            ),
            Rule("img_size >= 16", "the sides of `img_size` are halved four times"),
            Rule(
                "img_size >= 8 * win_size",
                "modulators are as large as windows, which fit an eighth of `img_size`",
                when=(When("modulator", True),),
            ),
        ),
    )

    def __init__(
        self,
        *,
        img_size: Pixels = 128,
        in_chans: Channels = 3,
        dd_in: Channels = 3,
        embed_dim: Channels = 32,
        depths: Annotated[tuple[Blocks, ...], MinLen(9), MaxLen(9)] = (1, 2, 8, 8, 2, 8, 8, 2, 1),
        num_heads: Annotated[tuple[Count, ...], MinLen(9), MaxLen(9)] = (1, 2, 4, 8, 16, 16, 8, 4, 2),
        win_size: Pixels = 8,
        mlp_ratio: Factor = 4.0,
        qkv_bias: bool = True,
        qk_scale: Factor | None = None,
        drop_rate: Chance = 0.0,
        attn_drop_rate: Chance = 0.0,
        drop_path_rate: Chance = 0.1,
        token_projection: Literal["linear", "conv"] = "linear",
        token_mlp: Literal["leff", "fastleff", "ffn", "mlp"] = "leff",
        shift_flag: bool = True,
        modulator: bool = True,
        cross_modulator: bool = False,
    ) -> None:
        self.traits.require(locals())
        if len(depths) != 2 * LEVELS + 1 or len(num_heads) != 2 * LEVELS + 1:
            raise HarnessError("uformer has nine stages: `depths` and `num_heads` take nine numbers each")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.meshgrid")  # spandrel calls it in a way that PyTorch deprecates
            super().__init__(
                img_size=img_size,
                in_chans=in_chans,
                dd_in=dd_in,
                embed_dim=embed_dim,
                depths=list(depths),
                num_heads=list(num_heads),
                win_size=win_size,
                mlp_ratio=mlp_ratio,
                qkv_bias=qkv_bias,
                qk_scale=qk_scale,
                drop_rate=drop_rate,
                attn_drop_rate=attn_drop_rate,
                drop_path_rate=drop_path_rate,
                token_projection=token_projection,
                token_mlp=token_mlp,
                shift_flag=shift_flag,
                modulator=modulator,
                cross_modulator=cross_modulator,
            )
        _fix_dilation(self)
        keep_on_device(self)
        self.latent = nn.Identity()
        # A level where `img_size` is smaller than a window has smaller windows.
        multiple = lcm(*(min(win_size, img_size >> level) << level for level in range(LEVELS + 1)))
        self.capabilities = Capabilities(
            channels_in=dd_in,
            channels_out=in_chans,
            size_multiple=multiple,
            min_size=multiple,
            # Attention stays in windows: tiles are sound. A large oblong image, grown to a square, is heavy.
            tile=Capabilities(size_multiple=multiple).fitting(TILE),
            # Levels work on B×N×C tokens; there are maps where the sides are halved or doubled, and at `latent`.
            taps=(*(f"dowsample_{level}.conv" for level in range(LEVELS)), "latent"),
            decoder=tuple(f"upsample_{level}.deconv" for level in range(LEVELS)),
        )

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, sides multiples of 128 (with the default windows), to the initial restoration."""
        height, width = lq_BCHW.shape[-2:]
        return self._restore_square(reflect_to_square(lq_BCHW))[..., :height, :width]

    def _restore_square(self, image_BCHW: Tensor) -> Tensor:
        """The authors' forward, with the bottleneck's tokens laid out as a map on their way."""
        skips = []
        x_BNC = self.input_proj(image_BCHW)
        for level in range(LEVELS):
            x_BNC = getattr(self, f"encoderlayer_{level}")(self.pos_drop(x_BNC) if level == 0 else x_BNC)
            skips.append(x_BNC)
            x_BNC = getattr(self, f"dowsample_{level}")(x_BNC)
        x_BNC = _to_tokens(self.latent(_to_map(self.conv(x_BNC))))
        for level in range(LEVELS):
            x_BNC = torch.cat([getattr(self, f"upsample_{level}")(x_BNC), skips.pop()], -1)
            x_BNC = getattr(self, f"decoderlayer_{level}")(x_BNC)
        residual = self.output_proj(x_BNC)
        return image_BCHW + residual if self.dd_in == 3 else residual


def _to_map(x_BNC: Tensor) -> Tensor:
    side = isqrt(x_BNC.shape[1])
    return x_BNC.transpose(1, 2).unflatten(2, (side, side))


def _to_tokens(x_BCHW: Tensor) -> Tensor:
    return x_BCHW.flatten(2).transpose(1, 2)


def _fix_dilation(network: nn.Module) -> None:
    """Convolutional projections get `qkv_bias` as their dilation, a truth value that PyTorch no longer takes for 1."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.dilation = (1, 1)
