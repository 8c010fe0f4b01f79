"""Low light: the same scene photographed with a short exposure."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from harness.api.degradation import DegradationTraits
from harness.api.traits import Above, Conflict, FromOption
from harness.core.errors import HarnessError
from harness.parts.degradations.light import caught, linear_to_srgb, srgb_to_linear
from harness.parts.degradations.ranges import ranged


class LowLight:
    """Short exposure in linear light with shot and read noise, stored as an 8-bit sRGB image.

    Per image, an exposure e is drawn log-uniformly; a pixel of linear light L collects Poisson(e·L·full_well)
    electrons (shot noise) and N(0, read_noise) electrons are added (read noise); the sensor's output, divided by
    full_well, is clipped and encoded as sRGB. Poisson-Gaussian model: Foi et al., IEEE TIP 17(10), 2008.

    Options: `exposure_min`, `exposure_max`: fraction of the light of the clean image, 0.001 to 1. The defaults span the
    brightness of LOL's dark photographs: the degraded pictures of `photos` have a mean of 0.05 at `exposure_min` and
    0.2 at `exposure_max` (median over the pictures, in [0, 1] of sRGB; 0.02 to 0.28 over all, as some are dark even
    when clean).
    `full_well`: electrons of a white pixel in the clean image, 10 to 1,000,000; fewer give more noise.
    `read_noise`: standard deviation in electrons, 0 to 1,000. Raises HarnessError outside these ranges.
    """

    traits = DegradationTraits(
        version=2,
        quantised=True,
        acts="fixed",
        synthetic=True,
        conflicts=(
            Conflict(
                when=(Above("exposure_min", FromOption("exposure_max")),),
                what="exposure_min = {exposure_min} is above exposure_max = {exposure_max}",
                hint="swap them, or set both",
            ),
        ),
    )

    @ranged("low_light")
    def __init__(
        self,
        *,
        exposure_min: Annotated[float, Ge(0.001), Le(1.0)] = 0.025,
        exposure_max: Annotated[float, Ge(0.001), Le(1.0)] = 0.22,
        full_well: Annotated[float, Ge(10.0), Le(1e6)] = 4000.0,
        read_noise: Annotated[float, Ge(0.0), Le(1000.0)] = 3.0,
    ) -> None:
        if exposure_min > exposure_max:
            raise HarnessError(
                f"exposure_min = {exposure_min} is above exposure_max = {exposure_max}",
                where="degradation low_light",
                hint="swap them, or set both",
            )
        self._log_exposures = (math.log(exposure_min), math.log(exposure_max))
        self.full_well, self.read_noise = full_well, read_noise

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×C float32 in [0, 1] to a dark, noisy one of the same shape and range."""
        exposure = math.exp(random.uniform(*self._log_exposures))
        light = srgb_to_linear(clean).astype(np.float64) * exposure
        return linear_to_srgb(caught(light, self.full_well, self.read_noise, random)).astype(np.float32)
