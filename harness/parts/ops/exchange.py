"""Tensors of all processes, on all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def gathered(values: Tensor) -> list[Tensor]:
    """The tensor of every process, in the order of ranks; all have the same shape and type (collective)."""
    every = [torch.empty_like(values, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
    dist.all_gather(every, values.contiguous())
    return every


def summed(values: Tensor, members: range) -> Tensor:
    """The sum over the processes with these ranks, in their order; gradients are summed alike (collective)."""
    total: Tensor = _Sum.apply(values, members)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, members: range) -> Tensor:
        ctx.members = members
        return _added(values, members)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _added(gradient, ctx.members), None


def _added(values: Tensor, members: range) -> Tensor:
    every = gathered(values)
    return torch.stack([every[rank] for rank in members]).sum(0)
