"""Quality without a clean image by a transformer, through pyiqa."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.core.errors import DataError
from harness.parts.shared.iqa_images import NetworkMetric
from harness.weights.files import ready_files

SMALLEST = 32
"""Pixels per side of a patch that it reads."""


class MUSIQ(NetworkMetric):
    """MUSIQ trained on KonIQ-10k, Ke et al., ICCV 2021: needs no clean image; higher is better, from about 0 to 100.

    Raises MissingWeights without its file, DataError when it differs.
    """

    traits = MetricTraits(higher_is_better=True, decimals=2, reference="none", weights=(Published("musiq/koniq"),))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        (weights,) = ready_files(self.traits, {}, "metric musiq")
        from pyiqa.archs.musiq_arch import MUSIQ as Network  # noqa: N811 - here, as this import takes seconds

        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):  # it prints, and draws first
            super().__init__(Network(pretrained_model_path=str(weights)).eval())

    def __call__(self, restored: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a number. Raises DataError for images that are too small."""
        height, width = restored.shape[:2]
        if min(height, width) < SMALLEST:
            raise DataError(f"MUSIQ needs at least {SMALLEST}×{SMALLEST} pixels, the image has {width}×{height}")
        return self._value(restored)
