"""Images as pyiqa's metrics take them, and what metrics have in common that are networks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_CPU = torch.device("cpu")


def as_batch(image_HW3: np.ndarray) -> Tensor:
    """H×W×3 float64 in [0, 255] to 1×3×H×W float32 in [0, 1], on the CPU."""
    return torch.from_numpy(image_HW3 / 255).float().permute(2, 0, 1)[None]


class NetworkMetric:
    """A metric that is a network of pyiqa. On a GPU it computes in whole float32, as on a CPU: up to rounding, the
    values are the same."""

    device: torch.device = _CPU

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._network.to(device)
        self.device = device

    @torch.inference_mode()
    def _value(self, *images_HW3: np.ndarray) -> float:
        """The network's number for images H×W×3 float64 in [0, 255]."""
        with whole_float32():
            value: float = self._network(*(as_batch(image).to(self.device) for image in images_HW3)).item()
        return value


@contextmanager
def whole_float32() -> Iterator[None]:
    """A block in which convolutions and products on a GPU keep float32's digits; torch shortens convolutions' factors
    to TF32 unless told otherwise."""
    cudnn: Any = torch.backends.cudnn  # stubs see the module, and not the object that torch puts in its place
    owners = (cudnn.conv, torch.backends.cuda.matmul)
    before = [owner.fp32_precision for owner in owners]
    try:
        for owner in owners:
            owner.fp32_precision = "ieee"
        yield
    finally:
        for owner, precision in zip(owners, before, strict=True):
            owner.fp32_precision = precision
