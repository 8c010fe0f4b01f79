"""What a network gets of a stored pair under a protocol that resizes it.

Shape letters: H height, W width, C channels.
"""

from __future__ import annotations

import numpy as np

from harness.api.task import Sides
from harness.data.draw import resized
from harness.data.samples import Pair
from harness.data.shards import to_float


def seen(pair: Pair, read: Sides | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The degraded and the clean image, H×W×C float32 with white at 1, resized to `read` before they become floats.

    As the field reads them: 8-bit images stay 8-bit images when they are resized.
    """
    lq, gt = pair.lq, pair.gt
    if read is not None:
        lq, gt = resized(lq, read), None if gt is None else resized(gt, read)
    return to_float(lq), None if gt is None else to_float(gt)
