from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.retinexformer import Retinexformer


def test_stages_follow_each_other() -> None:
    network = Retinexformer(n_feat=8, stage=2, num_blocks=(1, 1, 1))
    image = torch.rand(1, 3, 8, 12)
    with torch.no_grad():
        first, last = network.restorations(image)
        assert torch.equal(network(image), last)
        assert torch.equal(network.body[1](first), last)


@pytest.mark.parametrize("options", [{"n_feat": 10}, {"num_blocks": (1, 1)}, {"stage": 0}])
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError):
        Retinexformer(**options)
