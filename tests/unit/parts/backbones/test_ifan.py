from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.core.errors import HarnessError
from harness.parts.backbones.ifan import IFAN
from harness.testing import checks

SMALL: dict[str, Any] = {"ch": 2, "N": 2}


@pytest.mark.parametrize("side", ["ks", "Fs"])
def test_even_sides_are_refused(side: str) -> None:
    with pytest.raises(HarnessError, match="are odd"):
        IFAN(**(SMALL | {side: 4}))


def test_second_kernels_are_never_used() -> None:
    """Each step filters columns and rows with its first kernel, as the published weights were trained."""
    network, image = IFAN(**SMALL), torch.rand(1, 3, 16, 16)
    filters = torch.randn(1, 2 * 2 * 8 * 3 + 2 * 8, 2, 2)
    kernels = filters[:, : 2 * 2 * 8 * 3].view(1, 2, 2, 8 * 3, 2, 2)
    with torch.no_grad():
        before = network.deblur(image, filters)
        kernels[:, :, 1] = 7.0
        assert torch.equal(network.deblur(image, filters), before)
        kernels[:, :, 0] = 7.0
        assert not torch.equal(network.deblur(image, filters), before)


def test_adaptive_convolution_filters_columns_then_rows() -> None:
    """One step with the same kernel at every position is a separable filter, a bias and an activation."""
    network, x, kernel = IFAN(ch=1, N=1), torch.rand(1, 4, 6, 5), torch.randn(4, 3)
    filters = torch.cat([kernel.flatten(), torch.randn(4 * 3), torch.full((4,), -0.5)])
    result = network._adaptive_convolution(x, filters.view(1, -1, 1, 1).expand(1, -1, 6, 5).contiguous())
    both = torch.einsum("ci,cj->cij", kernel, kernel)[:, None]
    padded = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, both, groups=4) - 0.5
    assert torch.allclose(result, torch.where(expected > 0, expected, 0.1 * expected), atol=1e-5)


def test_dual_pixel_views_make_the_filters_alone() -> None:
    network = IFAN(**SMALL, dual=True).eval()
    checks.stir(network)
    image, left, right = torch.rand(3, 1, 3, 16, 16)
    with torch.no_grad():
        filters = network.filters(torch.cat([right, left], 1))
        restored = network(torch.cat([image, left, right], 1))
        assert torch.equal(restored, network.deblur(image, filters))
        assert not torch.equal(restored, network(torch.cat([image, right, left], 1)))


def test_disparity_moves_the_right_view() -> None:
    network = IFAN(**SMALL)
    last = network.disparity[-1]
    assert isinstance(last, torch.nn.Conv2d)
    torch.nn.init.zeros_(last.weight)
    torch.nn.init.constant_(last.bias, 2.0)
    right, left = torch.rand(2, 1, 3, 8, 8).repeat_interleave(8, -1).repeat_interleave(8, -2)
    with torch.no_grad():
        moved, target = network.warp_right(right, left)
    assert torch.allclose(moved[..., :-2], right[..., ::8, 16::8], atol=1e-5)
    assert not moved[..., -2:].any()
    assert torch.allclose(target, left[..., ::8, ::8], atol=1e-6)


def test_first_weights_are_the_authors() -> None:
    """Uniform within ±gain·√(6 / (inputs + outputs)), the gain 1.5 in the filter predictor; no biases."""
    network = IFAN(ch=8, N=2)
    for name, weight in network.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
            continue
        outputs, inputs, high, wide = weight.shape
        gain = 1.5 if name.startswith("predict.") else 1.0
        bound = gain * (6 / ((inputs + outputs) * high * wide)) ** 0.5
        largest = float(weight.detach().abs().max())
        assert 0.9 * bound < largest <= bound * (1 + 1e-6), name
