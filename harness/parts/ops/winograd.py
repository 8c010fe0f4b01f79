"""3×3 convolutions between many channels on a CPU, by minimal filtering.

A. Lavin and S. Gray, "Fast Algorithms for Convolutional Networks", CVPR 2016, arXiv 1509.09308: F(4×4, 3×3) gets each
4×4 block of results from a 6×6 block of inputs with 36 multiplications for every pair of channels, where the direct
sum takes 144. Blocks and weights are transformed (Bᵀ·B and G·Gᵀ), multiplied as matrices over the channels at each of
the 36 places, and transformed back (Aᵀ·A). Each transform is one matrix over the flattened block, M ⊗ M.

It pays from about a hundred channels on; below, the transforms cost what the products save. In float32 the largest
error is some seven times the direct convolution's, 6e-5 on results of unit variance at 144 channels.

Shape letters: B batch, C channels in, O channels out, H height, W width, P blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

SIDE = 4
"""Side of a block of results, in pixels; a block of inputs is two longer."""


def _over_blocks(rows: Sequence[Sequence[float]]) -> Tensor:
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.kron(matrix, matrix)


OF_INPUT = _over_blocks(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
OF_WEIGHT = _over_blocks(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
OF_RESULT = _over_blocks(
    [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
)


def convolve(x_BCHW: Tensor, weight_OC33: Tensor) -> Tensor:
    """F.conv2d(x, weight, padding=1), differentiable once, for float32 and float64. The result's channels lie last."""
    result: Tensor = _Convolution.apply(x_BCHW, weight_OC33)
    return result


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_OC33: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight_OC33)
        return _convolved(x_BCHW, weight_OC33)

    @staticmethod
    def backward(ctx: Any, grad_BOHW: Tensor) -> tuple[Tensor | None, Tensor | None]:
        # x's blocks are transformed again: to keep them would take more than twice x's memory.
        x, weight = ctx.saved_tensors
        of_x, of_weight = ctx.needs_input_grad
        # With respect to its input a convolution's gradient is one with the weights turned by 180°.
        x_grad = _convolved(grad_BOHW, weight.flip(2, 3).transpose(0, 1)) if of_x else None
        return x_grad, _weight_grad(x, grad_BOHW) if of_weight else None


def _convolved(x_BCHW: Tensor, weight_OC33: Tensor) -> Tensor:
    B, _, H, W = x_BCHW.shape
    O, C = weight_OC33.shape[:2]  # noqa: E741
    weight_36CO = (OF_WEIGHT.to(x_BCHW) @ weight_OC33.permute(2, 3, 1, 0).reshape(9, C * O)).view(36, C, O)
    product_36PO = _input_blocks(x_BCHW) @ weight_36CO
    blocks = (OF_RESULT.to(x_BCHW) @ product_36PO.flatten(1)).view(SIDE, SIDE, B, -(-H // SIDE), -(-W // SIDE), O)
    result_BHWO = blocks.permute(2, 3, 0, 4, 1, 5).flatten(3, 4).flatten(1, 2)
    return result_BHWO[:, :H, :W].contiguous().permute(0, 3, 1, 2)


def _weight_grad(x_BCHW: Tensor, grad_BOHW: Tensor) -> Tensor:
    O, H, W = grad_BOHW.shape[1:]  # noqa: E741
    padded_BHWO = F.pad(grad_BOHW, (0, -W % SIDE, 0, -H % SIDE)).permute(0, 2, 3, 1)
    blocks = padded_BHWO.unflatten(2, (-1, SIDE)).unflatten(1, (-1, SIDE)).permute(2, 4, 0, 1, 3, 5)
    product_36PO = (OF_RESULT.to(x_BCHW).T @ blocks.reshape(SIDE * SIDE, -1)).view(36, -1, O)
    grad_36CO = _input_blocks(x_BCHW).transpose(1, 2) @ product_36PO
    return (OF_WEIGHT.to(x_BCHW).T @ grad_36CO.flatten(1)).view(3, 3, -1, O).permute(3, 2, 0, 1)


def _input_blocks(x_BCHW: Tensor) -> Tensor:
    """The transformed 6×6 blocks at a distance of 4, zeros beyond the borders: 36×P×C."""
    H, W = x_BCHW.shape[2:]
    padded_BHWC = F.pad(x_BCHW, (1, 1 + -W % SIDE, 1, 1 + -H % SIDE)).permute(0, 2, 3, 1)
    blocks = padded_BHWC.unfold(1, SIDE + 2, SIDE).unfold(2, SIDE + 2, SIDE).permute(4, 5, 0, 1, 2, 3)
    return (OF_INPUT.to(x_BCHW) @ blocks.reshape(36, -1)).view(36, -1, x_BCHW.shape[1])
