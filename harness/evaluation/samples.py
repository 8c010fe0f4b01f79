"""Strips of pictures, such as input | restored | truth, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from harness.core.paths import write_bytes

SEPARATOR = 2
"""White pixels between the pictures of a strip."""


def strip(images_HWC: Sequence[np.ndarray]) -> np.ndarray:
    """Images side by side, H×W'×3 uint8 RGB, clipped. `images_HWC`: float images of one size, white at 1."""
    height = images_HWC[0].shape[0]
    line = np.full((height, SEPARATOR, 3), 255, np.uint8)
    pieces: list[np.ndarray] = []
    for image in images_HWC:
        pieces += [np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8), line]
    return np.concatenate(pieces[:-1], axis=1)


def write_strip(path: Path, images_HWC: Sequence[np.ndarray]) -> None:
    """Writes a strip as PNG, atomically."""
    done, content = cv2.imencode(".png", cv2.cvtColor(strip(images_HWC), cv2.COLOR_RGB2BGR))
    assert done
    write_bytes(path, content.tobytes())
