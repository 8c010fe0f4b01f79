"""Motion blur: a hand-held camera that shakes while the shutter is open."""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from annotated_types import Ge, Le

from harness.api.degradation import DegradationTraits
from harness.parts.degradations.light import caught, linear_to_srgb, srgb_to_linear
from harness.parts.degradations.ranges import ranged

_MOMENTS = 1000
"""Points on a trajectory; many per pixel, so that the kernel has no holes."""


class MotionBlur:
    """Camera shake: the image convolved, in linear light, with a random trajectory, and noise; stored as 8-bit sRGB.

    The camera's heading and speed are random walks with a few sudden jerks, in the spirit of Boracchi and Foi, IEEE
    TIP 21(8), 2012; the time spent at each place is the blur kernel, the same for the whole image. Borders reflect.
    The blurred light is caught by a sensor with shot and read noise (Foi et al., IEEE TIP 17(10), 2008).

    Options: `size`: side in pixels of the square that a trajectory fits in, 3 to 101; that of an image spans between
    half and all of it. `shake`: 0 (nearly straight) to 1 (curled), no unit. `full_well`: electrons of a white pixel, 10
    to 1,000,000; fewer give more noise, and the default gives a mid-grey a noise of 0.005 of full scale (46 dB).
    `read_noise`: standard deviation in electrons, 0 to 1,000. Raises HarnessError outside these ranges.
    """

    traits = DegradationTraits(version=2, quantised=True, acts="fixed", synthetic=True)

    @ranged("motion_blur")
    def __init__(
        self,
        *,
        size: Annotated[int, Ge(3), Le(101)] = 21,
        shake: Annotated[float, Ge(0.0), Le(1.0)] = 0.4,
        full_well: Annotated[float, Ge(10.0), Le(1e6)] = 10000.0,
        read_noise: Annotated[float, Ge(0.0), Le(1000.0)] = 5.0,
    ) -> None:
        self.size, self.shake = size, shake
        self.full_well, self.read_noise = full_well, read_noise

    def __call__(self, clean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """H×W×C float32 in [0, 1] to a blurred one of the same shape and range."""
        kernel = shake_kernel(self.size, self.shake, random)
        blurred = cv2.filter2D(srgb_to_linear(clean), cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101)
        light = np.clip(blurred, 0.0, 1.0).reshape(clean.shape)  # OpenCV drops the axis of a single channel
        return linear_to_srgb(caught(light, self.full_well, self.read_noise, random)).astype(np.float32)


def shake_kernel(size: int, shake: float, random: np.random.Generator) -> np.ndarray:
    """A random point spread function: float32, not negative, sums to one, centred on its mean.

    Its side is `size`, or one more where that is even, since a centred kernel has a pixel in its middle.
    """
    path = _trajectory(shake, random)
    path -= path.mean(axis=0)
    reach = (size - 1) / 2 * random.uniform(0.5, 1.0)
    return _rasterise(path * (reach / np.abs(path).max()), size | 1)


def _trajectory(shake: float, random: np.random.Generator) -> np.ndarray:
    """Positions of the camera over the exposure, _MOMENTS×2, unit free."""
    turn = random.normal(0.0, 4.0 * shake / np.sqrt(_MOMENTS), _MOMENTS)
    jerk = random.random(_MOMENTS) < 3 * shake / _MOMENTS
    turn[jerk] += random.uniform(-np.pi, np.pi, _MOMENTS)[jerk]
    heading = random.uniform(0.0, 2 * np.pi) + np.cumsum(turn)
    speed = np.exp(np.cumsum(random.normal(0.0, shake / np.sqrt(_MOMENTS), _MOMENTS)))
    return np.cumsum(np.stack([np.sin(heading), np.cos(heading)], axis=1) * speed[:, None], axis=0)


def _rasterise(path: np.ndarray, size: int) -> np.ndarray:
    """Time at each pixel: every point is shared bilinearly by its four neighbours."""
    kernel = np.zeros((size + 1, size + 1))
    place = path + (size - 1) / 2
    corner = np.floor(place).astype(int)
    part = place - corner
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            np.add.at(kernel, (corner[:, 0] + dy, corner[:, 1] + dx), weight)
    # The row and column beyond the edge only ever get weight from rounding.
    kernel = kernel[:size, :size]
    return np.asarray(kernel / kernel.sum(), dtype=np.float32)
