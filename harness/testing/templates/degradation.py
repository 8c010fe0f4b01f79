"""The degradation `my_part`: say here what happens to the image, and after whose model."""

from __future__ import annotations

import numpy as np

from harness.api.degradation import DegradationTraits
from harness.api.ranges import Share


class MyPart:
    """A grey veil of random thickness over the image. (This line is shown by `bench list degradations`.)

    Options: `thickest`, share of the veil, 0 to 1; `brightness` of the veil, 0 to 1.
    """

    # True: results are 8-bit images, as from a camera. False: floats that may leave [0, 1], as in denoising.
    traits = DegradationTraits(quantised=True)

    def __init__(self, *, thickest: Share = 0.8, brightness: Share = 0.9) -> None:
        self.thickest = thickest
        self.brightness = brightness

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to the same shape and type. All randomness comes from `random`."""
        share = random.uniform(self.thickest / 2, self.thickest)
        return ((1 - share) * clean + share * self.brightness).astype(np.float32)


# A task of the same file can name it: see `bench new task`.
CATALOGUE = (("degradation", "my_part", "MyPart"),)
