"""Motion deblurring."""

from __future__ import annotations

from harness.api.task import TaskTraits


class MotionBlur:
    """Remove camera shake; scored on 8-bit RGB with the volumetric SSIM, as tables of GoPro and HIDE are.

    `size`: the largest extent of the shake in pixels.
    """

    traits = TaskTraits(degradation="motion_blur", options=("size",), protocol="rgb_uint8_ssim3d")
