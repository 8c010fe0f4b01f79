from __future__ import annotations

import pytest
import torch
from torch import Tensor

from harness.parts.refiners.ptg_rm import CSA, MASK_LOGIT, PTGRM, SVE


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
def test_starts_near_the_initial_restoration(head: str, mixed_in: float) -> None:
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
        sve.score[2] = torch.nn.Conv2d(8, 1, 3, padding=1)
        torch.nn.init.zeros_(sve.score[2].weight)
        torch.nn.init.constant_(sve.score[2].bias, bias)
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
