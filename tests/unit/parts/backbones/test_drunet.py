from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.drunet import DRUNet

SMALL: dict[str, Any] = {"nc": (4, 8, 12, 16), "nb": 1}


def test_assumes_the_same_noise_everywhere() -> None:
    network = DRUNet(**SMALL, sigma=51)
    image = torch.rand(2, 3, 16, 24)
    with torch.no_grad():
        assert torch.equal(network(image), network.restore(image, torch.full((2, 1, 16, 24), 0.2)))
        assert not torch.equal(network(image), network.restore(image, torch.zeros(2, 1, 16, 24)))


def test_each_image_is_restored_at_the_noise_that_it_is_told() -> None:
    network = DRUNet(**SMALL, sigma=(0.0, 50.0))
    assert network.capabilities.told == ("sigma",)
    assert (network.capabilities.channels_in, network.capabilities.assumes) == (3, ())
    image = torch.rand(2, 3, 16, 24)
    level_B1HW = torch.stack([torch.full((1, 16, 24), 10.2 / 255), torch.full((1, 16, 24), 0.2)])
    with torch.no_grad():
        assert torch.equal(network(image, torch.tensor([10.2, 51.0])), network.restore(image, level_B1HW))
        assert torch.equal(network(image), network.restore(image, torch.full((2, 1, 16, 24), 25 / 255)))


@pytest.mark.parametrize("sigma", [15, 25.0, 7.65, 1 / 3])
def test_with_one_noise_level_it_is_told_that_of_the_images_and_assumes_its_own_without(sigma: float) -> None:
    """The map at its own level is that of a network that is told nothing, bit for bit."""
    network = DRUNet(**SMALL, sigma=sigma)
    can = network.capabilities
    assert (can.told, can.assumes, DRUNet(**SMALL, in_nc=3, sigma=None).capabilities.told) == (("sigma",),) * 2 + ((),)
    image, levels = torch.rand(2, 3, 16, 24), torch.tensor([sigma, 51.0])
    constant_B1HW = torch.full((2, 1, 16, 24), sigma / 255)
    with torch.no_grad():
        assert torch.equal(network(image), network.restore(image, constant_B1HW))
        assert torch.equal(network(image, torch.full((2,), sigma)), network.restore(image, constant_B1HW))
        mixed_B1HW = torch.stack([constant_B1HW[0], torch.full((1, 16, 24), 0.2)])
        assert torch.equal(network(image, levels), network.restore(image, mixed_B1HW))


@pytest.mark.parametrize("options", [{"in_nc": 1}, {"nc": (4, 8)}, {"act_mode": "X"}])
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError):
        DRUNet(**SMALL | options)


def test_first_weights_are_orthogonal_matrices_times_a_fifth() -> None:
    """KAIR's options/train_drunet.json: init_type orthogonal, init_gain 0.2."""
    network = DRUNet(**SMALL)
    assert {name for name, _ in network.named_parameters() if not name.endswith("weight")} == set()
    for name, weight in network.named_parameters():
        flat = weight.detach().flatten(1)
        flat = flat if len(flat) <= flat.shape[1] else flat.T
        torch.testing.assert_close(flat @ flat.T, 0.04 * torch.eye(len(flat)), atol=1e-6, rtol=0, msg=name)
