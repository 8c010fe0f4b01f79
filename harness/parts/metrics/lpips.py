"""Learned perceptual distance, through pyiqa."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.core.errors import DataError
from harness.parts.shared.alex_lpips import build_network
from harness.weights.files import ready_files

SMALLEST = 31
"""Pixels per side from which on every layer of AlexNet has an output."""


class LPIPS:
    """LPIPS v0.1 with AlexNet, Zhang et al., CVPR 2018; always on RGB, whatever the protocol's colour.

    Raises MissingWeights without its two files, DataError when one differs.
    """

    traits = MetricTraits(higher_is_better=False, weights=(Published("alexnet/imagenet"), Published("lpips/alex-v0.1")))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        _, linear = ready_files(self.traits, {}, "metric lpips")
        self._network = build_network(linear)

    @torch.inference_mode()
    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a distance ≥ 0, on the CPU. Raises DataError for images that are too small."""
        height, width = restored.shape[:2]
        if min(height, width) < SMALLEST:
            raise DataError(f"LPIPS needs at least {SMALLEST}×{SMALLEST} pixels, the image has {width}×{height}")
        distance: float = self._network(_tensor(restored), _tensor(truth)).item()
        return distance


def _tensor(image_HW3: np.ndarray) -> Tensor:
    return torch.from_numpy(image_HW3 / 255).float().permute(2, 0, 1)[None]
