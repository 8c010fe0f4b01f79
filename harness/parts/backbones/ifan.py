"""IFAN: J. Lee et al., "Iterative Filter Adaptive Network for Single Image Defocus Deblurring", CVPR 2021.

arXiv 2108.13610. Our own code, written from the paper and a description of the network, and checked against sampled
outputs. The authors' copy is under the AGPL and was not used; checkpoints with its parameter names load
(harness.models.weights).

Shape letters: B batch, C channels, H height, W width; h and w are an eighth of H and W; T filter taps.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.backbone import BackboneTraits, Capabilities
from harness.api.ranges import Blocks, Channels, Count, Factor, Kernel
from harness.api.traits import Rule
from harness.api.weights import OfficialNames
from harness.parts.shared.blocks import position_grid

SCALE = 8
LEVELS = range(4)
LAST_REFINEMENT_STEPS = 3


class IFAN(nn.Module):
    """Predicts deblurring filters per pixel and applies them to the features, step after step, at 1/8 size.

    Sides are multiples of 8. The output is the input plus a residual, unclamped (the authors clip it in testing).

    `N` steps, each with a vertical and a horizontal filter of `Fs` taps; `ch` channels at full size, `ks` the side of
    convolutions, `res_num` steps per residual block, `wiF` the gain of the filter predictor's first weights. `dual`:
    filters come from dual-pixel views, and the input has nine channels: the image, its left and its right view.
    Defaults are the authors'. Raises HarnessError for even sides, which have no middle.
    """

    traits = BackboneTraits(
        version=2,
        taps=True,
        decoder=True,
        half=("bfloat16", "float16"),
        compiles=True,
        exports=True,
        licence="Apache-2.0",
        paper="arXiv 2108.13610",
        verified=True,
        rules=(Rule("ks % 2 == 1 and Fs % 2 == 1", "filters have a middle, so that `ks` and `Fs` are odd"),),
    )

    official = OfficialNames(
        parts={
            **{f"conv{level + 1}_{place + 1}": f"extract.{level}.{place}" for level in LEVELS for place in range(3)},
            **{f"kconv{level + 1}_{place + 1}": f"encode.{level}.{place}" for level in LEVELS for place in range(3)},
            **{f"upconv{3 - step}_u": f"widen.{step}" for step in range(3)},
            **{f"upconv{3 - step}_{place + 1}": f"rebuild.{step}.{place}" for step in range(3) for place in range(2)},
            "DME": "disparity",
            "conv_DME": "embed",
            "conv4_4": "fuse",
            "F": "predict",
            "conv_res": "settle",
            "out_res": "last",
        }
    )

    def __init__(
        self,
        *,
        ks: Kernel = 3,
        Fs: Kernel = 3,
        res_num: Blocks = 2,
        ch: Channels = 32,
        N: Count = 17,
        wiF: Factor = 1.5,
        dual: bool = False,
    ) -> None:
        super().__init__()
        self.traits.require(locals())
        self.steps, self.filter_taps, self.dual = N, Fs, dual
        self.capabilities = Capabilities(
            channels_in=9 if dual else 3,
            size_multiple=SCALE,
            min_size=SCALE,
            taps=tuple(f"extract.{level}" for level in LEVELS),
            decoder=("rebuild.0", "rebuild.1", "rebuild.2"),
        )
        widths = (ch, 2 * ch, 4 * ch, 4 * ch)
        deep = widths[-1]
        self.extract = _encoder(3, widths, ks)
        self.encode = _encoder(6 if dual else 3, widths, ks)

        def blocks(channels: int) -> list[nn.Module]:
            return [_conv(channels, deep, ks), Residual(deep, ks, res_num), Residual(deep, ks, res_num)]

        self.disparity = nn.Sequential(*blocks(deep), nn.Conv2d(deep, 1, ks, padding=ks // 2))
        self.embed = _conv(1, deep, ks)
        self.fuse = nn.Sequential(*blocks(2 * deep), _conv(deep, deep, ks))
        self.predict = nn.Sequential(*blocks(deep), nn.Conv2d(deep, N * deep * (2 * Fs + 1), 1))
        self.settle = nn.Sequential(
            _conv(deep, deep, ks), Residual(deep, ks, LAST_REFINEMENT_STEPS), _conv(deep, deep, ks)
        )
        sides = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.widen = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(given, made, 4, 2, 1), nn.LeakyReLU(0.1)) for given, made in sides
        )
        self.rebuild = nn.ModuleList(nn.Sequential(Residual(made, ks, 1), Residual(made, ks, 1)) for _, made in sides)
        # Leaky like the others, though a residual passes through it.
        self.last = _conv(ch, 3, ks)
        self._draw_weights(wiF)

    def _draw_weights(self, filter_gain: float) -> None:
        """First weights as in the authors' models/trainers/trainer.py, `weights_init`, and IFAN.py, `init_F`."""
        for whole, gain in ((self, 1.0), (self.predict, filter_gain)):
            for part in whole.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
                    nn.init.xavier_uniform_(part.weight, gain=gain)
                    if part.bias is not None:
                        nn.init.zeros_(part.bias)

    def forward(self, lq_BCHW: Tensor) -> Tensor:
        """Defocused images, sides multiples of 8, to the initial restoration."""
        if not self.dual:
            return self.deblur(lq_BCHW, self.filters(lq_BCHW))
        image, left, right = lq_BCHW.split(3, 1)
        # The views' order is inferred from that of the authors' call; no sampled output checks it.
        return self.deblur(image, self.filters(torch.cat([right, left], 1)))

    def deblur(self, image_BCHW: Tensor, filters_BChw: Tensor) -> Tensor:
        """The deblurring network, with its filters given."""
        skips = []
        x = image_BCHW
        for stage in self.extract:
            x = stage(x)
            skips.append(x)
        x = self.settle(self._adaptive_convolution(skips.pop(), filters_BChw))
        for widen, rebuild in zip(self.widen, self.rebuild, strict=True):
            x = rebuild(widen(x) + skips.pop())
        return self.last(x) + image_BCHW

    def filters(self, seen_BCHW: Tensor) -> Tensor:
        """All filters and biases, at an eighth of the size, from the image, or from the right and left views."""
        features = self._encode(seen_BCHW)
        embedding = self.embed(self.disparity(features))
        return self.predict(self.fuse(torch.cat([features, embedding], 1)))

    def warp_right(self, right_BCHW: Tensor, left_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """The right view moved by its estimated disparity, and the left view that it should equal; both at 1/8.

        For training the disparity estimator, on dual-pixel data.
        """
        seen = torch.cat([right_BCHW, left_BCHW], 1) if self.dual else right_BCHW
        disparity = self.disparity(self._encode(seen))
        right, left = (F.interpolate(view, size=disparity.shape[-2:], mode="area") for view in (right_BCHW, left_BCHW))
        return _shift_columns(right, disparity), left

    def _encode(self, seen_BCHW: Tensor) -> Tensor:
        for stage in self.encode:
            seen_BCHW = stage(seen_BCHW)
        return seen_BCHW

    def _adaptive_convolution(self, x_BChw: Tensor, filters_BChw: Tensor) -> Tensor:
        """Iterative adaptive convolution (equation 1): filter columns, filter rows, add a bias, LeakyReLU; N times.

        Channels of the filters: for each step two kernels, tap c·T + t of channel c, then all biases.
        """
        B, C, H, W = x_BChw.shape
        kernels, biases = filters_BChw.split([self.steps * 2 * C * self.filter_taps, self.steps * C], 1)
        # Both directions share the step's first kernel. The second is predicted and never used: published weights were
        # trained so.
        kernels_BNCThw = kernels.view(B, self.steps, 2, C, self.filter_taps, H, W)[:, :, 0]
        for kernel_BCThw, bias_BChw in zip(kernels_BNCThw.unbind(1), biases.chunk(self.steps, 1), strict=True):
            x_BChw = _filter(_filter(x_BChw, kernel_BCThw, axis=-2), kernel_BCThw, axis=-1)
            x_BChw = F.leaky_relu(x_BChw + bias_BChw, 0.1)
        return x_BChw


class Residual(nn.Module):
    """`steps` times LeakyReLU(x + conv – LeakyReLU – conv); with more than one, the input is added once more."""

    def __init__(self, channels: int, side: int, steps: int) -> None:
        super().__init__()
        self.stem = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, side, padding=side // 2),
                nn.LeakyReLU(0.1),
                nn.Conv2d(channels, channels, side, padding=side // 2),
            )
            for _ in range(steps)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        y = x_BCHW
        for step in self.stem:
            y = F.leaky_relu(y + step(y), 0.1)
        return y + x_BCHW if len(self.stem) > 1 else y


def _conv(channels_in: int, channels_out: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, side, stride, side // 2), nn.LeakyReLU(0.1))


def _encoder(channels: int, widths: tuple[int, ...], side: int) -> nn.ModuleList:
    """Stages of three convolutions, each but the first at half the size of the one before."""
    return nn.ModuleList(
        nn.Sequential(
            _conv(given, width, side, stride=1 if level == 0 else 2),
            _conv(width, width, side),
            _conv(width, width, side),
        )
        for level, (given, width) in enumerate(zip((channels, *widths), widths, strict=False))
    )


def _filter(x_BCHW: Tensor, kernel_BCTHW: Tensor, axis: int) -> Tensor:
    """Filters each channel at each position with its own taps along one axis; borders replicate."""
    taps, length = kernel_BCTHW.shape[2], x_BCHW.shape[axis]
    reach = taps // 2
    padded = F.pad(x_BCHW, (0, 0, reach, reach) if axis == -2 else (reach, reach, 0, 0), mode="replicate")
    total = torch.zeros_like(x_BCHW)
    for tap in range(taps):
        total = total + padded.narrow(axis, tap, length) * kernel_BCTHW[:, :, tap]
    return total


def _shift_columns(image_BCHW: Tensor, disparity_B1HW: Tensor) -> Tensor:
    """Samples each pixel that many columns further right, bilinearly; zero beyond the border."""
    B, _, H, W = image_BCHW.shape
    rows, columns = position_grid(H, W, like=image_BCHW)[0].expand(B, 2, H, W).unbind(1)
    columns = columns + disparity_B1HW[:, 0] * 2 / max(W - 1, 1)
    return F.grid_sample(image_BCHW, torch.stack([columns, rows], -1), align_corners=True)
