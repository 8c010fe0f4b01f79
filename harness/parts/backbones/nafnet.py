"""NAFNet: L. Chen et al., "Simple Baselines for Image Restoration", ECCV 2022, arXiv 2204.04676.

The network is spandrel's (MIT), with the authors' parameter names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

import torch
from annotated_types import MaxLen, MinLen
from spandrel.architectures.NAFNet import NAFNet as SpandrelNAFNet
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Pixels
from harness.api.traits import Rule
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import ChannelLayerNorm


class NAFNet(SpandrelNAFNet):
    """U-shaped convolutional network without activation functions. Any image size: it pads with zeros itself.

    Defaults are the authors' SIDD configuration of width 32; GoPro uses enc_blk_nums [1, 1, 1, 28], middle_blk_num 1,
    dec_blk_nums [1, 1, 1, 1]. `tlc`: side of the training patches in pixels, for the test-time local converter (X. Chu
    et al., ECCV 2022, arXiv 2112.04491), which replaces global means by means over windows of 1.5 patches; images no
    larger than the window, as training patches are, give what they give without it. The authors test their deblurring
    networks (GoPro, REDS) with it, `tlc: 256` (NAFNetLocal, basicsr/models/archs/{NAFNet,local}_arch.py), and their
    denoising ones (SIDD) without. Raises HarnessError for options that do not fit.
    """

    traits = BackboneTraits(
        version=2,
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="MIT (network from spandrel)",
        paper="arXiv 2204.04676",
        verified=True,
        rules=(
            Rule(
                "len(dec_blk_nums) == len(enc_blk_nums)",
                "`dec_blk_nums` and `enc_blk_nums` are of one length: as many decoder as encoder levels",
            ),
        ),
    )

    def __init__(
        self,
        *,
        img_channel: Channels = 3,
        width: Channels = 32,
        enc_blk_nums: Annotated[tuple[Blocks, ...], MinLen(1), MaxLen(8)] = (2, 2, 4, 8),
        middle_blk_num: Blocks = 12,
        dec_blk_nums: Annotated[tuple[Blocks, ...], MinLen(1), MaxLen(8)] = (2, 2, 2, 2),
        tlc: Pixels | None = None,
    ) -> None:
        self.traits.require(locals())
        if not enc_blk_nums:
            raise HarnessError("nafnet has at least one level: `enc_blk_nums` and `dec_blk_nums`", hint="[1, 1]")
        super().__init__(
            img_channel=img_channel,
            width=width,
            middle_blk_num=middle_blk_num,
            enc_blk_nums=list(enc_blk_nums),
            dec_blk_nums=list(dec_blk_nums),
        )
        self.capabilities = Capabilities(
            channels_in=img_channel,
            channels_out=img_channel,
            taps=(*(f"encoders.{level}" for level in range(len(enc_blk_nums))), "middle_blks"),
            decoder=tuple(f"decoders.{level}" for level in range(len(dec_blk_nums))),
        )
        _plain_norms(self)
        if tlc is not None:
            if tlc < 1:
                raise HarnessError(f"tlc is the side of the training patches in pixels, not {tlc}", hint="tlc: 256")
            _make_local(self, tlc)


def _plain_norms(network: SpandrelNAFNet) -> None:
    """Puts ordinary modules in place of spandrel's autograd function, which uses an API that PyTorch deprecates."""
    for _, block in _blocks(network):
        block.norm1 = ChannelLayerNorm(cast(nn.Conv2d, block.conv1).in_channels, eps=1e-6)
        block.norm2 = ChannelLayerNorm(cast(nn.Conv2d, block.conv4).in_channels, eps=1e-6)


def _make_local(network: SpandrelNAFNet, patch: int) -> None:
    """Replaces every global mean by a local one, with its window scaled to the block's level."""
    step = 2 ** len(network.encoders)
    padded = -(-patch // step) * step  # as the network pads the patches of the training
    for level, block in _blocks(network):
        cast(nn.Sequential, block.sca)[0] = LocalMean((padded >> level) * int(1.5 * patch) // patch)


def _blocks(network: SpandrelNAFNet) -> Iterator[tuple[int, nn.Module]]:
    """Every block, with how many times the sides are halved where it works."""
    encoders, decoders = list(network.encoders), list(network.decoders)
    for level, stage in (*enumerate(encoders), (len(encoders), network.middle_blks), *enumerate(reversed(decoders))):
        for block in cast(nn.Sequential, stage):
            yield level, block


class LocalMean(nn.Module):
    """Mean over a sliding square window, borders replicated; where it covers the whole image, the global mean (1×1)."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window

    def forward(self, x_BCHW: Tensor) -> Tensor:
        height, width = x_BCHW.shape[-2:]
        if self.window >= height and self.window >= width:
            return x_BCHW.mean((-2, -1), keepdim=True)
        means = _sliding_mean(_sliding_mean(x_BCHW, min(self.window, height), -2), min(self.window, width), -1)
        rows, columns = height - means.shape[-2], width - means.shape[-1]
        pad = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        return F.pad(means, pad, mode="replicate")


def _sliding_mean(x: Tensor, window: int, axis: int) -> Tensor:
    """Means of `window` neighbours along one axis, from running sums: the cost does not depend on the window."""
    sums = x.to(torch.promote_types(x.dtype, torch.float32)).cumsum(axis)
    length = x.shape[axis]
    first = sums.narrow(axis, window - 1, 1)
    later = sums.narrow(axis, window, length - window) - sums.narrow(axis, 0, length - window)
    return (torch.cat([first, later], axis) / window).to(x.dtype)
