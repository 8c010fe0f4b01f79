"""Denoising of photographs as a camera took them."""

from __future__ import annotations

from harness.api.task import TaskTraits


class RealDenoise:
    """Remove a camera's own noise; scored on RGB that is not rounded, with the volumetric SSIM, as tables of SIDD are.

    The data set brings the noisy images.
    """

    traits = TaskTraits(degradation=None, protocol="sidd")
