"""Fused operations against their formulas, results and gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.parts.ops.fused import (
    InstanceNormLeaky,
    ShuffledConv,
    channels_first,
    dynamic_filter,
    gated_gelu,
    wide_convolution,
)

FORMATS = (torch.contiguous_format, torch.channels_last)


def assert_same(
    ours: Callable[..., Tensor], plain: Callable[..., Tensor], *given: Tensor, like: torch.memory_format
) -> None:
    """Equal results and equal gradients with respect to everything given, in float64."""
    found = []
    for function in (ours, plain):
        leaves = [tensor.detach().clone().requires_grad_() for tensor in given]
        first = leaves[0].contiguous(memory_format=like)
        result = function(first, *leaves[1:])
        weights = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view_as(result)
        found.append([result, *torch.autograd.grad((result * weights).sum(), leaves)])
    for mine, expected in zip(*found, strict=True):
        assert torch.allclose(mine, expected, atol=1e-9), (mine - expected).abs().max()


def unfolded(x: Tensor, kernels: Tensor) -> Tensor:
    B, C, H, W = x.shape
    windows = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3).view(B, C, 9, H, W)
    return (windows * kernels.view(B, C, 9, H, W)).sum(2)


@pytest.mark.parametrize("like", FORMATS)
@pytest.mark.parametrize("sides", [(6, 5), (2, 2), (1, 3)])
def test_dynamic_filter_equals_unfolding(like: torch.memory_format, sides: tuple[int, int]) -> None:
    x, kernels = torch.randn(2, 3, *sides).double(), torch.randn(2, 27, *sides).double()
    assert_same(dynamic_filter, unfolded, x, kernels, like=like)


def test_dynamic_filter_reads_rows_then_columns() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    kernels = torch.zeros(1, 9, 3, 3)
    kernels[:, 5] = 1  # middle row, right column: the neighbour to the right, the border repeated
    assert dynamic_filter(x, kernels)[0, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]


@pytest.mark.parametrize("like", FORMATS)
@pytest.mark.parametrize("slope", [0.1, 1.0])
def test_instance_norm_is_pytorchs_before_a_leaky_relu(like: torch.memory_format, slope: float) -> None:
    norm = InstanceNormLeaky(3, slope)

    def ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, x)

    def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias), slope)

    x, weight, bias = 5 + torch.randn(2, 3, 6, 5).double(), torch.randn(3).double(), torch.randn(3).double()
    assert_same(ours, plain, x, weight, bias, like=like)


def test_instance_norm_takes_its_statistics_in_float32() -> None:
    x = 300 + torch.randn(1, 4, 32, 32).bfloat16()
    result = InstanceNormLeaky(4)(x)
    assert result.dtype == torch.bfloat16
    assert (result.float() - F.instance_norm(x.float())).abs().max() < 0.02


@pytest.mark.parametrize("like", FORMATS)
def test_shuffled_convolution_is_convolution_then_pixel_shuffle(like: torch.memory_format) -> None:
    conv = ShuffledConv(3, 5, 2, 0.1)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, x)

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        return F.leaky_relu(nn.PixelShuffle(2)(F.conv2d(x, weight, padding=1)), 0.1)

    assert_same(ours, plain, torch.randn(2, 3, 4, 6).double(), torch.randn(20, 3, 3, 3).double(), like=like)


@pytest.mark.parametrize("like", FORMATS)
@pytest.mark.parametrize("sides", [(4, 8), (6, 5), (1, 3), (9, 2)])
def test_wide_convolution_is_a_convolution(like: torch.memory_format, sides: tuple[int, int]) -> None:
    x, weight = torch.randn(2, 3, *sides).double(), torch.randn(5, 3, 3, 3).double()
    assert_same(wide_convolution, lambda x, w: F.conv2d(x, w, padding=1), x, weight, like=like)


def test_wide_convolution_keeps_five_digits_in_float32() -> None:
    x, weight = torch.randn(1, 144, 20, 20), torch.randn(144, 144, 3, 3) / 36
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    assert (wide_convolution(x, weight) - exact).abs().max() < 1e-4


@pytest.mark.parametrize("like", FORMATS)
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gated_gelu_gates_the_second_half(like: torch.memory_format, approximate: str) -> None:
    def plain(x: Tensor) -> Tensor:
        gate, value = x.chunk(2, 1)
        return F.gelu(gate, approximate=approximate) * value

    assert_same(lambda x: gated_gelu(x, approximate), plain, torch.randn(2, 6, 4, 5).double(), like=like)


def test_channels_first_hands_gradients_back_with_channels_last() -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    result = channels_first(x)
    assert result.is_contiguous()
    assert torch.equal(result, x)
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gradient, torch.ones_like(x))
