"""What a metric looks at in an RGB image: all channels, or luma."""

from __future__ import annotations

import numpy as np

from harness.api.task import EvaluationProtocol

_LIMITED = np.array([65.481, 128.553, 24.966]) / 255
_FULL = np.array([0.299, 0.587, 0.114])


def luma(image_HW3: np.ndarray, protocol: EvaluationProtocol) -> np.ndarray:
    """H×W×1 luma of an RGB image in [0, 255], rounded when the protocol rounds, unless it keeps luma unrounded.

    BT.601 limited range (16–235), as MATLAB's rgb2ycbcr, which rounds on 8-bit images; with it the same error reads
    20·log10(255/219) = 1.32 dB higher than on full-range luma. Under the colour `gray` the images are gray already,
    and full range gives them back.
    """
    values = image_HW3 @ _FULL if protocol.colour == "gray" else 16 + image_HW3 @ _LIMITED
    rounded = protocol.rounding == "uint8" and protocol.luma == "as_image"
    return (np.rint(values, out=values) if rounded else values)[..., np.newaxis]


def planes(image_HW3: np.ndarray, protocol: EvaluationProtocol) -> np.ndarray:
    """H×W×3 for the colour `rgb`, else H×W×1 luma."""
    return image_HW3 if protocol.colour == "rgb" else luma(image_HW3, protocol)
