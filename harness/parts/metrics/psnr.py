"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math

import numpy as np

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.parts.metrics.colour import planes


class PSNR:
    """10·log10(255² / mean squared error), over all pixels and channels of the protocol's colour, in dB."""

    traits = MetricTraits(higher_is_better=True, unit="dB", decimals=2)

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to dB; inf for identical images, which tables keep out of means."""
        error = float(np.mean(np.square(planes(restored, self.protocol) - planes(truth, self.protocol))))
        return 10 * math.log10(255.0**2 / error) if error else math.inf
