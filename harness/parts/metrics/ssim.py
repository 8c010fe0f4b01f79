"""Structural similarity, as a separable filter: a fourth of scikit-image's time, a hundredth of pyiqa's.

Three families exist on RGB and read differently: the mean of three 2-D maps, one volumetric filter over rows, columns
and channels, and scikit-image's defaults. The protocol chooses. `similarity_map` is the definition; images go through
it in strips of rows that fit into the processor's cache, which takes two thirds of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.metrics.colour import luma

WINDOW = 11
SIGMA = 1.5
UNIFORM = 7
"""Side of the uniform window."""
C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
ROWS = 64
"""Rows of a strip."""

_KERNEL = cv2.getGaussianKernel(WINDOW, SIGMA)
_UNBIASED = UNIFORM**2 / (UNIFORM**2 - 1)

Blur = Callable[[np.ndarray], np.ndarray]
"""H×W×C to its local means of the same size, with the borders repeated."""


class SSIM:
    """Mean structural similarity, Gaussian window 11×11 with σ 1.5. Wang et al., TIP 2004.

    `rgb2d` and `y`: only windows that lie inside the image. `rgb3d`: the borders repeated, every pixel counted, as
    NAFNet's evaluation and MATLAB's ssim on H×W×3 do. `uniform7`: a uniform window 7×7, only inside the image, with
    the unbiased (co)variance of its 49 pixels, as scikit-image's structural_similarity does by default. Contrast and
    structure are not clipped at zero (pyiqa clips: up to 4e-3 higher on very noisy images). With a mask, the mean over
    its pixels, as swz30/MPRNet, Deblurring/evaluate_RealBlur.py (compute_ssim).
    """

    traits = MetricTraits(higher_is_better=True, masked=True)
    in_threads = True

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask_HW: np.ndarray | None = None) -> float:
        """H×W×3 float64 in [0, 255] to [-1, 1]. Raises DataError for images smaller than the window, and for a mask
        of which nothing counts."""
        family = self.protocol.ssim
        side = UNIFORM if family == "uniform7" else WINDOW
        if min(restored.shape[:2]) < side:
            height, width = restored.shape[:2]
            raise DataError(f"SSIM needs at least {side}×{side} pixels, the image has {width}×{height}")
        if self.protocol.ssim_rounding == "uint8" and self.protocol.rounding == "none":
            restored, truth = np.rint(restored), np.rint(truth)
        if family == "y":
            restored, truth = luma(restored, self.protocol), luma(truth, self.protocol)
        blur = {"uniform7": _uniform, "rgb3d": _volume}.get(family, _gaussian)
        cut = 0 if family == "rgb3d" else side // 2
        unbiased = _UNBIASED if family == "uniform7" else 1.0
        return _mean(restored, truth, mask_HW, blur, reach=side // 2, cut=cut, unbiased=unbiased)


def similarity_map(x: np.ndarray, y: np.ndarray, blur: Blur, unbiased: float = 1.0) -> np.ndarray:
    """H×W×C similarity of H×W×C images. `unbiased`: the factor that makes a (co)variance over a window an unbiased
    estimate."""
    mean_x, mean_y = blur(x), blur(y)
    product = mean_x * mean_y
    mean_x *= mean_x
    mean_y *= mean_y
    squares = np.add(mean_x, mean_y, out=mean_x)
    covariance = blur(x * y)
    variances = blur(x * x + y * y)
    covariance -= product
    covariance *= 2 * unbiased
    covariance += C2
    variances -= squares
    variances *= unbiased
    variances += C2
    product *= 2
    product += C1
    squares += C1
    covariance *= product
    variances *= squares
    return np.divide(covariance, variances, out=covariance)


def _mean(
    x: np.ndarray, y: np.ndarray, mask_HW: np.ndarray | None, blur: Blur, *, reach: int, cut: int, unbiased: float
) -> float:
    """The mean of the map without its outer `cut` pixels, strip by strip. `reach`: rows that a window sees beside its
    own."""
    height, width = x.shape[:2]
    sums, counted = [], 0.0
    for top in range(cut, height - cut, ROWS):
        bottom = min(top + ROWS, height - cut)
        seen = slice(max(top - reach, 0), min(bottom + reach, height))
        similarity = similarity_map(x[seen], y[seen], blur, unbiased)
        inner = similarity[top - seen.start : bottom - seen.start, cut : width - cut]
        if mask_HW is None:
            counted += inner.size
        else:
            mask = mask_HW[top:bottom, cut : width - cut]
            inner = inner * mask[..., np.newaxis]
            counted += float(mask.sum()) * x.shape[2]
        sums.append(float(inner.sum()))
    if not counted:
        raise DataError("no pixel of the image counts")
    return math.fsum(sums) / counted


def _gaussian(image: np.ndarray) -> np.ndarray:
    filtered = cv2.sepFilter2D(image, cv2.CV_64F, _KERNEL, _KERNEL, borderType=cv2.BORDER_REPLICATE)
    return filtered.reshape(image.shape)  # OpenCV drops a last axis of one


def _uniform(image: np.ndarray) -> np.ndarray:
    means = cv2.blur(image, (UNIFORM, UNIFORM), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(means.reshape(image.shape))


def _volume(image: np.ndarray) -> np.ndarray:
    return _gaussian(image) @ _channel_weights(image.shape[2])


def _channel_weights(channels: int) -> np.ndarray:
    """The window along the channels with the end channels repeated, as a matrix: C×C, column c makes channel c."""
    weights = np.zeros((channels, channels))
    reach = WINDOW // 2
    for target in range(channels):
        for offset, value in zip(range(-reach, reach + 1), _KERNEL[:, 0], strict=True):
            weights[min(max(target + offset, 0), channels - 1), target] += value
    return weights
