from __future__ import annotations

import torch

from harness.parts.backbones.smg_appearance import SMGAppearance
from harness.testing import checks


def test_residual_is_added_to_the_image() -> None:
    torch.manual_seed(0)
    network = SMGAppearance(width=4, blocks=2)
    last, lq = network.tail[2], checks.images(2, 3, 16, 24)
    assert isinstance(last, torch.nn.Conv2d)
    with torch.no_grad():
        assert torch.equal(network(lq) - lq, (network.residual(lq) + lq) - lq)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        assert torch.equal(network(lq), lq)
