"""The eight orientations of a square tile. The loader and the feature cache share their numbers."""

from __future__ import annotations

import numpy as np


def orient(image_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Orientation 0..7 of an image: bit 0 mirrors left-right, then `orientation // 2` quarter turns. Contiguous copy.

    0 is the image itself, 1 its left-right mirror image, 4 half a turn, and 5 its up-down mirror image.
    harness.api.reference.ORIENTATIONS says which of them an augmentation uses.
    """
    mirrored = image_HWC[:, ::-1] if orientation % 2 else image_HWC
    return np.ascontiguousarray(np.rot90(mirrored, orientation // 2))
