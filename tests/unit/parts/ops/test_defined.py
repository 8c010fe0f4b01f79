"""Operations against their formulas, results and gradients, in every form that they have."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from harness.parts.ops import forms
from harness.parts.ops.defined import InstanceNormLeaky, ShuffledConv, dynamic_filter, edges_repeated, gated_gelu
from harness.parts.ops.forms import Form
from harness.parts.ops.lean import channels_first

in_every_form = pytest.mark.parametrize("form", ["plain", "lean"])
in_every_format = pytest.mark.parametrize("like", [torch.contiguous_format, torch.channels_last])


def found(function: Callable[..., Tensor], given: tuple[Tensor, ...], like: torch.memory_format) -> list[Tensor]:
    """The result, and the gradients with respect to everything given."""
    leaves = [tensor.detach().clone().requires_grad_() for tensor in given]
    result = function(leaves[0].contiguous(memory_format=like), *leaves[1:])
    weights = torch.linspace(-1, 2, result.numel(), dtype=torch.float64).view_as(result)
    return [result, *torch.autograd.grad((result * weights).sum(), leaves)]


def assert_same(
    ours: Callable[..., Tensor], formula: Callable[..., Tensor], *given: Tensor, like: torch.memory_format, form: Form
) -> None:
    """Equal results and equal gradients with respect to everything given, in float64 and in float32."""
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-5)):
        with forms.using(form):
            mine = found(ours, tuple(tensor.to(dtype) for tensor in given), like)
        for one, expected in zip(mine, found(formula, given, like), strict=True):
            assert one.dtype == dtype
            assert (one - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1), dtype


def unfolded(x: Tensor, kernels: Tensor) -> Tensor:
    B, C, H, W = x.shape
    windows = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3).view(B, C, 9, H, W)
    return (windows * kernels.view(B, C, 9, H, W)).sum(2)


@in_every_form
@in_every_format
@pytest.mark.parametrize("sides", [(6, 5), (2, 2), (1, 3)])
def test_dynamic_filter_equals_unfolding(form: Form, like: torch.memory_format, sides: tuple[int, int]) -> None:
    x, kernels = torch.randn(2, 3, *sides).double(), torch.randn(2, 27, *sides).double()
    assert_same(dynamic_filter, unfolded, x, kernels, like=like, form=form)


@in_every_form
def test_dynamic_filter_reads_rows_then_columns(form: Form) -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3)
    kernels = torch.zeros(1, 9, 3, 3)
    kernels[:, 5] = 1  # middle row, right column: the neighbour to the right, the border repeated
    with forms.using(form):
        assert dynamic_filter(x, kernels)[0, 0].tolist() == [[1, 2, 2], [4, 5, 5], [7, 8, 8]]


@pytest.mark.parametrize("sides", [(4, 3), (1, 1)])
def test_edges_are_repeated_as_by_padding(sides: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *sides)
    assert torch.equal(edges_repeated(x), F.pad(x, (1, 1, 1, 1), mode="replicate"))


@in_every_form
@in_every_format
@pytest.mark.parametrize("slope", [0.1, 1.0])
def test_instance_norm_is_pytorchs_before_a_leaky_relu(form: Form, like: torch.memory_format, slope: float) -> None:
    norm = InstanceNormLeaky(3, slope)

    def ours(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, x)

    def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        centred = x - x.mean((2, 3), keepdim=True)
        normed = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
        return F.leaky_relu(normed * weight[:, None, None] + bias[:, None, None], slope)

    x, weight, bias = 5 + torch.randn(2, 3, 6, 5).double(), torch.randn(3).double(), torch.randn(3).double()
    assert_same(ours, formula, x, weight, bias, like=like, form=form)


@in_every_form
def test_instance_norm_takes_its_statistics_in_float32(form: Form) -> None:
    x = 300 + torch.randn(1, 4, 32, 32).bfloat16()
    with forms.using(form):
        result = InstanceNormLeaky(4)(x)
    assert result.dtype == torch.bfloat16
    assert (result.float() - F.instance_norm(x.float())).abs().max() < 0.02


@in_every_form
@in_every_format
def test_shuffled_convolution_is_convolution_then_pixel_shuffle(form: Form, like: torch.memory_format) -> None:
    conv = ShuffledConv(3, 5, 2, 0.1)

    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, x)

    def formula(x: Tensor, weight: Tensor) -> Tensor:
        return F.leaky_relu(nn.PixelShuffle(2)(F.conv2d(x, weight, padding=1)), 0.1)

    x, weight = torch.randn(2, 3, 4, 6).double(), torch.randn(20, 3, 3, 3).double()
    assert_same(ours, formula, x, weight, like=like, form=form)


@in_every_form
@in_every_format
@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gated_gelu_gates_the_second_half(form: Form, like: torch.memory_format, approximate: str) -> None:
    def formula(x: Tensor) -> Tensor:
        gate, value = x.chunk(2, 1)
        return F.gelu(gate, approximate=approximate) * value

    x = torch.randn(2, 6, 4, 5).double()
    assert_same(lambda x: gated_gelu(x, approximate), formula, x, like=like, form=form)


def test_channels_first_hands_gradients_back_with_channels_last() -> None:
    x = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last).requires_grad_()
    result = channels_first(x)
    assert result.is_contiguous()
    assert torch.equal(result, x)
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gradient, torch.ones_like(x))
