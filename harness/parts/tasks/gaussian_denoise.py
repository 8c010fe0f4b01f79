"""Gaussian denoising."""

from __future__ import annotations

from harness.api.task import TaskTraits


class GaussianDenoise:
    """Remove white Gaussian noise, unclipped; scored on 8-bit RGB.

    `sigma`: standard deviation of the noise on the 0–255 scale. `quantise`: whether noisy images are clipped and made
    8-bit: `none`, `floor` (decimals are dropped) or `round`.
    """

    traits = TaskTraits(degradation="gaussian_noise", options=("sigma", "quantise"), protocol="rgb_uint8")
