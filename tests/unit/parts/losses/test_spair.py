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
    view = look(SHAPE, made={"mask": logits})
    degraded = np.abs((view.lq_BCHW - view.gt_BCHW).numpy()) > 0.3
    assert 0 < degraded.mean() < 1
    degraded = degraded.any(1, keepdims=True) if channels == 1 else degraded
    assert SpairMask(threshold=0.3).of(view).item() == pytest.approx(entropy(logits.numpy(), degraded))
    assert SpairMask().of(look(SHAPE, made={"mask": logits}, refined=True)).item() == 0
    assert gradient(lambda mask: SpairMask().of(look(SHAPE, made={"mask": mask})), logits).abs().sum() > 0
    assert gradient(lambda mask: SpairMask().of(look(SHAPE, made={"mask": mask})), 1e4 * logits).isfinite().all()


def test_a_smaller_mask_says_whether_anything_in_a_cell_is_degraded(look) -> None:
    clean = torch.zeros(1, 3, 4, 4)
    degraded = clean.clone()
    degraded[0, 1, 3, 2] = 0.5
    mask = torch.tensor([[-3.0, -3.0], [-3.0, 3.0]]).view(1, 1, 2, 2)
    found = SpairMask().of(look(lq_BCHW=degraded, gt_BCHW=clean, made={"mask": mask}))
    assert found.item() == pytest.approx(math.log(1 + math.exp(-3)))


def test_micro_batches_add_up(look) -> None:
    logits = torch.randn(2, 1, 6, 8, dtype=torch.float64)
    view = look(SHAPE, made={"mask": logits})
    each = [
        SpairMask().of(look(lq_BCHW=view.lq_BCHW[b], gt_BCHW=view.gt_BCHW[b], made={"mask": logits[b]})).item()
        for b in (slice(0, 1), slice(1, 2))
    ]
    assert np.mean(each) == pytest.approx(SpairMask().of(view).item())


def test_a_network_without_a_mask_is_told(look) -> None:
    with pytest.raises(HarnessError, match="'mask'"):
        SpairMask().of(look(SHAPE))
