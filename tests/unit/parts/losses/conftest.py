"""Inputs to look at, and what every loss must bear."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.api.loss import LossInputs
from tests.contract.conftest import random_lpips, random_lpips_network

__all__ = ["random_lpips", "random_lpips_network"]


@pytest.fixture
def look() -> Callable[..., LossInputs]:
    """Makes inputs of random images, float64 so that slow computations compare sharply, changed as wished."""

    def make(shape=(2, 3, 12, 14), *, seed=0, refined=False, step=1, **others) -> LossInputs:
        generator = torch.Generator().manual_seed(seed)
        images = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(4))
        names = ("restored_BCHW", "lq_BCHW", "gt_BCHW", "clean_BCHW")
        fields = {**dict(zip(names, images, strict=True)), "outputs": {}, "step": step, "refined": refined}
        return LossInputs(**{**fields, **others})

    return make


@pytest.fixture
def gradient() -> Callable[..., Tensor]:
    """The gradient that a loss gives a tensor, asserted finite."""

    def of(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
        at = at.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(loss(at), at)
        assert torch.isfinite(found).all()
        return found

    return of
