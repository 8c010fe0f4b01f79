"""SPAIR's mask, against the cross-entropy by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.losses.spair import SpairMask

SHAPE = (2, 3, 6, 8)


def entropy(logits, degraded):
    likely = 1 / (1 + np.exp(-logits))
    return -np.mean(np.where(degraded, np.log(likely), np.log(1 - likely)))


@pytest.mark.parametrize("channels", [1, 3])
def test_cross_entropy(look, gradient, channels) -> None:
    logits = torch.randn(2, channels, 6, 8, dtype=torch.float64)
    inputs = look(SHAPE, outputs={"mask": logits})
    degraded = np.abs((inputs.lq_BCHW - inputs.gt_BCHW).numpy()) > 0.3
    assert 0 < degraded.mean() < 1
    degraded = degraded.any(1, keepdims=True) if channels == 1 else degraded
    assert SpairMask(threshold=0.3)(inputs).item() == pytest.approx(entropy(logits.numpy(), degraded))
    assert SpairMask()(look(SHAPE, outputs={"mask": logits}, refined=True)).item() == 0
    assert gradient(lambda mask: SpairMask()(look(SHAPE, outputs={"mask": mask})), logits).abs().sum() > 0
    assert gradient(lambda mask: SpairMask()(look(SHAPE, outputs={"mask": mask})), 1e4 * logits).isfinite().all()


def test_a_smaller_mask_says_whether_anything_in_a_cell_is_degraded(look) -> None:
    clean = torch.zeros(1, 3, 4, 4)
    degraded = clean.clone()
    degraded[0, 1, 3, 2] = 0.5
    mask = torch.tensor([[-3.0, -3.0], [-3.0, 3.0]]).view(1, 1, 2, 2)
    found = SpairMask()(look(lq_BCHW=degraded, gt_BCHW=clean, outputs={"mask": mask}))
    assert found.item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_micro_batches_add_up(look) -> None:
    logits = torch.randn(2, 1, 6, 8, dtype=torch.float64)
    inputs = look(SHAPE, outputs={"mask": logits})
    each = [
        SpairMask()(look(lq_BCHW=inputs.lq_BCHW[b], gt_BCHW=inputs.gt_BCHW[b], outputs={"mask": logits[b]})).item()
        for b in (slice(0, 1), slice(1, 2))
    ]
    assert np.mean(each) == pytest.approx(SpairMask()(inputs).item())


def test_a_network_without_a_mask_is_told(look) -> None:
    with pytest.raises(HarnessError, match="'mask'"):
        SpairMask()(look(SHAPE))
