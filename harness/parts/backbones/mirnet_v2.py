"""MIRNet-v2: S. W. Zamir et al., "Learning Enriched Features for Fast Image Restoration and Enhancement", TPAMI 2022,
arXiv 2205.01649. Our own code.

Written from the paper and a description of the network, and checked against sampled outputs. The authors' copy is under
a non-commercial licence and was not used; checkpoints with its parameter names load (harness.models.weights).

Features of full resolution are kept from end to end; streams at half and quarter size run beside them and are fused in.
Shape letters as in harness.parts.shared.blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated

import torch
from annotated_types import MaxLen, MinLen
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count, Factor
from harness.api.traits import Rule, When
from harness.api.weights import OfficialNames
from harness.core.errors import HarnessError

SLOPE = 0.2
"""Slope of every leaky ReLU for negative numbers."""


class MIRNetV2(nn.Module):
    """Multi-scale residual network. Sides are multiples of 4; the output is the input plus a residual, unclamped.

    `n_feat` channels at full size, `chan_factor` times more at each lower scale. There is one residual group of `n_MRB`
    multi-scale blocks per number in `groups`, which is the number of groups of its 3×3 convolutions. With
    `dual_pixel_task` (six input channels: left RGB, right RGB) there is no image residual, and the first features are
    added before the output convolution. Raises HarnessError for options that do not fit together.
    """

    traits = BackboneTraits(
        taps=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2205.01649",
        verified=True,
        rules=(
            Rule(
                "int(n_feat * chan_factor ** 2) >= 1 and int(n_feat * chan_factor) >= 1",
                "streams have `n_feat`, `n_feat` · `chan_factor` and `n_feat` · `chan_factor`² channels, rounded down, "
                "which leaves one at least",
            ),
            Rule(
                "n_feat % groups == 0 and int(n_feat * chan_factor) % groups == 0 "
                "and int(n_feat * chan_factor ** 2) % groups == 0",
                "`groups` divide the channels of all streams: `n_feat`, `n_feat` · `chan_factor` and "
                "`n_feat` · `chan_factor`², rounded down",
            ),
            Rule(
                "inp_channels == out_channels",
                "the input image is added to the output, which has as many channels then",
                when=(When("dual_pixel_task", False),),
            ),
        ),
    )

    official = OfficialNames(
        parts={
            "dau_top": "streams.0",
            "dau_mid": "streams.1",
            "dau_bot": "streams.2",
            "down2": "down.0.0",
            "down4": "down.1",
            "up21_1": "to_top.0",
            "up32_1": "to_mid.0",
            "up21_2": "to_top.1",
            "up32_2": "to_mid.1",
            "bot": "",
            "skff_top": "fuse.0",
            "skff_mid": "fuse.1",
            "conv_du": "squeeze",
            "fcs": "score",
            "gcnet": "context",
            "conv_mask": "mask",
            "channel_add_conv": "transform",
        }
    )

    def __init__(
        self,
        *,
        inp_channels: Channels = 3,
        out_channels: Channels = 3,
        n_feat: Channels = 80,
        chan_factor: Factor = 1.5,
        groups: Annotated[tuple[Count, ...], MinLen(1), MaxLen(64)] = (1, 2, 4, 4),
        n_MRB: Blocks = 2,
        bias: bool = False,
        dual_pixel_task: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        widths = (n_feat, int(n_feat * chan_factor), int(n_feat * chan_factor**2))
        if not groups:
            raise HarnessError("mirnet_v2 has at least one residual group: `groups`")
        self.capabilities = Capabilities(
            channels_in=inp_channels,
            channels_out=out_channels,
            size_multiple=4,
            min_size=4,
            taps=tuple(f"body.{group}" for group in range(len(groups))),
        )
        self.dual_pixel_task = dual_pixel_task
        self.conv_in = nn.Conv2d(inp_channels, n_feat, 3, padding=1, bias=bias)
        self.body = nn.Sequential(*(ResidualGroup(widths, n_MRB, count, bias=bias) for count in groups))
        self.conv_out = nn.Conv2d(n_feat, out_channels, 3, padding=1, bias=bias)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, sides multiples of 4, to the initial restoration."""
        shallow = self.conv_in(lq_BCHW)
        deep = self.body(shallow)
        if self.dual_pixel_task:
            return self.conv_out(deep + shallow)
        return self.conv_out(deep) + lq_BCHW


