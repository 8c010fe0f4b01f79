from __future__ import annotations

from torch import nn

from harness.models.freeze import freeze


def test_freezes_every_parameter_and_the_mode() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert freeze(module) is module
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert not any(part.training for part in module.modules())
