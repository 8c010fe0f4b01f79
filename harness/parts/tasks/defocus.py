"""Defocus deblurring."""

from __future__ import annotations

from harness.api.task import TaskTraits


class Defocus:
    """Sharpen what is out of focus; scored on RGB that is not rounded, as tables of DPDD are.

    The data set brings the blurred images: one view, or both of a dual-pixel camera in 6 channels.
    """

    traits = TaskTraits(degradation=None, protocol="dpdd")
