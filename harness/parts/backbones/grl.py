"""GRL: Y. Li et al., "Efficient and Explicit Modelling of Image Hierarchies for Image Restoration", CVPR 2023,
arXiv 2303.00748.

The network is spandrel's (MIT), with the authors' parameter names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le, MaxLen, MinLen
from spandrel.architectures.GRL import GRL as SpandrelGRL  # noqa: N811
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Chance, Channels, Count, Factor
from harness.api.traits import Conflict, Rule, When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import reflect_to_square

TILE = 256
"""Smallest side of tiles: that of the authors' training patches for denoising."""


class GRL(SpandrelGRL):
    """Transformer at full resolution, with attention in windows and, through anchors, in stripes.

    Any image size: sides are padded inside to multiples of the longest stripe, by reflection where the image is large
    enough for that, else by zeros. The output is the input plus a residual, unclamped (the prediction alone when there
    are other output than input channels).

    Defaults are the authors' GRL-B for denoising. Tiny and small have `embed_dim` 64 and 128, `depths` of four times 4,
    2 heads, `window_size` 16, `anchor_window_down_factor` 4 and no `local_connection`, which wants `embed_dim` 18 or
    more. `depths` and the numbers of heads have one number per stage. `stripe_size` and `stripe_groups` are (height,
    width) in even blocks and swapped in odd ones. A group count stands for image side / count; the network then takes
    squares only, and images are grown to one first. Upscaling networks are not made. Raises HarnessError for options
    that do not fit.

    Tables and masks of relative positions depend on the image size alone. Those of the last size are kept, outside the
    state dict; the authors keep them as buffers for one size, and make them for every image of another. A part that
    keeps something from call to call trains as written, so that no graph stands for it.
    """

    traits = BackboneTraits(
        taps=True,
        half=("bfloat16", "float16"),
        exports=True,
        licence="MIT (network from spandrel)",
        paper="arXiv 2303.00748",
        verified=True,
        conflicts=(
            Conflict(
                when=(When("anchor_one_stage", False), When("anchor_proj_type", ("avgpool", "maxpool"))),
                what="anchors that are pooled ({anchor_proj_type!r}) are made in one stage",
                hint="anchor_one_stage: true, or anchor_proj_type: conv2d",
            ),
        ),
        rules=(
            Rule(
                "stripe_size % anchor_window_down_factor == 0",
                "`anchor_window_down_factor` divides both numbers of `stripe_size`",
                when=(When("stripe_groups", ((None, None),)),),
            ),
            Rule(
                "anchor_window_down_factor >= 2 and 256 % anchor_window_down_factor == 0",
                "anchors made in several stages halve the sides each: `anchor_window_down_factor` is 2, 4, 8 …",
                when=(When("anchor_one_stage", False),),
            ),
            Rule(
                "anchor_window_down_factor == 2",
                "patches that are merged in one stage halve the sides",
                when=(When("anchor_one_stage", True), When("anchor_proj_type", "patchmerging")),
            ),
            Rule(
                "anchor_window_down_factor % 2 == 0",
                "anchors that are convolved in one stage have filters of `anchor_window_down_factor` + 1, which is odd",
                when=(When("anchor_one_stage", True), When("anchor_proj_type", ("conv2d", "separable_conv"))),
            ),
            Rule(
                "sum(pretrained_window_size) == 0 or min(pretrained_window_size) >= 3",
                "`pretrained_window_size` is zero twice, for none, or two numbers from 3 on",
            ),
            Rule(
                "sum(pretrained_stripe_size) == 0 or min(pretrained_stripe_size) >= 3",
                "`pretrained_stripe_size` is zero twice, for none, or two numbers from 3 on",
            ),
            Rule(
                "len(num_heads_window) == len(depths) and len(num_heads_stripe) == len(depths)",
                "`num_heads_window` and `num_heads_stripe` have as many numbers as `depths`, one per stage",
            ),
            Rule(
                "embed_dim % (2 * num_heads_window) == 0 and embed_dim % (2 * num_heads_stripe) == 0",
                "the attention heads of windows and stripes divide half of `embed_dim`",
            ),
            Rule("out_channels == 3", "the network gives RGB for RGB", when=(When("in_channels", 3),)),
            Rule(
                "max(window_size, max(stripe_size)) % window_size == 0 "
                "and max(window_size, max(stripe_size)) % stripe_size == 0",
                "images are padded to multiples of the largest of windows and stripes, which all sides divide",
                when=(When("stripe_groups", ((None, None),)),),
            ),
            Rule(
                "embed_dim >= 18", "the local connection squeezes 18 channels", when=(When("local_connection", True),)
            ),
        ),
    )

    official = OfficialNames(
        extras=frozenset(
            ["table_w", "table_sh", "table_sv", "index_w", "mask_w"]
            + [f"{what}_s{way}_{pair}" for what in ("index", "mask") for way in "hv" for pair in ("a2w", "w2a")]
        )
    )

    _tables: dict[str, Tensor] | None = None
    """Those of the last image size; None while the constructor runs."""
    _tables_for: tuple[tuple[int, int], torch.device] | None = None

    def __init__(
        self,
        *,
        in_channels: Channels = 3,
        out_channels: Channels | None = None,
        embed_dim: Channels = 180,
        img_range: Factor = 1.0,
        depths: Annotated[tuple[Blocks, ...], MinLen(1), MaxLen(64)] = (4, 4, 8, 8, 8, 4, 4),
        num_heads_window: Annotated[tuple[Count, ...], MinLen(1), MaxLen(64)] = (3, 3, 3, 3, 3, 3, 3),
        num_heads_stripe: Annotated[tuple[Count, ...], MinLen(1), MaxLen(64)] = (3, 3, 3, 3, 3, 3, 3),
        window_size: Annotated[int, Ge(2), Le(16_384)] = 32,
        stripe_size: tuple[Annotated[int, Ge(2), Le(16_384)], Annotated[int, Ge(2), Le(16_384)]] = (64, 128),
        stripe_groups: tuple[Count | None, Count | None] = (None, None),
        stripe_shift: bool = True,
        mlp_ratio: Factor = 2.0,
        qkv_bias: bool = True,
        qkv_proj_type: Literal["linear", "separable_conv"] = "linear",
        anchor_proj_type: Literal["avgpool", "maxpool", "conv2d", "separable_conv", "patchmerging"] = "avgpool",
        anchor_one_stage: bool = True,
        anchor_window_down_factor: Count = 2,
        local_connection: bool = True,
        drop_rate: Chance = 0.0,
        attn_drop_rate: Chance = 0.0,
        drop_path_rate: Chance = 0.1,
        pretrained_window_size: tuple[Annotated[int, Ge(0), Le(16_384)], Annotated[int, Ge(0), Le(16_384)]] = (0, 0),
        pretrained_stripe_size: tuple[Annotated[int, Ge(0), Le(16_384)], Annotated[int, Ge(0), Le(16_384)]] = (0, 0),
        conv_type: Literal["1conv", "3conv", "1conv1x1", "linear"] = "1conv",
        init_method: Literal["n", "l", "r", "w"] = "n",
        separable_conv_act: bool = True,
        euclidean_dist: bool = False,
    ) -> None:
        self.traits.require(locals())
        out_channels = in_channels if out_channels is None else out_channels
        super().__init__(
            in_channels=in_channels,
            out_channels=out_channels,
            embed_dim=embed_dim,
            img_range=img_range,
            depths=list(depths),
            num_heads_window=list(num_heads_window),
            num_heads_stripe=list(num_heads_stripe),
            window_size=window_size,
            stripe_size=list(stripe_size),
            stripe_groups=list(stripe_groups),
            stripe_shift=stripe_shift,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            qkv_proj_type=qkv_proj_type,
            anchor_proj_type=anchor_proj_type,
            anchor_one_stage=anchor_one_stage,
            anchor_window_down_factor=anchor_window_down_factor,
            local_connection=local_connection,
            drop_rate=drop_rate,
            attn_drop_rate=attn_drop_rate,
            drop_path_rate=drop_path_rate,
            pretrained_window_size=list(pretrained_window_size),
            pretrained_stripe_size=list(pretrained_stripe_size),
            conv_type=conv_type,
            init_method=init_method,
            euclidean_dist=euclidean_dist,
        )
        _check_padding(self.pad_size, window_size, stripe_size, stripe_groups, anchor_window_down_factor)
        if separable_conv_act:
            _activate_separable(self)
        self._tables = {}
        mean_1C11 = self.__dict__.pop("mean")
        self.register_buffer("mean", mean_1C11, persistent=False)  # spandrel's copies itself to the device of an image
        self.capabilities = Capabilities(
            channels_in=in_channels,
            channels_out=out_channels,
            tile=Capabilities(size_multiple=self.pad_size).fitting(TILE),
            taps=tuple(f"layers.{stage}.conv" for stage in range(len(depths))),
        )

    def check_image_size(self, x_BCHW: Tensor) -> Tensor:
        """The padded image."""
        return super().check_image_size(reflect_to_square(x_BCHW) if any(self.stripe_groups) else x_BCHW)

    def set_table_index_mask(self, x_size: tuple[int, int]) -> dict[str, Tensor]:
        """Tables for an image size. Spandrel's constructor gets none, so that it registers no buffers."""
        return super().set_table_index_mask(x_size) if self._tables is not None else {}

    def get_table_index_mask(self, device: torch.device, input_resolution: tuple[int, int]) -> dict[str, Tensor]:
        """Tables for an image size on a device, kept until another is asked for."""
        tables = self._tables
        if tables is None or self._tables_for != (input_resolution, device):
            # Tables made while evaluating serve training too.
            with torch.inference_mode(False):
                tables = {key: table.to(device) for key, table in self.set_table_index_mask(input_resolution).items()}
            self._tables, self._tables_for = tables, (input_resolution, device)
        return tables


def _activate_separable(network: nn.Module) -> None:
    """Puts the authors' GELU between the two convolutions of separable projections, which spandrel leaves out."""
    for module in list(network.modules()):
        if type(module).__name__ == "SeparableConv":
            assert isinstance(module, nn.Sequential)
            module.insert(1, nn.GELU())


def _check_padding(
    multiple: int, window: int, stripes: Sequence[int], groups: Sequence[int | None], anchor_factor: int
) -> None:
    """A stripe is a side of its own, or a share of the image's."""
    sides = [multiple / count if count else side for side, count in zip(stripes, groups, strict=True)]
    if multiple % window or any(side < 2 or multiple % side or side % anchor_factor for side in sides):
        told = " and ".join(f"{side:g}" for side in sides)
        raise HarnessError(
            f"grl pads to multiples of {multiple}, which windows of {window} and stripes of {told} do not divide, or "
            f"`anchor_window_down_factor` {anchor_factor} does not divide the stripes",
            hint="powers of two for `window_size`, `stripe_size`, `stripe_groups` and `anchor_window_down_factor`",
        )
