"""The built-in tasks: what degrades the image and how the restored one is judged. Torch-free, so that planning can ask.

A task forwards the main options of its degradation; the rest keep the degradation's defaults.
"""

from __future__ import annotations

from harness.api.parts import Task
from harness.api.reference import PartRef
from harness.tasks.protocols import RGB_UINT8, Y_UINT8

VERSION = 1


def low_light(*, exposure_min: float = 0.12, exposure_max: float = 0.24) -> Task:
    """Brighten a dark, noisy photograph; judged on 8-bit RGB. Exposures: fractions of the clean image's light."""
    options = {"exposure_min": exposure_min, "exposure_max": exposure_max}
    return Task("low_light", PartRef(name="low_light", options=options), RGB_UINT8)


def gaussian_denoise(*, sigma: float = 25.0) -> Task:
    """Remove white Gaussian noise of standard deviation `sigma` (of 255), unclipped; judged on 8-bit RGB."""
    return Task("gaussian_denoise", PartRef(name="gaussian_noise", options={"sigma": sigma}), RGB_UINT8)


def derain(*, density: float = 0.0015, length: int = 40) -> Task:
    """Remove rain streaks (drops a pixel, longest streak in pixels); judged on 8-bit luma, as deraining tables are."""
    return Task("derain", PartRef(name="rain", options={"density": density, "length": length}), Y_UINT8)


def motion_blur(*, size: int = 21) -> Task:
    """Remove camera shake of up to `size` pixels; judged on 8-bit RGB."""
    return Task("motion_blur", PartRef(name="motion_blur", options={"size": size}), RGB_UINT8)
