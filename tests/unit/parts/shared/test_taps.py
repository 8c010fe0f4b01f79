from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.core.errors import HarnessError
from harness.parts.shared.taps import tapped


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


def test_collects_one_output_a_pass_and_lets_go() -> None:
    net, image = network(), torch.rand(2, 3, 8, 8)
    with tapped(net, "0") as features:
        net(image)
        net(image)
    net(image)
    assert len(features) == 2
    assert torch.equal(features[0], net[0](image))


def test_lets_go_after_an_error() -> None:
    net = network()
    with pytest.raises(RuntimeError), tapped(net, "0"):
        net(torch.rand(2, 5, 8, 8))
    assert not net[0]._forward_hooks


def test_unknown_name_is_refused() -> None:
    with pytest.raises(HarnessError, match="Sequential has no tap 'latent'"), tapped(network(), "latent"):
        pass
