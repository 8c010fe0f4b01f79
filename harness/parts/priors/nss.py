"""Natural-scene statistics: what BRISQUE measures of an image, as a prior that needs no weights.

Mittal, Moorthy, Bovik: "No-Reference Image Quality Assessment in the Spatial Domain", IEEE TIP 2012. The numbers come
from pyiqa, which is under the PolyForm Noncommercial licence; it is imported when the first image is encoded.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.api.prior import PriorTraits
from harness.core.errors import DataError, HarnessError

NUMBERS = 18
"""Statistics per scale: shape and variance of the normalised luma, and four numbers for each of four neighbours."""

SMALLEST = 7
"""Side of the Gaussian window; a scale smaller than that has no local statistics."""

FLAT = 0.01
"""Luma range (0..255) below which a scale counts as flat."""


class NaturalSceneStatistics:
    """18 statistics of the locally normalised luma per scale, each scale at half the size of the one before.

    The statistics are mapped to [-1, 1] by BRISQUE's published feature ranges, so that none outweighs the others, then
    divided by the vector's L2 norm. A number that an image does not determine counts as the middle of its range, 0: all
    of them on a flat scale (where pyiqa stops), so that a wholly flat image gets the zero vector.

    `scales`: how many sizes; BRISQUE has 2, hence 36 numbers. Raises HarnessError when it is below 1.
    """

    traits = PriorTraits()

    def __init__(self, *, scales: Annotated[int, Ge(1), Le(8)] = 2) -> None:
        if scales < 1:
            raise HarnessError(f"nss needs at least one scale, not {scales}")
        self.scales = scales
        self.dim = NUMBERS * scales

    @torch.no_grad()
    def encode(self, lq_BCHW: Tensor) -> Tensor:
        """RGB images, each side at least 7 pixels at the smallest scale, to B×dim float32, L2-normalised.

        Images go through one by one, so that no row can depend on its neighbours. Values outside [0, 1] are kept: they
        are the noise that the statistics should see. Raises DataError for images that are too small.
        """
        height, width = lq_BCHW.shape[-2:]
        if min(height, width) < SMALLEST << (self.scales - 1):
            raise DataError(
                f"{height}×{width} pixels are too few for {self.scales} scales of natural-scene statistics",
                hint=f"use sides of {SMALLEST << (self.scales - 1)} pixels or more",
            )
        return F.normalize(torch.cat([self._statistics(image_1CHW) for image_1CHW in lq_BCHW.float().split(1)]), dim=1)

    def _statistics(self, image_1CHW: Tensor) -> Tensor:
        from pyiqa.matlab_utils import imresize
        from pyiqa.utils.color_util import to_y_channel

        luma_11HW = to_y_channel(image_1CHW, 255.0)
        levels = []
        for scale in range(self.scales):
            if scale:
                luma_11HW = imresize(luma_11HW, scale=0.5, antialiasing=True)
            levels.append(_one_scale(luma_11HW, scale))
        return torch.cat(levels, dim=1)


def _one_scale(luma_11HW: Tensor, scale: int) -> Tensor:
    """1×18, in units of BRISQUE's ranges."""
    from pyiqa.archs.brisque_arch import natural_scene_statistics, scale_features

    if luma_11HW.amax() - luma_11HW.amin() < FLAT:
        return luma_11HW.new_zeros(1, NUMBERS)
    statistics_1D = natural_scene_statistics(luma_11HW)
    # pyiqa's table holds the ranges of both scales side by side; those of the second serve for all smaller ones.
    ranged_1D = scale_features(torch.cat([statistics_1D, statistics_1D], dim=1)).split(NUMBERS, dim=1)[min(scale, 1)]
    # One-sided products (a dark image with a single bright corner) leave a variance of nothing: not a number.
    return torch.nan_to_num(ranged_1D, nan=0.0, posinf=0.0, neginf=0.0)
