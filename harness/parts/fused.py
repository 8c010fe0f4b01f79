"""Operations with backward passes of their own, where PyTorch's would save more tensors or make more passes.

Each gives what its formula says, in any memory format, at its best with channels last. Deterministic on a CPU and on a
GPU: nothing is scattered. Statistics are taken in float32 or better, whatever autocast says.

Shape letters: B batch, C channels, H height, W width, K kernel positions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

TAPS = [divmod(tap, 3) for tap in range(9)]
"""Row and column of each of a 3×3 kernel's numbers."""


class InstanceNormLeaky(nn.InstanceNorm2d):
    """Instance norm with learned scale and shift, then LeakyReLU; `slope` 1 leaves it a norm. B×C×H×W to the same.

    F.instance_norm and leaky_relu, but the normed map between the two is not kept, and channels stay last.
    """

    def __init__(self, channels: int, slope: float = 1.0) -> None:
        super().__init__(channels, affine=True)
        self.slope = slope

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normed: Tensor = _InstanceNormLeaky.apply(x_BCHW, self.weight, self.bias, self.eps, self.slope)
        return normed


class _InstanceNormLeaky(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor, eps: float, slope: float) -> Tensor:
        x = x_BCHW.to(torch.promote_types(x_BCHW.dtype, torch.float32))
        mean = x.mean((2, 3), keepdim=True)
        result = x - mean
        scale = torch.rsqrt(result.square().mean((2, 3), keepdim=True) + eps)
        result.mul_(scale * weight_C[:, None, None]).add_(bias_C[:, None, None])
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
        normed = (x.to(mean.dtype) - mean).mul_(scale)
        size = x.shape[2] * x.shape[3]
        shift_grad = grad.sum((2, 3), keepdim=True)
        scale_grad = (grad * normed).sum((2, 3), keepdim=True)
        x_grad = (grad - shift_grad / size).sub_(normed.mul_(scale_grad / size)).mul_(weight[:, None, None] * scale)
        return x_grad.to(x.dtype), scale_grad.sum((0, 2, 3)), shift_grad.sum((0, 2, 3)), None, None


def dynamic_filter(x_BCHW: Tensor, kernels_BKHW: Tensor) -> Tensor:
    """Filters each channel at each position with its own 3×3 kernel; borders replicate. B×C×H×W to the same.

    `kernels_BKHW` has 9·C channels, channel c·9 + row·3 + column. Summed over nine shifted views, forward and
    backward: no copy of the nine-fold unfolded features is ever made.
    """
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
        # What the border lent outwards comes back to it.
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
    """Each of nine kernel positions, B×C×H×W: views."""
    return kernels_BKHW.unflatten(1, (-1, 9)).unbind(2)


class PixelShuffle(nn.Module):
    """nn.PixelShuffle that keeps channels last: B×(C·factor²)×H×W to B×C×(H·factor)×(W·factor)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x_BCHW: Tensor) -> Tensor:
        B, C, H, W = x_BCHW.shape
        factor = self.factor
        x = x_BCHW.permute(0, 2, 3, 1).unflatten(-1, (C // factor**2, factor, factor))
        return x.permute(0, 1, 4, 2, 5, 3).reshape(B, H * factor, W * factor, -1).permute(0, 3, 1, 2)
