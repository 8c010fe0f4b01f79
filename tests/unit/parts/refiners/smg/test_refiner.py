from __future__ import annotations

from typing import Literal

import pytest
import torch

from harness.parts.refiners.smg.refiner import SMG, SMGDepth
from harness.parts.shared.guidance import noise
from harness.testing import checks


def small(guidance: Literal["own", "shuffled", "random"] = "own", kind: type[SMG] = SMG) -> SMG:
    torch.manual_seed(0)
    network = kind(size=8, width=4, narrow=0.125, guidance=guidance)
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


@pytest.mark.parametrize("kind", [SMG, SMGDepth])
def test_controls_are_guided_by_maps_that_know_nothing_of_the_image(kind: type[SMG]) -> None:
    lq, initial = inputs()
    own, shuffled, random = (small(guidance, kind).eval() for guidance in ("own", "shuffled", "random"))
    others = shuffled.others
    assert others is not None
    with torch.no_grad():
        made = [network(lq, initial) for network in (own, shuffled, random)]
        guides = [own.find_structure(lq), shuffled.find_structure(others(lq)), noise(lq, 1, 16, 24)]
        for network, restored, guide in zip((own, shuffled, random), made, guides, strict=True):
            checks.assert_close(restored, network.enhance(lq, initial, guide), "guided by its map", tolerance=0.0)
            assert torch.equal(restored, network(lq, initial)), "the same again"
            alone = torch.cat([network(lq[n : n + 1], initial[n : n + 1]) for n in range(2)])
            checks.assert_close(restored, alone, "alone and in a batch", tolerance=1e-5)
        assert not torch.allclose(made[0], made[1])
        assert not torch.allclose(made[0], made[2])
        checks.stir(random.structure)
        assert torch.equal(made[2], random(lq, initial)), "noise asks no structure network"


@pytest.mark.parametrize("guidance", ["shuffled", "random"])
def test_losses_judge_the_images_own_map_whatever_guides(guidance: Literal["shuffled", "random"]) -> None:
    own, control = small().eval(), small(guidance).eval()
    lq, initial = inputs()
    with torch.no_grad():
        assert torch.equal(own.outputs(lq, initial)["structure"], control.outputs(lq, initial)["structure"])
        assert torch.equal(control.outputs(lq, initial)["restored"], control(lq, initial))


def test_shuffled_guidance_keeps_images_of_its_training_and_all_have_the_same_parameters() -> None:
    lq, initial = inputs()
    network = small("shuffled")
    network.eval()(lq, initial)
    assert int(network.others.count) == 0
    network.train().outputs(lq, initial)
    assert int(network.others.count) == 2
    assert torch.equal(network.others.images_N3SS[0, :, :16, :24], lq[0])
    names = [[name for name, _ in small(guidance).named_parameters()] for guidance in ("own", "shuffled", "random")]
    assert names[0] == names[1] == names[2]
    assert set(small().state_dict()) == set(names[0]) | {name for name, _ in small().named_buffers()}
    assert not any("others" in name for name in small().state_dict())
