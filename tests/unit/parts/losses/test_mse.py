from __future__ import annotations

import pytest
import torch

from harness.parts.losses.mse import MSE


def test_by_hand() -> None:
    restored, truth = torch.tensor([[0.5, 0.0, -1.0]]).view(1, 1, 1, 3), torch.zeros(1, 1, 1, 3)
    assert MSE()(restored, truth).item() == pytest.approx(1.25 / 3)
    assert MSE(reduction="sum")(restored, truth).item() == pytest.approx(1.25)
