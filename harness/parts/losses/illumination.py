"""Terms on an illumination that RUAS and SCI share. Both explain a low-light image y as y = restored · illumination."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

FALL = 0.005
"""Weights are exp(-FALL · |colour difference|²). Both authors' constants come to this one, so that, with colours in
[0, 1], no weight is below 0.98: the smoothness hardly knows of edges, and of the conversion below."""

FLOOR = 1e-3
"""Lowest illumination, RUAS's own, and lowest restored value that is divided by."""

OFFSETS = ((1, 0), (0, 1), (1, 1), (1, -1), (2, 0), (0, 2), (2, 1), (2, -1), (1, 2), (1, -2), (2, 2), (2, -2))
"""Twelve neighbours; with the twelve opposite ones, whose terms are the same, all of a 5×5 window."""

# BT.601, studio range, one row per colour.
YCBCR = ((0.257, -0.148, 0.439), (0.564, -0.291, -0.368), (0.098, 0.439, -0.071))
CONSTANT = (16 / 255, 128 / 255, 128 / 255)


class Colours(nn.Module):
    """The authors' conversion to YCbCr, RUAS `model.py` and SCI `loss.py`, `SmoothLoss.rgb2yCbCr`.

    It takes three neighbouring values of a channel for one pixel's colours, since channels are not moved last before.
    So the constant counts: it differs between neighbours along a row. Kept, as both networks were trained so.
    """

    matrix_33: Tensor
    constant_3: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix_33", torch.tensor(YCBCR, dtype=torch.float64), persistent=False)
        self.register_buffer("constant_3", torch.tensor(CONSTANT, dtype=torch.float64), persistent=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """RGB in [0, 1] to the same shape."""
        matrix_33, constant_3 = self.matrix_33.to(image_BCHW.dtype), self.constant_3.to(image_BCHW.dtype)
        return (image_BCHW.reshape(len(image_BCHW), -1, 3) @ matrix_33 + constant_3).view(image_BCHW.shape)


def implied_illumination(lq_BCHW: Tensor, restored_BCHW: Tensor) -> Tensor:
    """The illumination y / restored that a restoration implies, in [0.001, 1].

    It gives a loss of the illumination a meaning for a refined image, which comes without one. No gradient reaches
    pixels that are no brighter than in the degraded image.
    """
    return (lq_BCHW / restored_BCHW.clamp(min=FLOOR)).clamp(FLOOR, 1)


def smoothness(colours_BCHW: Tensor, illumination_BCHW: Tensor) -> Tensor:
    """Absolute differences of the illumination to 24 neighbours, summed over channels, less where colours differ.

    `colours_BCHW`: those of an image, by `Colours`. SCI's (L. Ma et al., CVPR 2022, section 2.3). Averaged over pixels
    and images, summed over the neighbours.
    """
    terms = _neighbours(colours_BCHW, illumination_BCHW)
    return 2 * torch.stack([(weight * change.sum(1, keepdim=True)).mean() for weight, change in terms]).sum()


def parted_smoothness(colours_BCHW: Tensor, illumination_BCHW: Tensor) -> Tensor:
    """As `smoothness`, but with the mean weight of an image times its mean absolute difference, channels averaged.

    What RUAS's authors train with, one image per step; for more than one, the mean over the images.
    """
    terms = _neighbours(colours_BCHW, illumination_BCHW)
    each = [weight.mean((1, 2, 3)) * change.mean((1, 2, 3)) for weight, change in terms]
    return 2 * torch.stack(each).sum(0).mean()


def _neighbours(colours_BCHW: Tensor, illumination_BCHW: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each offset the weights (B×1×h×w) and the absolute differences (B×C×h×w)."""
    for down, right in OFFSETS:
        here, there = _pair(colours_BCHW, down, right)
        weight = torch.exp(-FALL * (here - there).square().sum(1, keepdim=True))
        here, there = _pair(illumination_BCHW, down, right)
        yield weight, (here - there).abs()


def _pair(x_BCHW: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
    """A map without its last rows and columns, and the one that lies `down` and `right` of it; `right` may be < 0."""
    height, width = x_BCHW.shape[-2:]
    here = x_BCHW[..., : height - down, max(0, -right) : width - max(0, right)]
    there = x_BCHW[..., down:, max(0, right) : width - max(0, -right)]
    return here, there
