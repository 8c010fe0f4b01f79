from __future__ import annotations

import pytest
import torch

from harness.parts.refiners.smg.refiner import SMG
from harness.testing import checks


def small() -> SMG:
    torch.manual_seed(0)
    network = SMG(size=8, width=4, narrow=0.125)
    checks.stir(network)
    return network


def inputs(height: int = 16, width: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    return checks.images(2, 3, height, width), 1.4 * checks.images(2, 3, height, width, seed=1) - 0.2


def test_adds_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        network = SMG()
    assert sum(parameter.numel() for parameter in network.parameters()) == 16_297_205 + 459_011


def test_structure_comes_from_the_grey_image_at_the_networks_size() -> None:
    network = small().eval()
    lq, initial = inputs(8, 8)
    grey = 0.299 * lq[:, :1] + 0.587 * lq[:, 1:2] + 0.114 * lq[:, 2:]
    with torch.no_grad():
        outputs = network.outputs(lq, initial)
        checks.assert_close(outputs["structure"], network.structure(grey).map_B1HW, "map", tolerance=1e-5)
        checks.assert_close(network(lq, initial), outputs["restored"], "restored", tolerance=0.0)
        given = network.enhance(lq, initial, outputs["structure"])
    checks.assert_close(outputs["restored"], given, "restored from the map", tolerance=0.0)


@pytest.mark.parametrize("sides", [(16, 24), (40, 8)])
def test_structure_of_other_sizes_is_resized(sides: tuple[int, int]) -> None:
    network = small().eval()
    lq, initial = inputs(*sides)
    with torch.no_grad():
        structure = network.outputs(lq, initial)["structure"]
    assert structure.shape == (2, 1, *sides)
    assert 0 < structure.min() < structure.max() < 1


def test_initial_restoration_is_clamped_and_the_refined_one_is_not() -> None:
    network = small().eval()
    lq, initial = inputs()
    bright = torch.full_like(initial, 1.0)
    with torch.no_grad():
        assert torch.equal(network(lq, initial), network(lq, initial.clamp(0, 1)))
        network.enhancement.tail[2].bias.fill_(0.5)
        assert network(lq, bright).max() > 1


def test_structure_gets_gradients_from_the_restoration_and_from_the_map_itself() -> None:
    network = small().train()
    lq, initial = inputs()
    assert not checks.without_gradient(network, lambda: network.outputs(lq, initial)["restored"].square().mean())
    lost = checks.without_gradient(network, lambda: network.outputs(lq, initial)["structure"].square().mean())
    assert lost
    assert all(name.startswith("enhancement.") for name in lost)


def test_noise_in_training_follows_the_seed_and_there_is_none_in_evaluation() -> None:
    network = small().train()
    given = inputs()
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        made.append(network(*given))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    network.eval()
    torch.manual_seed(3)
    state = torch.get_rng_state()
    assert torch.equal(network(*given), network(*given))
    assert torch.equal(state, torch.get_rng_state())
