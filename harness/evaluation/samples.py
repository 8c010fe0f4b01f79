"""Strips of pictures, such as input | restored | truth, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from harness.api.reference import PartRef
from harness.cells.suite import DATASET_DIGITS
from harness.core.errors import HarnessError
from harness.core.identity import digest
from harness.core.names import file_name
from harness.core.paths import write_bytes
from harness.data.members import escape_key

SEPARATOR = 2
"""White pixels between the pictures of a strip."""


def strip(images_HWC: Sequence[np.ndarray]) -> np.ndarray:
    """Images side by side, H×W'×3 uint8 RGB, clipped. `images_HWC`: float images of one height and width, white at 1.

    Gray images are shown gray, those of six channels, a dual-pixel camera's, as their left view.
    """
    height = images_HWC[0].shape[0]
    line = np.full((height, SEPARATOR, 3), 255, np.uint8)
    pieces: list[np.ndarray] = []
    for image in images_HWC:
        pieces += [np.rint(np.clip(np.nan_to_num(shown(image)), 0.0, 1.0) * 255).astype(np.uint8), line]
    return np.concatenate(pieces[:-1], axis=1)


def shown(image_HWC: np.ndarray) -> np.ndarray:
    """An image as people see it, H×W×3: gray in three channels, the left view of two, the first channels of others."""
    rgb = image_HWC[..., :3]
    return rgb if rgb.shape[2] == 3 else np.repeat(rgb[..., :1], 3, axis=2)


def write_strip(path: Path, images_HWC: Sequence[np.ndarray]) -> None:
    """Writes a strip as PNG, atomically. Raises HarnessError when it cannot be encoded or written."""
    try:
        done, content = cv2.imencode(".png", cv2.cvtColor(strip(images_HWC), cv2.COLOR_RGB2BGR))
    except cv2.error as error:
        raise HarnessError(f"no PNG can be made of this strip: {error.err}", where=str(path)) from error
    if not done:
        raise HarnessError("no PNG can be made of this strip", where=str(path))
    write_bytes(path, content.tobytes())


def strip_name(title: str, dataset: PartRef, draw: str, key: str) -> str:
    """The file's name for an image of a test set: `<title>.<key>.png`, with the draw where it is not `named`.

    `title`: the data set's name, with the condition of the test set. Data sets that differ in their options, as folders
    do in their paths, share a name, and may share keys: the beginning of their digest follows.
    """
    several = bool(dataset.options or dataset.files)
    called = f"{title} {digest(dataset.identity(), DATASET_DIGITS)}" if several else title
    drawn = called if draw == "named" else f"{called}.{draw}"
    return file_name(f"{drawn}.{escape_key(key)}", ".png", readable=f"{drawn}.{key}")
