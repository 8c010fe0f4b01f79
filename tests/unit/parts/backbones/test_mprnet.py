from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import nn

from harness.core.errors import HarnessError
from harness.parts.backbones.mprnet import MPRNet, SupervisedAttention

SMALL: dict[str, Any] = {"n_feat": 8, "scale_unetfeats": 4, "scale_orsnetfeats": 4, "num_cab": 1}


def test_every_stage_is_the_input_plus_a_residual() -> None:
    network, image = MPRNet(**SMALL), torch.rand(1, 3, 16, 24)
    for last in (network.tail, *(cast(SupervisedAttention, each).residual for each in network.supervise)):
        nn.init.zeros_(last.weight)
    assert all(torch.equal(restored, image) for restored in network.restorations(image))


def test_first_stage_restores_quarters_apart() -> None:
    """Its decoder sees halves: what lies below the middle does not reach the upper half."""
    network, image = MPRNet(**SMALL), torch.rand(1, 3, 32, 32)
    other = torch.cat([image[:, :, :16], torch.rand(1, 3, 16, 32)], 2)
    with torch.no_grad():
        (_, second, first), (_, second_of_other, first_of_other) = (
            network.restorations(image),
            network.restorations(other),
        )
    assert torch.allclose(first[:, :, :16], first_of_other[:, :, :16], atol=1e-6)
    assert not torch.allclose(second[:, :, :16], second_of_other[:, :, :16], atol=1e-6)


def test_one_slope_serves_the_whole_network() -> None:
    network = MPRNet(**SMALL)
    slopes = [module for module in network.modules() if isinstance(module, nn.PReLU)]
    assert len(slopes) == 1
    assert sum(key.endswith("body.1.weight") for key in network.state_dict()) > 30


@pytest.mark.parametrize("wrong", [{"kernel_size": 4}, {"reduction": 0}, {"reduction": 9}])
def test_options_that_do_not_fit(wrong: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match=r"is odd|to one at least"):
        MPRNet(**{**SMALL, **wrong})
