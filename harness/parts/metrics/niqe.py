"""Distance to the statistics of natural images, through pyiqa."""

from __future__ import annotations

import math

import numpy as np
import torch

from harness.api.metric import MetricTraits
from harness.api.task import EvaluationProtocol
from harness.api.traits import Published
from harness.core.errors import DataError
from harness.parts.shared.iqa_images import as_batch
from harness.weights.files import ready_files

BLOCK = 96
"""Pixels per side of the blocks whose statistics are taken."""
FLAT = 0.01
"""Range of values, of 255, below which an image counts as flat."""


class NIQE:
    """NIQE, Mittal, Soundararajan and Bovik, SPL 2013: needs no clean image; lower is nearer to natural images.

    Of the luma that pyiqa takes by default, with the parameters of the authors' pristine images as BasicSR has them.
    Whole blocks of 96×96 pixels from the top left count. Raises MissingWeights without its file, DataError when it
    differs.
    """

    traits = MetricTraits(higher_is_better=False, reference="none", weights=(Published("niqe/pristine"),))

    def __init__(self, protocol: EvaluationProtocol) -> None:
        self.protocol = protocol
        (file,) = ready_files(self.traits, {}, "metric niqe")
        with np.load(file, allow_pickle=False) as stored:
            self._mean = torch.from_numpy(stored["mu_pris_param"].reshape(-1))
            self._covariance = torch.from_numpy(stored["cov_pris_param"])

    @torch.inference_mode()
    def __call__(self, restored: np.ndarray) -> float:
        """H×W×3 float64 in [0, 255] to a number ≥ 0. Raises DataError for images that are too small or too flat."""
        from pyiqa.archs.niqe_arch import calculate_niqe  # here, as this import takes seconds

        height, width = restored.shape[:2]
        if height // BLOCK * (width // BLOCK) < 2:
            raise DataError(f"NIQE needs two blocks of {BLOCK}×{BLOCK} pixels, the image has {width}×{height}")
        batch, flat = as_batch(restored), float(np.ptp(restored)) < FLAT
        try:
            found = (
                math.nan if flat else calculate_niqe(batch, mu_pris_param=self._mean, cov_pris_param=self._covariance)
            )
            value = float(found)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            value = math.nan
        if not math.isfinite(value):
            raise DataError("NIQE has no value for an image that is flat almost everywhere")
        return value
