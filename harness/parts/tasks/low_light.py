"""Low-light enhancement."""

from __future__ import annotations

from harness.api.task import TaskTraits


class LowLight:
    """Brighten a dark, noisy photograph; scored on 8-bit RGB.

    `exposure_min`, `exposure_max`: fractions of the clean image's light.
    """

    traits = TaskTraits(degradation="low_light", options=("exposure_min", "exposure_max"), protocol="rgb_uint8")
