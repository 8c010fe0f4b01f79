"""The negative structural similarity as a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.api.loss import LossTraits

SIDE, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2
"""Constants for images in [0, 1]."""


class SSIMLoss(nn.Module):
    """Minus the mean structural similarity of images in [0, 1]; Z. Wang et al., TIP 2004.

    DRBN is trained with it (W. Yang et al., CVPR 2020) and URetinex-Net in part.
    """

    traits = LossTraits()

    def __init__(self) -> None:
        super().__init__()

    def forward(self, restored_BCHW: Tensor, truth_BCHW: Tensor) -> Tensor:
        """A scalar in [-1, 1]; -1 for equal images."""
        return -similarity(restored_BCHW, truth_BCHW)


def similarity(first_BCHW: Tensor, second_BCHW: Tensor) -> Tensor:
    """Mean structural similarity: 11×11 Gaussian window with σ 1.5, channel by channel, zeros beyond the borders.

    The zeros make it differ from the metric `ssim`, which looks at whole windows alone; low-light networks are trained
    this way, and images smaller than the window have a value.
    """
    mean_first, mean_second = _blur(first_BCHW), _blur(second_BCHW)
    variance_first = _blur(first_BCHW.square()) - mean_first.square()
    variance_second = _blur(second_BCHW.square()) - mean_second.square()
    covariance = _blur(first_BCHW * second_BCHW) - mean_first * mean_second
    luminance = (2 * mean_first * mean_second + C1) / (mean_first.square() + mean_second.square() + C1)
    structure = (2 * covariance + C2) / (variance_first + variance_second + C2)
    return (luminance * structure).mean()


def _blur(image_BCHW: Tensor) -> Tensor:
    channels = image_BCHW.shape[1]
    places = torch.arange(SIDE, dtype=image_BCHW.dtype, device=image_BCHW.device) - SIDE // 2
    taps = torch.exp(-places.square() / (2 * SIGMA**2))
    taps = (taps / taps.sum()).expand(channels, 1, 1, SIDE)
    rows = F.conv2d(image_BCHW, taps, padding=(0, SIDE // 2), groups=channels)
    return F.conv2d(rows, taps.transpose(-1, -2), padding=(SIDE // 2, 0), groups=channels)
