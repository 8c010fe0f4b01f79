"""Pixels as networks see them."""

from __future__ import annotations

import torch
from torch import Tensor

_WHITE = {torch.uint8: 255.0, torch.uint16: 65535.0}


def scaled(images: Tensor) -> Tensor:
    """Images with white at 1, float32: uint8 divided by 255, uint16 by 65535, floats as they are.

    On the device that they are on, equal to `harness.data.shards.to_float` bit for bit.
    """
    white = _WHITE.get(images.dtype)
    if white is None:
        return images
    # Not by a number of Python's: CUDA kernels multiply by its reciprocal, which rounds otherwise.
    return images.to(torch.float32) / torch.full((), white, device=images.device)
