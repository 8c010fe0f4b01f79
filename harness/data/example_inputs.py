"""The degraded pictures of examples: by what the first task of a data set makes its inputs with."""

from __future__ import annotations

from typing import Any, Protocol

import cv2
import numpy as np

from harness.api.declaration import declaration
from harness.api.loading import load_part
from harness.api.source import Source
from harness.api.task import TaskTraits
from harness.core.registry import Registry

NOISE = "gaussian_noise"
"""What stands in for the noise of cameras, whose task has no degradation."""
RADIUS = 4
"""Pixels of the disc that stands in for a lens out of focus."""
PARALLAX = 2
"""Pixels by which a view of a dual-pixel camera is moved."""


class Degrade(Protocol):
    """`side`: −1 and 1 for the left and the right view of a dual-pixel camera, else 0."""

    def __call__(self, clean_HWC: np.ndarray, random: np.random.Generator, side: int) -> np.ndarray:
        """H×W×3 float32 in [0, 1] to the same shape, not clipped."""


def degrading(registry: Registry, source: Source) -> Degrade:
    """The degradation of the first task of a data set; where that has none, noise for one that denoises, and else a
    disc, as a lens out of focus blurs."""
    task = declaration(registry, "task", source.tasks[0]).traits
    assert isinstance(task, TaskTraits)
    name = task.degradation or (NOISE if "noise" in source.tasks[0] else None)
    if name is None:
        return out_of_focus
    settings = task.settings if task.degradation else {}
    degradation: Any = load_part(registry, "degradation", name)(**settings)

    def degraded(clean_HWC: np.ndarray, random: np.random.Generator, side: int) -> np.ndarray:
        return np.asarray(degradation(clean_HWC, random))

    return degraded


def out_of_focus(clean_HWC: np.ndarray, random: np.random.Generator, side: int) -> np.ndarray:
    """A picture behind a disc of RADIUS pixels, moved to its side by PARALLAX, as what is out of focus lies
    elsewhere in each view of a dual-pixel camera."""
    span = np.arange(-RADIUS - PARALLAX, RADIUS + PARALLAX + 1)
    disc = (span[:, None] ** 2 + (span[None, :] - side * PARALLAX) ** 2 <= RADIUS**2).astype(np.float32)
    return cv2.filter2D(clean_HWC, cv2.CV_32F, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)
