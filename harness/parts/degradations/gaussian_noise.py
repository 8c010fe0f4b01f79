"""Additive white Gaussian noise, by the convention of the denoising papers."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from harness.api.degradation import DegradationTraits
from harness.parts.degradations.ranges import ranged


class GaussianNoise:
    """Additive white Gaussian noise of a fixed strength, neither clipped nor rounded.

    Option `sigma`: standard deviation on the 0–255 scale, 0 to 255; the papers report 15, 25 and 50. Results leave
    [0, 1], as in the usual protocol, so they are stored as floats. Raises HarnessError outside the range.
    """

    traits = DegradationTraits(quantised=False)

    @ranged("gaussian_noise")
    def __init__(self, *, sigma: Annotated[float, Ge(0.0), Le(255.0)] = 25.0) -> None:
        self.sigma = sigma

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to float32 of the same shape, unclipped."""
        noise = random.standard_normal(clean.shape, dtype=np.float32)
        return np.asarray(clean + noise * np.float32(self.sigma / 255.0))
