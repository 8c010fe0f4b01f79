from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from harness.core.errors import HarnessError
from harness.parts.ops import forms
from harness.parts.ops.forms import Form
from harness.parts.refiners.ptg_rm.guidance import CSA, SVE
from harness.parts.refiners.ptg_rm.joins import MapBeside, VectorAsMap, VectorBeside
from harness.parts.refiners.ptg_rm.refiner import MASK_LOGIT, PTGRM
from harness.parts.shared.blocks import snr_map

Head = Literal["mask_residual", "residual"]


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(2, 3, 16, 24, generator=generator),
        1.4 * torch.rand(2, 3, 16, 24, generator=generator) - 0.2,
        torch.nn.functional.normalize(torch.randn(2, 5, generator=generator), dim=1),
    )


def decoding_to(refiner: PTGRM, values: list[float]) -> PTGRM:
    """The refiner with a last convolution that gives constant planes."""
    last = refiner.decoder[-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor(values)
    return refiner


def test_mask_residual_head_is_equation_1() -> None:
    lq, initial, prior = inputs()
    logits = torch.tensor([0.0, 1.0, -2.0]).view(3, 1, 1)
    residual = torch.tensor([0.1, 0.2, -0.3]).view(3, 1, 1)
    refiner = decoding_to(PTGRM(5), [0.0, 1.0, -2.0, 0.1, 0.2, -0.3])
    expected = lq + (initial - lq) * torch.sigmoid(logits) + residual
    assert torch.allclose(refiner(lq, initial, prior), expected, atol=1e-6)


def test_residual_head_adds_to_the_clamped_initial() -> None:
    lq, initial, prior = inputs()
    refiner = decoding_to(PTGRM(5, head="residual"), [0.1, 0.2, -0.3])
    expected = initial.clamp(0, 1) + torch.tensor([0.1, 0.2, -0.3]).view(3, 1, 1)
    assert torch.allclose(refiner(lq, initial, prior), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "mixed_in"), [("mask_residual", 1 - torch.sigmoid(torch.tensor(MASK_LOGIT))), ("residual", 0.0)]
)
def test_starts_near_the_initial_restoration(head: Head, mixed_in: float) -> None:
    torch.manual_seed(0)
    lq, initial, prior = inputs()
    initial = initial.clamp(0, 1)
    offset = PTGRM(5, head=head)(lq, initial, prior) - (initial + (lq - initial) * mixed_in)
    assert offset.abs().max() < 0.05


def test_every_parameter_has_a_gradient_at_the_first_step() -> None:
    refiner = PTGRM(5)
    refiner(*inputs()).square().sum().backward()
    assert not [name for name, parameter in refiner.named_parameters() if not parameter.grad.any()]


def test_range_score_chooses_between_long_and_short() -> None:
    sve = SVE(8, (5, 16, 4), long_blocks=1)
    f, prior = torch.rand(2, 8, 4, 6), torch.rand(2, 5)
    for bias, expected in ((1e4, sve.long(f)), (-1e4, sve.short(f)), (0.0, (sve.long(f) + sve.short(f)) / 2)):
        sve.score[2] = last = torch.nn.Conv2d(8, 1, 3, padding=1)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, bias)
        assert torch.allclose(sve(f, prior), expected, atol=1e-6)


def test_position_counts() -> None:
    """The same features at two places are not treated alike: both modules see where they are."""
    torch.manual_seed(0)
    f, prior = torch.ones(1, 8, 8, 8), torch.zeros(1, 5)
    for module in (SVE(8, (5, 16, 4), long_blocks=1), CSA(8, (5, 16, 4))):
        result = module(f, prior)
        assert (result[..., 3, 3] - result[..., 4, 4]).abs().max() > 1e-7


def test_attention_of_one_leaves_the_merge_alone() -> None:
    csa = CSA(8, (5, 16, 4))
    f, prior = torch.rand(2, 8, 4, 6), torch.rand(2, 5)
    csa.channel[-1] = csa.spatial[-1] = torch.nn.Threshold(float("inf"), 1.0)
    assert torch.allclose(csa(f, prior), csa.merge(torch.cat([f, f], 1)) + f, atol=1e-6)


def test_width_and_blocks_are_options() -> None:
    assert PTGRM(5, width=8).encoder[0].out_channels == 8
    assert len(PTGRM(5, long_blocks=2).sve.long) == 2


def test_released_size() -> None:
    released = PTGRM(512, head="residual")
    assert sum(parameter.numel() for parameter in released.parameters()) == 671_735


@pytest.mark.parametrize("form", ["plain", "lean"])
def test_recomputing_changes_no_bit(form: Form) -> None:
    """Training and evaluation, and a second step, give the same numbers: nothing depends on what ran before."""
    torch.manual_seed(0)
    refiner = PTGRM(5, width=8)
    given = inputs()
    with torch.no_grad(), forms.using(form):
        evaluated = refiner(*given)
    steps = []
    for _ in range(2):
        refiner.zero_grad()
        with forms.using(form):
            refined = refiner(*given)
        assert torch.equal(refined, evaluated)
        refined.square().sum().backward()
        steps.append([weight.grad.clone() for weight in refiner.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*steps, strict=True))


