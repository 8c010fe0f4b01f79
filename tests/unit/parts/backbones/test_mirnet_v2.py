from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.mirnet_v2 import MIRNetV2

SMALL: dict[str, Any] = {"n_feat": 8, "groups": (1, 2), "n_MRB": 1}


def test_output_is_the_input_plus_a_residual() -> None:
    network, image = MIRNetV2(**SMALL), torch.rand(1, 3, 16, 16)
    torch.nn.init.zeros_(network.conv_out.weight)
    assert torch.equal(network(image), image)


def test_dual_pixel_output_has_no_image_residual() -> None:
    network = MIRNetV2(**SMALL, inp_channels=6, dual_pixel_task=True)
    torch.nn.init.zeros_(network.conv_out.weight)
    assert not network(torch.rand(1, 6, 16, 16)).any()


def test_bias_option_reaches_every_convolution() -> None:
    network = MIRNetV2(**SMALL, bias=True)
    convolutions = [module for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert all(convolution.bias is not None for convolution in convolutions)
    assert network(torch.rand(1, 3, 8, 12)).shape == (1, 3, 8, 12)
    assert not [name for name, _ in MIRNetV2(**SMALL).named_parameters() if name.endswith("bias")]


def test_channels_must_fit_the_image_residual() -> None:
    with pytest.raises(HarnessError, match="`inp_channels` is 6, `out_channels` is 3"):
        MIRNetV2(**SMALL, inp_channels=6)


@pytest.mark.parametrize("groups", [(), (1, 5)])
def test_groups_must_divide_the_channels(groups: tuple[int, ...]) -> None:
    with pytest.raises(HarnessError, match="`groups`"):
        MIRNetV2(n_feat=8, groups=groups)
