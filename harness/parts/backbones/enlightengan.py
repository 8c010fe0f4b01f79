"""EnlightenGAN: Y. Jiang et al., "EnlightenGAN: Deep Light Enhancement without Paired Supervision", TIP 2021.

arXiv 1906.06972. Our own code, written from the paper and a description of the network, and checked against sampled
outputs. Checkpoints with the authors' parameter names load (harness.models.weights).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Channels
from harness.api.traits import LossUse
from harness.api.weights import OfficialNames
from harness.parts.shared.blocks import draw_normal_weights, grey_of

LEVELS = 4
MULTIPLE = 2**LEVELS
WIDEST = 2200
"""Images with more columns pass the network at half their size, and the result is doubled, as the authors do."""


class EnlightenGAN(nn.Module):
    """Attention-guided U-Net, the generator: features and result are weighted by how dark each pixel is.

    Any size from 6×6: inside, it pads by reflection to multiples of 16. `forward` works in [0, 1] and computes the
    attention; `enhance` is the network proper, in [-1, 1]. The result is the image times `skip`, plus a residual,
    unclamped.

    `self_attention`: weight the features; `times_residual`: weight the residual; `tanh`: bound it, once weighted.
    Defaults are the authors', with `width` channels at full resolution. First weights are drawn as in their
    models/networks.py, `weights_init`: N(0, 0.02²) for convolutions, N(1, 0.02²) for the factors of norms.
    """

    traits = BackboneTraits(
        version=2,
        losses=(LossUse("enlightengan"), LossUse("self_feature")),
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 1906.06972",
        verified=True,
    )

    official = OfficialNames(
        parts={
            **{f"conv{n}_{place}": f"stages.{n - 1}.conv{place}" for n in range(1, 10) for place in (1, 2)},
            **{f"bn{n}_{place}": f"stages.{n - 1}.norm{place}" for n in range(1, 10) for place in (1, 2)},
            **{f"deconv{n}": f"widen.{n - 5}" for n in range(5, 9)},
            "conv10": "last",
        }
    )

    def __init__(
        self,
        *,
        width: Channels = 32,
        self_attention: bool = True,
        use_norm: bool = True,
        use_avgpool: bool = False,
        tanh: bool = False,
        times_residual: bool = True,
        skip: float = 1.0,
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.tanh = tanh
        self.times_residual = times_residual
        self.skip = skip
        self.capabilities = Capabilities(
            min_size=6,
            taps=tuple(f"stages.{level}" for level in range(LEVELS + 1)),
            decoder=tuple(f"stages.{level}" for level in range(LEVELS + 1, 2 * LEVELS + 1)),
        )
        self.pool = nn.AvgPool2d(2) if use_avgpool else nn.MaxPool2d(2)
        down = [width << level for level in range(LEVELS + 1)]
        up = down[-2::-1]
        before = [4 if self_attention else 3, *down[:-1], *(2 * channels for channels in up)]
        self.stages = nn.ModuleList(
            TwoConvolutions(given, made, norm=use_norm, last_norm=use_norm and number < 2 * LEVELS)
            for number, (given, made) in enumerate(zip(before, down + up, strict=True))
        )
        self.widen = nn.ModuleList(nn.Conv2d(2 * channels, channels, 3, padding=1) for channels in up)
        self.last = nn.Conv2d(width, 3, 1)
        draw_normal_weights(self)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Low-light images in [0, 1] to enhanced ones; the attention is computed here."""
        output, _ = self.enhance(2 * lq_BCHW - 1, darkness(lq_BCHW))
        return (output + 1) / 2

    def enhance(self, image_BCHW: Tensor, attention_B1HW: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] and attention in [0, 1] to results in about [-1, 1] and the residuals in them.

        The residuals of images wider than WIDEST stay at half the size.
        """
        if image_BCHW.shape[-1] <= WIDEST:
            return self._enhance(image_BCHW, attention_B1HW)
        output, residual = self._enhance(F.avg_pool2d(image_BCHW, 2), F.avg_pool2d(attention_B1HW, 2))
        return F.interpolate(output, size=image_BCHW.shape[-2:], mode="bilinear"), residual

    def _enhance(self, image_BCHW: Tensor, attention_B1HW: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image_BCHW.shape[-2:]
        rows, columns = -height % MULTIPLE, -width % MULTIPLE
        pad = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        inside = (..., slice(pad[2], pad[2] + height), slice(pad[0], pad[0] + width))
        image, attention = (F.pad(each, pad, mode="reflect") for each in (image_BCHW, attention_B1HW))
        residual = self._residual(image, attention)
        if self.times_residual:
            residual = residual * attention
        if self.tanh:  # After the weighting: off in the official configuration; no public golden checks the order.
            residual = torch.tanh(residual)
        return (image * self.skip + residual)[inside], residual[inside]

    def _residual(self, image_BCHW: Tensor, attention_B1HW: Tensor) -> Tensor:
        """The U-Net, on sides that are multiples of 16."""
        stages = list(self.stages)
        down, bottom, up = stages[:LEVELS], stages[LEVELS], stages[LEVELS + 1 :]
        skips = []
        x = torch.cat([image_BCHW, attention_B1HW], 1) if self.self_attention else image_BCHW
        attention = attention_B1HW
        for stage in down:
            x = stage(x)
            skips.append(x * attention if self.self_attention else x)
            # The attention is pooled by its maximum whatever the features are pooled by.
            x, attention = self.pool(x), F.max_pool2d(attention, 2)
        x = bottom(x, attention if self.self_attention else None)
        for widen, stage in zip(self.widen, up, strict=True):
            x = widen(F.interpolate(x, scale_factor=2, mode="bilinear"))
            x = stage(torch.cat([x, skips.pop()], 1))
        return self.last(x)


class TwoConvolutions(nn.Module):
    """Twice: conv3×3 – LeakyReLU – batch norm. The activation comes before the norm."""

    def __init__(self, channels_in: int, channels_out: int, *, norm: bool, last_norm: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels_out) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels_out) if last_norm else nn.Identity()

    def forward(self, x_BCHW: Tensor, attention_B1HW: Tensor | None = None) -> Tensor:
        """`attention`: weights of the features in the middle."""
        x = self.norm1(F.leaky_relu(self.conv1(x_BCHW), 0.2))
        if attention_B1HW is not None:
            x = x * attention_B1HW
        return self.norm2(F.leaky_relu(self.conv2(x), 0.2))


def darkness(image_BCHW: Tensor) -> Tensor:
    """The attention: one minus the grey of images in [0, 1], B×1×H×W."""
    return 1 - grey_of(image_BCHW, (0.299, 0.587, 0.114))
