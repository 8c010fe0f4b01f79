"""Similarity of structure and texture, through pyiqa."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import torch

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.parts.shared.iqa_images import NetworkMetric
from harness.weights.files import ready_files


class DISTS(NetworkMetric):
    """DISTS, Ding et al., TPAMI 2022: 0 for identical images; always on RGB, and on whole images, which its authors'
    demonstration shrinks to 256 pixels.

    Raises MissingWeights without its two files, DataError when one differs.
    """

    traits = MetricTraits(higher_is_better=False, weights=(Published("vgg16/imagenet"), Published("dists/published")))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        _, weights = ready_files(self.traits, {}, "metric dists")
        from pyiqa.archs.dists_arch import DISTS as Network  # noqa: N811 - here, as this import takes seconds

        with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng(devices=[]):  # it prints, and draws first
            super().__init__(Network(pretrained_model_path=str(weights)).eval())

    def __call__(self, restored: np.ndarray, truth: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a distance."""
        return self._value(restored, truth)
