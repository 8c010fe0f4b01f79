"""The lean forms of harness.parts.ops.defined: backward passes of their own, where PyTorch's would save more tensors or
make more passes over memory.

Made for CPUs, where harness.parts.ops.forms chooses them; each takes any memory format and is fastest with channels
last. Differentiable once. Statistics are taken in float32 or better, whatever autocast says.

Shape letters: B batch, C channels, H height, W width, K kernel positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

TAPS = [divmod(tap, 3) for tap in range(9)]
"""Row and column of each of a 3×3 kernel's numbers."""


def instance_norm_leaky(x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float, slope: float) -> Tensor:
    """As `defined.InstanceNormLeaky`, but the normed map before the LeakyReLU is not kept, and channels stay last."""
    normed: Tensor = _InstanceNormLeaky.apply(x_BCHW, weight_C, bias_C, eps, slope)
    return normed


class _InstanceNormLeaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float, slope: float) -> Tensor:
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        mean = x.mean((2, 3), keepdim=True)
        result = x - mean
        scale = torch.rsqrt(_dot(result, result) / (x.shape[2] * x.shape[3]) + eps)
        torch.addcmul(bias_C[:, None, None], result, scale * weight_C[:, None, None], out=result)
        if slope != 1:
            F.leaky_relu_(result, slope)
        result = result.to(x_BCHW.dtype)
        ctx.slope = slope
        ctx.save_for_backward(x_BCHW, weight_C, mean, scale, *([result] if slope != 1 else []))
        return result

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale, *result = ctx.saved_tensors
        grad = grad_BCHW.to(mean.dtype)
        if result:
            # A positive slope keeps the sign, so the result tells which side it came from.
            grad = torch.ops.aten.leaky_relu_backward(grad, result[0].to(mean.dtype), ctx.slope, True)
        x_grad = x.to(mean.dtype) - mean
        size = x.shape[2] * x.shape[3]
        shift_grad, scale_grad = grad.sum((2, 3), keepdim=True), _dot(grad, x_grad) * scale
        gain = weight[:, None, None] * scale
        # gain · (grad − mean of grad − normed · mean of grad · normed), pass by pass in the one buffer.
        torch.addcmul(-gain * shift_grad / size, x_grad, -gain * scale * scale_grad / size, out=x_grad)
        x_grad.addcmul_(grad, gain)
        return x_grad.to(x.dtype), scale_grad.sum((0, 2, 3)), shift_grad.sum((0, 2, 3)), None, None


