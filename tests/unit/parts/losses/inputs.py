"""Inputs for tests of losses that look at more than an image and its truth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.api.loss import LossInputs


def refined(gt_BCHW: Tensor, *, step: int = 1, **made: Any) -> LossInputs:
    """The final restoration of a batch, and what the network made."""
    zeros_BCHW = torch.zeros_like(gt_BCHW)
    return LossInputs(zeros_BCHW, zeros_BCHW, gt_BCHW, None, made, step, refined=True)
