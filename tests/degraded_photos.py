"""Real photographs, degraded as the tasks of the field degrade them, for what is calibrated against other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from harness.parts.catalogue import REGISTRY

HEIGHT, WIDTH = 240, 200


def _noise(clean: np.ndarray) -> np.ndarray:
    return clean + np.random.default_rng(25).normal(0, 25, clean.shape)


def _blur(clean: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(clean, (0, 0), 2.0)


def _jpeg(clean: np.ndarray) -> np.ndarray:
    written = cv2.imencode(".jpg", clean.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return np.asarray(cv2.imdecode(written, cv2.IMREAD_COLOR)).astype(np.float64)


def _dark(clean: np.ndarray) -> np.ndarray:
    return 0.2 * clean + np.random.default_rng(5).normal(0, 5, clean.shape)


DEGRADATIONS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "noise": _noise, "blur": _blur, "jpeg": _jpeg, "dark": _dark,
}  # fmt: skip


def photographs() -> dict[str, np.ndarray]:
    """A crop of each test photograph, H×W×3 float64 of whole numbers in [0, 255]."""
    images = REGISTRY.load("dataset", "photos")().images("test")
    return {image.key: image.pixels[:HEIGHT, :WIDTH].astype(np.float64) for image in images}


def degraded(clean: np.ndarray, how: str) -> np.ndarray:
    """8-bit values as float64."""
    return np.rint(np.clip(DEGRADATIONS[how](clean), 0, 255))
