"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

import numpy as np

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.core.errors import DataError
from harness.parts.metrics.colour import planes


class PSNR:
    """10·log10(255² / mean squared error), over all pixels and channels of the protocol's colour, in dB.

    With a mask, over its pixels alone. Of 8-bit images the sum of squares is exact, in any order.
    """

    traits = MetricTraits(higher_is_better=True, unit="dB", decimals=2, masked=True)
    in_threads = True

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray, mask_HW: np.ndarray | None = None) -> float:
        """H×W×3 float64 in [0, 255] to dB; inf for identical images, which tables keep out of means.

        Raises DataError for a mask of which nothing counts.
        """
        difference = planes(restored, self.protocol) - planes(truth, self.protocol)
        counted = difference.size
        if mask_HW is not None:
            difference *= mask_HW[..., np.newaxis]
            counted = int(mask_HW.sum()) * difference.shape[2]
            if not counted:
                raise DataError("no pixel of the image counts")
        flat = difference.ravel()
        error = float(flat @ flat) / counted
        return 10 * math.log10(255.0**2 / error) if error else math.inf
