from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from harness.parts.backbones import enlightengan
from harness.parts.backbones.enlightengan import EnlightenGAN, darkness
from harness.testing import checks


def stirred(**options: Any) -> EnlightenGAN:
    torch.manual_seed(0)
    network = EnlightenGAN(width=2, **options).eval()
    checks.stir(network)
    return network


def test_attention_is_that_of_the_symmetric_image() -> None:
    image = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    red, green, blue = ((2 * image - 1)[:, channel] for channel in range(3))
    expected = 1 - (0.299 * (red + 1) + 0.587 * (green + 1) + 0.114 * (blue + 1)) / 2
    assert torch.allclose(darkness(image)[:, 0], expected, atol=1e-7)


def test_forward_works_on_plain_images() -> None:
    network, image = stirred(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        output, residual = network.enhance(2 * image - 1, darkness(image))
        assert torch.equal(network(image), (output + 1) / 2)
    assert torch.allclose(output, 2 * image - 1 + residual, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 6), (16, 21), (37, 32)])
def test_any_size_is_reflected_and_cut_back(size: tuple[int, int]) -> None:
    network = stirred()
    with torch.no_grad():
        assert network(torch.rand(1, 3, *size)).shape[-2:] == size


def test_residual_is_weighted_then_bounded() -> None:
    plain, weighted, bounded = (
        stirred(times_residual=times, tanh=tanh) for times, tanh in ((False, False), (True, False), (True, True))
    )
    image, attention = 2 * torch.rand(1, 3, 16, 16) - 1, torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        residual = plain.enhance(image, attention)[1]
        assert torch.allclose(weighted.enhance(image, attention)[1], residual * attention, atol=1e-6)
        assert torch.allclose(bounded.enhance(image, attention)[1], torch.tanh(residual * attention), atol=1e-6)


def test_wide_images_are_enhanced_at_half_the_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enlightengan, "WIDEST", 32)
    with torch.no_grad():
        assert stirred()(torch.rand(1, 3, 24, 41)).shape == (1, 3, 24, 41)


def test_first_weights_are_the_authors() -> None:
    """models/networks.py, `weights_init`: N(0, 0.02²) for convolutions, N(1, 0.02²) for norms, whose biases are 0."""
    torch.manual_seed(0)
    modules = list(EnlightenGAN(width=8).modules())
    convolutions = torch.cat([part.weight.detach().flatten() for part in modules if isinstance(part, nn.Conv2d)])
    norms = torch.cat([part.weight.detach() for part in modules if isinstance(part, nn.BatchNorm2d)])
    assert (float(convolutions.mean()), float(convolutions.std())) == pytest.approx((0, 0.02), abs=2e-4)
    assert (float(norms.mean()), float(norms.std())) == pytest.approx((1, 0.02), abs=3e-3)
    assert not any(part.bias.any() for part in modules if isinstance(part, nn.BatchNorm2d))
