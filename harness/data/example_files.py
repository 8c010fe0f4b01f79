"""Files of examples, in the formats in which data sets of the field are handed out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from harness.core.errors import HarnessError


class Picture(NamedTuple):
    """A picture to be written: H×W×3 float32 RGB in [0, 1], with 16 bits where it is `deep`, as luma where `gray`."""

    pixels: np.ndarray
    deep: bool = False
    gray: bool = False


def write_picture(path: Path, picture: Picture) -> None:
    """Writes a picture by its ending: .npy as uint8 H×W×3 in the order blue, green, red; else what OpenCV encodes.

    Raises OSError, and HarnessError for an ending that OpenCV does not know.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = np.ascontiguousarray(np.clip(picture.pixels, 0, 1)[..., ::-1])
    if picture.gray:
        bgr = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    if path.suffix == ".npy":
        np.save(path, np.rint(bgr * 255).astype(np.uint8))
        return
    deep = picture.deep and path.suffix.lower() in (".png", ".tif", ".tiff")
    stored = np.rint(bgr * 65535).astype(np.uint16) if deep else np.rint(bgr * 255).astype(np.uint8)
    try:
        done, content = cv2.imencode(path.suffix.lower(), stored)
    except cv2.error as error:
        raise HarnessError(f"no picture can be written as {path.suffix!r}", where=str(path), kind="plugin") from error
    if not done:
        raise HarnessError(f"no picture can be written as {path.suffix!r}", where=str(path), kind="plugin")
    path.write_bytes(content.tobytes())


def write_blocks(path: Path, images_HWC: Sequence[np.ndarray], shape: tuple[int, int]) -> None:
    """Writes N·M images, float32 RGB in [0, 1], as one MATLAB array N×M×H×W×3 uint8 that is called as the file.

    `shape`: N and M. Raises OSError.
    """
    from scipy.io import savemat  # most layouts have none

    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.stack([np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8) for image in images_HWC])
    savemat(path, {path.stem: images.reshape(*shape, *images.shape[1:])}, do_compression=True)
