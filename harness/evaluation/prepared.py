"""Restored and clean images as a protocol sees them: what all metrics of a protocol read.

Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.evaluation.align import aligned

GRAY, RGB = 1, 3
"""Channels of the images that metrics are of."""
_GREY = np.array([0.299, 0.587, 0.114])
"""BT.601: the grey of red, green and blue."""


@dataclass(frozen=True)
class Prepared:
    """H×W×3 float64 in [0, 255]; beyond it only where the restored image was aligned."""

    restored: np.ndarray
    truth: np.ndarray | None
    """None where there is no clean image."""
    mask_HW: np.ndarray | None = None
    """float64: 1 where pixels count, else 0, where both images are black; None: all count."""


def prepare(restored_HWC: np.ndarray, truth_HWC: np.ndarray | None, protocol: EvaluationProtocol) -> Prepared:
    """Float images of one size with white at 1 as a protocol sees them.

    Raises DataError for a protocol that needs the clean image where there is none, for images that cannot be aligned,
    and as `apply_protocol`.
    """
    if truth_HWC is None:
        if protocol.needs_truth:
            raise DataError(f"protocol {protocol.name} compares with clean images, and it has none")
        return Prepared(apply_protocol(restored_HWC, protocol), None)
    if protocol.gt_mean:
        restored_HWC = with_mean_of(restored_HWC, truth_HWC)
    restored, truth = apply_protocol(restored_HWC, protocol), apply_protocol(truth_HWC, protocol)
    return Prepared(restored, truth) if protocol.align == "none" else Prepared(*aligned(restored, truth))


def apply_protocol(image_HWC: np.ndarray, protocol: EvaluationProtocol) -> np.ndarray:
    """A float image with white at 1 as the protocol sees it: H×W×3 float64 in [0, 255], cut, clipped and rounded.

    A gray image, H×W×1, has its channel three times, as metrics read RGB: its PSNR and SSIM are those of one channel.

    No other place cuts, clips or rounds. Rounding to 8 bits makes metrics of arrays equal metrics of saved PNGs.
    Raises DataError when the image is no larger than its border, or has neither one channel nor three.
    """
    cut = protocol.border
    height, width = image_HWC.shape[:2]
    if min(height, width) <= 2 * cut:
        raise DataError(f"protocol {protocol.name} cuts {cut} pixels per side, the image has {width}×{height}")
    if image_HWC.shape[2] not in (GRAY, RGB):
        raise DataError(f"it has {image_HWC.shape[2]} channels, and metrics read gray or RGB images")
    # In place, and clipped last: the same numbers as clip, times 255, rint in twice the time.
    values = np.multiply(image_HWC[cut : height - cut, cut : width - cut], 255.0, dtype=np.float64)
    if protocol.rounding == "uint8":
        np.rint(values, out=values)
    np.clip(values, 0.0, 255.0, out=values)
    return np.repeat(values, RGB, axis=2) if values.shape[2] == GRAY else values


def with_mean_of(restored_HWC: np.ndarray, truth_HWC: np.ndarray) -> np.ndarray:
    """A restored image, clipped, whose mean grey is made that of the truth: times the ratio of the two means.

    float64, not clipped again. Raises DataError for one that is black.
    """
    clipped = np.clip(restored_HWC.astype(np.float64), 0.0, 1.0)
    own, wanted = _mean_grey(clipped), _mean_grey(truth_HWC.astype(np.float64))
    if own == 0:
        raise DataError("the restored image is black, and no factor gives it the clean image's mean")
    return clipped * (wanted / own)


def _mean_grey(image_HWC: np.ndarray) -> float:
    channels = image_HWC.mean(axis=(0, 1))
    return float(channels @ _GREY if len(channels) == RGB else channels.mean())
