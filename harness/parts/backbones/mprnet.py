"""MPRNet: S. W. Zamir et al., "Multi-Stage Progressive Image Restoration", CVPR 2021, arXiv 2102.02808. Our own code.

Written from the paper and a description of the network, and checked against sampled outputs. The authors' copy is under
a non-commercial licence and was not used; checkpoints with its parameter names load (harness.models.weights).

Stages one and two restore the image in four and in two parts, with a U-shaped encoder and decoder; stage three works at
full resolution. Each stage passes its features to the next. Shape letters as in harness.parts.shared.blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Kernel
from harness.api.traits import Rule
from harness.api.weights import OfficialNames

LEVELS = 3


class MPRNet(nn.Module):
    """Three-stage convolutional network with channel attention. Sides are multiples of 8.

    The U-shaped stages have `n_feat` channels and `scale_unetfeats` more at each lower level; stage three has
    `scale_orsnetfeats` more throughout, and `num_cab` attention blocks per level. Every stage restores the image as
    itself plus a residual, unclamped. Defaults are the authors' for deblurring; denoising has `n_feat` 80, deraining
    `n_feat` 40, `scale_unetfeats` 20 and `scale_orsnetfeats` 16. Raises HarnessError for options that do not fit.
    """

    traits = BackboneTraits(
        taps=True,
        decoder=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2102.02808",
        verified=True,
        rules=(
            Rule("kernel_size % 2 == 1", "filters have a middle, so that `kernel_size` is odd"),
            Rule("1 <= reduction <= n_feat", "attention squeezes `n_feat` channels `reduction` times, to one at least"),
        ),
    )

    official = OfficialNames(
        parts={
            "shallow_feat1": "shallow.0",
            "shallow_feat2": "shallow.1",
            "shallow_feat3": "shallow.2",
            "stage1_encoder": "encoders.0",
            "stage2_encoder": "encoders.1",
            "stage1_decoder": "decoders.0",
            "stage2_decoder": "decoders.1",
            "stage3_orsnet": "full_size",
            "sam12": "supervise.0",
            "sam23": "supervise.1",
            "concat12": "merge.0",
            "concat23": "merge.1",
            **{f"encoder_level{level + 1}": f"levels.{level}" for level in range(LEVELS)},
            **{f"decoder_level{level + 1}": f"levels.{level}" for level in range(LEVELS)},
            **{f"skip_attn{level + 1}": f"skips.{level}" for level in range(LEVELS)},
            **{f"csff_enc{level + 1}": f"from_encoder.{level}" for level in range(LEVELS)},
            **{f"csff_dec{level + 1}": f"from_decoder.{level}" for level in range(LEVELS)},
            **{f"orb{level + 1}": f"blocks.{level}" for level in range(LEVELS)},
            "up_enc1": "from_encoder.1.0",
            "up_dec1": "from_decoder.1.0",
            "up_enc2": "from_encoder.2",
            "up_dec2": "from_decoder.2",
            # The projection stands behind as many enlargements as its level is deep.
            **{f"conv_enc{level + 1}": f"from_encoder.{level}.{level}" for level in range(LEVELS)},
            **{f"conv_dec{level + 1}": f"from_decoder.{level}.{level}" for level in range(LEVELS)},
            "down12": "shrink.0",
            "down23": "shrink.1",
            "up21": "grow.0",
            "up32": "grow.1",
            "down": "",
            "up": "",
            "CA": "attention",
            "conv_du": "",
            "conv1": "features",
            "conv2": "residual",
            "conv3": "mask",
        }
    )

    def __init__(
        self,
        *,
        in_c: Channels = 3,
        n_feat: Channels = 96,
        scale_unetfeats: Channels = 48,
        scale_orsnetfeats: Channels = 32,
        num_cab: Blocks = 8,
        kernel_size: Kernel = 3,
        reduction: Channels = 4,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        self.capabilities = Capabilities(
            channels_in=in_c,
            channels_out=in_c,
            size_multiple=8,
            min_size=8,
            # Of the second stage, whose decoder is the last that sees coarse levels of the whole image.
            taps=tuple(f"decoders.1.levels.{level}" for level in range(LEVELS)),
            decoder=tuple(f"decoders.1.levels.{level}" for level in reversed(range(LEVELS))),
            restorations=3,
        )
        make = _Maker(kernel_size, reduction, bias)
        widths = [n_feat + level * scale_unetfeats for level in range(LEVELS)]
        full_width = n_feat + scale_orsnetfeats
        self.shallow = nn.ModuleList(nn.Sequential(make.conv(in_c, n_feat), make.block(n_feat)) for _ in range(3))
        self.encoders = nn.ModuleList(Encoder(make, widths, fuses=stage > 0) for stage in range(2))
        self.decoders = nn.ModuleList(Decoder(make, widths) for _ in range(2))
        self.supervise = nn.ModuleList(SupervisedAttention(n_feat, in_c, bias=bias) for _ in range(2))
        self.merge = nn.ModuleList(make.conv(2 * n_feat, width) for width in (n_feat, full_width))
        self.full_size = FullSize(make, widths, full_width, num_cab)
        self.tail = make.conv(full_width, in_c)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images, sides multiples of 8, to the restoration of the last stage."""
        return self.restorations(lq_BCHW)[0]

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        """The restoration, and those of all stages for the losses."""
        restorations = self.restorations(lq_BCHW)
        return {"restored": restorations[0], "restorations": restorations}

    def restorations(self, lq_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of the third, second and first stage. The authors train on all three."""
        halves = _cut(lq_BCHW, 2)
        encoded = [_join(x, 3) for x in self.encoders[0](self.shallow[0](_cut(halves, 3)))]
        decoded = self.decoders[0](encoded)
        features, first = self.supervise[0](decoded[0], halves)

        features = self.merge[0](torch.cat([self.shallow[1](halves), features], 1))
        encoded = [_join(x, 2) for x in self.encoders[1](features, encoded, decoded)]
        decoded = self.decoders[1](encoded)
        features, second = self.supervise[1](decoded[0], lq_BCHW)

        features = self.merge[1](torch.cat([self.shallow[2](lq_BCHW), features], 1))
        third = lq_BCHW + self.tail(self.full_size(features, encoded, decoded))
        return third, second, _join(first, 2)


def _cut(x_BCHW: Tensor, axis: int) -> Tensor:
    """Halves along an axis, stacked in the batch."""
    return torch.cat(x_BCHW.chunk(2, axis))


def _join(x_BCHW: Tensor, axis: int) -> Tensor:
    """Undoes `_cut`."""
    return torch.cat(x_BCHW.chunk(2), axis)


class _Maker:
    """Makes the convolutions and attention blocks of one network, which all share a single PReLU slope."""

    def __init__(self, kernel_size: int, reduction: int, bias: bool) -> None:
        self.kernel_size = kernel_size
        self.reduction = reduction
        self.bias = bias
        self.activation = nn.PReLU()

    def conv(self, channels: int, out: int) -> nn.Conv2d:
        return nn.Conv2d(channels, out, self.kernel_size, padding=self.kernel_size // 2, bias=self.bias)

    def point(self, channels: int, out: int) -> nn.Conv2d:
        return nn.Conv2d(channels, out, 1, bias=self.bias)

    def block(self, channels: int) -> ChannelAttentionBlock:
        body = nn.Sequential(self.conv(channels, channels), self.activation, self.conv(channels, channels))
        squeeze, excite = (channels, channels // self.reduction), (channels // self.reduction, channels)
        attention = nn.Sequential(self.point(*squeeze), nn.ReLU(), self.point(*excite))
        return ChannelAttentionBlock(body, attention)

    def blocks(self, channels: int, count: int) -> list[nn.Module]:
        return [self.block(channels) for _ in range(count)]


class ChannelAttentionBlock(nn.Module):
    """Convolutions, their channels weighted by what the image's mean features say, around a skip."""

    def __init__(self, body: nn.Sequential, attention: nn.Sequential) -> None:
        super().__init__()
        self.body = body
        self.attention = attention

    def forward(self, x_BCHW: Tensor) -> Tensor:
        residual = self.body(x_BCHW)
        return x_BCHW + residual * self.attention(residual.mean((-2, -1), keepdim=True)).sigmoid()


class Encoder(nn.Module):
    """Features at full, half and quarter size; when it `fuses`, the stage before adds its own to each level."""

    def __init__(self, make: _Maker, widths: Sequence[int], *, fuses: bool) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*make.blocks(width, 2)) for width in widths)
        self.shrink = nn.ModuleList(_resize(0.5, *widths[level : level + 2]) for level in range(LEVELS - 1))
        fused = widths if fuses else ()
        self.from_encoder = nn.ModuleList(make.point(width, width) for width in fused)
        self.from_decoder = nn.ModuleList(make.point(width, width) for width in fused)

    def forward(self, x_BCHW: Tensor, encoded: Sequence[Tensor] = (), decoded: Sequence[Tensor] = ()) -> list[Tensor]:
        features = []
        for level, blocks in enumerate(self.levels):
            x_BCHW = blocks(self.shrink[level - 1](x_BCHW) if level else x_BCHW)
            if self.from_encoder:
                x_BCHW = x_BCHW + self.from_encoder[level](encoded[level]) + self.from_decoder[level](decoded[level])
            features.append(x_BCHW)
        return features


