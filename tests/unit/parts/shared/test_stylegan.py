from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from harness.parts.shared.stylegan import ConvLayer, ModulatedConv2d, PixelNorm, Upsample, binomial


@pytest.mark.parametrize("double", [False, True])
def test_modulation_equals_the_papers_weights_for_each_image(double: bool) -> None:
    """Equations 1 and 3: the weights themselves are scaled by the style and brought back to unit norm."""
    torch.manual_seed(0)
    conv = ModulatedConv2d(5, 4, 3, 6, double=double)
    x, style = torch.randn(2, 5, 8, 8), torch.randn(2, 6)
    result = conv(x, style)
    for image, scales, expected in zip(x.split(1), conv.modulation(style), result, strict=True):
        weight = conv.weight[0] / 45**0.5 * scales[:, None, None]
        weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
        if double:
            large = F.conv_transpose2d(image, weight.transpose(0, 1), stride=2)
            ours = F.conv2d(large, binomial(4.0).expand(4, 1, 4, 4), padding=1, groups=4)
        else:
            ours = F.conv2d(image, weight, padding=1)
        assert torch.allclose(ours[0], expected, atol=1e-5)


def test_upsampling_keeps_a_constant() -> None:
    inner = Upsample()(torch.full((1, 2, 6, 6), 0.7))[..., 2:-2, 2:-2]
    assert torch.allclose(inner, torch.full_like(inner, 0.7))


def test_halving_layer() -> None:
    assert ConvLayer(3, 5, 3, halve=True)(torch.rand(2, 3, 8, 12)).shape == (2, 5, 4, 6)


def test_pixel_norm() -> None:
    assert torch.allclose(PixelNorm()(torch.randn(3, 8)).square().mean(1), torch.ones(3), atol=1e-4)
