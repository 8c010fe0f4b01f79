"""What processes of one job tell each other, beside gradients. Alone, everything is already there.

Every function is called by all processes in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class _Stand:
    """What stands for a tensor while it travels apart."""

    number: int
    shape: tuple[int, ...]
    dtype: torch.dtype


def together() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def mean(value: Tensor) -> Tensor:
    """The mean over the processes."""
    ranks = together()
    if ranks == 1:
        return value
    total = value.contiguous().clone()
    distributed.all_reduce(total)
    return total / ranks


def gather(value: Any) -> list[Any]:
    """A plain value of every process, in their order."""
    ranks = together()
    if ranks == 1:
        return [value]
    found: list[Any] = [None] * ranks
    distributed.all_gather_object(found, value)
    return found


def spread(value: Any, device: torch.device) -> Any:
    """What process 0 gives, everywhere: plain values, and tensors on the CPU, in dicts, lists and tuples.

    Tensors travel one by one and by way of `device`, so that a large state needs no second copy of itself.
    """
    if together() == 1:
        return value
    tensors: list[Tensor] = []

    def stand_in(tensor: Tensor) -> Any:
        tensors.append(tensor)
        return _Stand(len(tensors) - 1, tuple(tensor.shape), tensor.dtype)

    first = distributed.get_rank() == 0
    told = [_changed(value, Tensor, stand_in) if first else None]
    distributed.broadcast_object_list(told, src=0)

    def fetched(stands: _Stand) -> Tensor:
        mine = tensors[stands.number] if first else torch.empty(stands.shape, dtype=stands.dtype)
        moved = mine.to(device).contiguous()
        distributed.broadcast(moved, src=0)
        return mine if first else moved.cpu()

    return _changed(told[0], _Stand, fetched)


def _changed(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The same dicts, lists and tuples, with everything of a kind changed."""
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(item, kind, change) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_changed(item, kind, change) for item in value)
    return value
