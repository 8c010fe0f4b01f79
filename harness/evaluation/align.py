"""Alignment of a restored image with its clean one, as RealBlur's scores are defined.

The camera moves a little between RealBlur's two exposures, so a sharp image may lie beside the clean one. Steps and
constants: swz30/MPRNet, Deblurring/evaluate_RealBlur.py. Shape letters: H height, W width.
"""

from __future__ import annotations

import cv2
import numpy as np

from harness.core.errors import DataError

STEPS = 100
"""Iterations of the enhanced correlation coefficient's maximisation; all are done, since no change is small enough."""
SMOOTHING = 5
"""Side of the Gaussian window by which both gray images are smoothed before."""


def aligned(restored_HW3: np.ndarray, truth_HW3: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The restored image on the truth, the truth, and the mask of what counts: float64 on the scale of 0 to 255.

    `restored_HW3`, `truth_HW3`: H×W×3 in [0, 255]. The restored image is multiplied by the factor that brings it
    nearest to the truth by least squares, then warped by the homography that maximises the enhanced correlation
    coefficient of both in gray; cubic interpolation, borders mirrored, not clipped. Where the warp looks outside the
    restored image, mask and both images are 0. Raises DataError when no homography is found.
    """
    restored, truth = (restored_HW3 / 255).astype(np.float32), (truth_HW3 / 255).astype(np.float32)
    height, width = truth.shape[:2]
    energy = np.sum(restored * restored, dtype=np.float64)
    if energy == 0:
        raise DataError("the restored image is black, and cannot be aligned")
    scaled = np.float32(np.sum(truth * restored, dtype=np.float64) / energy) * restored
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, STEPS, 0)
    try:
        _, warp = cv2.findTransformECC(
            cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY),
            np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, None, SMOOTHING,
        )  # fmt: skip
    except cv2.error as error:
        raise DataError(f"the restored image cannot be aligned with the clean one: {error.err}") from error
    warped = cv2.warpPerspective(
        scaled, warp, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    ones = np.ones((height, width), np.float32)
    nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    mask = cv2.warpPerspective(ones, warp, (width, height), flags=nearest, borderMode=cv2.BORDER_CONSTANT)
    if not mask.any():
        raise DataError("nothing of the restored image is left after it was aligned with the clean one")
    kept = mask.astype(np.float64)[..., np.newaxis]
    return warped * (255 * kept), truth_HW3 * kept, kept[..., 0]
