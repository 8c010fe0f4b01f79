"""SPAIR: K. Purohit et al., "Spatially-Adaptive Image Restoration using Distortion-Guided Networks", ICCV 2021.

arXiv 2108.08617. **Reimplemented**: written from the published description alone, since there is no official code to
compare with. What the paper says is kept: a localisation network finds the degraded pixels; the restoration network, an
encoder and decoder, moves the statistics of degraded pixels to those of clean ones, convolves where the image is
degraded, and fills degraded pixels from clean ones far away, along rows and columns. Widths, depths and the exact form
of each block are ours.

Shape letters: B batch, C channels, H height, W width, h×w a feature map.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels
from harness.api.traits import LossUse, StageUse
from harness.core.errors import HarnessError
from harness.parts.shared.blocks import ResidualBlock

SHARE = 1e-4
"""Added to every position's weight in the statistics of degraded and of clean pixels. An image that is degraded
everywhere, as dark or noisy ones are, so has the same statistics twice and is left as it is; without it, it would be
moved to the statistics of no pixels."""
SLOPE = 0.1


class SPAIR(nn.Module):
    """Localisation, then restoration where the image is degraded. Unclamped: the input plus a residual.

    `width`: channels at full resolution, doubled at each of the `levels` below it. `blocks`: residual blocks per level,
    on either side. `mask_width`: channels of the localisation network. Sides are multiples of 2^levels. The defaults
    have 6.6 million parameters. Raises HarnessError without a level below full resolution.

    By default the localisation network trains first, on which pixels differ from the truth, then the restoration
    network with the mask as it is; a suite that names losses trains both together.
    """

    traits = BackboneTraits(
        stages=(
            StageUse(0.2, trains=("localise",), losses=(LossUse("spair_mask"),)),
            StageUse(0.8, trains=("restore",), losses=(LossUse("l1"),)),
        ),
        taps=True,
        decoder=True,
        outputs=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2108.08617",
        reimplemented=True,
    )

    def __init__(
        self,
        *,
        width: Channels = 32,
        levels: Annotated[int, Ge(1), Le(8)] = 3,
        blocks: Blocks = 2,
        mask_width: Channels = 16,
    ) -> None:
        super().__init__()
        if levels < 1:
            raise HarnessError("spair has a level below full resolution: `levels`")
        self.capabilities = Capabilities(
            size_multiple=1 << levels,
            min_size=1 << levels,
            taps=(*(f"restore.encoder.{level}" for level in range(levels)), "restore.bottom"),
            decoder=tuple(f"restore.decoder.{level}" for level in range(levels)),
        )
        self.localise = Localisation(mask_width, levels)
        self.restore = Restoration(width, levels, blocks, mask_width)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Degraded images in [0, 1] to the initial restoration."""
        restored: Tensor = self.outputs(lq_BCHW)["restored"]
        return restored

    def outputs(self, lq_BCHW: Tensor) -> dict[str, Any]:
        """The restoration, and `mask`, B×1×H×W logits of a pixel being degraded."""
        mask_B1HW, features = self.localise(lq_BCHW)
        return {"restored": self.restore(lq_BCHW, mask_B1HW.sigmoid(), features), "mask": mask_B1HW}


