"""Deraining."""

from __future__ import annotations

from harness.api.task import TaskTraits


class Derain:
    """Remove rain streaks; scored on 8-bit luma, as deraining tables are.

    `density`: drops per pixel. `length`: longest streak in pixels.
    """

    traits = TaskTraits(degradation="rain", options=("density", "length"), protocol="y_matlab")
