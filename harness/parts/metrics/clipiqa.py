"""Quality without a clean image by CLIP, through pyiqa."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.core.errors import DataError, HarnessError
from harness.parts.shared.iqa_images import NetworkMetric
from harness.weights.files import ready_files

SMALLEST = 32
"""Pixels per side from which on every layer of the network has an output."""


class CLIPIQA(NetworkMetric):
    """CLIP-IQA with CLIP's ResNet-50, Wang, Chan and Loy, AAAI 2023: needs no clean image; higher is better, 0 to 1.

    With the mean over pyiqa's pairs of prompts, not the paper's single one. Raises MissingWeights without its file,
    DataError when it differs, HarnessError where pyiqa's tokeniser cannot be imported.
    """

    traits = MetricTraits(higher_is_better=True, reference="none", weights=(Published("clip/RN50-openai"),))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        ready_files(self.traits, {}, "metric clipiqa")
        try:
            from pyiqa.archs.clipiqa_arch import CLIPIQA as Network  # noqa: N811 - here, as this import takes seconds
        except ImportError as error:
            hint = "pip install 'setuptools<81' brings pkg_resources, which the package clip imports"
            raise HarnessError(
                f"pyiqa's CLIP-IQA cannot be imported: {error}", where="metric clipiqa", hint=hint
            ) from None
        with torch.random.fork_rng(devices=[]):  # it draws weights before it reads them
            super().__init__(Network().eval())

    def to(self, device: torch.device) -> None:
        super().to(device)
        (clip,) = cast(list[nn.Module], self._network.clip_model)  # in a list, where the network's own `to` is blind
        clip.to(device)

    def __call__(self, restored: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to [0, 1]. Raises DataError for images that are too small."""
        height, width = restored.shape[:2]
        if min(height, width) < SMALLEST:
            raise DataError(f"CLIP-IQA needs at least {SMALLEST}×{SMALLEST} pixels, the image has {width}×{height}")
        return self._value(restored)
