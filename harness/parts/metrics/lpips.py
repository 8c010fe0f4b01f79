"""Learned perceptual distance, through pyiqa."""

from __future__ import annotations

from typing import Literal

import numpy as np

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published, When
from harness.core.errors import DataError
from harness.parts.shared.alex_lpips import build_network
from harness.parts.shared.iqa_images import NetworkMetric
from harness.weights.files import ready_files

SMALLEST = {"alex": 31, "vgg": 16}
"""Pixels per side from which on every layer of the network has an output."""


class LPIPS(NetworkMetric):
    """LPIPS v0.1, Zhang et al., CVPR 2018; always on RGB, whatever the protocol's colour.

    `net`: AlexNet, which the field's tables mean unless they say otherwise, or VGG16 (`vgg`).
    Raises MissingWeights without its two files, DataError when one differs.
    """

    traits = MetricTraits(
        higher_is_better=False,
        weights=(
            Published("alexnet/imagenet", when=(When("net", "alex"),)),
            Published("lpips/alex-v0.1", when=(When("net", "alex"),)),
            Published("vgg16/imagenet", when=(When("net", "vgg"),)),
            Published("lpips/vgg-v0.1", when=(When("net", "vgg"),)),
        ),
    )

    def __init__(self, protocol: EvaluationProtocol, *, net: Literal["alex", "vgg"] = "alex") -> None:
        self.protocol = protocol
        self.net = net
        _, linear = ready_files(self.traits, {"net": net}, "metric lpips")
        super().__init__(build_network(linear, net))

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a distance ≥ 0. Raises DataError for images that are too small."""
        height, width = restored.shape[:2]
        least = SMALLEST[self.net]
        if min(height, width) < least:
            raise DataError(f"LPIPS needs at least {least}×{least} pixels, the image has {width}×{height}")
        return self._value(restored, truth)
