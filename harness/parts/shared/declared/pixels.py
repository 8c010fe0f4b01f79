"""The images of a sample, as its split says that its files are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.api.source import Files
from harness.core.errors import DataError
from harness.parts.shared.declared.matlab import block
from harness.parts.shared.pictures.listing import File
from harness.parts.shared.pictures.reading import read_picture

if TYPE_CHECKING:
    import numpy as np


def read(file: File, key: str, files: Files, is_colour: Callable[[], bool] = lambda: False) -> np.ndarray:
    """The image in a file, H×W×C. Raises DataError for one that cannot be read.

    `is_colour`: asked of gray pictures alone, whether the channel is to be repeated (declared.grays).
    """
    import numpy as np

    if files.reader == "mat_blocks":
        try:
            return block(file.path, key)
        except (ValueError, OSError) as error:
            raise DataError(str(error), where=file.path, hint="get the file again") from error
    pixels = read_picture(file.path)
    if files.reader == "npy_bgr" and file.path.lower().endswith(".npy"):
        pixels = pixels[:, :, ::-1]
    if files.bits == 8 and pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if files.gray and pixels.shape[2] == 3:
        pixels = _gray(file.path)
    if pixels.shape[2] == 1 and pixels.dtype == np.uint8 and is_colour():
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels)


def _gray(path: str) -> np.ndarray:
    """As the field reads it: what OpenCV's decoders make of colours differs from any formula by rounding."""
    import cv2

    found = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise DataError("it cannot be read as gray", where=path, hint="get it again")
    gray: np.ndarray = found[:, :, None]
    return gray


def read_views(left: np.ndarray, right: np.ndarray | None) -> np.ndarray:
    """The left and the right view as one image of six channels; the left one where there is no right one."""
    import numpy as np

    return left if right is None else np.concatenate([left, right], axis=2)
