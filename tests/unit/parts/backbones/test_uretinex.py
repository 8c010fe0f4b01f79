from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.uretinex import URetinex


@pytest.mark.parametrize("options", [{"rounds": 0}, {"gamma": 0.0}, {"l_offset": -0.3}])
def test_weights_must_stay_positive(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match="stay positive"):
        URetinex(**options)


def test_rounds_balance_the_image_against_the_last_estimate() -> None:
    """Each closed form is the minimum: there the gradient of its objective vanishes."""
    torch.manual_seed(0)
    network = URetinex(gamma=0.7, lamda=0.4, r_offset=0.1, l_offset=0.2).double()
    image = torch.rand(2, 3, 9, 8, dtype=torch.double)
    first, second, third = network.unfold(image)
    for t, (last, now) in enumerate([(first, second), (second, third)], 1):
        P = now.explained_reflectance_B3HW.detach().requires_grad_()
        Q = now.explained_illumination_B1HW.detach().requires_grad_()
        near_P = (0.7 + 0.1 * t) * (P - last.reflectance_B3HW.detach()).square().sum()
        near_Q = (0.4 + 0.2 * t) * (Q - last.illumination_B1HW.detach()).square().sum()
        old_Q = last.explained_illumination_B1HW.detach()
        (slope_P,) = torch.autograd.grad((image - P * old_Q).square().sum() + near_P, P)
        (slope_Q,) = torch.autograd.grad((image - P.detach() * Q).square().sum() + near_Q, Q)
        assert slope_P.abs().max() < 1e-12
        assert slope_Q.abs().max() < 1e-12


def test_each_image_may_have_its_ratio() -> None:
    torch.manual_seed(0)
    network, images = URetinex(), torch.rand(2, 3, 8, 9)
    with torch.no_grad():
        together = network.enhance(images, torch.tensor([3.0, 5.0]))
        for row, ratio in enumerate((3.0, 5.0)):
            alone = network.enhance(images[row : row + 1], ratio)
            assert torch.allclose(together.image_B3HW[row], alone.image_B3HW[0], atol=1e-6)
            assert torch.allclose(together.high_illumination_B1HW[row], alone.high_illumination_B1HW[0], atol=1e-6)


def test_fresh_networks_see_light() -> None:
    """No fresh illumination is zero everywhere, whatever the seed: it would never learn."""
    image = torch.rand(1, 3, 16, 16)
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            enhanced = URetinex().enhance(image, 5.0)
        assert enhanced.illumination_B1HW.any()
        assert enhanced.high_illumination_B1HW.any()
