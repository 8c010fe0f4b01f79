"""Random numbers by sample, for parts: the same however a batch is divided over processes and micro-batches.

Outside of a training's pass they come from torch's generator. What is drawn for a whole batch at once, as one place for
all of its patches, comes from torch's generator in losses: it is seeded alike for every part of a batch.

Shape letters: B batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.core.draws import draws_of


def uniform_for(images: Tensor) -> Tensor:
    """One number in [0, 1) for each sample of a batch, B×…: float32 [B] on its device."""
    draws = draws_of(len(images))
    if draws is None:
        return torch.rand(len(images), device=images.device)
    return torch.tensor([(number >> 40) * 2.0**-24 for number in draws.next()], device=images.device)


def normal_like(values: Tensor) -> Tensor:
    """Standard normal numbers of the shape B×…, type and device of `values`."""
    draws = draws_of(len(values))
    if draws is None:
        return torch.randn_like(values)
    drawn = [
        torch.randn(values.shape[1:], generator=torch.Generator().manual_seed(number >> 1)) for number in draws.next()
    ]
    return torch.stack(drawn).to(values)
