"""Mean absolute error."""

from __future__ import annotations

import numpy as np

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.metrics.colour import planes


class MAE:
    """Mean |restored − truth| with white at 1, over all pixels and channels of the protocol's colour.

    As tables of defocus blur print it: swz30/Restormer, Defocus_Deblurring/utils.py (MAE). With a mask, over its
    pixels alone.
    """

    traits = MetricTraits(higher_is_better=False, masked=True)
    in_threads = True

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask_HW: np.ndarray | None = None) -> float:
        """H×W×3 float64 in [0, 255] to [0, 1]. Raises DataError for a mask of which nothing counts."""
        difference = np.abs(planes(restored, self.protocol) - planes(truth, self.protocol))
        if mask_HW is None:
            return float(difference.mean()) / 255
        counted = float(mask_HW.sum()) * difference.shape[2]
        if not counted:
            raise DataError("no pixel of the image counts")
        return float((difference * mask_HW[..., np.newaxis]).sum()) / counted / 255
