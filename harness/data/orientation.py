"""The eight orientations of an image. The loader and the feature cache share their numbers."""

from __future__ import annotations

import numpy as np


def orient(image_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """Orientation 0..7 of an image: bit 0 mirrors left-right, then `orientation // 2` quarter turns. Contiguous copy.

    0 is the image itself, 1 its left-right mirror image, 4 half a turn, and 5 its up-down mirror image.
    harness.api.reference.ORIENTATIONS says which of them an augmentation uses.
    """
    return np.ascontiguousarray(turned(image_HWC, orientation))


def turned(image_HWC: np.ndarray, orientation: int) -> np.ndarray:
    """The same as a view of the image: a copy in another order of axes is four times as fast to make of it."""
    mirrored = image_HWC[:, ::-1] if orientation % 2 else image_HWC
    return np.rot90(mirrored, orientation // 2)


def turns(orientation: int) -> bool:
    """Whether an orientation exchanges height and width."""
    return orientation // 2 % 2 == 1


def oriented_window(
    window: tuple[int, int, int, int], sides: tuple[int, int], orientation: int
) -> tuple[int, int, int, int]:
    """Where a window (top, left, height, width) of an image of `sides` lies in the oriented image."""
    top, left, high, wide = window
    height, width = sides
    if orientation % 2:
        left = width - left - wide
    for _ in range(orientation // 2):  # a quarter turn against the clock: the right edge comes on top
        top, left, high, wide, height, width = width - left - wide, top, wide, high, width, height
    return top, left, high, wide
