from __future__ import annotations

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.zero_dce import ZeroDCE


def test_one_iteration_at_least() -> None:
    with pytest.raises(HarnessError, match="at least once"):
        ZeroDCE(iterations=0)


@pytest.mark.parametrize(("iterations", "before_half"), [(1, 0), (3, 1), (8, 4)])
def test_curves_are_those_of_the_paper(iterations: int, before_half: int) -> None:
    """LE = I + α·I·(1 − I), time after time (equation 2), with α = −curve."""
    network, image = ZeroDCE(width=4, iterations=iterations), torch.rand(1, 3, 8, 8)
    torch.nn.init.normal_(network.e_conv7.bias)
    with torch.no_grad():
        half, final, curves = network.enhance(image)
    x = expected_half = image
    for step, curve in enumerate(curves.split(3, 1)):
        x = x - curve * x * (1 - x)
        expected_half = x if step + 1 == before_half else expected_half
    assert torch.allclose(final, x, atol=1e-6)
    assert torch.allclose(half, expected_half, atol=1e-6)
    assert final.min() >= 0
    assert final.max() <= 1
