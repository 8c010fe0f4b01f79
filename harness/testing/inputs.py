"""What a loss is given, changed tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness.api.loss import LossInputs


def leaf(tensor: Tensor) -> Tensor:
    """A copy that requires a gradient, if its type allows one."""
    return tensor.detach().clone().requires_grad_(tensor.is_floating_point())


def detached(inputs: LossInputs) -> LossInputs:
    """The same without gradients."""
    outputs = each(inputs.outputs, Tensor.detach)
    return replace(inputs, restored_BCHW=inputs.restored_BCHW.detach(), outputs=outputs)


def doubled(inputs: LossInputs, batch: int) -> LossInputs:
    """The same images twice in one batch."""

    def twice(tensor: Tensor) -> Tensor:
        return torch.cat([tensor, tensor]) if tensor.ndim and len(tensor) == batch else tensor

    return replace(
        inputs,
        restored_BCHW=twice(inputs.restored_BCHW),
        lq_BCHW=twice(inputs.lq_BCHW),
        gt_BCHW=None if inputs.gt_BCHW is None else twice(inputs.gt_BCHW),
        clean_BCHW=None if inputs.clean_BCHW is None else twice(inputs.clean_BCHW),
        outputs=each(inputs.outputs, twice),
    )


def chosen(inputs: LossInputs, places: slice, batch: int) -> LossInputs:
    """Some of the images of a batch."""

    def cut(tensor: Tensor) -> Tensor:
        return tensor[places] if tensor.ndim and len(tensor) == batch else tensor

    return replace(
        inputs,
        restored_BCHW=cut(inputs.restored_BCHW),
        lq_BCHW=cut(inputs.lq_BCHW),
        gt_BCHW=None if inputs.gt_BCHW is None else cut(inputs.gt_BCHW),
        clean_BCHW=None if inputs.clean_BCHW is None else cut(inputs.clean_BCHW),
        outputs=each(inputs.outputs, cut),
    )


def each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same mappings, lists and tuples with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: each(item, change) for key, item in value.items()}
    if not isinstance(value, list | tuple):
        return value
    items = [each(item, change) for item in value]
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def tensors(value: Any) -> list[Tensor]:
    """All tensors in mappings, lists and tuples."""
    found: list[Tensor] = []
    each(value, lambda tensor: found.append(tensor) or tensor)  # type: ignore[func-returns-value]
    return found
