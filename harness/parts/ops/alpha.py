"""Alpha dropout with numbers that were drawn elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor


def alpha_dropped(x: Tensor, of_ones: Tensor, p: float) -> Tensor:
    """Alpha dropout of `x` where the same draw makes `of_ones` of ones: a·x + b, with −α in place of what it drops.

    Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017, with torch's constants.
    """
    if p == 1:
        return x * 0
    alpha = 1.7580993408473766
    a = ((alpha * alpha * p + 1) * (1 - p)) ** -0.5
    b = alpha * a * p
    return torch.where(of_ones > a * (1 - alpha) / 2 + b, a * x + b, b - alpha * a)
