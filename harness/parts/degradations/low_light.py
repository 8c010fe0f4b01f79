"""Low light: the same scene photographed with a short exposure."""

from __future__ import annotations

import math

import numpy as np

from harness.core.errors import HarnessError
from harness.parts.degradations.light import linear_to_srgb, srgb_to_linear
from harness.parts.degradations.ranges import check_range

VERSION = 1


class LowLight:
    """Short exposure in linear light with shot and read noise, stored as an 8-bit sRGB image.

    For each image: an exposure e is drawn log-uniformly; a pixel of linear light L collects Poisson(e·L·full_well)
    electrons (shot noise) and N(0, read_noise) electrons are added (read noise); the sensor's output, divided by
    full_well, is clipped and encoded as sRGB. Poisson-Gaussian model: Foi et al., IEEE TIP 17(10), 2008.

    Options: `exposure_min`, `exposure_max`: fraction of the light of the clean image, in (0, 1], from 0.001 on.
    `full_well`: electrons of a white pixel in the clean image, 10 to 1,000,000; fewer give more noise.
    `read_noise`: standard deviation in electrons, 0 to 1,000. Raises HarnessError outside these ranges.
    """

    quantised = True

    def __init__(
        self,
        *,
        exposure_min: float = 0.12,
        exposure_max: float = 0.24,
        full_well: float = 2000.0,
        read_noise: float = 3.0,
    ) -> None:
        check_range("low_light", "exposure_min", exposure_min, 0.001, 1.0)
        check_range("low_light", "exposure_max", exposure_max, 0.001, 1.0)
        check_range("low_light", "full_well", full_well, 10.0, 1e6)
        check_range("low_light", "read_noise", read_noise, 0.0, 1000.0)
        if exposure_min > exposure_max:
            raise HarnessError(
                f"exposure_min = {exposure_min} is above exposure_max = {exposure_max}",
                where="degradation low_light",
                hint="swap them",
            )
        self._log_exposures = (math.log(exposure_min), math.log(exposure_max))
        self.full_well, self.read_noise = full_well, read_noise

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to a dark, noisy one of the same shape and range."""
        exposure = math.exp(random.uniform(*self._log_exposures))
        expected = srgb_to_linear(clean).astype(np.float64) * (exposure * self.full_well)
        electrons = random.poisson(expected) + random.normal(0.0, self.read_noise, clean.shape)
        return linear_to_srgb(electrons / self.full_well).astype(np.float32)
