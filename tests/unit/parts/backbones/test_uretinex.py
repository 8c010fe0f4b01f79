from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.core.errors import HarnessError
from harness.models.readings import renamed
from harness.parts.backbones.uretinex import URetinex


def at_ratio(network: URetinex, image: Tensor, ratio: float | Tensor) -> Tensor:
    *_, reflectance, illumination = network.unfold(image)[-1]
    return reflectance * network.adjust(illumination, ratio)


@pytest.mark.parametrize("options", [{"rounds": 0}, {"gamma": 0.0}, {"l_offset": -0.3}])
def test_weights_must_stay_positive(options: dict[str, Any]) -> None:
    with pytest.raises(HarnessError, match="positive"):
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
        *_, illumination = network.unfold(images)[-1]
        together = network.adjust(illumination, torch.tensor([3.0, 5.0]))
        for row, ratio in enumerate((3.0, 5.0)):
            alone = network.adjust(illumination[row : row + 1], ratio)
            assert torch.allclose(together[row], alone[0], atol=1e-6)
        assert not torch.allclose(together, network.adjust(illumination, 5.0))


def test_fresh_networks_see_light() -> None:
    """No fresh illumination is zero everywhere, whatever the seed: it would never learn."""
    image = torch.rand(1, 3, 16, 16)
    for seed in range(20):
        torch.manual_seed(seed)
        with torch.no_grad():
            made = URetinex().outputs(image)
        assert made["illumination"].any()
        assert made["high_illumination"].any()


def test_the_ratio_of_the_truth_is_the_one_of_the_authors_evaluation() -> None:
    """evaluate.py, get_ratio: 1 / (mean(L / (L_truth + 1e-4)) + 1e-4), L_truth by the decomposition of the truth."""
    torch.manual_seed(0)
    network = URetinex(ratio="truth", truth_trains=True)
    lq, truth = 0.1 * torch.rand(2, 3, 8, 9), torch.rand(2, 3, 8, 9)
    with torch.no_grad():
        _, light = network.decomposition.truth(truth).split((3, 1), 1)
        *_, low = network.unfold(lq)[-1]
        ratios = torch.stack([1 / ((low[n] / (light[n] + 0.0001)).mean() + 0.0001) for n in range(2)])
        assert ratios.min() > 0
        torch.testing.assert_close(network(lq, truth), at_ratio(network, lq, ratios))
        made = network.outputs(lq, truth)
    torch.testing.assert_close(made["restored"], at_ratio(network, lq, ratios))
    torch.testing.assert_close(made["truth_decomposed"], network.decomposition.truth.split(truth))


def test_without_a_decomposition_of_the_truth_its_light_is_the_brightest_channels() -> None:
    torch.manual_seed(0)
    network, lq, truth = URetinex(ratio="truth"), 0.1 * torch.rand(1, 3, 8, 9), torch.rand(1, 3, 8, 9)
    with torch.no_grad():
        *_, low = network.unfold(lq)[-1]
        ratio = float(1 / ((low / (truth.amax(1, keepdim=True) ** (1 / 2.2) + 1e-4)).mean() + 1e-4))
        torch.testing.assert_close(network(lq, truth), at_ratio(network, lq, ratio))
        assert "truth_decomposed" not in network.outputs(lq, truth)
        torch.testing.assert_close(network(lq), at_ratio(network, lq, 5.0))


def test_a_truth_changes_nothing_in_the_stages_before() -> None:
    torch.manual_seed(0)
    network, lq = URetinex(truth_trains=True), 0.1 * torch.rand(1, 3, 8, 9)
    with torch.no_grad():
        alone, told = network.outputs(lq), network.outputs(lq, torch.rand(1, 3, 8, 9))
        torch.testing.assert_close(alone["restored"], at_ratio(network, lq, 5.0))
    assert "truth_decomposed" not in alone
    for name in ("reflectance", "illumination"):
        assert torch.equal(alone[name], told[name])
    assert not torch.equal(alone["high_illumination"], told["high_illumination"])


def test_both_decompositions_train_in_one_stage_and_load_by_the_authors_names() -> None:
    network = URetinex(truth_trains=True)
    inside = [name for name, _ in network.named_parameters() if name.startswith("decomposition.")]
    assert sum("truth" in name for name in inside) * 2 == len(inside) == 16
    assert sum(parameter.numel() for parameter in network.decomposition.truth.parameters()) == 20_548
    ours = {name for name in network.state_dict() if name.startswith("decomposition.")}
    theirs = [f"model_Decom_{light}.decom.{n}.{kind}" for light in ("low", "high") for n in (0, 2, 4, 6)
              for kind in ("weight", "bias")]  # fmt: skip
    assert {renamed(name, URetinex.official.parts) for name in theirs} == ours
