"""The one degraded picture that an image has wherever it is fixed: as it is stored, and as tests see drawn noise.

Its random numbers depend on `seed("degrade", degradation, degradation, data set, split, key)` alone: not on options, so
that two noise levels share their pattern; not on the task, in whose place the degradation's name stands again, so that
the images of the task `low_light` are those of earlier releases; and not on the process or the order of work. With the
draw `seed0` (harness.api.degradation) they are the same for every image.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from harness.api.degradation import Degradation, Draw, DrawnLikeTheField
from harness.api.reference import PartRef
from harness.api.sets import PreparedSet, Samples
from harness.core.guests import contained, in_main_thread
from harness.core.identity import seed
from harness.data.shards import to_float
from harness.parts.guard import called, check_degraded


def degrade(
    image: np.ndarray, key: str, degradation: Degradation, ref: PartRef, of: PreparedSet | Samples, draw: Draw = "named"
) -> np.ndarray:
    """The degraded image: H×W×C uint8 when the degradation is quantised, else float32, unclipped.

    `ref`: what `degradation` was made of. `of`: whose data set and split the image is of. Raises HarnessError (kind
    `plugin`) for a degradation that gives no such image.
    """
    clean = to_float(image)
    # The settings of the process are looked after in the main thread alone, and users' degradations drawn there.
    with called(degradation) if in_main_thread() else contained(owner=degradation):
        if draw == "named":
            names = (ref.name, ref.name, of.dataset.name, of.split)
            random = np.random.default_rng(seed("degrade", *names, key))
            degraded = degradation(clean, random)
        else:
            degraded = cast(DrawnLikeTheField, degradation).with_legacy(clean, np.random.RandomState(0))
    check_degraded(degradation, degraded, image, key)
    if degradation.traits.quantised:
        return np.asarray(np.rint(np.clip(degraded, 0.0, 1.0) * 255.0), dtype=np.uint8)
    return np.array(degraded, dtype=np.float32)  # a copy: the degradation may write into its own array again
