"""Images that the degradations are measured on."""

from __future__ import annotations

import numpy as np
import pytest

from harness.parts.datasets.photos import Photos


@pytest.fixture(scope="session")
def coffee() -> np.ndarray:
    """A photograph, H×W×3 float32 in [0, 1]."""
    return next(image.pixels for image in Photos().images("test") if image.key == "coffee").astype(np.float32) / 255


@pytest.fixture
def gray() -> np.ndarray:
    """A flat mid-gray image, large enough for statistics."""
    return np.full((300, 400, 3), 0.5, np.float32)