def test_snr_map_is_the_range_score_where_an_ablation_says_so() -> None:
    """Clean places look near, noisy ones far."""
    torch.manual_seed(0)
    refiner = PTGRM(5, ablation="snr_mask", width=8, long_blocks=1)
    lq, initial, prior = inputs()
    f = refiner.encoder(torch.cat([initial, lq], 1))
    snr = F.interpolate(snr_map(lq), size=f.shape[-2:], mode="nearest")
    expected = refiner.sve.long(f) * (1 - snr) + refiner.sve.short(f) * snr
    assert torch.allclose(refiner.sve(f, prior, snr), expected, atol=1e-6)
    seen = []
    refiner.sve.register_forward_pre_hook(lambda module, given: seen.append(given[2]))
    refiner(lq, initial, prior)
    assert torch.equal(seen[0], snr)


def test_a_joined_vector_is_convolved_beside_the_features() -> None:
    join = VectorBeside(8, (5, 16, 4))
    f, prior = torch.rand(2, 8, 4, 6), torch.rand(2, 5)
    beside = join.prior(prior)[:, :, None, None].expand(-1, -1, 4, 6)
    assert torch.allclose(join(f, prior), join.mix(torch.cat([f, beside], 1)), atol=1e-6)


def test_a_vector_is_joined_as_a_map_that_is_resized_bilinearly() -> None:
    join = VectorAsMap(8, (5, 16, 4))
    f, prior = torch.rand(2, 8, 3, 7), torch.rand(2, 5)
    grid = join.prior(prior).view(2, 8, 4, 4)
    beside = F.interpolate(grid, size=(3, 7), mode="bilinear")
    assert torch.allclose(join(f, prior), join.mix(torch.cat([f, beside], 1)), atol=1e-6)


def test_a_priors_own_map_is_joined_position_by_position() -> None:
    """Each of 2×3 vectors is made of length 1 and mapped as a vector would be; then the map is resized."""
    join = MapBeside(8, (5, 2, 3), 16, 4)
    f, rows = torch.rand(2, 8, 6, 4), torch.randn(2, 5 * 2 * 3)
    grid = torch.empty(2, 4, 2, 3)
    for y in range(2):
        for x in range(3):
            vector = rows.view(2, 5, 2, 3)[:, :, y, x]
            grid[:, :, y, x] = join.prior(vector / vector.norm(dim=1, keepdim=True))
    beside = F.interpolate(grid, size=(6, 4), mode="bilinear")
    assert torch.allclose(join(f, rows), join.mix(torch.cat([f, beside], 1)), atol=1e-6)
    assert torch.allclose(join(f, 7 * rows), join(f, rows), atol=1e-6)


def test_the_place_of_a_map_counts() -> None:
    torch.manual_seed(0)
    refiner = PTGRM((5, 2, 3), ablation="concat_2d", width=4, long_blocks=1)
    lq, initial, _ = inputs()
    prior = torch.randn(2, 5, 2, 3)
    swapped = prior.flip(-1)
    assert (refiner(lq, initial, prior.flatten(1)) - refiner(lq, initial, swapped.flatten(1))).abs().max() > 1e-5


@pytest.mark.parametrize("ablation", ["none", "concat_1d", "large_without_priors"])
def test_maps_are_refused_where_a_vector_is_read(ablation: Any) -> None:
    with pytest.raises(HarnessError, match="reads one vector per image") as caught:
        PTGRM((5, 2, 3), ablation=ablation)
    assert caught.value.hint.startswith("ablation: concat_2d")


def test_the_published_start_is_pytorchs_own_of_every_layer() -> None:
    """near_initial differs in the last layer alone."""
    networks = []
    for start in ("published", "near_initial"):
        torch.manual_seed(0)
        networks.append(PTGRM(5, width=8, long_blocks=1, start=start))
    ours, near = (network.state_dict() for network in networks)
    for module in networks[0].modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound  # uniform, as PyTorch draws it
            if module.bias is not None:
                assert 0 < module.bias.abs().max() <= bound
    assert ours.keys() == near.keys()
    changed = {name for name in ours if not torch.equal(ours[name], near[name])}
    assert changed == {"decoder.8.weight", "decoder.8.bias"}
    assert torch.equal(near["decoder.8.weight"], 0.1 * ours["decoder.8.weight"])
    assert near["decoder.8.bias"].tolist() == [MASK_LOGIT] * 3 + [0.0] * 3


def test_the_published_mask_starts_near_one_half() -> None:
    torch.manual_seed(0)
    lq, initial, prior = inputs()
    logits = PTGRM(5, start="published")._decoded(torch.cat([initial, lq], 1), prior)[:, :3]
    assert abs(logits.sigmoid().mean().item() - 0.5) < 0.1


def test_a_mean_score_is_one_number_an_image() -> None:
    torch.manual_seed(0)
    uniform, varying = (SVE(8, (5, 16, 4), long_blocks=1, source=source) for source in ("mean_score", "score"))
    varying.load_state_dict(uniform.state_dict(), strict=True)
    f, prior = torch.rand(2, 8, 4, 6), torch.rand(2, 5)
    scores = []
    varying.score[-1].register_forward_hook(lambda module, given, made: scores.append(made))
    varying(f, prior)
    M = scores[0].mean((2, 3), keepdim=True)
    assert scores[0].std((2, 3)).min() > 1e-6
    assert torch.allclose(uniform(f, prior), uniform.long(f) * M + uniform.short(f) * (1 - M), atol=1e-6)