def _dot(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Sum of a·b over the positions of each channel, B×C×1×1.

    The diagonal of a matrix product, which for few channels costs less than writing a·b to memory would.
    """
    a_BNC, b_BNC = (x.permute(0, 2, 3, 1).flatten(1, 2) for x in (a_BCHW, b_BCHW))
    return (a_BNC.transpose(1, 2) @ b_BNC).diagonal(dim1=1, dim2=2)[:, :, None, None]


def dynamic_filter(x_BCHW: Tensor, kernels_BKHW: Tensor) -> Tensor:
    """As `defined.dynamic_filter`; sums nine shifted views in place, and keeps its two inputs alone."""
    dtype = torch.promote_types(x_BCHW.dtype, kernels_BKHW.dtype)
    filtered: Tensor = _DynamicFilter.apply(x_BCHW.to(dtype), kernels_BKHW.to(dtype))
    return filtered


class _DynamicFilter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, kernels_BKHW: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCHW, kernels_BKHW)
        padded = F.pad(x_BCHW, (1, 1, 1, 1), mode="replicate")
        total = torch.zeros_like(x_BCHW)
        for window, kernel in zip(_windows(padded), _kernels(kernels_BKHW), strict=True):
            total.addcmul_(window, kernel)
        return total

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        x, kernels = ctx.saved_tensors
        padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
        padded_grad, kernels_grad = torch.zeros_like(padded), torch.zeros_like(kernels)
        views = (_windows(padded), _kernels(kernels), _windows(padded_grad), _kernels(kernels_grad))
        for window, kernel, window_grad, kernel_grad in zip(*views, strict=True):
            kernel_grad.addcmul_(grad_BCHW, window)
            window_grad.addcmul_(grad_BCHW, kernel)
        # The gradient of a replicated border belongs to the pixels that it was copied from.
        for side in (2, 3):
            size = padded_grad.shape[side]
            padded_grad.select(side, 1).add_(padded_grad.select(side, 0))
            padded_grad.select(side, size - 2).add_(padded_grad.select(side, size - 1))
        return padded_grad[:, :, 1:-1, 1:-1], kernels_grad


def _windows(padded_BCHW: Tensor) -> list[Tensor]:
    """The unpadded map seen from each of nine neighbours: views."""
    height, width = padded_BCHW.shape[2] - 2, padded_BCHW.shape[3] - 2
    return [padded_BCHW[:, :, row : row + height, column : column + width] for row, column in TAPS]


def _kernels(kernels_BKHW: Tensor) -> tuple[Tensor, ...]:
    """One map per kernel position, B×C×H×W: views."""
    return kernels_BKHW.unflatten(1, (-1, 9)).unbind(2)


def shuffled_conv(x_BCHW: Tensor, weight: Tensor, factor: int, slope: float) -> Tensor:
    """As `defined.ShuffledConv`; its weights are brought into the order row, column, c before they are used: then the
    shuffle moves whole runs of channels, which stay last."""
    by_place = weight.unflatten(0, (-1, factor**2)).transpose(0, 1).flatten(0, 1)
    shuffled: Tensor = _ShuffleLeaky.apply(F.conv2d(x_BCHW, by_place, padding=1), factor, slope)
    return shuffled


class _ShuffleLeaky(torch.autograd.Function):
    """Channels (row, column, c) to pixels, then LeakyReLU with a positive slope; keeps its result alone."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, factor: int, slope: float) -> Tensor:
        B, C, H, W = x_BCHW.shape
        result_BHWC = x_BCHW.new_empty(B, H * factor, W * factor, C // factor**2)
        x = x_BCHW.permute(0, 2, 3, 1).unflatten(-1, (factor, factor, -1))
        torch.ops.aten.leaky_relu.out(x, slope, out=_pixel_groups(result_BHWC, factor))
        ctx.factor, ctx.slope = factor, slope
        ctx.save_for_backward(result_BHWC)
        return result_BHWC.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> tuple[Tensor, None, None]:
        # A positive slope keeps the sign, so the result tells which side it came from.
        result, grad = (_pixel_groups(x, ctx.factor) for x in (*ctx.saved_tensors, grad_BCHW.permute(0, 2, 3, 1)))
        x_grad = grad.new_empty(grad.shape)
        torch.ops.aten.leaky_relu_backward.grad_input(grad, result, ctx.slope, True, grad_input=x_grad)
        return x_grad.flatten(3).permute(0, 3, 1, 2), None, None


def _pixel_groups(x_BHWC: Tensor, factor: int) -> Tensor:
    """B×H/factor×W/factor×factor×factor×C: a view."""
    return x_BHWC.unflatten(2, (-1, factor)).unflatten(1, (-1, factor)).transpose(2, 3)


def gated_gelu(x_BCHW: Tensor, approximate: str) -> Tensor:
    """As `defined.gated_gelu`; keeps its input alone."""
    gated: Tensor = _GatedGelu.apply(x_BCHW, approximate)
    return gated


class _GatedGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, approximate: str) -> Tensor:
        ctx.save_for_backward(x_BCHW)
        ctx.approximate = approximate
        gate, value = x_BCHW.chunk(2, dim=1)
        return F.gelu(gate, approximate=approximate).mul_(value)

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        gate, value = x.chunk(2, dim=1)
        x_grad = torch.empty_like(x)
        gate_grad, value_grad = x_grad.chunk(2, dim=1)
        torch.mul(F.gelu(gate, approximate=ctx.approximate), grad_BCHW, out=value_grad)
        of_gelu = grad_BCHW * value
        torch.ops.aten.gelu_backward.grad_input(of_gelu, gate, approximate=ctx.approximate, grad_input=gate_grad)
        return x_grad, None


def channels_first(x_BCHW: Tensor) -> Tensor:
    """The map with its channels first in memory; its gradient with channels last, as the layer before takes it."""
    first: Tensor = _ChannelsFirst.apply(x_BCHW)
    return first


class _ChannelsFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor) -> Tensor:
        return x_BCHW.contiguous()

    @staticmethod
    def backward(ctx: Any, grad_BCHW: Tensor) -> Tensor:
        return grad_BCHW.contiguous(memory_format=torch.channels_last)
