"""Images as pyiqa's metrics take them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def as_batch(image_HW3: np.ndarray) -> Tensor:
    """H×W×3 float64 in [0, 255] to 1×3×H×W float32 in [0, 1], on the CPU."""
    return torch.from_numpy(image_HW3 / 255).float().permute(2, 0, 1)[None]