class Localisation(nn.Module):
    """A small U-shaped network that says which pixels are degraded."""

    def __init__(self, width: int, levels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for _ in range(levels))
        self.up = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(levels))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits at full size, and features from full size to the smallest."""
        features = [_leaky(self.first(image_BCHW))]
        for down in self.down:
            features.append(_leaky(down(features[-1])))
        x = features[-1]
        for up, skip in zip(self.up, features[-2::-1], strict=True):
            x = _leaky(up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], 1)))
        return self.last(x), features


class Restoration(nn.Module):
    """Encoder and decoder that the mask and the features of the localisation network guide at every level."""

    def __init__(self, width: int, levels: int, blocks: int, mask_width: int) -> None:
        super().__init__()
        widths = [width << level for level in range(levels + 1)]
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks))) for channels in widths[:-1]
        )
        self.modulate = nn.ModuleList(Modulation(channels, mask_width) for channels in widths)
        self.down = nn.ModuleList(nn.Conv2d(C, 2 * C, 3, stride=2, padding=1) for C in widths[:-1])
        self.gather = Gathering(widths[-1])
        self.bottom = nn.Sequential(*(ResidualBlock(widths[-1]) for _ in range(blocks)))
        self.up = nn.ModuleList(nn.Conv2d(2 * C, 4 * C, 3, padding=1) for C in widths[-2::-1])
        self.sparse = nn.ModuleList(SparseBlock(C) for C in widths[-2::-1])
        self.decoder = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(channels) for _ in range(blocks))) for channels in widths[-2::-1]
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, image_BCHW: Tensor, mask_B1HW: Tensor, localised: list[Tensor]) -> Tensor:
        masks = [mask_B1HW]
        for _ in self.down:
            masks.append(F.avg_pool2d(masks[-1], 2))
        x = self.first(image_BCHW)
        skips = []
        for level, (encode, down) in enumerate(zip(self.encoder, self.down, strict=True)):
            x = self.modulate[level](encode(x), masks[level], localised[level])
            skips.append(x)
            x = down(x)
        x = self.modulate[-1](x, masks[-1], localised[-1])
        x = self.bottom(self.gather(x, masks[-1]))
        for up, sparse, decode in zip(self.up, self.sparse, self.decoder, strict=True):
            x = F.pixel_shuffle(up(x), 2) + skips.pop()
            x = decode(sparse(x, masks[len(skips)]))
        return image_BCHW + self.last(x)


class Modulation(nn.Module):
    """Degraded positions get the channel means and deviations of clean ones; localisation features say where to trust.

    f' = f·(1 − m) + ((f − μ_d)/σ_d·σ_c + μ_c)·m, with statistics weighted by the mask m and by 1 − m.
    """

    def __init__(self, channels: int, mask_width: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(mask_width, channels, 1)
        self.fuse = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, f_BChw: Tensor, mask_B1hw: Tensor, localised_BMhw: Tensor) -> Tensor:
        degraded_mean, degraded_std = _statistics(f_BChw, mask_B1hw)
        clean_mean, clean_std = _statistics(f_BChw, 1 - mask_B1hw)
        moved = (f_BChw - degraded_mean) / degraded_std * clean_std + clean_mean
        mixed = f_BChw + (moved - f_BChw) * mask_B1hw
        return f_BChw + self.fuse(torch.cat([mixed * self.gate(localised_BMhw).sigmoid(), f_BChw], 1))


class SparseBlock(nn.Module):
    """Convolutions of degraded positions alone, added there alone; sums are divided by how much of a window counts."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, f_BChw: Tensor, mask_B1hw: Tensor) -> Tensor:
        covered = F.avg_pool2d(mask_B1hw, 3, stride=1, padding=1).clamp(min=0.1)
        x = _leaky(self.conv1(f_BChw * mask_B1hw / covered))
        return f_BChw + self.conv2(x) * mask_B1hw


class Gathering(nn.Module):
    """Every degraded position takes from the clean ones of its row, then of its column: two steps reach everywhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 4)
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.merge = nn.Conv2d(channels, channels, 1)

    def forward(self, f_BChw: Tensor, mask_B1hw: Tensor) -> Tensor:
        gathered = self._along_rows(f_BChw, mask_B1hw)
        gathered = self._along_rows(gathered.transpose(-1, -2), mask_B1hw.transpose(-1, -2)).transpose(-1, -2)
        return f_BChw + self.merge(gathered) * mask_B1hw

    def _along_rows(self, f_BChw: Tensor, mask_B1hw: Tensor) -> Tensor:
        query, key, value = (
            project(f_BChw).permute(0, 2, 3, 1) for project in (self.query, self.key, self.value)
        )  # B×h×w×C: a row is a sequence
        cleanness = (1 - mask_B1hw.float()).clamp(min=1e-3).log().permute(0, 2, 1, 3)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=cleanness.to(query.dtype))
        return mixed.permute(0, 3, 1, 2)


def _statistics(f_BChw: Tensor, weight_B1hw: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and deviation of each channel, B×C×1×1, in float32 whatever autocast says."""
    f, weight = f_BChw.float(), weight_B1hw.float() + SHARE
    total = weight.sum((-2, -1), keepdim=True)
    mean = (f * weight).sum((-2, -1), keepdim=True) / total
    variance = ((f - mean).square() * weight).sum((-2, -1), keepdim=True) / total
    return mean, (variance + 1e-3).sqrt()


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)