class ResidualGroup(nn.Module):
    """Multi-scale blocks and a convolution around a skip (the paper's RRG)."""

    def __init__(self, widths: tuple[int, int, int], blocks: int, groups: int, *, bias: bool) -> None:
        super().__init__()
        last = nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=bias)
        self.body = nn.Sequential(*(MultiScaleBlock(widths, groups, bias=bias) for _ in range(blocks)), last)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.body(x_BCHW)


class MultiScaleBlock(nn.Module):
    """Streams at full, half and quarter size, fused from below, around a skip (the paper's MRB).

    Streams are run and fused twice, with the same weights but for the upsampling between them.
    """

    def __init__(self, widths: tuple[int, int, int], groups: int, *, bias: bool) -> None:
        super().__init__()
        top, mid, bottom = widths
        self.streams = nn.ModuleList(ResidualContextBlock(width, groups, bias=bias) for width in widths)
        self.down = nn.ModuleList(
            [
                nn.Sequential(_down(top, mid, bias=bias)),
                nn.Sequential(_down(top, mid, bias=bias), _down(mid, bottom, bias=bias)),
            ]
        )
        self.to_mid = nn.ModuleList(_up(bottom, mid, bias=bias) for _ in range(2))
        self.to_top = nn.ModuleList(_up(mid, top, bias=bias) for _ in range(2))
        self.fuse = nn.ModuleList(SelectiveFusion(width, bias=bias) for width in (top, mid))
        self.conv_out = nn.Conv2d(top, top, 1, bias=bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        top, mid, bottom = x_BCHW, self.down[0](x_BCHW), self.down[1](x_BCHW)
        for to_mid, to_top in zip(self.to_mid, self.to_top, strict=True):
            top, mid, bottom = self.streams[0](top), self.streams[1](mid), self.streams[2](bottom)
            mid = self.fuse[1](mid, to_mid(bottom))
            top = self.fuse[0](top, to_top(mid))
        return x_BCHW + self.conv_out(top)


class ResidualContextBlock(nn.Module):
    """Two grouped convolutions and global context around a skip (the paper's RCB)."""

    def __init__(self, channels: int, groups: int, *, bias: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=bias),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=bias),
        )
        self.context = GlobalContext(channels, bias=bias)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.activation(self.context(self.body(x_BCHW)))


class GlobalContext(nn.Module):
    """Adds to every position the same vector, made from the positions that a learned mask looks at."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.mask = nn.Conv2d(channels, 1, 1, bias=bias)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=bias),
            nn.LeakyReLU(SLOPE),
            nn.Conv2d(channels, channels, 1, bias=bias),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        weights_BN1 = self.mask(x_BCHW).flatten(1).softmax(1)[..., None]
        context_BC1 = x_BCHW.flatten(2) @ weights_BN1.to(x_BCHW.dtype)
        return x_BCHW + self.transform(context_BC1[..., None])


class SelectiveFusion(nn.Module):
    """Mixes two feature maps per channel, in shares that their mean features decide (the paper's SKFF)."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        inner = max(channels // 8, 4)
        self.squeeze = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=bias), nn.LeakyReLU(SLOPE))
        self.score = nn.ModuleList(nn.Conv2d(inner, channels, 1, bias=bias) for _ in range(2))

    def forward(self, own_BCHW: Tensor, lower_BCHW: Tensor) -> Tensor:
        summary = self.squeeze((own_BCHW + lower_BCHW).mean((-2, -1), keepdim=True))
        own_share, lower_share = torch.stack([score(summary) for score in self.score]).softmax(0)
        return own_BCHW * own_share + lower_BCHW * lower_share


def _down(channels: int, out: int, *, bias: bool) -> nn.Sequential:
    return _published(nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(channels, out, 1, bias=bias)))


def _up(channels: int, out: int, *, bias: bool) -> nn.Sequential:
    # That `bias` also aligns the corners is the authors' slip, kept so that their networks are equalled.
    enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=bias)
    return _published(nn.Sequential(nn.Conv2d(channels, out, 1, bias=bias), enlarge))


def _published(step: nn.Module) -> nn.Sequential:
    """One step of resampling, nested as in the published parameter names."""
    return nn.Sequential(OrderedDict(body=nn.Sequential(step)))
