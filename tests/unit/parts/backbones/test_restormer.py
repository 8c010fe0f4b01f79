from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.restormer import Restormer

SMALL: dict[str, Any] = {"dim": 8, "num_blocks": (1, 1, 1, 1), "num_refinement_blocks": 1}


def test_four_levels_are_asked_for() -> None:
    three: Any = (1, 1, 1)
    with pytest.raises(HarnessError, match="four levels"):
        Restormer(dim=8, num_blocks=three)


def test_channels_must_fit_the_image_residual() -> None:
    with pytest.raises(HarnessError, match="`inp_channels` is 6, `out_channels` is 3"):
        Restormer(**SMALL, inp_channels=6)


def test_output_is_the_input_plus_a_residual() -> None:
    network, image = Restormer(**SMALL), torch.rand(1, 3, 16, 16)
    torch.nn.init.zeros_(network.output.weight)
    assert torch.equal(network(image), image)


def test_dual_pixel_output_has_no_image_residual() -> None:
    network = Restormer(**SMALL, inp_channels=6, dual_pixel_task=True)
    torch.nn.init.zeros_(network.output.weight)
    assert not network(torch.rand(1, 6, 16, 16)).any()


def test_norm_option_decides_on_biases() -> None:
    names = [name for name, _ in Restormer(**SMALL, layer_norm="bias_free").named_parameters()]
    assert not [name for name in names if name.endswith("bias")]
    biased = [name for name, _ in Restormer(**SMALL, bias=True).named_parameters() if name.endswith("bias")]
    assert "output.bias" in biased
    assert "patch_embed.bias" not in biased