class Decoder(nn.Module):
    """Encoded levels to decoded levels, full size first; skips pass through a block of their own."""

    def __init__(self, make: _Maker, widths: Sequence[int]) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.Sequential(*make.blocks(width, 2)) for width in widths)
        self.skips = nn.ModuleList(make.block(width) for width in widths[:-1])
        self.grow = nn.ModuleList(_resize(2, widths[level + 1], widths[level]) for level in range(LEVELS - 1))

    def forward(self, encoded: Sequence[Tensor]) -> list[Tensor]:
        decoded = [self.levels[-1](encoded[-1])]
        for level in reversed(range(LEVELS - 1)):
            x_BCHW = self.grow[level](decoded[0]) + self.skips[level](encoded[level])
            decoded.insert(0, self.levels[level](x_BCHW))
        return decoded


class FullSize(nn.Module):
    """Stage three (the paper's ORSNet): blocks at full size; after each, an enlarged level of stage two is added."""

    def __init__(self, make: _Maker, widths: Sequence[int], out: int, blocks: int) -> None:
        super().__init__()

        def enlarge(level: int) -> nn.Sequential:
            steps = [_resize(2, widths[lower], widths[lower - 1]) for lower in range(level, 0, -1)]
            return nn.Sequential(*steps, make.point(widths[0], out))

        self.blocks = nn.ModuleList(OriginalSizeBlock(make, out, blocks) for _ in range(LEVELS))
        self.from_encoder = nn.ModuleList(enlarge(level) for level in range(LEVELS))
        self.from_decoder = nn.ModuleList(enlarge(level) for level in range(LEVELS))

    def forward(self, x_BCHW: Tensor, encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
        for level, block in enumerate(self.blocks):
            added = self.from_encoder[level](encoded[level]) + self.from_decoder[level](decoded[level])
            x_BCHW = block(x_BCHW) + added
        return x_BCHW


class OriginalSizeBlock(nn.Module):
    """Channel attention blocks and a convolution around a skip."""

    def __init__(self, make: _Maker, channels: int, blocks: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*make.blocks(channels, blocks), make.conv(channels, channels))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.body(x_BCHW)


class SupervisedAttention(nn.Module):
    """Supervised attention (the paper's SAM): restores the image, which weights the features for the next stage."""

    def __init__(self, channels: int, image_channels: int, *, bias: bool) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, channels, 1, bias=bias)
        self.residual = nn.Conv2d(channels, image_channels, 1, bias=bias)
        self.mask = nn.Conv2d(image_channels, channels, 1, bias=bias)

    def forward(self, x_BCHW: Tensor, image_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Features and the degraded image to features for the next stage and the restored image."""
        restored = image_BCHW + self.residual(x_BCHW)
        return x_BCHW + self.features(x_BCHW) * self.mask(restored).sigmoid(), restored


def _resize(scale: float, channels: int, out: int) -> nn.Sequential:
    resampled = nn.Upsample(scale_factor=scale, mode="bilinear", align_corners=False)
    return nn.Sequential(resampled, nn.Conv2d(channels, out, 1, bias=False))
