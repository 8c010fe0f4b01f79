"""The eight orientations of a square tile. The loader and the feature cache share their numbers."""

from __future__ import annotations

import numpy as np


def orient(image_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Orientation 0..7 of an image: bit 0 mirrors left-right, then `orientation // 2` quarter turns. Contiguous copy.

    Augment `none` uses 0, `flip` 0..1, `dihedral` 0..7 (harness.api.reference.ORIENTATIONS).
    """
    mirrored = image_HWC[:, ::-1] if orientation % 2 else image_HWC
    return np.ascontiguousarray(np.rot90(mirrored, orientation // 2))
